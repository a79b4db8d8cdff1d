-- +goose Up

-- What we send. Planners' tools write outbox.demand_line; outbox.release compares
-- that with what was released last and queues what is new or changed in
-- dcm.delivery, from which serve sends (DCM_SEND).

create schema outbox;
comment on schema outbox is 'What we send to partners. Nothing leaves before a release.';

-- The names of the constraints are the words that whoever loads lines sees.
create table outbox.demand_line (
    customer text collate "C" not null,
    supplier text collate "C" not null,
    material_number_customer text collate "C" not null,
    customer_location text collate "C" not null,
    demand_category_code text collate "C" not null,
    point_in_time date not null,
    demand numeric not null,
    material_number_supplier text,
    material_description_customer text,
    material_global_asset_id text,
    unit_of_measure text,
    expected_supplier_location text,
    is_inactive boolean default false,
    constraint "one line per customer, supplier, material, location and week"
        primary key (customer, supplier, material_number_customer, customer_location, demand_category_code, point_in_time),
    constraint "customer must be a BPNL: BPNL and 12 letters or digits" check (customer ~ '^BPNL[a-zA-Z0-9]{12}$'),
    constraint "supplier must be a BPNL: BPNL and 12 letters or digits" check (supplier ~ '^BPNL[a-zA-Z0-9]{12}$'),
    constraint "customer_location must be a BPNS: BPNS and 12 letters or digits" check (customer_location ~ '^BPNS[a-zA-Z0-9]{12}$'),
    constraint "expected_supplier_location must be a BPNS, or NULL" check (expected_supplier_location ~ '^BPNS[a-zA-Z0-9]{12}$'),
    constraint "material_number_customer must not be empty" check (material_number_customer <> ''),
    constraint "demand_category_code must be a known code, such as 0001" check (
        demand_category_code in ('0001', 'A1S1', 'SR99', 'PI01', 'OS01', 'OI01', 'ED01', 'PO01')),
    constraint "point_in_time must be a Monday" check (extract(isodow from point_in_time) = 1),
    constraint "point_in_time must be in the years 1 to 9999" check (point_in_time between '0001-01-01' and '9999-12-31'),
    constraint "demand must not be negative" check (demand >= 0),
    constraint "demand must be at most 10^18, with at most 21 decimals" check (demand <= 1000000000000000000 and scale(trim_scale(demand)) <= 21),
    constraint "unit_of_measure must be a known unit, such as unit:piece" check (unit_of_measure in (
        'unit:piece', 'unit:set', 'unit:pair', 'unit:page', 'unit:cycle', 'unit:kilowattHour',
        'unit:gram', 'unit:kilogram', 'unit:tonneMetricTon', 'unit:tonUsOrShortTonUkorus', 'unit:ounceAvoirdupois', 'unit:pound',
        'unit:metre', 'unit:centimetre', 'unit:kilometre', 'unit:inch', 'unit:foot', 'unit:yard',
        'unit:squareCentimetre', 'unit:squareMetre', 'unit:squareInch', 'unit:squareFoot', 'unit:squareYard',
        'unit:cubicCentimetre', 'unit:cubicMetre', 'unit:cubicInch', 'unit:cubicFoot', 'unit:cubicYard',
        'unit:litre', 'unit:millilitre', 'unit:hectolitre',
        'unit:secondUnitOfTime', 'unit:minuteUnitOfTime', 'unit:hourUnitOfTime', 'unit:day')),
    constraint "material_global_asset_id must be a UUID, or NULL" check (
        material_global_asset_id ~* '^(urn:uuid:)?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$')
);
comment on table outbox.demand_line is 'What we need: one row per customer, supplier, material, location, category and week. Goes out by outbox.release() only. 0 is written out; a week without a row is unknown.';
comment on column outbox.demand_line.customer is 'BPNL of ours that needs the material.';
comment on column outbox.demand_line.supplier is 'BPNL of the supplier that is to deliver.';
comment on column outbox.demand_line.material_number_customer is 'Our number of the material.';
comment on column outbox.demand_line.customer_location is 'BPNS of our site that needs the material.';
comment on column outbox.demand_line.demand_category_code is 'Category: 0001 default, A1S1 after sales, SR99 series, PI01 phase-in, OS01 single order, OI01 small series, ED01 extraordinary, PO01 phase-out.';
comment on column outbox.demand_line.point_in_time is 'The week, as the date of its Monday.';
comment on column outbox.demand_line.demand is 'What is needed in the week, in unit_of_measure; never negative.';
comment on column outbox.demand_line.material_number_supplier is 'The supplier''s number of the material. NULL if not known.';
comment on column outbox.demand_line.material_description_customer is 'Our description, the same in all lines of a material or NULL. NULL in all: the one released last, at first the material number.';
comment on column outbox.demand_line.material_global_asset_id is 'Global asset ID of the digital twin, a UUID. NULL if there is none.';
comment on column outbox.demand_line.unit_of_measure is 'Unit of the demand, such as unit:piece; the same in all lines of a material. NULL: omitted on purpose.';
comment on column outbox.demand_line.expected_supplier_location is 'BPNS of the supplier''s site that is expected to deliver; the same in all weeks of a location and category. NULL: not said.';
comment on column outbox.demand_line.is_inactive is 'True if the material is not needed at present; the same in all lines of a material. NULL is false.';

create table outbox.partner (
    bpnl text primary key,
    dsp_url text not null,
    did text,
    protocol text,
    constraint "bpnl must be a BPNL: BPNL and 12 letters or digits" check (bpnl ~ '^BPNL[a-zA-Z0-9]{12}$'),
    constraint "dsp_url must be an http or https URL" check (dsp_url ~ '^https?://[^[:space:]/]+'),
    constraint "did must begin with did:" check (did ~ '^did:'),
    constraint "protocol must be dataspace-protocol-http, or that with :2025-1" check (
        protocol in ('dataspace-protocol-http', 'dataspace-protocol-http:2025-1'))
);
comment on table outbox.partner is 'Whom we can send to.';
comment on column outbox.partner.bpnl is 'BPNL of the partner.';
comment on column outbox.partner.dsp_url is 'DSP address of the partner''s connector, often ending in /api/v1/dsp.';
comment on column outbox.partner.did is 'The partner''s DID; needed for DSP 2025-1. NULL: find out.';
comment on column outbox.partner.protocol is 'dataspace-protocol-http (DSP 0.8) or dataspace-protocol-http:2025-1. NULL: find out.';

create table dcm.delivery (
    id bigint generated always as identity primary key,
    partner text not null, -- who receives it
    supplier text not null,
    customer text not null,
    object text not null,
    object_id uuid not null,
    changed_at timestamptz,
    state text not null default 'waiting',
    attempts integer not null default 0,
    queued_at timestamptz not null default now(),
    last_attempt_at timestamptz,
    next_attempt_at timestamptz default now(),
    delivered_at timestamptz,
    status smallint,
    reason text,
    answers_message_id uuid,
    constraint state_is_a_state check (state in ('waiting', 'sending', 'delivered', 'refused', 'superseded'))
);
-- One waiting row an object: the newest state is built when it is sent.
create unique index delivery_waiting on dcm.delivery (supplier, customer, object, object_id) where state = 'waiting';
create index delivery_due on dcm.delivery (partner, next_attempt_at) where state in ('waiting', 'sending');
create index delivery_object on dcm.delivery (supplier, customer, object, object_id, id);

-- Which replica sends to a partner, until when: a killed one is taken over after that.
create table dcm.sending (
    partner text primary key,
    owner uuid not null,
    until timestamptz not null
);

create view planning.delivery as
select
    supplier, customer, object, object_id, changed_at, state, attempts, last_attempt_at, next_attempt_at, delivered_at,
    status, reason, answers_message_id, queued_at
from dcm.delivery;
comment on view planning.delivery is 'One row per object that we send, and state of it: what became of it.';
comment on column planning.delivery.supplier is 'BPNL of the supplier.';
comment on column planning.delivery.customer is 'BPNL of the customer.';
comment on column planning.delivery.object is 'WeekBasedMaterialDemand or IdBasedRequestForUpdate.';
comment on column planning.delivery.object_id is 'UUID of the object; of a request for update the messageId.';
comment on column planning.delivery.changed_at is 'changedAt of the state that was queued.';
comment on column planning.delivery.state is 'waiting, sending, delivered, refused (final: the partner will not have it, see reason) or superseded (a newer state took its place).';
comment on column planning.delivery.attempts is 'How often it was sent or tried.';
comment on column planning.delivery.last_attempt_at is 'When it was last tried. NULL: not yet.';
comment on column planning.delivery.next_attempt_at is 'When it is tried (again) at the earliest. NULL: not any more.';
comment on column planning.delivery.delivered_at is 'When the partner accepted it. NULL: not yet.';
comment on column planning.delivery.status is 'HTTP status of the last answer. NULL: no answer came.';
comment on column planning.delivery.reason is 'Why it is not delivered, and who has to do what. NULL if nothing is in the way.';
comment on column planning.delivery.answers_message_id is 'messageId of the request for update that it answers. NULL: of our own accord.';
comment on column planning.delivery.queued_at is 'When it was released, or asked for.';

-- +goose StatementBegin
create function outbox.release(
    inout supplier text default null, inout customer text default null,
    out material_number_customer text, out material_demand_id uuid, out outcome text, out why text, out changed_at timestamptz)
returns setof record language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_nestloop = on as $$
#variable_conflict use_column
declare
    only_supplier text := release.supplier;
    only_customer text := release.customer;
    at timestamptz;
begin
    -- One release after the other; each statement below sees what the one before committed.
    perform pg_advisory_xact_lock(hashtext('dcm-receiver release'));
    at := date_trunc('milliseconds', clock_timestamp());
    drop table if exists pg_temp.released_series, pg_temp.released_material;

    -- The lines are read once; what is loaded meanwhile waits for the next release.
    create temp table released_series on commit drop as
    select
        l.supplier collate "default" as supplier, l.customer collate "default" as customer,
        l.material_number_customer collate "default" as material_number_customer,
        l.customer_location collate "default" as customer_location, l.demand_category_code collate "default" as demand_category_code,
        array_agg(l.point_in_time order by l.point_in_time) as point_in_time,
        array_agg(trim_scale(l.demand) order by l.point_in_time) as demand,
        min(l.expected_supplier_location) as expected_supplier_location,
        count(distinct l.expected_supplier_location) > 1 or count(l.expected_supplier_location) not in (0, count(*)) as many_locations,
        count(*) as lines,
        min(l.material_description_customer) as description, max(l.material_description_customer) as other_description,
        min(l.material_number_supplier) as number_supplier, max(l.material_number_supplier) as other_number_supplier,
        min(lower(l.material_global_asset_id)) as asset, max(lower(l.material_global_asset_id)) as other_asset,
        min(coalesce(l.unit_of_measure, '')) as unit, max(coalesce(l.unit_of_measure, '')) as other_unit,
        bool_and(coalesce(l.is_inactive, false)) as is_inactive, bool_or(coalesce(l.is_inactive, false)) as any_inactive,
        bool_or(l.point_in_time not in (date_trunc('week', at at time zone 'UTC')::date, date_trunc('week', at at time zone 'UTC')::date + 7)) as far
    from outbox.demand_line l
    where (only_supplier is null or l.supplier = only_supplier) and (only_customer is null or l.customer = only_customer)
    group by l.customer, l.supplier, l.material_number_customer, l.customer_location, l.demand_category_code;
    analyze pg_temp.released_series;
    -- What has just been released is not in the statistics yet: a loop over it takes minutes.
    if (select count(*) from pg_temp.released_series) > 1000 then
        set local enable_nestloop = off; -- to the end of this function
    end if;

    create temp table released_material on commit drop as
    with material as (
        select
            s.supplier, s.customer, s.material_number_customer,
            min(s.description) as description, max(s.other_description) as other_description,
            min(s.number_supplier) as number_supplier, max(s.other_number_supplier) as other_number_supplier,
            min(s.asset) as asset, max(s.other_asset) as other_asset,
            min(s.unit) as unit, max(s.other_unit) as other_unit,
            bool_and(s.is_inactive) as is_inactive, bool_or(s.any_inactive) as any_inactive,
            bool_or(s.far) as far, sum(s.lines) as lines, count(*) as series,
            min(s.customer_location || ', category ' || s.demand_category_code) filter (where s.many_locations) as many_locations
        from pg_temp.released_series s
        group by 1, 2, 3
    )
    select
        m.supplier, m.customer, m.material_number_customer,
        coalesce(d.material_demand_id, gen_random_uuid()) as material_demand_id,
        -- Strictly later than ever before, also where the clock went back.
        greatest(at, date_trunc('milliseconds', d.changed_at) + interval '1 millisecond') as changed_at,
        d.changed_at as released_changed_at,
        coalesce(m.description, d.material_description_customer, m.material_number_customer) as description,
        m.number_supplier, m.asset, nullif(m.unit, '') as unit, m.is_inactive, m.series,
        d.material_demand_id is not null as known,
        d.material_demand_id is not null and (
            d.material_description_customer, d.material_number_supplier, d.material_global_asset_id, d.unit_of_measure, d.is_inactive)
            is distinct from (coalesce(m.description, d.material_description_customer), m.number_supplier, m.asset, nullif(m.unit, ''), m.is_inactive) as differs,
        case
            when m.description is distinct from m.other_description then
                format('its lines have several descriptions, such as "%s" and "%s": give material_description_customer the same value in all of them', m.description, m.other_description)
            when m.description = '' then 'material_description_customer is empty: give a description, or NULL'
            when m.unit <> m.other_unit then
                format('its lines have several units, %s and %s: give unit_of_measure the same value in all of them', coalesce(nullif(m.unit, ''), 'none'), m.other_unit)
            when m.number_supplier is distinct from m.other_number_supplier then
                format('its lines have several numbers of the supplier, such as "%s" and "%s": give material_number_supplier the same value in all of them', m.number_supplier, m.other_number_supplier)
            when m.asset is distinct from m.other_asset then
                format('its lines have several global asset IDs, such as %s and %s: give material_global_asset_id the same value in all of them', m.asset, m.other_asset)
            when m.is_inactive <> m.any_inactive then 'some of its lines are inactive and others are not: give is_inactive the same value in all of them'
            when m.many_locations is not null then
                format('the weeks of location %s have several expected supplier locations: give expected_supplier_location the same value in all of them', m.many_locations)
            when not m.far then 'it has no week other than the current and the next one: add a line of a later week'
            when m.lines > 150000 then format('its %s lines do not fit into one message of 15 MiB: leave out past weeks', m.lines)
        end as why
    from material m
    left join dcm.material_demand d on d.partner = m.supplier and d.direction = 'sent' and d.supplier = m.supplier
        and d.customer = m.customer and d.material_number_customer = m.material_number_customer;
    analyze pg_temp.released_material;

    -- Some series is new, changed or gone.
    update pg_temp.released_material m set differs = true
    where m.known and m.why is null and not m.differs and (
        m.series <> (
            select count(*) from dcm.demand_series d
            where d.partner = m.supplier and d.direction = 'sent' and d.supplier = m.supplier and d.customer = m.customer
                and d.material_number_customer = m.material_number_customer)
        or (m.supplier, m.customer, m.material_number_customer) in (
            select s.supplier, s.customer, s.material_number_customer
            from pg_temp.released_series s
            left join dcm.demand_series d on d.partner = s.supplier and d.direction = 'sent' and d.supplier = s.supplier and d.customer = s.customer
                and d.material_number_customer = s.material_number_customer and d.customer_location = s.customer_location
                and d.demand_category_code = s.demand_category_code
            where d.partner is null
                or (d.point_in_time, d.demand, d.expected_supplier_location) is distinct from (s.point_in_time, s.demand, s.expected_supplier_location)));

    delete from dcm.demand_series d
    using pg_temp.released_material m
    where m.differs and m.why is null and d.partner = m.supplier and d.direction = 'sent' and d.supplier = m.supplier and d.customer = m.customer
        and d.material_number_customer = m.material_number_customer
        and not exists (
            select from pg_temp.released_series s
            where s.supplier = d.supplier and s.customer = d.customer and s.material_number_customer = d.material_number_customer
                and s.customer_location = d.customer_location and s.demand_category_code = d.demand_category_code);

    update dcm.material_demand d set
        changed_at = m.changed_at, changed_at_nanosecond = 0, recorded_at = at, material_number_supplier = m.number_supplier,
        material_description_customer = m.description, material_global_asset_id = m.asset, unit_of_measure = m.unit,
        unit_of_measure_is_omitted = m.unit is null, is_inactive = m.is_inactive
    from pg_temp.released_material m
    where m.differs and m.why is null and d.partner = m.supplier and d.direction = 'sent' and d.supplier = m.supplier and d.customer = m.customer
        and d.material_demand_id = m.material_demand_id;

    insert into dcm.material_demand (
        partner, direction, supplier, customer, material_demand_id, changed_at, changed_at_nanosecond, first_recorded_at, recorded_at,
        unit_of_measure_is_omitted, is_inactive, material_number_customer, material_number_supplier, material_description_customer,
        material_global_asset_id, unit_of_measure)
    select
        m.supplier, 'sent', m.supplier, m.customer, m.material_demand_id, m.changed_at, 0, at, at,
        m.unit is null, m.is_inactive, m.material_number_customer, m.number_supplier, m.description, m.asset, m.unit
    from pg_temp.released_material m
    where not m.known and m.why is null;

    insert into dcm.demand_series as d (
        partner, direction, supplier, customer, material_number_customer, customer_location, demand_category_code, material_demand_id,
        expected_supplier_location, point_in_time, demand, changed_at, changed_at_nanosecond, valid_from)
    select
        s.supplier, 'sent', s.supplier, s.customer, s.material_number_customer, s.customer_location, s.demand_category_code, m.material_demand_id,
        s.expected_supplier_location, s.point_in_time, s.demand, m.changed_at, 0, at
    from pg_temp.released_series s
    join pg_temp.released_material m using (supplier, customer, material_number_customer)
    where m.why is null and (m.differs or not m.known)
    on conflict (partner, direction, supplier, customer, material_number_customer, customer_location, demand_category_code) do update set
        material_demand_id = excluded.material_demand_id, expected_supplier_location = excluded.expected_supplier_location,
        point_in_time = excluded.point_in_time, demand = excluded.demand,
        changed_at = excluded.changed_at, changed_at_nanosecond = 0, valid_from = excluded.valid_from;

    update dcm.delivery q set state = 'superseded', next_attempt_at = null
    from pg_temp.released_material m
    where m.differs and m.why is null and q.supplier = m.supplier and q.customer = m.customer
        and q.object = 'WeekBasedMaterialDemand' and q.object_id = m.material_demand_id and q.state = 'waiting';
    insert into dcm.delivery (partner, supplier, customer, object, object_id, changed_at, queued_at, next_attempt_at)
    select m.supplier, m.supplier, m.customer, 'WeekBasedMaterialDemand', m.material_demand_id, m.changed_at, at, at
    from pg_temp.released_material m
    where m.why is null and (m.differs or not m.known);
    perform pg_notify('dcm_outbox', '');

    return query
    select
        m.supplier, m.customer, m.material_number_customer, case when m.why is null or m.known then m.material_demand_id end,
        case when m.why is not null then 'refused' when not m.known then 'created' when m.differs then 'changed' else 'unchanged' end,
        m.why,
        case when m.why is null and (m.differs or not m.known) then m.changed_at else m.released_changed_at end
    from pg_temp.released_material m
    order by 1, 2, 3;
    drop table pg_temp.released_series, pg_temp.released_material;
end
$$;
-- +goose StatementEnd
revoke all on function outbox.release from public;
comment on function outbox.release is 'Compares outbox.demand_line with what was released last and queues what is new or changed, all of it or that of one supplier or customer. One row a material: created, changed, unchanged or refused, and why. Materials without lines stay as they are.';

create table outbox.request_for_update (
    message_id uuid primary key default gen_random_uuid(),
    supplier text not null,
    customer text not null,
    capacity_group_id uuid,
    changed_at timestamptz,
    requested_at timestamptz not null default now(),
    constraint "supplier must be a BPNL: BPNL and 12 letters or digits" check (supplier ~ '^BPNL[a-zA-Z0-9]{12}$'),
    constraint "customer must be a BPNL: BPNL and 12 letters or digits" check (customer ~ '^BPNL[a-zA-Z0-9]{12}$'),
    constraint "changed_at goes with a capacity_group_id" check (changed_at is null or capacity_group_id is not null)
);
comment on table outbox.request_for_update is 'A row inserted asks a supplier to send a capacity group again, or all of its groups.';
comment on column outbox.request_for_update.message_id is 'messageId of the request; given by itself.';
comment on column outbox.request_for_update.supplier is 'BPNL of the supplier that is asked.';
comment on column outbox.request_for_update.customer is 'BPNL of ours that asks.';
comment on column outbox.request_for_update.capacity_group_id is 'UUID of the wanted group. NULL: all of them.';
comment on column outbox.request_for_update.changed_at is 'Send it only if it is newer than this. NULL: in any case.';
comment on column outbox.request_for_update.requested_at is 'When it was asked for.';

-- +goose StatementBegin
create function outbox.queue_request() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into dcm.delivery (partner, supplier, customer, object, object_id)
    values (new.supplier, new.supplier, new.customer, 'IdBasedRequestForUpdate', new.message_id);
    perform pg_notify('dcm_outbox', '');
    return null;
end
$$;
-- +goose StatementEnd
create trigger queue_request after insert on outbox.request_for_update for each row execute function outbox.queue_request();
revoke all on function outbox.queue_request from public;

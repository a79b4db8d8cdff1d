-- +goose Up

create schema outbox;
comment on schema outbox is 'What we send: ETL tools and SQL clients write here (role dcm_sender). Nothing goes out but by outbox.release, so a half-loaded table never leaks.';

create table outbox.partner (
    bpnl text primary key,
    dsp_url text,
    did text,
    protocol text,
    constraint "bpnl must be BPNL and 12 letters or digits" check (bpnl ~ '^BPNL[a-zA-Z0-9]{12}$'),
    constraint "dsp_url must begin with http:// or https://" check (dsp_url ~ '^https?://')
);
comment on table outbox.partner is 'Whom we can send to.';
comment on column outbox.partner.bpnl is 'BPNL of the partner.';
comment on column outbox.partner.dsp_url is 'DSP address of its connector. NULL: ask our connector.';
comment on column outbox.partner.did is 'Its DID. NULL: find out.';
comment on column outbox.partner.protocol is 'Version of the dataspace protocol to use. NULL: find out.';
-- The command partner add refuses the same. Not valid, because databases of versions
-- before 0.1.0 have them so.
alter table outbox.partner
    add constraint "one of dataspace-protocol-http, dataspace-protocol-http:2025-1"
        check (protocol in ('dataspace-protocol-http', 'dataspace-protocol-http:2025-1')) not valid,
    add constraint "did must begin with did: and a method, such as did:web:"
        check (did ~ '^did:[a-z0-9]+:.') not valid;

create table outbox.demand_line (
    supplier text not null,
    customer text not null,
    material_number_customer text not null,
    customer_location text not null,
    demand_category_code text not null default '0001',
    point_in_time date not null,
    demand numeric not null,
    material_number_supplier text,
    material_description_customer text,
    material_global_asset_id uuid,
    unit_of_measure text,
    expected_supplier_location text,
    is_inactive boolean not null default false,
    primary key (supplier, customer, material_number_customer, customer_location, demand_category_code, point_in_time),
    constraint "supplier must be BPNL and 12 letters or digits" check (supplier ~ '^BPNL[a-zA-Z0-9]{12}$'),
    constraint "customer must be BPNL and 12 letters or digits" check (customer ~ '^BPNL[a-zA-Z0-9]{12}$'),
    constraint "customer_location must be BPNS and 12 letters or digits" check (customer_location ~ '^BPNS[a-zA-Z0-9]{12}$'),
    constraint "expected_supplier_location must be BPNS, 12 letters or digits" check (expected_supplier_location ~ '^BPNS[a-zA-Z0-9]{12}$'),
    constraint "material_number_customer must not be empty" check (material_number_customer <> ''),
    constraint "point_in_time must be a Monday" check (extract(isodow from point_in_time) = 1),
    constraint "point_in_time must be a date of the years 0001 to 9998" check (point_in_time between '0001-01-01' and '9998-12-31'),
    constraint "demand must not be negative" check (demand >= 0),
    constraint "demand must be at most 1000000000000000000" check (demand <= 1000000000000000000), -- NaN is above all
    constraint "demand must not need more than 40 digits" check (scale(trim_scale(demand)) <= 21),
    constraint "demand_category_code must be one of the codes of the model" check (demand_category_code in (
        '0001', 'A1S1', 'SR99', 'PI01', 'OS01', 'OI01', 'ED01', 'PO01')),
    constraint "unit_of_measure must be a unit of the model, such as unit:piece" check (unit_of_measure in (
        'unit:piece', 'unit:set', 'unit:pair', 'unit:page', 'unit:cycle', 'unit:kilowattHour',
        'unit:gram', 'unit:kilogram', 'unit:tonneMetricTon', 'unit:tonUsOrShortTonUkorus', 'unit:ounceAvoirdupois', 'unit:pound',
        'unit:metre', 'unit:centimetre', 'unit:kilometre', 'unit:inch', 'unit:foot', 'unit:yard',
        'unit:squareCentimetre', 'unit:squareMetre', 'unit:squareInch', 'unit:squareFoot', 'unit:squareYard',
        'unit:cubicCentimetre', 'unit:cubicMetre', 'unit:cubicInch', 'unit:cubicFoot', 'unit:cubicYard',
        'unit:litre', 'unit:millilitre', 'unit:hectolitre',
        'unit:secondUnitOfTime', 'unit:minuteUnitOfTime', 'unit:hourUnitOfTime', 'unit:day'))
);
comment on table outbox.demand_line is 'What we need: one row a customer, supplier, material, location, category and week. It goes out by outbox.release.';
comment on column outbox.demand_line.supplier is 'BPNL of the supplier that is to deliver.';
comment on column outbox.demand_line.customer is 'BPNL of ours that needs the material.';
comment on column outbox.demand_line.material_number_customer is 'Our number of the material.';
comment on column outbox.demand_line.customer_location is 'BPNS of our site that needs the material.';
comment on column outbox.demand_line.demand_category_code is 'Category of the demand: 0001 default, A1S1 after sales, SR99 series, PI01 phase-in, OS01 single order, OI01 small series, ED01 extraordinary, PO01 phase-out.';
comment on column outbox.demand_line.point_in_time is 'The week, as the date of its Monday.';
comment on column outbox.demand_line.demand is 'What is needed in the week, in unit_of_measure. 0 is written out; a week whose demand is not known has no row.';
comment on column outbox.demand_line.material_number_supplier is 'The supplier''s number of the material, for information. NULL if not known.';
comment on column outbox.demand_line.material_description_customer is 'Our description of the material, the same in all rows of it. NULL: its number.';
comment on column outbox.demand_line.material_global_asset_id is 'Global asset ID of the material''s digital twin. NULL if there is none.';
comment on column outbox.demand_line.unit_of_measure is 'Unit of all quantities of the material, such as unit:piece. NULL: omitted on purpose.';
comment on column outbox.demand_line.expected_supplier_location is 'BPNS of the supplier''s site that is expected to deliver, one for a location and category. NULL if not known.';
comment on column outbox.demand_line.is_inactive is 'True if the material is not needed at present.';

-- One row for each state of an object that is to reach a partner.
create table dcm.delivery (
    partner text not null,
    object text not null,
    object_id uuid not null,
    changed_at timestamptz not null,
    supplier text not null,
    customer text not null,
    state text not null default 'waiting',
    queued_at timestamptz not null,
    attempts integer not null default 0,
    last_attempt_at timestamptz,
    next_attempt_at timestamptz,
    delivered_at timestamptz,
    status smallint,
    reason text,
    answers_message_id uuid,
    -- The comment was taken back: no trace of it may stay, and a partner's reason for a
    -- refusal may quote its text or author. Later reasons are not stored either.
    is_forgotten boolean not null default false,
    primary key (partner, object, object_id, changed_at),
    constraint state_is_a_state check (state in ('waiting', 'sending', 'delivered', 'refused', 'superseded'))
);
create index delivery_waiting on dcm.delivery (partner, next_attempt_at) where state in ('waiting', 'sending');
-- Refused deliveries are counted every 15 s, among all that were ever made.
create index delivery_refused on dcm.delivery (partner) where state = 'refused';

create view planning.delivery as
select
    supplier, customer, object, object_id, changed_at, state, attempts, last_attempt_at, next_attempt_at, delivered_at, status, reason,
    answers_message_id, queued_at, partner
from dcm.delivery;
comment on view planning.delivery is 'One row per state of an object that we send: whether it arrived.';
comment on column planning.delivery.supplier is 'BPNL of the supplier.';
comment on column planning.delivery.customer is 'BPNL of the customer.';
comment on column planning.delivery.object is 'Model of the object, such as WeekBasedMaterialDemand.';
comment on column planning.delivery.object_id is 'UUID of the object.';
comment on column planning.delivery.changed_at is 'changedAt of the state that is sent.';
comment on column planning.delivery.state is 'waiting, sending, delivered (the partner answered 2xx), refused (the partner answered that it will not take it), superseded (a newer state is there; this one is not sent any more).';
comment on column planning.delivery.attempts is 'How often it was tried.';
comment on column planning.delivery.last_attempt_at is 'When it was tried last. NULL: never.';
comment on column planning.delivery.next_attempt_at is 'When it will be tried again. NULL: as soon as possible, or never.';
comment on column planning.delivery.delivered_at is 'When the partner confirmed it. NULL: not yet.';
comment on column planning.delivery.status is 'HTTP status of the last answer. NULL: none.';
comment on column planning.delivery.reason is 'Why it is not delivered, and who has to do what. NULL: nothing is wrong.';
comment on column planning.delivery.answers_message_id is 'messageId of the request for update that this answers. NULL: it answers none.';
comment on column planning.delivery.queued_at is 'When it was released.';
comment on column planning.delivery.partner is 'BPNL of the company that it goes to: supplier or customer, whichever is not ours.';

-- +goose StatementBegin
create function outbox.release(supplier text default null, customer text default null)
returns table (
    released_supplier text, released_customer text, material_number_customer text, material_demand_id uuid, outcome text, why text)
language plpgsql security definer set search_path = pg_catalog, pg_temp set client_min_messages = warning as $$
#variable_conflict use_column
declare
    only_supplier constant text := release.supplier;
    only_customer constant text := release.customer;
    -- In the database's time, but never before an earlier release: see changed_at.
    released_at constant timestamptz := clock_timestamp();
    this_week constant date := date_trunc('week', released_at at time zone 'UTC')::date;
begin
    -- Releases take turns: each compares with what the one before has left.
    perform pg_advisory_xact_lock(hashtext('dcm-receiver outbox.release'));

    drop table if exists pg_temp.released_series, pg_temp.released_material;
    create temporary table released_series on commit drop as
    select
        l.supplier, l.customer, l.material_number_customer, l.customer_location, l.demand_category_code,
        min(l.expected_supplier_location) as expected_supplier_location,
        count(distinct coalesce(l.expected_supplier_location, '')) as locations,
        array_agg(l.point_in_time order by l.point_in_time) as point_in_time,
        array_agg(trim_scale(l.demand) order by l.point_in_time) as demand
    from outbox.demand_line l
    where (only_supplier is null or l.supplier = only_supplier) and (only_customer is null or l.customer = only_customer)
    group by l.supplier, l.customer, l.material_number_customer, l.customer_location, l.demand_category_code;

    create index on released_series (supplier, customer, material_number_customer);
    analyze released_series;

    create temporary table released_material on commit drop as
    select
        m.*, coalesce(d.material_demand_id, gen_random_uuid()) as material_demand_id, d.material_demand_id is not null as known,
        greatest(released_at, d.changed_at + interval '1 microsecond') as changed_at,
        d.material_demand_id is null
            or (d.material_number_supplier, d.material_description_customer, d.material_global_asset_id, d.unit_of_measure, d.is_inactive)
            is distinct from (m.material_number_supplier, m.material_description_customer, m.material_global_asset_id, m.unit_of_measure, m.is_inactive)
            or exists (
                select from (
                    select s.customer_location, s.demand_category_code, s.expected_supplier_location, s.point_in_time, s.demand
                    from released_series s
                    where s.supplier = m.supplier and s.customer = m.customer and s.material_number_customer = m.material_number_customer
                ) n
                full join (
                    select t.customer_location, t.demand_category_code, t.expected_supplier_location, t.point_in_time, t.demand
                    from dcm.demand_series t
                    where t.partner = m.supplier and t.direction = 'sent' and t.supplier = m.supplier and t.customer = m.customer
                        and t.material_number_customer = m.material_number_customer
                ) o using (customer_location, demand_category_code)
                where (n.expected_supplier_location, n.point_in_time, n.demand) is distinct from (o.expected_supplier_location, o.point_in_time, o.demand)
            ) as differs
    from (
        select
            l.supplier, l.customer, l.material_number_customer,
            min(l.material_number_supplier) as material_number_supplier,
            coalesce(min(l.material_description_customer), l.material_number_customer) as material_description_customer,
            min(l.material_global_asset_id::text) as material_global_asset_id,
            min(l.unit_of_measure) as unit_of_measure,
            bool_or(l.is_inactive) as is_inactive,
            case
                when count(distinct l.material_description_customer) > 1
                    then 'material_description_customer differs between its rows; one material has one description'
                when count(distinct coalesce(l.unit_of_measure, '')) > 1
                    then 'unit_of_measure differs between its rows; one material has one unit'
                when count(distinct l.material_number_supplier) > 1
                    then 'material_number_supplier differs between its rows; one material has one number at the supplier'
                when count(distinct l.material_global_asset_id) > 1
                    then 'material_global_asset_id differs between its rows; one material has one'
                when count(distinct l.is_inactive) > 1
                    then 'is_inactive differs between its rows; a material is inactive as a whole'
                when bool_and(l.point_in_time in (this_week, this_week + 7))
                    then format('there are only the current week (%s) and the next; give at least one other week', this_week)
                when exists (
                    select from released_series s
                    where s.supplier = l.supplier and s.customer = l.customer and s.material_number_customer = l.material_number_customer and s.locations > 1)
                    then 'expected_supplier_location differs between the weeks of a location and category; a series has one'
            end as why
        from outbox.demand_line l
        where (only_supplier is null or l.supplier = only_supplier) and (only_customer is null or l.customer = only_customer)
        group by l.supplier, l.customer, l.material_number_customer
    ) m
    left join dcm.material_demand d
        on d.partner = m.supplier and d.direction = 'sent' and d.supplier = m.supplier and d.customer = m.customer
        and d.material_number_customer = m.material_number_customer;

    -- What a demand no longer has goes first, then what is new or changed.
    delete from dcm.demand_series t
    using released_material m
    where m.differs and m.why is null and t.partner = m.supplier and t.direction = 'sent' and t.supplier = m.supplier and t.customer = m.customer
        and t.material_number_customer = m.material_number_customer
        and not exists (
            select from released_series s
            where s.supplier = m.supplier and s.customer = m.customer and s.material_number_customer = m.material_number_customer
                and s.customer_location = t.customer_location and s.demand_category_code = t.demand_category_code);

    insert into dcm.material_demand (
        partner, direction, supplier, customer, material_demand_id, changed_at, changed_at_nanosecond, first_recorded_at, recorded_at,
        unit_of_measure_is_omitted, is_inactive, material_number_customer, material_number_supplier, material_description_customer,
        material_global_asset_id, unit_of_measure)
    select
        m.supplier, 'sent', m.supplier, m.customer, m.material_demand_id, m.changed_at, 0, released_at, released_at,
        m.unit_of_measure is null, m.is_inactive, m.material_number_customer, m.material_number_supplier, m.material_description_customer,
        m.material_global_asset_id, m.unit_of_measure
    from released_material m
    where m.differs and m.why is null
    on conflict (partner, direction, supplier, customer, material_demand_id) do update set
        changed_at = excluded.changed_at, changed_at_nanosecond = 0, recorded_at = excluded.recorded_at,
        unit_of_measure_is_omitted = excluded.unit_of_measure_is_omitted, is_inactive = excluded.is_inactive,
        material_number_supplier = excluded.material_number_supplier, material_description_customer = excluded.material_description_customer,
        material_global_asset_id = excluded.material_global_asset_id, unit_of_measure = excluded.unit_of_measure;

    insert into dcm.demand_series (
        partner, direction, supplier, customer, material_number_customer, customer_location, demand_category_code, material_demand_id,
        expected_supplier_location, point_in_time, demand, changed_at, changed_at_nanosecond, valid_from)
    select
        m.supplier, 'sent', m.supplier, m.customer, m.material_number_customer, s.customer_location, s.demand_category_code, m.material_demand_id,
        s.expected_supplier_location, s.point_in_time, s.demand, m.changed_at, 0, released_at
    from released_material m
    join released_series s using (supplier, customer, material_number_customer)
    where m.differs and m.why is null
    on conflict (partner, direction, supplier, customer, material_number_customer, customer_location, demand_category_code) do update set
        expected_supplier_location = excluded.expected_supplier_location, point_in_time = excluded.point_in_time, demand = excluded.demand,
        changed_at = excluded.changed_at, changed_at_nanosecond = 0, valid_from = excluded.valid_from;

    update dcm.delivery q set state = 'superseded', next_attempt_at = null
    from released_material m
    where m.differs and m.why is null and q.partner = m.supplier and q.object = 'WeekBasedMaterialDemand' and q.object_id = m.material_demand_id
        and q.customer = m.customer and q.state in ('waiting', 'refused');

    insert into dcm.delivery (partner, object, object_id, changed_at, supplier, customer, queued_at)
    select m.supplier, 'WeekBasedMaterialDemand', m.material_demand_id, m.changed_at, m.supplier, m.customer, released_at
    from released_material m
    where m.differs and m.why is null;

    perform pg_notify('dcm_outbox', '');

    return query
    select
        m.supplier, m.customer, m.material_number_customer, case when m.known or m.why is null then m.material_demand_id end,
        case when m.why is not null then 'refused' when not m.differs then 'unchanged' when m.known then 'changed' else 'created' end, m.why
    from released_material m
    order by 1, 2, 3;
end
$$;
-- +goose StatementEnd
comment on function outbox.release is 'Compares outbox.demand_line with what was released last, gives new materials their ID, sets changed_at, and queues what is new or changed. One row a material: outcome (created, changed, unchanged, refused) and why. Materials without rows stay as they are. Released twice, nothing goes twice.';
revoke execute on function outbox.release from public;

-- Which replica sends to a partner, and until when. After that another one takes over,
-- as it must where the replica was killed.
create table dcm.sending (
    partner text primary key,
    owner uuid not null,
    until timestamptz not null
);

-- Lets a role without rights on the tables see whether a receiver sends at all.
create view planning.sending as
select partner, until from dcm.sending where until > now();
comment on view planning.sending is 'One row per partner that a receiver with DCM_SEND is serving at this moment. Where something is due for a partner and there is no row at all, nobody sends.';
comment on column planning.sending.partner is 'BPNL of the partner.';
comment on column planning.sending.until is 'When another receiver may take over, unless this one goes on.';

-- Agreements and transfers through the connector that all replicas reuse; without
-- their tokens.
create table dcm.way (
    partner text not null,
    endpoint text not null,
    way jsonb not null,
    primary key (partner, endpoint)
);

create table outbox.request_for_update (
    message_id uuid primary key default gen_random_uuid(),
    supplier text not null,
    customer text not null,
    capacity_group_id uuid,
    changed_at timestamptz,
    requested_at timestamptz not null default now(),
    constraint "supplier must be BPNL and 12 letters or digits" check (supplier ~ '^BPNL[a-zA-Z0-9]{12}$'),
    constraint "customer must be BPNL and 12 letters or digits" check (customer ~ '^BPNL[a-zA-Z0-9]{12}$'),
    constraint "changed_at must come with a capacity_group_id" check (changed_at is null or capacity_group_id is not null)
);
comment on table outbox.request_for_update is 'A row inserted asks a supplier to send one of its capacity groups again, or all of them. planning.delivery says whether the request arrived (object IdBasedRequestForUpdate, object_id is the message_id).';
comment on column outbox.request_for_update.message_id is 'messageId of the request; leave it out.';
comment on column outbox.request_for_update.supplier is 'BPNL of the supplier that is asked.';
comment on column outbox.request_for_update.customer is 'BPNL of ours that asks.';
comment on column outbox.request_for_update.capacity_group_id is 'UUID of the wanted group. NULL: all of them.';
comment on column outbox.request_for_update.changed_at is 'Send it only if it was changed after this. NULL: in any case.';
comment on column outbox.request_for_update.requested_at is 'When it was asked for; leave it out.';

-- +goose StatementBegin
create function outbox.queue_request() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into dcm.delivery (partner, object, object_id, changed_at, supplier, customer, queued_at)
    values (new.supplier, 'IdBasedRequestForUpdate', new.message_id, new.requested_at, new.supplier, new.customer, clock_timestamp());
    perform pg_notify('dcm_outbox', '');
    return null;
end
$$;
-- +goose StatementEnd
comment on function outbox.queue_request is 'Queues a new request for update.';
create trigger queue_request after insert on outbox.request_for_update for each row execute function outbox.queue_request();
revoke execute on function outbox.queue_request from public;

-- A new or corrected address is tried now, not at the next attempt.
-- +goose StatementBegin
create function outbox.try_partner() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update dcm.delivery q set next_attempt_at = null
    where q.partner = new.bpnl and q.state = 'waiting' and q.next_attempt_at is not null;
    perform pg_notify('dcm_outbox', '');
    return null;
end
$$;
-- +goose StatementEnd
comment on function outbox.try_partner is 'Has what waits for a partner tried at once.';
create trigger try_partner after insert or update on outbox.partner for each row execute function outbox.try_partner();
revoke execute on function outbox.try_partner from public;

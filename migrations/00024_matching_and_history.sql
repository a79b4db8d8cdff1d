-- +goose Up

-- Earlier states. A state begins when it is first received or released (valid_from,
-- inclusive) and ends when other values replace it (superseded_at, exclusive); the
-- same values again, however they are written, are the same state. Triggers store a
-- replaced state in the same transaction, whatever program writes.
-- "set dcm.history = off" stores none in a session.
create table dcm.capacity_group_history (
    supplier text not null,
    customer text not null,
    capacity_group_id uuid not null,
    valid_from timestamptz not null,
    superseded_at timestamptz not null,
    changed_at timestamptz not null,
    changed_at_nanosecond smallint not null,
    unit_of_measure text,
    is_inactive boolean not null,
    linked_capacity_groups uuid[] not null,
    material_number_customer text[] not null,
    customer_location text[] not null,
    demand_category_code text[] not null,
    point_in_time date[] not null,
    actual_capacity numeric[] not null,
    maximum_capacity numeric[] not null,
    agreed_capacity numeric[] not null,
    delta_production_result numeric[] not null,
    -- NULL: a state that a version before 0.1.0 recorded without them.
    load_factor numeric[],
    supplier_locations text[],
    primary key (supplier, customer, capacity_group_id, valid_from, changed_at, changed_at_nanosecond)
);
create index capacity_group_history_superseded_at on dcm.capacity_group_history using brin (superseded_at);

-- Earlier start, interval and thresholds. They change seldom, so they have states of
-- their own, apart from those of weeks and links.
create table dcm.measurement_history (
    supplier text not null,
    customer text not null,
    capacity_group_id uuid not null,
    valid_from timestamptz not null,
    superseded_at timestamptz not null,
    start_reference_date_time timestamptz,
    measurement_interval numeric,
    sequence_number numeric[] not null,
    subhorizon_length numeric[] not null,
    relative_positive_deviation numeric[] not null,
    relative_negative_deviation numeric[] not null,
    absolute_positive_deviation numeric[] not null,
    absolute_negative_deviation numeric[] not null,
    primary key (supplier, customer, capacity_group_id, valid_from)
);
create index measurement_history_superseded_at on dcm.measurement_history using brin (superseded_at);

-- The function compares the values, not the trigger's condition: Postgres parses a
-- condition anew for every statement (0.02 ms), but a function once a session. Equal
-- content hashes mean equal values, so identical re-sends do not reach the trigger.
-- +goose StatementBegin
create function dcm.keep_capacity_group() returns trigger language plpgsql as $$
begin
    if old.name <> new.name and current_setting('dcm.history', true) is distinct from 'off' then
        new.previous_name := old.name;
        new.renamed_at := new.received_at;
    end if;
    if (old.start_reference_date_time, old.measurement_interval, old.sequence_number, old.subhorizon_length,
            old.relative_positive_deviation, old.relative_negative_deviation, old.absolute_positive_deviation, old.absolute_negative_deviation)
        is distinct from (new.start_reference_date_time, new.measurement_interval, new.sequence_number, new.subhorizon_length,
                new.relative_positive_deviation, new.relative_negative_deviation, new.absolute_positive_deviation, new.absolute_negative_deviation)
    then
        if current_setting('dcm.history', true) is distinct from 'off' then
            insert into dcm.measurement_history (
                supplier, customer, capacity_group_id, valid_from, superseded_at, start_reference_date_time, measurement_interval, sequence_number, subhorizon_length,
                relative_positive_deviation, relative_negative_deviation, absolute_positive_deviation, absolute_negative_deviation)
            values (
                old.supplier, old.customer, old.capacity_group_id, coalesce(old.measured_by_since, old.first_received_at), new.received_at,
                old.start_reference_date_time, old.measurement_interval, old.sequence_number, old.subhorizon_length,
                old.relative_positive_deviation, old.relative_negative_deviation, old.absolute_positive_deviation, old.absolute_negative_deviation)
            on conflict do nothing;
        end if;
        new.measured_by_since := new.received_at;
    end if;
    if (old.actual_capacity, old.maximum_capacity, old.agreed_capacity, old.delta_production_result, old.point_in_time,
            old.unit_of_measure, old.is_inactive, old.linked_capacity_groups, old.material_number_customer, old.customer_location, old.demand_category_code,
            old.load_factor, old.supplier_locations)
        is not distinct from (new.actual_capacity, new.maximum_capacity, new.agreed_capacity, new.delta_production_result, new.point_in_time,
            new.unit_of_measure, new.is_inactive, new.linked_capacity_groups, new.material_number_customer, new.customer_location, new.demand_category_code,
            new.load_factor, new.supplier_locations)
    then
        return new;
    end if;
    if current_setting('dcm.history', true) is distinct from 'off' then
        insert into dcm.capacity_group_history (
            supplier, customer, capacity_group_id, valid_from, superseded_at, changed_at, changed_at_nanosecond, unit_of_measure, is_inactive,
            linked_capacity_groups, material_number_customer, customer_location, demand_category_code, load_factor, supplier_locations,
            point_in_time, actual_capacity, maximum_capacity, agreed_capacity, delta_production_result)
        values (
            old.supplier, old.customer, old.capacity_group_id, coalesce(old.valid_from, old.first_received_at), new.received_at,
            old.changed_at, old.changed_at_nanosecond, old.unit_of_measure, old.is_inactive,
            old.linked_capacity_groups, old.material_number_customer, old.customer_location, old.demand_category_code, old.load_factor, old.supplier_locations,
            old.point_in_time, old.actual_capacity, old.maximum_capacity, old.agreed_capacity, old.delta_production_result)
        on conflict do nothing; -- a clock that went back
    end if;
    new.valid_from := new.received_at;
    return new;
end
$$;
-- +goose StatementEnd

create trigger keep_capacity_group before update of content_hash on dcm.capacity_group for each row
    when (old.content_hash is distinct from new.content_hash)
    execute function dcm.keep_capacity_group();

-- Removing a group (dcm-receiver group forget) ends its last state, as other values
-- would.
-- +goose StatementBegin
create function dcm.keep_removed_capacity_group() returns trigger language plpgsql as $$
begin
    insert into dcm.capacity_group_history (
        supplier, customer, capacity_group_id, valid_from, superseded_at, changed_at, changed_at_nanosecond, unit_of_measure, is_inactive,
        linked_capacity_groups, material_number_customer, customer_location, demand_category_code, load_factor, supplier_locations,
        point_in_time, actual_capacity, maximum_capacity, agreed_capacity, delta_production_result)
    values (
        old.supplier, old.customer, old.capacity_group_id, coalesce(old.valid_from, old.first_received_at), now(),
        old.changed_at, old.changed_at_nanosecond, old.unit_of_measure, old.is_inactive,
        old.linked_capacity_groups, old.material_number_customer, old.customer_location, old.demand_category_code, old.load_factor, old.supplier_locations,
        old.point_in_time, old.actual_capacity, old.maximum_capacity, old.agreed_capacity, old.delta_production_result)
    on conflict do nothing;
    return old;
end
$$;
-- +goose StatementEnd

create trigger keep_removed_capacity_group before delete on dcm.capacity_group for each row
    when (current_setting('dcm.history', true) is distinct from 'off')
    execute function dcm.keep_removed_capacity_group();

create table dcm.demand_series_history (
    partner text not null,
    direction text not null,
    supplier text not null,
    customer text not null,
    material_number_customer text not null,
    customer_location text not null,
    demand_category_code text not null,
    valid_from timestamptz not null,
    superseded_at timestamptz not null,
    changed_at timestamptz not null,
    changed_at_nanosecond smallint not null,
    material_demand_id uuid not null,
    point_in_time date[] not null,
    demand numeric[] not null,
    primary key (partner, direction, supplier, customer, material_number_customer, customer_location, demand_category_code, valid_from, changed_at, changed_at_nanosecond)
);
create index demand_series_history_superseded_at on dcm.demand_series_history using brin (superseded_at);

-- +goose StatementBegin
create function dcm.keep_demand_series() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' and (old.point_in_time, old.demand) is not distinct from (new.point_in_time, new.demand) then
        new.valid_from := old.valid_from;
        new.changed_at := old.changed_at;
        new.changed_at_nanosecond := old.changed_at_nanosecond;
        return new;
    end if;
    if current_setting('dcm.history', true) is distinct from 'off' then
        insert into dcm.demand_series_history (
            partner, direction, supplier, customer, material_number_customer, customer_location, demand_category_code,
            valid_from, superseded_at, changed_at, changed_at_nanosecond, material_demand_id, point_in_time, demand)
        values (
            old.partner, old.direction, old.supplier, old.customer, old.material_number_customer, old.customer_location, old.demand_category_code,
            old.valid_from, case when tg_op = 'UPDATE' then new.valid_from else now() end,
            old.changed_at, old.changed_at_nanosecond, old.material_demand_id, old.point_in_time, old.demand)
        on conflict do nothing;
    end if;
    return case when tg_op = 'UPDATE' then new else old end;
end
$$;
-- +goose StatementEnd

create trigger keep_demand_series before update or delete on dcm.demand_series for each row execute function dcm.keep_demand_series();

-- Whether a demand was inactive at earlier times; that changes seldom too.
create table dcm.activity_history (
    partner text not null,
    direction text not null,
    supplier text not null,
    customer text not null,
    material_number_customer text not null,
    valid_from timestamptz not null,
    superseded_at timestamptz not null,
    is_inactive boolean not null,
    primary key (partner, direction, supplier, customer, material_number_customer, valid_from)
);
create index activity_history_superseded_at on dcm.activity_history using brin (superseded_at);

-- +goose StatementBegin
create function dcm.keep_activity() returns trigger language plpgsql as $$
begin
    if current_setting('dcm.history', true) is distinct from 'off' then
        insert into dcm.activity_history (partner, direction, supplier, customer, material_number_customer, valid_from, superseded_at, is_inactive)
        select
            old.partner, old.direction, old.supplier, old.customer, old.material_number_customer,
            coalesce((
                select max(h.superseded_at)
                from dcm.activity_history h
                where h.partner = old.partner and h.direction = old.direction and h.supplier = old.supplier and h.customer = old.customer
                    and h.material_number_customer = old.material_number_customer), old.first_recorded_at),
            new.recorded_at, old.is_inactive
        on conflict do nothing;
    end if;
    return null;
end
$$;
-- +goose StatementEnd

create trigger keep_activity after update on dcm.material_demand for each row
    when (old.is_inactive <> new.is_inactive)
    execute function dcm.keep_activity();

-- +goose StatementBegin
do $$
begin
    execute 'alter table dcm.capacity_group_history
        alter point_in_time set compression lz4, alter actual_capacity set compression lz4, alter maximum_capacity set compression lz4,
        alter agreed_capacity set compression lz4, alter delta_production_result set compression lz4';
    execute 'alter table dcm.demand_series_history alter point_in_time set compression lz4, alter demand set compression lz4';
exception
    when feature_not_supported or syntax_error then -- built without lz4, or older than version 14
        null;
end
$$;
-- +goose StatementEnd

create view planning.capacity_history as
select
    h.supplier, h.customer, h.capacity_group_id, h.changed_at, h.changed_at_nanosecond, h.valid_from as received_at, h.superseded_at,
    c.point_in_time, c.actual_capacity, c.maximum_capacity, c.agreed_capacity, c.delta_production_result
from (
    select
        supplier, customer, capacity_group_id, changed_at, changed_at_nanosecond, valid_from, superseded_at,
        point_in_time, actual_capacity, maximum_capacity, agreed_capacity, delta_production_result
    from dcm.capacity_group_history
    union all
    select
        supplier, customer, capacity_group_id, changed_at, changed_at_nanosecond, coalesce(valid_from, first_received_at), null,
        point_in_time, actual_capacity, maximum_capacity, agreed_capacity, delta_production_result
    from dcm.capacity_group
) h
cross join lateral unnest(h.point_in_time, h.actual_capacity, h.maximum_capacity, h.agreed_capacity, h.delta_production_result)
    as c (point_in_time, actual_capacity, maximum_capacity, agreed_capacity, delta_production_result);
comment on view planning.capacity_history is 'One row per WeekBasedCapacityGroup, week and state, the present one too. As of an instant: received_at <= instant and (superseded_at is null or superseded_at > instant).';
comment on column planning.capacity_history.supplier is 'BPNL of the supplier.';
comment on column planning.capacity_history.customer is 'BPNL of ours that the capacity is for.';
comment on column planning.capacity_history.capacity_group_id is 'UUID of the group; unique for one supplier and customer only.';
comment on column planning.capacity_history.changed_at is 'When the supplier changed the content to this state, to the microsecond.';
comment on column planning.capacity_history.changed_at_nanosecond is 'Nanoseconds (0 to 999) to add to changed_at for the exact instant.';
comment on column planning.capacity_history.received_at is 'When we first received this state.';
comment on column planning.capacity_history.superseded_at is 'When the next state took its place. NULL: still valid.';
comment on column planning.capacity_history.point_in_time is 'The week, as the date of its Monday.';
comment on column planning.capacity_history.actual_capacity is 'As in planning.capacity; in the group''s unit of measure.';
comment on column planning.capacity_history.maximum_capacity is 'As in planning.capacity; in the group''s unit of measure.';
comment on column planning.capacity_history.agreed_capacity is 'As in planning.capacity; in the group''s unit of measure. NULL if not sent.';
comment on column planning.capacity_history.delta_production_result is 'As in planning.capacity; in the group''s unit of measure. NULL if not sent.';

create view planning.demand_history as
select
    h.supplier, h.customer, h.material_demand_id, h.material_number_customer, h.customer_location, h.demand_category_code, h.direction,
    h.changed_at, h.changed_at_nanosecond, h.valid_from as received_at, h.superseded_at, d.point_in_time, d.demand
from (
    select
        supplier, customer, material_demand_id, material_number_customer, customer_location, demand_category_code, direction,
        changed_at, changed_at_nanosecond, valid_from, superseded_at, point_in_time, demand
    from dcm.demand_series_history
    union all
    select
        supplier, customer, material_demand_id, material_number_customer, customer_location, demand_category_code, direction,
        changed_at, changed_at_nanosecond, valid_from, null, point_in_time, demand
    from dcm.demand_series
) h
cross join lateral unnest(h.point_in_time, h.demand) as d (point_in_time, demand);
comment on view planning.demand_history is 'One row per demand series (material, location, category), week and state, the present one too. As of an instant: received_at <= instant and (superseded_at is null or superseded_at > instant).';
comment on column planning.demand_history.supplier is 'BPNL of the supplier.';
comment on column planning.demand_history.customer is 'BPNL of the customer.';
comment on column planning.demand_history.material_demand_id is 'UUID of the material demand that the series belongs to.';
comment on column planning.demand_history.material_number_customer is 'The customer''s number of the material.';
comment on column planning.demand_history.customer_location is 'BPNS of the customer''s site that needs the material.';
comment on column planning.demand_history.demand_category_code is 'Category of the demand, as in planning.demand.';
comment on column planning.demand_history.direction is 'sent: ours, for the supplier. received: a customer''s, for us.';
comment on column planning.demand_history.changed_at is 'When the customer changed the content to this state, to the microsecond.';
comment on column planning.demand_history.changed_at_nanosecond is 'Nanoseconds (0 to 999) to add to changed_at for the exact instant.';
comment on column planning.demand_history.received_at is 'When this state was first released (sent) or received.';
comment on column planning.demand_history.superseded_at is 'When the next state took its place. NULL: still valid.';
comment on column planning.demand_history.point_in_time is 'The week, as the date of its Monday.';
comment on column planning.demand_history.demand is 'What was needed in the week; in the material demand''s unit of measure.';

create view planning.group_history as
select s.supplier, s.customer, s.capacity_group_id, d.detail, d.subject, d.value, s.valid_from as received_at, s.superseded_at
from (
    select
        supplier, customer, capacity_group_id, valid_from, superseded_at, unit_of_measure, is_inactive, supplier_locations,
        linked_capacity_groups, material_number_customer, customer_location, demand_category_code, load_factor
    from dcm.capacity_group_history
    union all
    select
        supplier, customer, capacity_group_id, coalesce(valid_from, first_received_at), null, unit_of_measure, is_inactive, supplier_locations,
        linked_capacity_groups, material_number_customer, customer_location, demand_category_code, load_factor
    from dcm.capacity_group
) s
cross join lateral (
    select 'unit of measure' as detail, '' as subject, coalesce(s.unit_of_measure, 'omitted') as value
    union all
    select 'inactive', '', case when s.is_inactive then 'yes' else 'no' end
    union all
    select 'sites', '', case when s.supplier_locations = '{}' then 'not sent' else (select string_agg(l, ', ' order by l) from unnest(s.supplier_locations) l) end
    union all
    select 'linked demand series', concat_ws(', ', l.material, l.location, l.category), case when s.load_factor is not null then 'load factor ' || trim_scale(coalesce(l.factor, 1)) end
    from unnest(s.material_number_customer, s.customer_location, s.demand_category_code, s.load_factor) as l (material, location, category, factor)
    where l.material is not null
    union all
    select 'linked capacity group', l.id::text, 'linked' from unnest(s.linked_capacity_groups) as l (id)
) d
union all
select g.supplier, g.customer, g.capacity_group_id, 'name', '', n.name, n.received_at, n.superseded_at
from dcm.capacity_group g
cross join lateral (
    select g.name, coalesce(g.renamed_at, g.first_received_at) as received_at, null::timestamptz as superseded_at
    union all
    select g.previous_name, g.first_received_at, g.renamed_at where g.renamed_at is not null
) n
union all
select m.supplier, m.customer, m.capacity_group_id, d.detail, d.subject, d.value, m.valid_from, m.superseded_at
from (
    select
        supplier, customer, capacity_group_id, valid_from, superseded_at, start_reference_date_time, measurement_interval, sequence_number, subhorizon_length,
        relative_positive_deviation, relative_negative_deviation, absolute_positive_deviation, absolute_negative_deviation
    from dcm.measurement_history
    union all
    select
        supplier, customer, capacity_group_id, coalesce(measured_by_since, first_received_at), null, start_reference_date_time, measurement_interval,
        sequence_number, subhorizon_length, relative_positive_deviation, relative_negative_deviation, absolute_positive_deviation, absolute_negative_deviation
    from dcm.capacity_group
) m
cross join lateral (
    select
        'measurement' as detail, '' as subject,
        coalesce('every ' || trim_scale(m.measurement_interval) || ' weeks since ' || to_char(m.start_reference_date_time at time zone 'UTC', 'YYYY-MM-DD HH24:MI UTC'), 'none') as value
    union all
    select
        'threshold', 'sub-horizon ' || trim_scale(t.sequence_number),
        concat_ws(' ', trim_scale(t.length) || ' weeks:', '+' || trim_scale(100 * t.up) || ' %', '−' || trim_scale(100 * t.down) || ' %',
            '+' || trim_scale(t.more), '−' || trim_scale(t.less))
    from unnest(m.sequence_number, m.subhorizon_length, m.relative_positive_deviation, m.relative_negative_deviation,
        m.absolute_positive_deviation, m.absolute_negative_deviation) as t (sequence_number, length, up, down, more, less)
) d;
comment on view planning.group_history is 'One row per stored WeekBasedCapacityGroup, detail and state, the present one too; weeks are in planning.capacity_history. As of an instant: received_at <= instant and (superseded_at is null or superseded_at > instant).';
comment on column planning.group_history.supplier is 'BPNL of the supplier.';
comment on column planning.group_history.customer is 'BPNL of ours that the capacity is for.';
comment on column planning.group_history.capacity_group_id is 'UUID of the group; unique for one supplier and customer only.';
comment on column planning.group_history.detail is 'What is said of the group: name, unit of measure, inactive, sites, linked demand series, linked capacity group, measurement (of demand volatility), threshold. Of a name only the present one and the one before are known.';
comment on column planning.group_history.subject is 'Which of several: of a linked demand series the customer''s material number, site and category; of a linked group its ID; of a threshold its sub-horizon. Otherwise empty.';
comment on column planning.group_history.value is 'What was said. NULL where it was not kept then: sites and load factors before migration 23.';
comment on column planning.group_history.received_at is 'When we first received the state that says it.';
comment on column planning.group_history.superseded_at is 'When the next state took its place. NULL: still valid.';

-- All states, the present one too, with the time of each.
create view dcm.capacity_group_state as
select
    supplier, customer, capacity_group_id, valid_from, superseded_at, is_inactive,
    linked_capacity_groups, material_number_customer, customer_location, demand_category_code
from dcm.capacity_group_history
union all
select
    supplier, customer, capacity_group_id, coalesce(valid_from, first_received_at), 'infinity'::timestamptz, is_inactive,
    linked_capacity_groups, material_number_customer, customer_location, demand_category_code
from dcm.capacity_group;

create view dcm.demand_series_state as
select
    partner, direction, supplier, customer, material_number_customer, customer_location, demand_category_code,
    valid_from, superseded_at, point_in_time, demand
from dcm.demand_series_history
union all
select
    partner, direction, supplier, customer, material_number_customer, customer_location, demand_category_code,
    valid_from, 'infinity'::timestamptz, point_in_time, demand
from dcm.demand_series;

-- The groups below, at any depth, each once, also where the links form a cycle. It is a
-- function, because for a recursion within the view Postgres plans for tens of
-- thousands of rows, and because most groups need none.
-- +goose StatementBegin
create function dcm.groups_below(supplier text, customer text, linked uuid[]) returns setof uuid
language sql stable parallel safe security definer rows 3 set search_path = pg_catalog, pg_temp as $$
    with recursive below (id) as (
        select unnest(linked)
        union
        select unnest(p.linked_capacity_groups)
        from below b
        cross join lateral (
            select p.linked_capacity_groups
            from dcm.capacity_group p
            where p.supplier = groups_below.supplier and p.customer = groups_below.customer and p.capacity_group_id = b.id and not p.is_inactive
            offset 0
        ) p
    )
    select id from below
$$;
-- +goose StatementEnd
comment on function dcm.groups_below is 'IDs of the groups that are below the linked ones, and those; known and active or not.';

-- A group takes the demand of each distinct active group below it, at any depth, once,
-- also where the links form a cycle. Demands and capacities are appended and summed,
-- not joined, so that a condition on the week reaches both. Arrays are unnested in the
-- select list, which takes a quarter off a query for many groups. "offset 0" makes
-- Postgres look up each link's rows by key instead of reading all of a supplier.
create view planning.group_week as
select
    g.supplier, g.customer, g.capacity_group_id, w.point_in_time, w.demand,
    w.actual_capacity, w.maximum_capacity, w.agreed_capacity,
    case
        when g.is_inactive then null
        when w.demand is null then 'no demand'
        when w.actual_capacity is null then 'no capacity'
        when w.demand = w.actual_capacity then 'zero deviation'
        when w.demand < w.actual_capacity then 'surplus'
        else 'bottleneck'
    end as result,
    case
        when g.is_inactive or w.demand is null or w.actual_capacity is null then null
        when w.demand <= w.actual_capacity then 'green'
        when w.demand <= w.maximum_capacity then 'orange'
        else 'red'
    end as colour,
    g.unit_of_measure, g.is_inactive
from dcm.capacity_group g
cross join lateral (
    select
        u.point_in_time,
        sum(u.demand) + coalesce(sum(u.delta_production_result), 0) as demand,
        max(u.actual_capacity) as actual_capacity, max(u.maximum_capacity) as maximum_capacity, max(u.agreed_capacity) as agreed_capacity
    from (
        select
            unnest(g.point_in_time) as point_in_time, null::numeric as demand, unnest(g.actual_capacity) as actual_capacity,
            unnest(g.maximum_capacity) as maximum_capacity, unnest(g.agreed_capacity) as agreed_capacity,
            unnest(g.delta_production_result) as delta_production_result
        union all
        select d.point_in_time, case when d.load_factor is null then d.demand else d.demand * d.load_factor end, null, null, null, null
        from (
            select l.load_factor, unnest(t.point_in_time) as point_in_time, unnest(t.demand) as demand
            from (
                select
                    unnest(g.material_number_customer) as material_number_customer, unnest(g.customer_location) as customer_location,
                    unnest(g.demand_category_code) as demand_category_code, unnest(g.load_factor) as load_factor
                union all
                select unnest(p.material_number_customer), unnest(p.customer_location), unnest(p.demand_category_code), unnest(p.load_factor)
                from dcm.groups_below(g.supplier, g.customer, g.linked_capacity_groups) as b (id)
                cross join lateral (
                    select p.material_number_customer, p.customer_location, p.demand_category_code, p.load_factor
                    from dcm.capacity_group p
                    where p.supplier = g.supplier and p.customer = g.customer and p.capacity_group_id = b.id and not p.is_inactive
                        and p.capacity_group_id <> g.capacity_group_id
                    offset 0
                ) p
                where cardinality(g.linked_capacity_groups) > 0
            ) l
            cross join lateral (
                select partner, direction, is_inactive
                from dcm.material_demand
                where partner = g.supplier and direction = 'sent' and supplier = g.supplier and customer = g.customer
                    and material_number_customer = l.material_number_customer
                union all -- a received one where we sent none
                select r.partner, r.direction, r.is_inactive
                from dcm.material_demand r
                where r.partner = g.customer and r.direction = 'received' and r.supplier = g.supplier and r.customer = g.customer
                    and r.material_number_customer = l.material_number_customer
                    and not exists (
                        select from dcm.material_demand o
                        where o.partner = r.supplier and o.direction = 'sent' and o.supplier = r.supplier and o.customer = r.customer
                            and o.material_number_customer = r.material_number_customer)
            ) m
            cross join lateral (
                select t.point_in_time, t.demand
                from dcm.demand_series t
                where t.partner = m.partner and t.direction = m.direction and t.supplier = g.supplier and t.customer = g.customer
                    and t.material_number_customer = l.material_number_customer and t.customer_location = l.customer_location
                    and t.demand_category_code = l.demand_category_code
                offset 0
            ) t
            where not m.is_inactive
        ) d
    ) u
    group by u.point_in_time
) w;
comment on view planning.group_week is 'One row per stored WeekBasedCapacityGroup and week with demand or capacity: demand against capacity (CX-0128 §5.7). Ask for one group or one supplier at a time where you can.';
comment on column planning.group_week.supplier is 'BPNL of the supplier.';
comment on column planning.group_week.customer is 'BPNL of ours that the capacity is for.';
comment on column planning.group_week.capacity_group_id is 'UUID of the group; unique for one supplier and customer only.';
comment on column planning.group_week.point_in_time is 'The week, as the date of its Monday.';
comment on column planning.group_week.demand is 'Sum of demand × load factor over the linked demand series, those of the groups below too, plus the group''s own delta-production; never rounded; in the group''s unit of measure. NULL: no demand is known for the week.';
comment on column planning.group_week.actual_capacity is 'As in planning.capacity. NULL: no capacity is known for the week.';
comment on column planning.group_week.maximum_capacity is 'As in planning.capacity. NULL: no capacity is known for the week.';
comment on column planning.group_week.agreed_capacity is 'As in planning.capacity; it never decides the result. NULL if not sent.';
comment on column planning.group_week.result is 'surplus, zero deviation, bottleneck; no capacity (demand only), no demand (capacity only). NULL for an inactive group.';
comment on column planning.group_week.colour is 'green: demand up to actual capacity. orange: above it, up to maximum capacity. red: above that. NULL where there is nothing to compare.';
comment on column planning.group_week.unit_of_measure is 'Unit of the quantities. NULL where the supplier omitted it.';
comment on column planning.group_week.is_inactive is 'True if the supplier does not use or maintain the group at present; it has no result then.';

create view planning.unmatched_link as
with demand as (
    -- What counts as a demand: active; ours, where there are both.
    select distinct on (supplier, customer, material_number_customer)
        partner, direction, supplier, customer, material_number_customer, unit_of_measure, is_inactive
    from dcm.material_demand
    order by supplier, customer, material_number_customer, direction desc
), series as (
    select t.supplier, t.customer, t.material_number_customer, t.customer_location, t.demand_category_code, d.unit_of_measure
    from demand d
    join dcm.demand_series t using (partner, direction, supplier, customer, material_number_customer)
    where not d.is_inactive
), link as (
    select g.supplier, g.customer, g.capacity_group_id, g.unit_of_measure, l.*
    from dcm.capacity_group g
    cross join lateral unnest(g.material_number_customer, g.customer_location, g.demand_category_code, g.load_factor)
        as l (material_number_customer, customer_location, demand_category_code, load_factor)
    where not g.is_inactive
)
select
    supplier, customer, l.capacity_group_id, material_number_customer, customer_location, demand_category_code,
    case when s.supplier is null then 'demand' when l.supplier is null then 'capacity group' else 'unit' end as missing,
    null::uuid as linked_capacity_group_id
from link l
full join series s using (supplier, customer, material_number_customer, customer_location, demand_category_code)
where s.supplier is null or l.supplier is null or l.load_factor is null and l.unit_of_measure <> s.unit_of_measure
union all
select g.supplier, g.customer, g.capacity_group_id, null, null, null, 'child group', c.id
from dcm.capacity_group g
cross join lateral unnest(g.linked_capacity_groups) as c (id)
left join dcm.capacity_group p on p.supplier = g.supplier and p.customer = g.customer and p.capacity_group_id = c.id
where not g.is_inactive and coalesce(p.is_inactive, true)
union all
select g.supplier, g.customer, g.capacity_group_id, null, null, null, 'cycle', null
from dcm.capacity_group g
where not g.is_inactive and cardinality(g.linked_capacity_groups) > 0 and g.capacity_group_id in (
    with recursive below (id) as (
        select unnest(g.linked_capacity_groups)
        union
        select unnest(p.linked_capacity_groups)
        from below b
        join dcm.capacity_group p on p.supplier = g.supplier and p.customer = g.customer and p.capacity_group_id = b.id
        where not p.is_inactive
    )
    select id from below);
comment on view planning.unmatched_link is 'One row per link of an active capacity group without its demand, demand series that no active group links, and other link that cannot be taken as it is; missing says which.';
comment on column planning.unmatched_link.supplier is 'BPNL of the supplier.';
comment on column planning.unmatched_link.customer is 'BPNL of the customer.';
comment on column planning.unmatched_link.capacity_group_id is 'UUID of the group. NULL where the group is missing.';
comment on column planning.unmatched_link.material_number_customer is 'The customer''s number of the linked material. NULL where the link is one to another group.';
comment on column planning.unmatched_link.customer_location is 'BPNS of the customer''s site. NULL where the link is one to another group.';
comment on column planning.unmatched_link.demand_category_code is 'Category of the demand. NULL where the link is one to another group.';
comment on column planning.unmatched_link.missing is 'demand: the group links a series that is not known or inactive. capacity group: no group links the demand. unit: both have units, other ones, and no load factor converts. child group: a linked group is not known or inactive. cycle: the group is below itself.';
comment on column planning.unmatched_link.linked_capacity_group_id is 'The group below that is missing. NULL otherwise.';

-- Measurement k is taken k intervals after the start; the first one that has something
-- to compare with is k = 1. A week is 168 hours, so that no time zone shifts it. The
-- bounds of the sub-horizons are computed once for the thresholds, not for every week
-- of every measurement.
create view planning.volatility as
select
    g.supplier, g.customer, g.capacity_group_id, w.point_in_time, m.measured_at, w.latest, w.previous,
    w.latest - w.previous as absolute_deviation,
    (w.latest - w.previous) / nullif(w.previous, 0) as relative_deviation,
    nullif(concat_ws(',',
        case when w.previous > 0 and w.latest - w.previous > t.relative_positive_deviation * w.previous then 'relative positive' end,
        case when w.previous > 0 and w.latest - w.previous < -t.relative_negative_deviation * w.previous then 'relative negative' end,
        case when w.latest - w.previous > t.absolute_positive_deviation then 'absolute positive' end,
        case when w.latest - w.previous < -t.absolute_negative_deviation then 'absolute negative' end), '') as alert
from dcm.capacity_group g
-- Start, interval and thresholds, those of earlier times too.
cross join lateral (
    select
        coalesce(g.measured_by_since, g.first_received_at) as valid_from, 'infinity'::timestamptz as superseded_at,
        g.start_reference_date_time, g.measurement_interval, g.sequence_number, g.subhorizon_length,
        g.relative_positive_deviation, g.relative_negative_deviation, g.absolute_positive_deviation, g.absolute_negative_deviation
    union all
    select
        h.valid_from, h.superseded_at, h.start_reference_date_time, h.measurement_interval, h.sequence_number, h.subhorizon_length,
        h.relative_positive_deviation, h.relative_negative_deviation, h.absolute_positive_deviation, h.absolute_negative_deviation
    from dcm.measurement_history h
    where h.supplier = g.supplier and h.customer = g.customer and h.capacity_group_id = g.capacity_group_id
) p
-- A sub-horizon has exactly as many weeks as its length says; the first begins with
-- the week of the measurement.
cross join lateral (
    select
        array_agg(t.ends_before - t.subhorizon_length order by t.sequence_number) as begins,
        array_agg(t.subhorizon_length order by t.sequence_number) as subhorizon_length,
        array_agg(t.relative_positive_deviation order by t.sequence_number) as relative_positive_deviation,
        array_agg(t.relative_negative_deviation order by t.sequence_number) as relative_negative_deviation,
        array_agg(t.absolute_positive_deviation order by t.sequence_number) as absolute_positive_deviation,
        array_agg(t.absolute_negative_deviation order by t.sequence_number) as absolute_negative_deviation
    from (
        select t.*, sum(t.subhorizon_length) over (order by t.sequence_number rows unbounded preceding) as ends_before
        from unnest(p.sequence_number, p.subhorizon_length, p.relative_positive_deviation, p.relative_negative_deviation,
            p.absolute_positive_deviation, p.absolute_negative_deviation)
            as t (sequence_number, subhorizon_length, relative_positive_deviation, relative_negative_deviation,
            absolute_positive_deviation, absolute_negative_deviation)
    ) t
) h
cross join lateral (
    select e.measured_at, e.compared_at, date_trunc('week', e.measured_at at time zone 'UTC')::date as monday
    from (
        select
            p.start_reference_date_time + (n.k * p.measurement_interval)::float8 * interval '168 hours' as measured_at,
            p.start_reference_date_time + ((n.k - 1) * p.measurement_interval)::float8 * interval '168 hours' as compared_at
        from generate_series(
            greatest(1, ceil(extract(epoch from p.valid_from - p.start_reference_date_time)::numeric / 604800 / nullif(greatest(p.measurement_interval, 0), 0))),
            floor(extract(epoch from least(now(), p.superseded_at) - p.start_reference_date_time)::numeric / 604800 / nullif(greatest(p.measurement_interval, 0), 0)))
            as n (k)
    ) e
    offset 0
) m
cross join lateral (
    select linked_capacity_groups, material_number_customer, customer_location, demand_category_code
    from dcm.capacity_group_state s
    where s.supplier = g.supplier and s.customer = g.customer and s.capacity_group_id = g.capacity_group_id
        and s.valid_from <= m.measured_at and s.superseded_at > m.measured_at and not s.is_inactive
) s
cross join lateral (
    select
        u.point_in_time,
        coalesce(sum(u.demand) filter (where u.is_latest), 0) as latest,
        coalesce(sum(u.demand) filter (where not u.is_latest), 0) as previous,
        bool_or(bool_or(not u.is_latest)) over () as is_comparable
    from (
        select i.is_latest, unnest(t.point_in_time) as point_in_time, unnest(t.demand) as demand
        from (
            with recursive below (id) as (
                select unnest(s.linked_capacity_groups)
                union
                select unnest(p.linked_capacity_groups)
                from below b
                cross join lateral (
                    select p.linked_capacity_groups
                    from dcm.capacity_group_state p
                    where p.supplier = g.supplier and p.customer = g.customer and p.capacity_group_id = b.id and not p.is_inactive
                        and p.valid_from <= m.measured_at and p.superseded_at > m.measured_at
                    offset 0
                ) p
            )
            select * from unnest(s.material_number_customer, s.customer_location, s.demand_category_code)
            union all
            select x.*
            from below b
            cross join lateral (
                select p.material_number_customer, p.customer_location, p.demand_category_code
                from dcm.capacity_group_state p
                where p.supplier = g.supplier and p.customer = g.customer and p.capacity_group_id = b.id and not p.is_inactive
                    and p.valid_from <= m.measured_at and p.superseded_at > m.measured_at and p.capacity_group_id <> g.capacity_group_id
                offset 0
            ) p
            cross join lateral unnest(p.material_number_customer, p.customer_location, p.demand_category_code) as x
        ) as l (material_number_customer, customer_location, demand_category_code)
        cross join lateral (
            select m.partner, m.direction, m.is_inactive
            from (
                select partner, direction, is_inactive
                from dcm.material_demand
                where partner = g.supplier and direction = 'sent' and supplier = g.supplier and customer = g.customer
                    and material_number_customer = l.material_number_customer
                union all
                select partner, direction, is_inactive
                from dcm.material_demand
                where partner = g.customer and direction = 'received' and supplier = g.supplier and customer = g.customer
                    and material_number_customer = l.material_number_customer
            ) m
            order by m.direction desc -- ours, if there is one
            limit 1
        ) c
        cross join lateral (values (true, m.measured_at), (false, m.compared_at)) as i (is_latest, at)
        left join dcm.activity_history a
            on a.partner = c.partner and a.direction = c.direction and a.supplier = g.supplier and a.customer = g.customer
            and a.material_number_customer = l.material_number_customer and a.valid_from <= i.at and a.superseded_at > i.at
        cross join lateral (
            select t.point_in_time, t.demand
            from dcm.demand_series_state t
            where t.partner = c.partner and t.direction = c.direction and t.supplier = g.supplier and t.customer = g.customer
                and t.material_number_customer = l.material_number_customer and t.customer_location = l.customer_location
                and t.demand_category_code = l.demand_category_code and t.valid_from <= i.at and t.superseded_at > i.at
            offset 0
        ) t
        where not coalesce(a.is_inactive, c.is_inactive)
    ) u
    group by u.point_in_time
) w
cross join lateral (
    select
        (w.point_in_time - m.monday) / 7 as week,
        width_bucket(((w.point_in_time - m.monday) / 7)::numeric, h.begins) as i
    offset 0
) n
left join lateral (
    select
        h.relative_positive_deviation[n.i] as relative_positive_deviation, h.relative_negative_deviation[n.i] as relative_negative_deviation,
        h.absolute_positive_deviation[n.i] as absolute_positive_deviation, h.absolute_negative_deviation[n.i] as absolute_negative_deviation
    where n.week < h.begins[n.i] + h.subhorizon_length[n.i]
    offset 0
) t on true
where m.measured_at < p.superseded_at and w.is_comparable and w.point_in_time >= m.monday;
comment on view planning.volatility is 'One row per stored WeekBasedCapacityGroup with startReferenceDateTime and measurementInterval, measurement and week from that of the measurement on: its demand then against its demand one interval before (CX-0128 §5.11). Start, interval, thresholds and links are those at the measurement. A measurement before which nothing is known of the demand has no row.';
comment on column planning.volatility.supplier is 'BPNL of the supplier.';
comment on column planning.volatility.customer is 'BPNL of ours that the capacity is for.';
comment on column planning.volatility.capacity_group_id is 'UUID of the group; unique for one supplier and customer only.';
comment on column planning.volatility.point_in_time is 'The week, as the date of its Monday.';
comment on column planning.volatility.measured_at is 'When latest was measured: startReferenceDateTime plus a whole number of measurement intervals. Previous was measured one interval before.';
comment on column planning.volatility.latest is 'Sum of the linked demand series, those of the groups below too, without load factors and delta-production, as known at measured_at; 0 where the week had none; in the group''s unit of measure.';
comment on column planning.volatility.previous is 'The same one measurement interval before; 0 where the week had none.';
comment on column planning.volatility.absolute_deviation is 'latest − previous; in the group''s unit of measure.';
comment on column planning.volatility.relative_deviation is 'absolute_deviation / previous, as a share: 0.2 is 20 %. NULL where previous is 0.';
comment on column planning.volatility.alert is 'Thresholds of the week''s sub-horizon that are passed: relative positive, relative negative, absolute positive, absolute negative; several joined by a comma. NULL: none.';

-- Overviews that are kept ready for all groups together: the worst groups, and the
-- capacity of each week. Computing them takes seconds for 10,000 groups and minutes
-- for a million, so serve does it in the background, for one supplier and customer
-- after the other, where anything changed; no message waits for it. They can be
-- computed again at any time: "truncate dcm.overview" makes serve do so.

-- One row a supplier and customer: the content that their overview was computed from.
create table dcm.overview (
    supplier text not null,
    customer text not null,
    content numeric not null,
    first_week date not null,
    primary key (supplier, customer)
);
comment on column dcm.overview.content is 'dcm.overview_content when it was made.';
comment on column dcm.overview.first_week is 'The week that was the present one; horizons begin with it.';

create table dcm.group_overview (
    supplier text not null,
    customer text not null,
    capacity_group_id uuid not null,
    weeks smallint not null,
    red_weeks smallint not null,
    orange_weeks smallint not null,
    weeks_without_capacity smallint not null,
    first_bottleneck date,
    missing numeric,
    weeks_missing numeric,
    primary key (supplier, customer, capacity_group_id, weeks)
);

create table dcm.capacity_total (
    supplier text not null,
    customer text not null,
    unit_of_measure text not null,
    point_in_time date not null,
    piece integer not null,
    capacity_groups integer not null,
    actual_capacity numeric not null,
    maximum_capacity numeric not null,
    primary key (supplier, customer, unit_of_measure, point_in_time, piece)
);
comment on column dcm.capacity_total.unit_of_measure is 'Empty where it is omitted.';
comment on column dcm.capacity_total.piece is 'Which of the pieces that dcm.make_overview works out one after the other.';

-- Which replica looks for changes next, and up to when changes are in the overviews.
-- One row.
create table dcm.overview_turn (
    begins_after timestamptz not null,
    as_of timestamptz
);
comment on column dcm.overview_turn.begins_after is 'No replica looks before this. The one at work puts it off, so that another takes over where it is gone.';
comment on column dcm.overview_turn.as_of is 'What was stored before this is in the overview. NULL: there is no whole one yet.';
insert into dcm.overview_turn (begins_after) values ('-infinity');

-- A number for each supplier and customer that changes when a group or demand of
-- theirs does, and not when the same content arrives again.
create view dcm.overview_content as
select supplier, customer, sum(content) as content
from (
    select supplier, customer, hash_record_extended(row (capacity_group_id, content_hash), 1) as content
    from dcm.capacity_group
    union all
    -- By partner, because the keys of demands begin with it. A sent demand has no content
    -- hash, but is recorded only when its content differs.
    select
        supplier, customer,
        hash_record_extended(row (material_demand_id, material_number_customer, is_inactive, changed_at, changed_at_nanosecond, recorded_at), 2)
    from dcm.material_demand
    where direction = 'sent' and partner = supplier
    union all
    select
        supplier, customer,
        hash_record_extended(row (material_demand_id, material_number_customer, is_inactive, changed_at, changed_at_nanosecond, content_hash), 3)
    from dcm.material_demand
    where direction = 'received' and partner = customer
) c
group by supplier, customer;

-- Computes the overview of one supplier and customer, and writes the rows that differ.
-- In a repeatable read transaction the result is that of the exact views for one
-- snapshot; a concurrent run for the same two fails, so no older result overwrites it.
-- It works in pieces, and after each one sleeps pauses times as long as the piece took:
-- this spreads its use of a core evenly, and never delays messages for long, however
-- many groups a supplier has. It runs as the owner (security definer), so that a
-- receiver with another role needs rights on the tables of schema dcm only.
-- +goose StatementBegin
create function dcm.make_overview(supplier text, customer text, pauses float default 0) returns void language plpgsql
security definer set search_path = pg_catalog, pg_temp set jit = off set max_parallel_workers_per_gather = 0
set enable_sort = off -- a group's weeks are few: adding them up by hash takes a sixth less
as $$
#variable_conflict use_column
declare
    of_supplier constant text := supplier;
    of_customer constant text := customer;
    monday constant date := date_trunc('week', now() at time zone 'UTC')::date;
    groups_in_piece constant integer := 200;
    pieces integer := 0;
    piece_begins uuid;
    next_begins uuid;
    began timestamptz;
begin
    delete from dcm.overview o
    where o.supplier = of_supplier and o.customer = of_customer
        and not exists (select from dcm.overview_content c where c.supplier = of_supplier and c.customer = of_customer);
    insert into dcm.overview (supplier, customer, content, first_week)
    select c.supplier, c.customer, c.content, monday
    from dcm.overview_content c
    where c.supplier = of_supplier and c.customer = of_customer
    on conflict (supplier, customer) do update set content = excluded.content, first_week = excluded.first_week;

    delete from dcm.group_overview o
    where o.supplier = of_supplier and o.customer = of_customer
        and not exists (
            select from dcm.capacity_group g
            where g.supplier = o.supplier and g.customer = o.customer and g.capacity_group_id = o.capacity_group_id);
    for piece_begins, next_begins in
        select id, lead(id) over (order by id)
        from (
            select g.capacity_group_id as id, row_number() over (order by g.capacity_group_id) - 1 as place
            from dcm.capacity_group g
            where g.supplier = of_supplier and g.customer = of_customer
        ) g
        where place % groups_in_piece = 0
        order by id
    loop
        began := clock_timestamp();
        insert into dcm.group_overview as o (
            supplier, customer, capacity_group_id, weeks, red_weeks, orange_weeks, weeks_without_capacity, first_bottleneck, missing, weeks_missing)
        select
            of_supplier, of_customer, capacity_group_id, weeks, sum(red_weeks), sum(orange_weeks), sum(weeks_without_capacity), min(first_bottleneck),
            sum(missing), sum(missing) * sum(weeks_with_demand) / nullif(sum(demand), 0)
        from (
            -- Each week is looked at once, for the shortest horizon that has it.
            select
                w.capacity_group_id,
                case when w.point_in_time < monday + 7 * 26 then 26 when w.point_in_time < monday + 7 * 52 then 52 else 104 end as shortest,
                count(*) filter (where w.colour = 'red') as red_weeks,
                count(*) filter (where w.colour = 'orange') as orange_weeks,
                count(*) filter (where w.result = 'no capacity') as weeks_without_capacity,
                min(w.point_in_time) filter (where w.result = 'bottleneck') as first_bottleneck,
                sum(w.demand - w.maximum_capacity) filter (where w.colour = 'red') as missing,
                sum(w.demand) filter (where w.demand > 0) as demand,
                count(*) filter (where w.demand > 0) as weeks_with_demand
            from (
                select capacity_group_id, point_in_time, demand, maximum_capacity, result, colour
                from planning.group_week
                where supplier = of_supplier and customer = of_customer and point_in_time >= monday and point_in_time < monday + 7 * 104
                    and capacity_group_id >= piece_begins and (next_begins is null or capacity_group_id < next_begins)
                offset 0 -- else each use of the result works it out again
            ) w
            group by w.capacity_group_id, shortest
            union all
            select g.capacity_group_id, 26, 0, 0, 0, null, null, null, 0 -- also a group without weeks has a row
            from dcm.capacity_group g
            where g.supplier = of_supplier and g.customer = of_customer
                and g.capacity_group_id >= piece_begins and (next_begins is null or g.capacity_group_id < next_begins)
        ) p
        join (values (26), (52), (104)) as h (weeks) on p.shortest <= h.weeks
        group by capacity_group_id, weeks
        on conflict (supplier, customer, capacity_group_id, weeks) do update set
            red_weeks = excluded.red_weeks, orange_weeks = excluded.orange_weeks, weeks_without_capacity = excluded.weeks_without_capacity,
            first_bottleneck = excluded.first_bottleneck, missing = excluded.missing, weeks_missing = excluded.weeks_missing
        where (o.red_weeks, o.orange_weeks, o.weeks_without_capacity, o.first_bottleneck, o.missing, o.weeks_missing)
            is distinct from (excluded.red_weeks, excluded.orange_weeks, excluded.weeks_without_capacity, excluded.first_bottleneck, excluded.missing, excluded.weeks_missing);

        with total as materialized (
            select unit_of_measure, point_in_time, count(*) as capacity_groups, sum(actual_capacity) as actual_capacity, sum(maximum_capacity) as maximum_capacity
            from (
                select
                    coalesce(g.unit_of_measure, '') as unit_of_measure, unnest(g.point_in_time) as point_in_time,
                    unnest(g.actual_capacity) as actual_capacity, unnest(g.maximum_capacity) as maximum_capacity
                from dcm.capacity_group g
                where g.supplier = of_supplier and g.customer = of_customer and not g.is_inactive
                    and g.capacity_group_id >= piece_begins and (next_begins is null or g.capacity_group_id < next_begins)
            ) w
            group by unit_of_measure, point_in_time
        ), gone as (
            delete from dcm.capacity_total o
            where o.supplier = of_supplier and o.customer = of_customer and o.piece = pieces
                and (o.unit_of_measure, o.point_in_time) not in (select unit_of_measure, point_in_time from total)
        )
        insert into dcm.capacity_total as o (supplier, customer, unit_of_measure, point_in_time, piece, capacity_groups, actual_capacity, maximum_capacity)
        select of_supplier, of_customer, unit_of_measure, point_in_time, pieces, capacity_groups, actual_capacity, maximum_capacity
        from total
        on conflict (supplier, customer, unit_of_measure, point_in_time, piece) do update set
            capacity_groups = excluded.capacity_groups, actual_capacity = excluded.actual_capacity, maximum_capacity = excluded.maximum_capacity
        where (o.capacity_groups, o.actual_capacity, o.maximum_capacity)
            is distinct from (excluded.capacity_groups, excluded.actual_capacity, excluded.maximum_capacity);
        pieces := pieces + 1;
        perform pg_sleep(extract(epoch from clock_timestamp() - began) * pauses);
    end loop;
    delete from dcm.capacity_total o
    where o.supplier = of_supplier and o.customer = of_customer and o.piece >= pieces;
end
$$;
-- +goose StatementEnd

create view planning.group_overview as
select
    g.supplier, g.customer, g.capacity_group_id, g.weeks, o.first_week, g.red_weeks, g.orange_weeks, g.weeks_without_capacity,
    g.first_bottleneck, g.missing, g.weeks_missing, (select as_of from dcm.overview_turn) as as_of
from dcm.group_overview g
join dcm.overview o using (supplier, customer);
comment on view planning.group_overview is 'One row per WeekBasedCapacityGroup and horizon of 26, 52 or 104 weeks: its weeks of planning.group_week summed up. Kept ready, and as old as as_of says; the exact present is in planning.group_week.';
comment on column planning.group_overview.supplier is 'BPNL of the supplier.';
comment on column planning.group_overview.customer is 'BPNL of ours that the capacity is for.';
comment on column planning.group_overview.capacity_group_id is 'UUID of the group; unique for one supplier and customer only.';
comment on column planning.group_overview.weeks is 'Length of the horizon in weeks: 26, 52 or 104.';
comment on column planning.group_overview.first_week is 'First week of the horizon, as the date of its Monday: the present week when the row was made.';
comment on column planning.group_overview.red_weeks is 'Weeks whose demand is above maximum capacity.';
comment on column planning.group_overview.orange_weeks is 'Weeks whose demand is above actual capacity, but not above maximum capacity.';
comment on column planning.group_overview.weeks_without_capacity is 'Weeks with demand of which no capacity is known.';
comment on column planning.group_overview.first_bottleneck is 'First week whose demand is above actual capacity, as the date of its Monday. NULL: none.';
comment on column planning.group_overview.missing is 'Demand above maximum capacity, summed over the red weeks; in the group''s unit of measure. NULL: none.';
comment on column planning.group_overview.weeks_missing is 'The same in weeks of the group''s mean demand, so that groups of different units compare. NULL: none.';
comment on column planning.group_overview.as_of is 'What was stored before this is in all rows; later changes are in some. NULL: not all groups have their rows yet.';

create view planning.capacity_total as
select
    supplier, customer, nullif(unit_of_measure, '') as unit_of_measure, point_in_time, sum(capacity_groups) as capacity_groups,
    sum(actual_capacity) as actual_capacity, sum(maximum_capacity) as maximum_capacity,
    sum(maximum_capacity) - sum(actual_capacity) as flexible_capacity, (select as_of from dcm.overview_turn) as as_of
from dcm.capacity_total
group by supplier, customer, unit_of_measure, point_in_time;
comment on view planning.capacity_total is 'One row per supplier, customer, unit and week: planning.capacity summed up over the groups that are not inactive. Kept ready, and as old as as_of says; the exact present is in planning.capacity.';
comment on column planning.capacity_total.supplier is 'BPNL of the supplier.';
comment on column planning.capacity_total.customer is 'BPNL of ours that the capacity is for.';
comment on column planning.capacity_total.unit_of_measure is 'Unit of the quantities, such as unit:piece. NULL: of the groups whose supplier omitted it.';
comment on column planning.capacity_total.point_in_time is 'The week, as the date of its Monday.';
comment on column planning.capacity_total.capacity_groups is 'How many groups have a capacity for the week.';
comment on column planning.capacity_total.actual_capacity is 'Sum of their actual capacities; in unit_of_measure.';
comment on column planning.capacity_total.maximum_capacity is 'Sum of their maximum capacities; in unit_of_measure.';
comment on column planning.capacity_total.flexible_capacity is 'maximum_capacity − actual_capacity: what could be added in the week; in unit_of_measure.';
comment on column planning.capacity_total.as_of is 'What was stored before this is in all rows; later changes are in some. NULL: not all suppliers have their rows yet.';

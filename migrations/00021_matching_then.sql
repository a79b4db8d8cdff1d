-- +goose Up

-- Of a group's constraints Postgres reads each anew for every statement, also for one
-- that notes that the same content came again. In a function they are read once a
-- session; that takes a third off such a statement.
-- +goose StatementBegin
create function dcm.is_capacity_group(
    supplier text, customer text, unit_of_measure_is_omitted boolean, unit_of_measure text, changed_at_nanosecond smallint, start_nanosecond smallint,
    point_in_time date[], actual_capacity numeric[], maximum_capacity numeric[], agreed_capacity numeric[], delta_production_result numeric[],
    material_number_customer text[], customer_location text[], demand_category_code text[]
) returns boolean language plpgsql immutable parallel safe as $$
begin
    return
        supplier ~ '^BPNL[a-zA-Z0-9]{12}$' and customer ~ '^BPNL[a-zA-Z0-9]{12}$'
        and (unit_of_measure is null) = unit_of_measure_is_omitted
        and changed_at_nanosecond between 0 and 999 and (start_nanosecond is null or start_nanosecond between 0 and 999)
        and 0 <= all (actual_capacity) and 0 <= all (maximum_capacity)
        and cardinality(actual_capacity) = cardinality(point_in_time) and cardinality(maximum_capacity) = cardinality(point_in_time)
        and cardinality(agreed_capacity) in (0, cardinality(point_in_time))
        and cardinality(delta_production_result) in (0, cardinality(point_in_time))
        and cardinality(customer_location) = cardinality(material_number_customer)
        and cardinality(demand_category_code) = cardinality(material_number_customer);
end
$$;
-- +goose StatementEnd
comment on function dcm.is_capacity_group is 'What is true of every capacity group: BPNLs, a unit unless it is omitted, nanoseconds below a microsecond, capacities that are not negative, and arrays with all columns of a week and of a link.';
alter table dcm.capacity_group
    drop constraint supplier_is_a_bpnl,
    drop constraint customer_is_a_bpnl,
    drop constraint unit_is_there_unless_omitted,
    drop constraint nanoseconds_below_a_microsecond,
    drop constraint capacities_are_not_negative,
    drop constraint a_capacity_has_all_columns,
    drop constraint a_demand_series_has_all_columns,
    -- What is there was held by those before.
    add constraint capacity_group_is_one check (dcm.is_capacity_group(
        supplier, customer, unit_of_measure_is_omitted, unit_of_measure, changed_at_nanosecond, start_reference_date_time_nanosecond,
        point_in_time, actual_capacity, maximum_capacity, agreed_capacity, delta_production_result,
        material_number_customer, customer_location, demand_category_code)) not valid,
    -- Since when start, interval and thresholds are those that they are. NULL: first_received_at.
    add column measured_by_since timestamptz;

-- Start, interval and thresholds of earlier times. They change seldom, so they are
-- no part of the states that weeks and links have.
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

-- +goose StatementBegin
create or replace function dcm.keep_capacity_group() returns trigger language plpgsql as $$
begin
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
            old.unit_of_measure, old.is_inactive, old.linked_capacity_groups, old.material_number_customer, old.customer_location, old.demand_category_code)
        is not distinct from (new.actual_capacity, new.maximum_capacity, new.agreed_capacity, new.delta_production_result, new.point_in_time,
            new.unit_of_measure, new.is_inactive, new.linked_capacity_groups, new.material_number_customer, new.customer_location, new.demand_category_code)
    then
        return new;
    end if;
    if current_setting('dcm.history', true) is distinct from 'off' then
        insert into dcm.capacity_group_history (
            supplier, customer, capacity_group_id, valid_from, superseded_at, changed_at, changed_at_nanosecond, unit_of_measure, is_inactive,
            linked_capacity_groups, material_number_customer, customer_location, demand_category_code,
            point_in_time, actual_capacity, maximum_capacity, agreed_capacity, delta_production_result)
        values (
            old.supplier, old.customer, old.capacity_group_id, coalesce(old.valid_from, old.first_received_at), new.received_at,
            old.changed_at, old.changed_at_nanosecond, old.unit_of_measure, old.is_inactive,
            old.linked_capacity_groups, old.material_number_customer, old.customer_location, old.demand_category_code,
            old.point_in_time, old.actual_capacity, old.maximum_capacity, old.agreed_capacity, old.delta_production_result)
        on conflict do nothing; -- a clock that went back
    end if;
    new.valid_from := new.received_at;
    return new;
end
$$;
-- +goose StatementEnd

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

-- The groups below, at any depth, each once, also where the links run in a circle. As
-- a function, because of a recursion within the view Postgres expects tens of thousands
-- of rows, and because most groups need none.
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

-- Lists are unfolded beside each other instead of into tables of their own, which
-- takes a quarter off a question for many groups. The view means what it meant.
create or replace view planning.group_week as
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

create or replace view planning.volatility as
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
cross join lateral (
    select
        p.start_reference_date_time + (n.k * p.measurement_interval)::float8 * interval '168 hours' as measured_at,
        p.start_reference_date_time + ((n.k - 1) * p.measurement_interval)::float8 * interval '168 hours' as compared_at
    from generate_series(
        greatest(1, ceil(extract(epoch from p.valid_from - p.start_reference_date_time)::numeric / 604800 / nullif(greatest(p.measurement_interval, 0), 0))),
        floor(extract(epoch from least(now(), p.superseded_at) - p.start_reference_date_time)::numeric / 604800 / nullif(greatest(p.measurement_interval, 0), 0)))
        as n (k)
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
        select i.is_latest, d.point_in_time, d.demand
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
        cross join lateral unnest(t.point_in_time, t.demand) as d (point_in_time, demand)
        where not coalesce(a.is_inactive, c.is_inactive)
    ) u
    group by u.point_in_time
) w
-- A sub-horizon has exactly as many weeks as its length says; the first begins with
-- the week of the measurement.
left join lateral (
    select h.*
    from (
        select
            t.*,
            sum(t.subhorizon_length) over (order by t.sequence_number rows unbounded preceding) as ends_before
        from unnest(p.sequence_number, p.subhorizon_length, p.relative_positive_deviation, p.relative_negative_deviation,
            p.absolute_positive_deviation, p.absolute_negative_deviation)
            as t (sequence_number, subhorizon_length, relative_positive_deviation, relative_negative_deviation,
            absolute_positive_deviation, absolute_negative_deviation)
    ) h
    where (w.point_in_time - date_trunc('week', m.measured_at at time zone 'UTC')::date) / 7 >= h.ends_before - h.subhorizon_length
        and (w.point_in_time - date_trunc('week', m.measured_at at time zone 'UTC')::date) / 7 < h.ends_before
    order by h.sequence_number
    limit 1
) t on true
where m.measured_at < p.superseded_at and w.is_comparable and w.point_in_time >= date_trunc('week', m.measured_at at time zone 'UTC')::date;
comment on view planning.volatility is 'One row per stored WeekBasedCapacityGroup with startReferenceDateTime and measurementInterval, measurement and week from that of the measurement on: its demand then against its demand one interval before (CX-0128 §5.11). Start, interval, thresholds and links are those at the measurement. A measurement before which nothing is known of the demand has no row.';

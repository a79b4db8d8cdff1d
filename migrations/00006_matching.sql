-- +goose Up

-- Earlier states. A state begins when it is first received or released
-- (valid_from) and ends when other values take its place; the same values again,
-- however they are spelled, are the same state. Triggers keep what is replaced, in
-- the same transaction, whoever writes. "set dcm.history = off" keeps nothing in a
-- session.

alter table dcm.capacity_group add column valid_from timestamptz; -- NULL: first_received_at

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
    primary key (supplier, customer, capacity_group_id, valid_from, changed_at, changed_at_nanosecond)
);
create index capacity_group_history_superseded_at on dcm.capacity_group_history using brin (superseded_at);

-- +goose StatementBegin
create function dcm.keep_capacity_group() returns trigger language plpgsql as $$
begin
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

create trigger keep_capacity_group before update on dcm.capacity_group for each row
    when (
        old.content_hash is distinct from new.content_hash -- nearly always says it for nothing
        and (old.point_in_time, old.actual_capacity, old.maximum_capacity, old.agreed_capacity, old.delta_production_result,
            old.unit_of_measure, old.is_inactive, old.linked_capacity_groups, old.material_number_customer, old.customer_location, old.demand_category_code)
        is distinct from (new.point_in_time, new.actual_capacity, new.maximum_capacity, new.agreed_capacity, new.delta_production_result,
            new.unit_of_measure, new.is_inactive, new.linked_capacity_groups, new.material_number_customer, new.customer_location, new.demand_category_code))
    execute function dcm.keep_capacity_group();

-- Who writes a series sets changed_at and valid_from to those of its demand; the
-- trigger takes them back where the values are the same.
alter table dcm.demand_series
    add column changed_at timestamptz not null default '-infinity',
    add column changed_at_nanosecond smallint not null default 0,
    add column valid_from timestamptz not null default now();

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

-- +goose StatementBegin
do $$
begin
    execute 'alter table dcm.capacity_group_history
        alter point_in_time set compression lz4, alter actual_capacity set compression lz4, alter maximum_capacity set compression lz4,
        alter agreed_capacity set compression lz4, alter delta_production_result set compression lz4';
    execute 'alter table dcm.demand_series_history alter point_in_time set compression lz4, alter demand set compression lz4';
exception
    when feature_not_supported or syntax_error then -- built without, before 14
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

-- A group takes the demand of each distinct active group below it, at any depth,
-- once, also where the links run in a circle. Demands and capacities are put under
-- each other and added up, instead of being joined, so that a condition on the week
-- reaches both.
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
        select c.point_in_time, null::numeric as demand, c.actual_capacity, c.maximum_capacity, c.agreed_capacity, c.delta_production_result
        from unnest(g.point_in_time, g.actual_capacity, g.maximum_capacity, g.agreed_capacity, g.delta_production_result)
            as c (point_in_time, actual_capacity, maximum_capacity, agreed_capacity, delta_production_result)
        union all
        select d.point_in_time, d.demand * coalesce(l.load_factor, 1), null, null, null, null
        from (
            with recursive below (id) as (
                select unnest(g.linked_capacity_groups)
                union
                select unnest(p.linked_capacity_groups)
                from below b
                join dcm.capacity_group p on p.supplier = g.supplier and p.customer = g.customer and p.capacity_group_id = b.id
                where not p.is_inactive
            )
            select * from unnest(g.material_number_customer, g.customer_location, g.demand_category_code, g.load_factor)
            union all
            select s.*
            from below b
            join dcm.capacity_group p on p.supplier = g.supplier and p.customer = g.customer and p.capacity_group_id = b.id
            cross join lateral unnest(p.material_number_customer, p.customer_location, p.demand_category_code, p.load_factor) as s
            where not p.is_inactive and p.capacity_group_id <> g.capacity_group_id
        ) as l (material_number_customer, customer_location, demand_category_code, load_factor)
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
        ) m
        join dcm.demand_series t
            on t.partner = m.partner and t.direction = m.direction and t.supplier = g.supplier and t.customer = g.customer
            and t.material_number_customer = l.material_number_customer and t.customer_location = l.customer_location
            and t.demand_category_code = l.demand_category_code
        cross join lateral unnest(t.point_in_time, t.demand) as d (point_in_time, demand)
        where not m.is_inactive
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

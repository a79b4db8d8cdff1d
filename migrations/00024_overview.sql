-- +goose Up

-- What is kept ready of all groups together: which are worst, and how much capacity
-- there is by week. Working it out takes seconds for 10,000 groups and minutes for a
-- million, so serve does it in the background, one supplier and customer after the
-- other, where anything changed. No message pays for it. It can all be worked out
-- again: after "truncate dcm.overview" it is.

-- One row a supplier and customer: of what their overview was made.
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

-- Whose turn it is to look for changes, and how far that has come. One row.
create table dcm.overview_turn (
    begins_after timestamptz not null,
    as_of timestamptz
);
comment on column dcm.overview_turn.begins_after is 'No replica looks before this. The one at work puts it off, so that another takes over where it is gone.';
comment on column dcm.overview_turn.as_of is 'What was stored before this is in the overview. NULL: there is no whole one yet.';
insert into dcm.overview_turn (begins_after) values ('-infinity');

-- A number for each supplier and customer that changes when a group or demand of
-- theirs does, and stays where the same content came again.
create view dcm.overview_content as
select supplier, customer, sum(content) as content
from (
    select supplier, customer, hash_record_extended(row (capacity_group_id, content_hash), 1) as content
    from dcm.capacity_group
    union all
    -- By partner, because the keys of demands begin with it. What is sent has no hash
    -- of its content, but is recorded when that differs only.
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

-- Makes the overview of one supplier and customer, and writes what is different. In a
-- transaction that sees one state (repeatable read) it is what the exact views say of
-- that state; another at work on the same two then fails, so nothing older is written
-- over it. It works in pieces, and after each sleeps pauses times as long as that took:
-- what it takes of a core is taken evenly, and never holds up messages for long, however
-- many groups a supplier has. As the owner, so that a receiver whose role is another needs no right but on
-- tables of schema dcm.
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

-- Capacity groups, worst first: what is missing, in weeks of the group's own demand
-- (units differ), then the earliest bottleneck, then demand without capacity. Up to
-- at_once groups are worked out now; of more, what is kept ready is taken, and as_of says
-- how old that is of each. Names are cut: a partner may send them as long as a message.
with found as materialized (
    select supplier, customer, capacity_group_id, left(name, 201) as name, is_inactive
    from planning.capacity_group
    where supplier = @search
    union all
    select supplier, customer, capacity_group_id, left(name, 201), is_inactive
    from planning.capacity_group g
    where not exists (select from planning.capacity_group where supplier = @search)
        and (@search = '' or strpos(lower(left(name, 200)), lower(@search)) > 0
            or customer = @search or capacity_group_id::text = lower(@search) or @search = any (supplier_locations)
            or @materials and exists (
                select from planning.linked_demand_series s
                where s.supplier = g.supplier and s.customer = g.customer and s.capacity_group_id = g.capacity_group_id
                    and @search in (s.material_number_customer, s.material_number_supplier, s.customer_location)))
), kept as materialized (
    select
        @at_once < 0 or exists (select from planning.group_overview) and @at_once < case
            when @search = '' then (select count(*) from (select from planning.capacity_group limit greatest(@at_once, 0) + 1) g)
            else (select count(*) from found)
        end as is_taken
), judged as materialized (
    select
        f.*, w.red_weeks, w.orange_weeks, w.open_weeks, w.first_bottleneck, w.missing, w.weeks_missing, o.gave_up_at is not null as is_unknown,
        null::timestamptz as as_of
    from found f
    left join planning.group_overview o -- what took too long in the background does so here
        on o.supplier = f.supplier and o.customer = f.customer and o.capacity_group_id = f.capacity_group_id and o.weeks = @weeks
            and o.gave_up_at > '-infinity'
    cross join lateral (
        select
            count(*) filter (where colour = 'red') as red_weeks,
            count(*) filter (where colour = 'orange') as orange_weeks,
            count(*) filter (where result = 'no capacity') as open_weeks,
            min(point_in_time) filter (where result = 'bottleneck') as first_bottleneck,
            sum(demand - maximum_capacity) filter (where colour = 'red') as missing,
            sum(demand - maximum_capacity) filter (where colour = 'red') / nullif(avg(demand) filter (where demand > 0), 0) as weeks_missing
        from planning.group_week w
        where w.supplier = f.supplier and w.customer = f.customer and w.capacity_group_id = f.capacity_group_id
            and w.point_in_time >= @from and w.point_in_time < @until and o.gave_up_at is null
    ) w
    where not (select is_taken from kept)
    union all -- of those that were found
    select
        f.*, coalesce(o.red_weeks, 0), coalesce(o.orange_weeks, 0), coalesce(o.weeks_without_capacity, 0), o.first_bottleneck, o.missing, o.weeks_missing,
        o.red_weeks is null, o.as_of
    from found f
    left join planning.group_overview o
        on o.supplier = f.supplier and o.customer = f.customer and o.capacity_group_id = f.capacity_group_id and o.weeks = @weeks
    where (@search <> '' or @at_once < 0) and (select is_taken from kept)
    union all -- of all
    select
        supplier, customer, capacity_group_id, null, false, coalesce(red_weeks, 0), coalesce(orange_weeks, 0), coalesce(weeks_without_capacity, 0),
        first_bottleneck, missing, weeks_missing, red_weeks is null, as_of
    from planning.group_overview
    where weeks = @weeks and @search = '' and @at_once >= 0 and (select is_taken from kept)
)
select
    supplier, customer, capacity_group_id, left(g.name, 201) as name, g.unit_of_measure as unit, g.is_inactive, g.received_at,
    l.red_weeks, l.orange_weeks, l.open_weeks, l.first_bottleneck, trim_scale(l.missing)::text as missing,
    round(l.weeks_missing, 1)::text as weeks_missing, l.is_unknown, (select is_taken from kept) as is_kept, l.as_of,
    (select count(*) from judged where not @only_bottlenecks or first_bottleneck is not null) as total
from (
    select *
    from judged
    where not @only_bottlenecks or first_bottleneck is not null
    order by is_inactive, red_weeks > 0 desc, weeks_missing desc nulls last, first_bottleneck nulls last,
        orange_weeks desc, open_weeks desc, is_unknown, name, supplier, customer, capacity_group_id
    limit @limit offset @offset
) l
join planning.capacity_group g using (supplier, customer, capacity_group_id)
order by l.is_inactive, l.red_weeks > 0 desc, l.weeks_missing desc nulls last, l.first_bottleneck nulls last,
    l.orange_weeks desc, l.open_weeks desc, l.is_unknown, l.name, supplier, customer, capacity_group_id

-- Capacity groups, worst first: what is missing, in weeks of the group's own demand
-- (units differ), then the earliest bottleneck, then demand without capacity. Up to
-- a thousand are worked out now; of more, what is kept ready is taken, and as_of says
-- how old that is.
with found as materialized (
    select supplier, customer, capacity_group_id, name, unit_of_measure, is_inactive, received_at
    from planning.capacity_group g
    where @search = '' or strpos(lower(name), lower(@search)) > 0
        or supplier = @search or customer = @search or capacity_group_id::text = lower(@search) or @search = any (supplier_locations)
        or exists (
            select from planning.linked_demand_series s
            where s.supplier = g.supplier and s.customer = g.customer and s.capacity_group_id = g.capacity_group_id
                and @search in (s.material_number_customer, s.material_number_supplier, s.customer_location))
), ready as materialized (
    select as_of, (select count(*) from found) > case when as_of is null then 10000 else @at_once end as is_taken
    from (values (true)) as always
    left join (select as_of from planning.group_overview limit 1) o on true
), judged as (
    select f.*, w.red_weeks, w.orange_weeks, w.open_weeks, w.first_bottleneck, w.missing, w.weeks_missing
    from found f
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
            and w.point_in_time >= @from and w.point_in_time < @until
    ) w
    where not (select is_taken from ready)
    union all
    select f.*, coalesce(o.red_weeks, 0), coalesce(o.orange_weeks, 0), coalesce(o.weeks_without_capacity, 0), o.first_bottleneck, o.missing, o.weeks_missing
    from found f
    left join planning.group_overview o
        on o.supplier = f.supplier and o.customer = f.customer and o.capacity_group_id = f.capacity_group_id and o.weeks = @weeks
    where (select is_taken from ready)
)
select
    supplier, customer, capacity_group_id, name, unit_of_measure as unit, is_inactive, received_at,
    red_weeks, orange_weeks, open_weeks, first_bottleneck, trim_scale(missing)::text as missing,
    round(weeks_missing, 1)::text as weeks_missing, count(*) over () as total,
    (select is_taken from ready) as is_kept, (select as_of from ready where is_taken) as as_of
from judged
where not @only_bottlenecks or first_bottleneck is not null
order by is_inactive, red_weeks > 0 desc, judged.weeks_missing desc nulls last, first_bottleneck nulls last,
    orange_weeks desc, open_weeks desc, name, supplier, customer, capacity_group_id
limit @limit offset @offset

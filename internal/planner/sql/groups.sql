-- Capacity groups, worst first: what is missing, in weeks of the group's own demand
-- (units differ), then the earliest bottleneck, then demand without capacity.
with found as (
    select supplier, customer, capacity_group_id, name, unit_of_measure, is_inactive, received_at
    from planning.capacity_group g
    where @search = '' or strpos(lower(name), lower(@search)) > 0
        or supplier = @search or customer = @search or capacity_group_id::text = lower(@search) or @search = any (supplier_locations)
        or exists (
            select from planning.linked_demand_series s
            where s.supplier = g.supplier and s.customer = g.customer and s.capacity_group_id = g.capacity_group_id
                and @search in (s.material_number_customer, s.material_number_supplier, s.customer_location))
), judged as (
    select f.*, w.red_weeks, w.orange_weeks, w.open_weeks, w.first_bottleneck, w.missing, w.weeks_missing
    from found f
    cross join lateral (
        select
            count(*) filter (where colour = 'red') as red_weeks,
            count(*) filter (where colour = 'orange') as orange_weeks,
            min(point_in_time) filter (where result = 'bottleneck') as first_bottleneck,
            count(*) filter (where result = 'no capacity') as open_weeks,
            sum(demand - maximum_capacity) filter (where demand > maximum_capacity) as missing,
            sum(demand - maximum_capacity) filter (where demand > maximum_capacity) / nullif(avg(demand) filter (where demand > 0), 0) as weeks_missing
        from planning.group_week w
        where w.supplier = f.supplier and w.customer = f.customer and w.capacity_group_id = f.capacity_group_id
            and w.point_in_time >= @from and w.point_in_time < @until
    ) w
)
select
    supplier, customer, capacity_group_id, name, unit_of_measure as unit, is_inactive, received_at,
    red_weeks, orange_weeks, open_weeks, first_bottleneck, trim_scale(missing)::text as missing,
    round(weeks_missing, 1)::text as weeks_missing, count(*) over () as total
from judged
where not @only_bottlenecks or first_bottleneck is not null
order by is_inactive, red_weeks > 0 desc, judged.weeks_missing desc nulls last, first_bottleneck nulls last,
    orange_weeks desc, open_weeks desc, name, supplier, customer, capacity_group_id
limit @limit offset @offset

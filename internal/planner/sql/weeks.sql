select
    w.point_in_time, w.result, w.colour,
    trim_scale(w.demand)::text as demand, trim_scale(w.actual_capacity)::text as actual_capacity, trim_scale(w.maximum_capacity)::text as maximum_capacity,
    trim_scale(w.agreed_capacity)::text as agreed_capacity, trim_scale(w.maximum_capacity - w.actual_capacity)::text as flexible_capacity,
    trim_scale(c.delta_production_result)::text as delta_production_result,
    case when w.demand > w.maximum_capacity then trim_scale(w.demand - w.maximum_capacity)::text end as missing
from planning.group_week w
left join planning.capacity c
    on c.supplier = @supplier and c.customer = @customer and c.capacity_group_id = @id and c.point_in_time = w.point_in_time
where w.supplier = @supplier and w.customer = @customer and w.capacity_group_id = @id
    and w.point_in_time >= @from and w.point_in_time < @until
order by w.point_in_time

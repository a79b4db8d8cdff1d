select
    point_in_time, result, colour,
    trim_scale(demand)::text as demand, trim_scale(actual_capacity)::text as actual_capacity, trim_scale(maximum_capacity)::text as maximum_capacity,
    trim_scale(agreed_capacity)::text as agreed_capacity,
    case when demand > maximum_capacity then trim_scale(demand - maximum_capacity)::text end as missing
from planning.group_week
where supplier = @supplier and customer = @customer and capacity_group_id = @id
    and point_in_time >= @from and point_in_time < @until
order by point_in_time

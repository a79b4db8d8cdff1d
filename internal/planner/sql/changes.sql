-- The weeks whose capacity is not what it was at the instant since.
with before as (
    select point_in_time, actual_capacity, maximum_capacity, agreed_capacity
    from planning.capacity_history
    where supplier = @supplier and customer = @customer and capacity_group_id = @id
        and received_at <= @since and (superseded_at is null or superseded_at > @since)
), after as (
    select point_in_time, actual_capacity, maximum_capacity, agreed_capacity
    from planning.capacity_history
    where supplier = @supplier and customer = @customer and capacity_group_id = @id and superseded_at is null
)
select
    point_in_time,
    trim_scale(b.actual_capacity)::text as actual_before, trim_scale(a.actual_capacity)::text as actual_after,
    trim_scale(b.maximum_capacity)::text as maximum_before, trim_scale(a.maximum_capacity)::text as maximum_after,
    trim_scale(b.agreed_capacity)::text as agreed_before, trim_scale(a.agreed_capacity)::text as agreed_after
from before b
full join after a using (point_in_time)
where exists (select from before)
    and (b.actual_capacity, b.maximum_capacity, b.agreed_capacity) is distinct from (a.actual_capacity, a.maximum_capacity, a.agreed_capacity)
order by point_in_time

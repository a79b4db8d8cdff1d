-- Which of the objects that comments are on are capacity groups that we have.
select k.id
from unnest((select @objects::uuid[])) as k (id)
cross join lateral (
    select
    from dcm.capacity_group
    where supplier = @supplier and customer = @customer and capacity_group_id = k.id
    offset 0
) as g

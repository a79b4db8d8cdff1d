-- The groups that this one takes the demand of, and those that take its.
select *, count(*) over () as total
from (
    select 'below' as place, l.id as capacity_group_id, left(c.name, 201) as name, c.is_inactive
    from planning.capacity_group g
    cross join lateral unnest(g.linked_capacity_groups) as l (id)
    left join planning.capacity_group c on c.supplier = g.supplier and c.customer = g.customer and c.capacity_group_id = l.id
    where g.supplier = @supplier and g.customer = @customer and g.capacity_group_id = @id
    union all
    select 'above', capacity_group_id, left(name, 201), is_inactive
    from planning.capacity_group
    where supplier = @supplier and customer = @customer and @id::uuid = any (linked_capacity_groups)
) r
order by 1 desc, 3
limit 500

-- By ID or by material: there may be one object of each. One look-up by key after
-- the other and in the order of IDs, as lock_capacity_groups.sql. The ID as a range in
-- its order leaves the planner the primary key alone: where it knows nothing of the
-- table yet, the other index looks as good, and leads to all that the partner has.
select d.material_demand_id, d.material_number_customer, d.changed_at, d.changed_at_nanosecond, d.content_hash, d.is_unlocked
from (
    select id
    from unnest((select @ids::uuid[])) as i (id)
    union
    select h.material_demand_id
    from unnest((select @materials::text[])) as m (number)
    cross join lateral (
        select material_demand_id
        from dcm.material_demand
        where partner = @customer and direction = 'received' and supplier = @supplier and customer = @customer and material_number_customer = m.number
        offset 0
    ) as h
    order by 1
) as k
cross join lateral (
    select material_demand_id, material_number_customer, changed_at, changed_at_nanosecond, content_hash, is_unlocked
    from dcm.material_demand
    where partner = @customer and direction = 'received' and supplier = @supplier and customer = @customer and material_demand_id between k.id and k.id
    order by material_demand_id
    for update
) as d

-- Which of the objects that comments are on are material demands that we sent or
-- received, each by the primary key (see lock_material_demands.sql).
select k.id
from unnest((select @objects::uuid[])) as k (id)
cross join unnest(array['sent', 'received']) as w (direction)
cross join lateral (
    select
    from dcm.material_demand
    where partner = @partner and direction = w.direction and supplier = @supplier and customer = @customer and material_demand_id between k.id and k.id
    order by material_demand_id
    limit 1
) as d

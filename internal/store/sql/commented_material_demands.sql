-- Which of the objects that comments are on are material demands that we sent or
-- received.
select k.id
from unnest((select @objects::uuid[])) as k (id)
cross join lateral (
    select
    from dcm.material_demand
    where partner = @partner and supplier = @supplier and customer = @customer and material_demand_id = k.id
    limit 1
) as d

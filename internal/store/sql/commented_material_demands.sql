-- Which of the objects that comments are on are material demands that we sent or
-- received.
select material_demand_id
from dcm.material_demand
where partner = @partner and supplier = @supplier and customer = @customer and material_demand_id = any (@objects)

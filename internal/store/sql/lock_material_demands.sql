-- By ID or by material: there may be one object of each. Sorted before it is
-- locked, so that two lists in opposite order cannot wait for each other.
select material_demand_id, material_number_customer, changed_at, changed_at_nanosecond, content_hash, is_unlocked
from dcm.material_demand
where partner = @customer and direction = 'received' and supplier = @supplier and customer = @customer
    and (material_demand_id = any (@ids) or material_number_customer = any (@materials))
order by material_demand_id
for update

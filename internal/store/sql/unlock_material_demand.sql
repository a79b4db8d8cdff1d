update dcm.material_demand set is_unlocked = true
where partner = @customer and direction = 'received' and supplier = @supplier and customer = @customer and material_demand_id = @id
returning changed_at, changed_at_nanosecond

-- The same content again: nothing is to be written but that it came.
update dcm.material_demand set
    recorded_at = @received_at,
    message_id = @message_id
where partner = @customer and direction = 'received' and supplier = @supplier and customer = @customer and material_demand_id = @id

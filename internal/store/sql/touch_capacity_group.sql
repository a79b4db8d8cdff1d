-- The same content again: nothing is to be written but that it came.
update dcm.capacity_group set
    received_at = @received_at,
    message_id = @message_id
where supplier = @supplier and customer = @customer and capacity_group_id = @id

-- As touch_capacity_group.sql, for many.
update dcm.capacity_group set
    received_at = @received_at,
    message_id = @message_id
where supplier = @supplier and customer = @customer and capacity_group_id = any (@ids)

update dcm.capacity_group set is_unlocked = true
where supplier = @supplier and customer = @customer and capacity_group_id = @id
returning changed_at, changed_at_nanosecond

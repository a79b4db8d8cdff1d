delete from dcm.capacity_group
where supplier = @supplier and customer = @customer and capacity_group_id = @id
returning changed_at, changed_at_nanosecond

select capacity_group_id, changed_at, changed_at_nanosecond, start_reference_date_time, start_reference_date_time_nanosecond, content_hash, is_unlocked
from dcm.capacity_group
where supplier = @supplier and customer = @customer and capacity_group_id = @id
for update

-- NULL: all of them were asked for.
select distinct capacity_group_id
from outbox.request_for_update
where supplier = @supplier and customer = @customer and (capacity_group_id is null or capacity_group_id = any (@ids))

select comment_id, originator, deleted_at, deleted_at_nanosecond, changed_at, changed_at_nanosecond, content_hash
from dcm.comment
where partner = @partner and supplier = @supplier and customer = @customer and comment_id = any (@ids)
order by comment_id
for update

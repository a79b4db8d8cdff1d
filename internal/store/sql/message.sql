-- By our ID, or by the sender's own; of repeats, the latest.
select id, message_id, endpoint, received_at, status, errors, capacity_group_id, rule, object_errors
from dcm.message
where sender = @sender and (id = @id or message_id = @id)
order by id desc
limit 1

-- By our ID, or by the sender's own; of repeats, the latest.
select id, message_id, message_id_as_sent, endpoint, received_at, status, objects, errors, more_errors, capacity_group_id, rule, object_errors, true as complete
from dcm.message
where sender = @sender and (id = @id or message_id = @id)
order by id desc
limit 1

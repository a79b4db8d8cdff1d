select id, message_id, endpoint, received_at, status, errors, capacity_group_id, rule, object_errors
from dcm.message
where sender = @sender
    and (@before::uuid is null or id < @before)
    and (not @refused or status >= 400)
order by id desc
limit @limit

-- What an entry says of its objects is left out where it is large: a hundred of
-- those would be more than an answer should be.
select
    id, message_id, message_id_as_sent, endpoint, received_at, status, objects, errors, more_errors,
    case when complete then capacity_group_id else '{}' end,
    case when complete then rule else '{}' end,
    case when complete then object_errors end,
    complete
from (
    select *, pg_column_size(capacity_group_id) + coalesce(pg_column_size(object_errors), 0) < 8192 as complete
    from dcm.message
    where sender = @sender
        and (@before::uuid is null or id < @before)
        and (not @refused or status >= 400)
    order by id desc
    limit @limit
) as page
order by id desc

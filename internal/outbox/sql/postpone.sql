-- The partner takes nothing of this kind now: all of it waits as long.
update dcm.delivery d set
    state = 'waiting', next_attempt_at = now() + $3::interval, status = nullif($4::integer, 0), reason = $5
from (
    select object, object_id, changed_at
    from dcm.delivery
    where partner = $1 and object = $2 and state in ('waiting', 'sending')
    order by object, object_id, changed_at
    for update
) w
where d.partner = $1 and d.object = w.object and d.object_id = w.object_id and d.changed_at = w.changed_at

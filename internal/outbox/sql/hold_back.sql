-- Sending to the partner failed here, not at the partner: what is due waits for all replicas.
update dcm.delivery d set
    next_attempt_at = now() + $2::interval,
    reason = coalesce(d.reason, 'sending failed here, not at the partner; the log of the receiver says why')
from (
    select object, object_id, changed_at
    from dcm.delivery
    where partner = $1 and state = 'waiting' and (next_attempt_at is null or next_attempt_at <= now())
    order by object, object_id, changed_at
    for update
) w
where d.partner = $1 and d.object = w.object and d.object_id = w.object_id and d.changed_at = w.changed_at

-- What was begun and has no end waits again, if no other replica serves the partner now.
-- $3: it was not tried either, because our own connector could not be used.
update dcm.delivery d set state = 'waiting', attempts = greatest(d.attempts - $3::integer, 0)
from (
    select object, object_id, changed_at
    from dcm.delivery
    where partner = $1 and state = 'sending' and exists (select from dcm.sending s where s.partner = $1 and s.owner = $2)
    order by object, object_id, changed_at
    for update
) w
where d.partner = $1 and d.object = w.object and d.object_id = w.object_id and d.changed_at = w.changed_at

-- Our own connector cannot be used here. What has been due for some seconds, while no
-- other replica serves anyone, is due for that reason; nothing else about it changes.
update dcm.delivery d set reason = $2
from (
    select partner, object, object_id, changed_at
    from dcm.delivery
    where state in ('waiting', 'sending') and (next_attempt_at is null or next_attempt_at <= now()) and reason is distinct from $2
        and greatest(queued_at, next_attempt_at) < now() - interval '2 s'
        and not exists (select from dcm.sending where until > now() and owner <> $1)
        and partner not in (select partner from dcm.sending where until > now())
    order by partner, object, object_id, changed_at
    limit 10000
    for update skip locked
) w
where d.partner = w.partner and d.object = w.object and d.object_id = w.object_id and d.changed_at = w.changed_at

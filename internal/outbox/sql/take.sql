-- Takes what is due for a partner that this replica serves, and nothing if it has lost it.
with mine as (
    select partner from dcm.sending where partner = $1 and owner = $3 and until > now() for share
)
update dcm.delivery d set state = 'sending', attempts = d.attempts + 1, last_attempt_at = now()
from (
    select w.object, w.object_id, w.changed_at
    from mine
    join dcm.delivery w using (partner)
    where w.state = 'waiting' and (w.next_attempt_at is null or w.next_attempt_at <= now())
    order by w.answers_message_id is null, w.queued_at -- answers first: they are awaited
    limit $2
    for update of w
) w
where d.partner = $1 and d.object = w.object and d.object_id = w.object_id and d.changed_at = w.changed_at
returning d.object, d.object_id, d.changed_at, d.supplier, d.customer, d.answers_message_id, d.attempts, d.queued_at,
    exists (select from dcm.delivery n where n.partner = $1 and n.object = d.object and n.object_id = d.object_id and n.changed_at > d.changed_at)

-- Takes what is due for a partner that this replica serves, and nothing if it has lost it.
-- What somebody else has locked is left for the next time.
with mine as (
    select partner from dcm.sending where partner = $1 and owner = $3 and until > now() for share
),
next as materialized (
    select d.object, d.object_id, d.changed_at
    from mine
    join dcm.delivery d using (partner)
    where d.state = 'waiting' and (d.next_attempt_at is null or d.next_attempt_at <= now())
    order by d.answers_message_id is null, d.queued_at -- answers first: they are awaited
    limit $2
),
taken as (
    select d.object, d.object_id, d.changed_at
    from next
    join dcm.delivery d on d.partner = $1 and d.object = next.object and d.object_id = next.object_id and d.changed_at = next.changed_at
    where d.state = 'waiting'
    order by d.object, d.object_id, d.changed_at
    for update of d skip locked
)
update dcm.delivery d set state = 'sending', attempts = d.attempts + 1, last_attempt_at = now()
from taken w
where d.partner = $1 and d.object = w.object and d.object_id = w.object_id and d.changed_at = w.changed_at
returning d.object, d.object_id, d.changed_at, d.supplier, d.customer, d.answers_message_id, d.attempts, d.queued_at,
    exists (select from dcm.delivery n where n.partner = $1 and n.object = d.object and n.object_id = d.object_id and n.changed_at > d.changed_at)

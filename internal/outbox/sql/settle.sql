-- What became of a message, also if that was not stored before the partner was given up
-- and its objects waited again. An object that was asked for while it was on its way
-- goes again: it may have been there before the question.
update dcm.delivery d set
    state = case when j.asked_since then 'waiting' else $6 end,
    next_attempt_at = null, status = coalesce(nullif($7::integer, 0), d.status),
    reason = case when not d.is_forgotten then nullif($8, '') end, -- it may quote a comment that was taken back meanwhile
    delivered_at = case when $6 = 'delivered' and not j.asked_since then now() else d.delivered_at end
from (
    select s.object_id, s.changed_at, $6 = 'delivered' and q.answers_message_id is distinct from s.answers as asked_since
    from unnest($3::uuid[], $4::timestamptz[], $5::uuid[]) as s (object_id, changed_at, answers)
    join dcm.delivery q on q.partner = $1 and q.object = $2 and q.object_id = s.object_id and q.changed_at = s.changed_at
    where q.state in ('waiting', 'sending')
    order by q.object_id, q.changed_at
    for update of q
) j
where d.partner = $1 and d.object = $2 and d.object_id = j.object_id and d.changed_at = j.changed_at

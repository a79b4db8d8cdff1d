update dcm.delivery d set
    state = $5, next_attempt_at = null, status = coalesce(nullif($6::integer, 0), d.status), reason = nullif($7, ''),
    delivered_at = case when $5 = 'delivered' then now() else d.delivered_at end
from unnest($3::uuid[], $4::timestamptz[]) as j (object_id, changed_at)
where d.partner = $1 and d.object = $2 and d.object_id = j.object_id and d.changed_at = j.changed_at and d.state = 'sending'

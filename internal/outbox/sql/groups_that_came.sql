select o.message::text || o.index as key, coalesce(o.object_id::text, ''), o.outcome, o.received_at
from planning.message as m
join planning.message_object as o on o.message = m.id
where m.sender = $1 and m.received_at >= $2 and m.endpoint = $3
order by o.received_at, o.index

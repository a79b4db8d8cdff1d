select o.message as id, o.received_at, m.status, o.rule, o.standard, o.outcome, left(o.errors -> 0 ->> 'detail', 201) as reason
from planning.message_object o
join planning.message m on m.id = o.message and m.sender = o.sender
where o.sender = @supplier and o.object_id = @id
order by o.received_at desc
limit 20

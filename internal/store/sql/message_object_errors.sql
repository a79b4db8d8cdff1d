-- The errors, or else the warnings, of a message's objects, a row an object.
select e.key::integer, e.value
from dcm.message m, jsonb_each(case when @warnings then m.object_warnings else m.object_errors end) e
where sender = @sender and id = @id

select index, object_id, standard, rule, outcome, errors, more_errors, warnings
from planning.message_object
where message = @id
order by outcome <> 'ignored', index
limit 200

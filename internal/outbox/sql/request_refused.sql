select min(supplier || ': ' || coalesce(reason, ''))
from planning.delivery
where state = 'refused' and object_id = any ($1::text[]::uuid[])

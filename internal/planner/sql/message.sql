select
    id, received_at, endpoint, sender, message_id, is_repeat, contract_agreement_id, status, objects, bytes,
    extract(milliseconds from duration)::float8 as milliseconds, errors, more_errors
from planning.message
where id = @id

-- By our ID, which is known to be the sender's. What it says of its objects is read
-- separately, in pieces.
select
    id, message_id, message_id_as_sent, endpoint, received_at, status,
    coalesce(problem, case status when 422 then 'not-json' when 413 then 'too-large' when 400 then 'refused' end),
    coalesce(standard, case when cardinality(rule) > 0 then 'CX-0048 v1.0.0 §3.2.7' end),
    objects, errors, more_errors, warnings, more_warnings, '{}'::uuid[], '{}'::smallint[], '{}'::text[], null::jsonb, null::jsonb, true as complete
from dcm.message
where sender = @sender and id = @id

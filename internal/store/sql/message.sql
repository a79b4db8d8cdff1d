-- By our ID, or by the sender's own; of repeats, the latest. Our ID is meant
-- first: a sender may have used it as one of its own.
select
    id, message_id, message_id_as_sent, endpoint, received_at, status,
    coalesce(problem, case status when 422 then 'not-json' when 413 then 'too-large' when 400 then 'refused' end),
    coalesce(standard, case when cardinality(rule) > 0 then 'CX-0048 v1.0.0 §3.2.7' end),
    objects, errors, more_errors, warnings, more_warnings, object_id, rule,
    coalesce(outcome, array(
        select case when r = 5 then 'created' when r in (4, 7) then 'overwritten' else 'ignored' end from unnest(rule) with ordinality as u (r, i) order by i)),
    object_errors, object_warnings, true as complete
from dcm.message
where sender = @sender and (id = @id or message_id = @id)
order by id = @id desc, id desc
limit 1

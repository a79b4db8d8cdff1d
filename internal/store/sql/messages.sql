-- What an entry says of its objects is left out where it is large: a hundred of
-- those would be more than an answer should be. What takes 8 kB when it is
-- compressed may take 2 MB else.
select
    id, message_id, message_id_as_sent, endpoint, received_at, status,
    coalesce(problem, case status when 422 then 'not-json' when 413 then 'too-large' when 400 then 'refused' end),
    coalesce(standard, case when cardinality(rule) > 0 then 'CX-0048 v1.0.0 §3.2.7' end),
    objects, case when complete then errors end, more_errors, case when complete then warnings end, more_warnings,
    case when complete then object_id else '{}' end,
    case when complete then rule else '{}' end,
    case when complete then coalesce(outcome, array(
        select case when r = 5 then 'created' when r in (4, 7) then 'overwritten' else 'ignored' end from unnest(rule) with ordinality as u (r, i) order by i)) else '{}' end,
    case when complete then object_errors end,
    case when complete then object_warnings end,
    complete
from (
    select *,
        case when cardinality(rule) > 100 then false
            when coalesce(pg_column_size(errors), 0) + coalesce(pg_column_size(warnings), 0)
                + coalesce(pg_column_size(object_errors), 0) + coalesce(pg_column_size(object_warnings), 0) >= 8192 then false
            else octet_length(concat(errors, warnings, object_errors, object_warnings)) < 16384
        end as complete
    from dcm.message
    where sender = @sender
        and (@before::uuid is null or id < @before)
        and (not @refused or status >= 400)
    order by id desc
    limit @limit
) as page
order by id desc

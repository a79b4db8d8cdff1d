-- By our ID, or by the sender's own; of repeats, the latest. Our ID is meant
-- first: a sender may have used it as one of its own.
-- How large it is, without reading it: pglz and lz4 make it up to 255 times smaller.
select
    id, cardinality(rule) as objects,
    (
        255 * (coalesce(pg_column_size(errors), 0) + coalesce(pg_column_size(warnings), 0)
            + coalesce(pg_column_size(object_errors), 0) + coalesce(pg_column_size(object_warnings), 0))
    )::bigint as error_bytes
from dcm.message
where sender = @sender and (id = @id or message_id = @id)
order by id = @id desc, id desc
limit 1

-- Comments as IdBasedComment 1.1. A deletion says nothing but what it is about.
select c.comment_id, c.changed_at, json_strip_nulls(json_build_object(
    'commentId', c.comment_id,
    'supplier', c.supplier,
    'customer', c.customer,
    'objectId', c.object_id,
    'objectType', case c.object
        when 'WeekBasedMaterialDemand' then 'urn:samm:io.catenax.week_based_material_demand'
        else 'urn:samm:io.catenax.week_based_capacity_group' end,
    'author', coalesce(c.author, c.sender),
    'commentType', c.comment_type,
    'commentText', c.comment_text,
    'listOfReferenceDates', (select json_agg(to_char(d, 'YYYY-MM-DD') order by d) from (select distinct d from unnest(c.reference_dates) d) d),
    'postedAt', to_char(c.posted_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'changedAt', to_char(c.changed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'requestDelete', c.request_delete))::text
from outbox.comment c
where $1 in (c.supplier, c.customer) and c.sender <> $1 and c.customer = $2 and c.comment_id = any ($3::uuid[])

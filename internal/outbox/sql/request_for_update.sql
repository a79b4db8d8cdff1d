-- A request for capacity groups as IdBasedRequestForUpdate 3.0.
select r.message_id, r.requested_at, json_build_object('weekBasedCapacityGroup', case
    when r.capacity_group_id is null then '[]'::json
    else json_build_array(json_strip_nulls(json_build_object(
        'capacityGroupId', r.capacity_group_id,
        'changedAt', to_char(r.changed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')))) end)::text
from outbox.request_for_update r
where r.supplier = $1 and r.customer = $2 and r.message_id = any ($3::uuid[])

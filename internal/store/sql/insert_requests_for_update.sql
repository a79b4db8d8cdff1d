-- A repeated message adds nothing.
insert into dcm.request_for_update (
    supplier, message_key, kind, asks_for_all, requested_id,
    message_id, customer, changed_at, changed_at_nanosecond, requested_at, expected_response_by
)
select
    @sender, @message_key, r.kind, r.asks_for_all, r.requested_id,
    @message_id, @customer, r.changed_at, r.changed_at_nanosecond, @received_at, @expected_response_by
from unnest(@kinds::text[], @asks_for_all::boolean[], @requested_ids::uuid[], @changed_at::timestamptz[], @changed_at_nanosecond::smallint[])
    as r (kind, asks_for_all, requested_id, changed_at, changed_at_nanosecond)
on conflict do nothing

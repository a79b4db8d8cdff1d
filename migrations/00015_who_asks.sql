-- +goose Up
-- Capacity groups are asked for by a customer of its supplier, so the partner that asks is the customer, and whom it
-- asked, one of ours, the supplier.
create or replace view planning.request_for_capacity_group as
select
    r.asked as supplier, r.partner as customer, e.requested_id as capacity_group_id, e.changed_at, e.changed_at_nanosecond,
    r.requested_at, r.expected_response_by, r.message_id
from dcm.requested_update r
cross join lateral unnest(r.requested_id, r.changed_at, r.changed_at_nanosecond) with ordinality
    as e (requested_id, changed_at, changed_at_nanosecond, position)
where e.position > r.material_demands;
comment on view planning.request_for_capacity_group is 'One row per WeekBasedCapacityGroup that a partner asked us for (IdBasedRequestForUpdate). These are for us as a supplier to answer; a customer has nothing to send for them.';
comment on column planning.request_for_capacity_group.supplier is 'BPNL of ours that was asked. NULL if the message had no header and we are responsible for several: all of them.';
comment on column planning.request_for_capacity_group.customer is 'BPNL of the partner that asks.';

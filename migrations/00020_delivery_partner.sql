-- +goose Up

-- To whom an object goes: to the supplier where we are the customer, and the
-- other way round.
create or replace view planning.delivery as
select
    supplier, customer, object, object_id, changed_at, state, attempts, last_attempt_at, next_attempt_at, delivered_at, status, reason,
    answers_message_id, queued_at, partner
from dcm.delivery;
comment on column planning.delivery.partner is 'BPNL of the company that it goes to: supplier or customer, whichever is not ours.';

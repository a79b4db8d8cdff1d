-- +goose Up

-- When the answer to a request for update had arrived at the partner as a whole:
-- answered_at is when it was queued.
alter table dcm.requested_update add column arrived_at timestamptz;
comment on column dcm.requested_update.answered_at is 'When it was decided what to send, and that was queued. NULL: not yet.';
comment on column dcm.requested_update.arrived_at is 'When nothing of the answer waited any more. NULL: something does.';
update dcm.requested_update set arrived_at = answered_at where answered_at is not null;
create index requested_update_on_its_way on dcm.requested_update (partner) where arrived_at is null;

create or replace view planning.request_for_update as
select
    r.partner as supplier, r.asked as customer, e.requested_id as material_demand_id, e.changed_at, e.changed_at_nanosecond,
    r.requested_at, r.expected_response_by, r.message_id,
    r.arrived_at as answered_at,
    case when e.answer is null or e.answer = 'sent' and r.arrived_at is null then 'waiting' else e.answer end as answer
from dcm.requested_update r
cross join lateral unnest(r.requested_id, r.changed_at, r.changed_at_nanosecond, r.answer) with ordinality
    as e (requested_id, changed_at, changed_at_nanosecond, answer, position)
where e.position <= r.material_demands;
comment on column planning.request_for_update.answered_at is 'When all of the answer had arrived at the supplier, was refused by it, or turned out to be nothing. NULL: not yet.';
comment on column planning.request_for_update.answer is 'What became of it: sent (it has arrived), nothing newer, unknown (no such demand for this supplier), refused (by the supplier: planning.delivery has the reason), or waiting.';

-- Whoever enters where a partner is wants it tried now, not at the next attempt.
-- +goose StatementBegin
create function outbox.try_partner() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update dcm.delivery q set next_attempt_at = null
    where q.partner = new.bpnl and q.state = 'waiting' and q.next_attempt_at is not null;
    perform pg_notify('dcm_outbox', '');
    return null;
end
$$;
-- +goose StatementEnd
comment on function outbox.try_partner is 'Has what waits for a partner tried at once.';
create trigger try_partner after insert or update on outbox.partner for each row execute function outbox.try_partner();
revoke execute on function outbox.try_partner from public;

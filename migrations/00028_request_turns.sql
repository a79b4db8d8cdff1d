-- +goose Up

-- A request for one material demand, or for none, is small: its answer is due within
-- seconds. One for several, or for all, is large.
create function dcm.is_large(material_demands integer, requested_id uuid[]) returns boolean
language sql immutable parallel safe as $$ select material_demands > 1 or material_demands = 1 and requested_id[1] is null $$;
comment on function dcm.is_large is 'Whether a request for update asks for more than one material demand.';

-- Which partners have requests to be answered, and the oldest of each, without reading
-- all requests of one that has sent thousands.
drop index dcm.requested_update_waiting;
create index requested_update_waiting on dcm.requested_update (partner, dcm.is_large(material_demands, requested_id), requested_at)
    where answered_at is null;

-- A partner that asks again and again for everything gets one answer for all that it
-- asked meanwhile.
create table dcm.answering (
    partner text primary key,
    small_after timestamptz not null,
    large_after timestamptz not null
);
comment on table dcm.answering is 'When the requests for update of a partner are answered next, so that one partner''s do not delay those of others.';
comment on column dcm.answering.partner is 'BPNL of the partner that asks.';
comment on column dcm.answering.small_after is 'Not before this: requests for one material demand, or for none.';
comment on column dcm.answering.large_after is 'Not before this: requests for several demands, or for all. The larger the last answer was, the later.';

-- Rows of dcm.delivery are locked in the order of their key everywhere: no deadlock
-- between a change of outbox.partner and sending.
-- +goose StatementBegin
create or replace function outbox.try_partner() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update dcm.delivery q set next_attempt_at = null
    from (
        select w.object, w.object_id, w.changed_at
        from dcm.delivery w
        where w.partner = new.bpnl and w.state = 'waiting' and w.next_attempt_at is not null
        order by w.object, w.object_id, w.changed_at
        for update
    ) w
    where q.partner = new.bpnl and q.object = w.object and q.object_id = w.object_id and q.changed_at = w.changed_at;
    perform pg_notify('dcm_outbox', '');
    return null;
end
$$;
-- +goose StatementEnd

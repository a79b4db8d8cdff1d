-- +goose Up

-- Which replica sends to a partner, and until when: that of one which was killed
-- is taken over after that.
create table dcm.sending (
    partner text primary key,
    owner uuid not null,
    until timestamptz not null
);

-- Open ways through the connector, for all replicas; no token is in them.
create table dcm.way (
    partner text not null,
    endpoint text not null,
    way jsonb not null,
    primary key (partner, endpoint)
);

create table outbox.request_for_update (
    message_id uuid primary key default gen_random_uuid(),
    supplier text not null,
    customer text not null,
    capacity_group_id uuid,
    changed_at timestamptz,
    requested_at timestamptz not null default now(),
    constraint "supplier must be BPNL and 12 letters or digits" check (supplier ~ '^BPNL[a-zA-Z0-9]{12}$'),
    constraint "customer must be BPNL and 12 letters or digits" check (customer ~ '^BPNL[a-zA-Z0-9]{12}$'),
    constraint "changed_at must come with a capacity_group_id" check (changed_at is null or capacity_group_id is not null)
);
comment on table outbox.request_for_update is 'A row inserted asks a supplier to send one of its capacity groups again, or all of them. planning.delivery says whether the request arrived (object IdBasedRequestForUpdate, object_id is the message_id).';
comment on column outbox.request_for_update.message_id is 'messageId of the request; leave it out.';
comment on column outbox.request_for_update.supplier is 'BPNL of the supplier that is asked.';
comment on column outbox.request_for_update.customer is 'BPNL of ours that asks.';
comment on column outbox.request_for_update.capacity_group_id is 'UUID of the wanted group. NULL: all of them.';
comment on column outbox.request_for_update.changed_at is 'Send it only if it was changed after this. NULL: in any case.';
comment on column outbox.request_for_update.requested_at is 'When it was asked for; leave it out.';

-- +goose StatementBegin
create function outbox.queue_request() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into dcm.delivery (partner, object, object_id, changed_at, supplier, customer, queued_at)
    values (new.supplier, 'IdBasedRequestForUpdate', new.message_id, new.requested_at, new.supplier, new.customer, clock_timestamp());
    perform pg_notify('dcm_outbox', '');
    return null;
end
$$;
-- +goose StatementEnd
comment on function outbox.queue_request is 'Queues a new request for update.';
create trigger queue_request after insert on outbox.request_for_update for each row execute function outbox.queue_request();
revoke execute on function outbox.queue_request from public;

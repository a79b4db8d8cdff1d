-- +goose Up

-- IdBasedComment objects (CX-0128 §4.4). partner is the company at the other end;
-- originator wrote the comment, and only the originator may change or delete it. Of a
-- deleted comment only the ID and the time of deletion are kept.
create table dcm.comment (
    partner text not null,
    supplier text not null,
    customer text not null,
    comment_id uuid not null,
    originator text not null,
    deleted_at timestamptz,
    deleted_at_nanosecond smallint,
    changed_at timestamptz,
    changed_at_nanosecond smallint,
    first_received_at timestamptz not null,
    received_at timestamptz not null,
    message_id uuid,
    content_hash bytea,
    object_id uuid,
    object_type text,
    author text,
    comment_type text,
    comment_text text,
    reference_dates date[],
    posted_at timestamptz,
    simulation_id uuid,
    primary key (partner, supplier, customer, comment_id),
    constraint partner_is_one_of_the_two check (partner in (supplier, customer)),
    constraint a_comment_has_its_columns check (deleted_at is not null or (changed_at is not null and object_id is not null and object_type is not null and author is not null)),
    constraint a_deleted_comment_has_nothing check (deleted_at is null or (
        changed_at is null and message_id is null and object_id is null and object_type is null and author is null and comment_type is null
        and comment_text is null and reference_dates is null and posted_at is null and simulation_id is null)),
    constraint text_has_at_most_5000_characters check (char_length(comment_text) <= 5000)
);
create index comment_object on dcm.comment (partner, object_id);

create view planning.comment as
select
    supplier, customer, comment_id,
    case object_type
        when 'urn:samm:io.catenax.week_based_capacity_group' then 'WeekBasedCapacityGroup'
        when 'urn:samm:io.catenax.week_based_material_demand' then 'WeekBasedMaterialDemand'
        else object_type
    end as object,
    object_id, author, comment_type, comment_text, reference_dates, posted_at, changed_at,
    case originator when partner then 'received' else 'sent' end as direction,
    received_at, message_id, simulation_id
from dcm.comment
where deleted_at is null;
comment on view planning.comment is 'One row per comment on a capacity group or material demand. A deleted comment is gone from here for ever.';
comment on column planning.comment.supplier is 'BPNL of the supplier of the relationship.';
comment on column planning.comment.customer is 'BPNL of the customer of the relationship.';
comment on column planning.comment.comment_id is 'UUID, unique for a supplier and customer only.';
comment on column planning.comment.object is 'What it is on: WeekBasedCapacityGroup or WeekBasedMaterialDemand.';
comment on column planning.comment.object_id is 'capacity_group_id or material_demand_id of that.';
comment on column planning.comment.author is 'Who wrote it: an e-mail address or a BPNL.';
comment on column planning.comment.comment_type is 'information, warning, default or actionRequired.';
comment on column planning.comment.comment_text is 'What is said. NULL if nothing was sent. It may have any characters, control characters too: escape it where it is shown.';
comment on column planning.comment.reference_dates is 'The Mondays of the weeks that it is about. Empty: no week in particular.';
comment on column planning.comment.posted_at is 'When it was first written; the time of receipt if not said.';
comment on column planning.comment.changed_at is 'When it was last changed, to the microsecond; the time of receipt if not said.';
comment on column planning.comment.direction is 'sent or received, as seen from us.';
comment on column planning.comment.received_at is 'When its last message came.';
comment on column planning.comment.message_id is 'messageId of that message. NULL if it had no header.';
comment on column planning.comment.simulation_id is 'Simulation that it belongs to. NULL: none.';

create table outbox.comment (
    supplier text not null,
    customer text not null,
    comment_id uuid not null default gen_random_uuid(),
    sender text not null default '',
    object text not null default 'WeekBasedCapacityGroup',
    object_id uuid not null,
    author text,
    comment_type text not null default 'default',
    comment_text text,
    reference_dates date[] not null default '{}',
    posted_at timestamptz not null default now(),
    changed_at timestamptz not null default now(),
    request_delete boolean not null default false,
    primary key (supplier, customer, comment_id),
    constraint "supplier must be BPNL and 12 letters or digits" check (supplier ~ '^BPNL[a-zA-Z0-9]{12}$'),
    constraint "customer must be BPNL and 12 letters or digits" check (customer ~ '^BPNL[a-zA-Z0-9]{12}$'),
    constraint "sender must be the customer or the supplier" check (sender in (supplier, customer)),
    constraint "object: WeekBasedCapacityGroup or WeekBasedMaterialDemand" check (object in ('WeekBasedCapacityGroup', 'WeekBasedMaterialDemand')),
    constraint "author must be an e-mail address or a BPNL, or NULL" check (
        author ~ '^(BPNL[a-zA-Z0-9]{12}|[^@[:space:]]{1,64}@[^@[:space:]]{1,255})$'),
    constraint "comment_type: information, warning, default or actionRequired" check (
        comment_type in ('information', 'warning', 'default', 'actionRequired')),
    constraint "comment_text must have at most 5000 characters" check (char_length(comment_text) <= 5000)
);
comment on table outbox.comment is 'A row inserted is a comment to be sent (CX-0128); a row updated is sent again; request_delete takes it back.';
comment on column outbox.comment.supplier is 'BPNL of the supplier of the relationship.';
comment on column outbox.comment.customer is 'BPNL of the customer of the relationship.';
comment on column outbox.comment.comment_id is 'UUID of the comment; leave it out.';
comment on column outbox.comment.sender is 'BPNL of ours that sends it: customer (if left out) or supplier. The other one receives it.';
comment on column outbox.comment.object is 'What it is on: WeekBasedCapacityGroup or WeekBasedMaterialDemand.';
comment on column outbox.comment.object_id is 'capacity_group_id or material_demand_id of that.';
comment on column outbox.comment.author is 'Who wrote it: an e-mail address or a BPNL. NULL: the sender''s BPNL.';
comment on column outbox.comment.comment_type is 'information, warning, default or actionRequired.';
comment on column outbox.comment.comment_text is 'What is said; at most 5,000 characters.';
comment on column outbox.comment.reference_dates is 'The Mondays of the weeks that it is about.';
comment on column outbox.comment.posted_at is 'When it was written; leave it out.';
comment on column outbox.comment.changed_at is 'When it was last changed; set by itself.';
comment on column outbox.comment.request_delete is 'True: the partner is to delete it with all its history, for ever.';

-- +goose StatementBegin
create function outbox.prepare_comment() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if tg_op = 'DELETE' then
        raise exception 'a comment that was sent is taken back by "update outbox.comment set request_delete = true"';
    end if;
    if new.sender = '' then
        new.sender := new.customer;
    end if;
    if exists (select from unnest(new.reference_dates) d where extract(isodow from d) <> 1) then
        raise exception 'reference_dates must be Mondays';
    end if;
    new.changed_at := date_trunc('microseconds', clock_timestamp());
    if tg_op = 'UPDATE' then
        if (old.supplier, old.customer, old.comment_id, old.sender) is distinct from (new.supplier, new.customer, new.comment_id, new.sender) then
            raise exception 'supplier, customer, comment_id and sender of a comment stay as they are';
        end if;
        if old.request_delete then
            raise exception 'the comment is deleted for ever; insert a new one';
        end if;
        -- Strictly later, also where the clock went back.
        new.changed_at := greatest(new.changed_at, old.changed_at + interval '1 microsecond');
    end if;
    if new.request_delete then
        new.comment_text := null;
        new.author := null;
    end if;
    return new;
end
$$;
-- +goose StatementEnd
comment on function outbox.prepare_comment is 'Sets what a comment leaves out, and says what is wrong with it.';
create trigger prepare_comment before insert or update or delete on outbox.comment for each row execute function outbox.prepare_comment();
revoke execute on function outbox.prepare_comment from public;

-- +goose StatementBegin
create function outbox.queue_comment() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    receiver constant text := case new.sender when new.customer then new.supplier else new.customer end;
begin
    update dcm.delivery q set state = 'superseded', next_attempt_at = null
    where q.partner = receiver and q.object = 'IdBasedComment' and q.object_id = new.comment_id and q.state in ('waiting', 'refused')
        and q.supplier = new.supplier and q.customer = new.customer;
    insert into dcm.delivery (partner, object, object_id, changed_at, supplier, customer, queued_at)
    values (receiver, 'IdBasedComment', new.comment_id, new.changed_at, new.supplier, new.customer, clock_timestamp());
    if new.request_delete then
        update dcm.comment c set
            deleted_at = new.changed_at, deleted_at_nanosecond = 0, changed_at = null, changed_at_nanosecond = null, message_id = null, object_id = null,
            object_type = null, author = null, comment_type = null, comment_text = null, reference_dates = null, posted_at = null, simulation_id = null
        where c.partner = receiver and c.supplier = new.supplier and c.customer = new.customer and c.comment_id = new.comment_id;
    else
        insert into dcm.comment as c (
            partner, supplier, customer, comment_id, originator, changed_at, changed_at_nanosecond, first_received_at, received_at,
            object_id, object_type, author, comment_type, comment_text, reference_dates, posted_at)
        values (
            receiver, new.supplier, new.customer, new.comment_id, new.sender, new.changed_at, 0, new.changed_at, new.changed_at,
            new.object_id, case new.object when 'WeekBasedMaterialDemand' then 'urn:samm:io.catenax.week_based_material_demand' else 'urn:samm:io.catenax.week_based_capacity_group' end,
            coalesce(new.author, new.sender), new.comment_type, new.comment_text, new.reference_dates, new.posted_at)
        on conflict (partner, supplier, customer, comment_id) do update set
            changed_at = excluded.changed_at, changed_at_nanosecond = 0, received_at = excluded.received_at, object_id = excluded.object_id,
            object_type = excluded.object_type, author = excluded.author, comment_type = excluded.comment_type,
            comment_text = excluded.comment_text, reference_dates = excluded.reference_dates, posted_at = excluded.posted_at
        where c.originator = excluded.originator;
    end if;
    perform pg_notify('dcm_outbox', '');
    return null;
end
$$;
-- +goose StatementEnd
comment on function outbox.queue_comment is 'Queues a comment.';
create trigger queue_comment after insert or update on outbox.comment for each row execute function outbox.queue_comment();
revoke execute on function outbox.queue_comment from public;

-- +goose StatementBegin
create function outbox.forget_reasons() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update dcm.delivery d set reason = null, is_forgotten = true
    where d.object = 'IdBasedComment' and d.object_id = new.comment_id and d.supplier = new.supplier and d.customer = new.customer
        and d.partner in (new.supplier, new.customer) and d.changed_at < new.changed_at;
    return null;
end
$$;
-- +goose StatementEnd
comment on function outbox.forget_reasons is 'Forgets what a partner said of a comment that is taken back.';
create trigger forget_reasons after update on outbox.comment for each row when (new.request_delete) execute function outbox.forget_reasons();
revoke execute on function outbox.forget_reasons from public;

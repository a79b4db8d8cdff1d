-- +goose Up

-- The oldest program that can work with the tables as they are: the number of
-- its newest migration. A migration that older programs cannot work with raises
-- it; they then say that they are not ready.
create table dcm.compatibility (
    oldest_program integer not null
);
insert into dcm.compatibility (oldest_program) values (4);

-- The journal says verdicts in words, which need no rule table to be read: rule
-- numbers mean other things in another standard. Entries of earlier versions have
-- NULL in the new columns; the views know what they meant.
drop view planning.message_object;
alter table dcm.message rename column capacity_group_id to object_id;
alter table dcm.message
    add column standard text,
    add column problem text,
    add column warnings jsonb,
    add column more_warnings integer not null default 0,
    add column outcome text[],
    add column object_warnings jsonb;

create or replace view planning.message as
select
    m.id, m.received_at, m.endpoint, m.sender, m.message_id,
    exists (select from dcm.message e where e.sender = m.sender and e.message_id = m.message_id and e.id < m.id) as is_repeat,
    m.contract_agreement_id, m.status, m.objects, m.bytes, m.duration, m.errors, m.more_errors,
    coalesce(m.standard, case when cardinality(m.rule) > 0 then 'CX-0048 v1.0.0 §3.2.7' end) as standard,
    coalesce(m.problem, case m.status when 422 then 'not-json' when 413 then 'too-large' when 400 then 'refused' end) as problem,
    m.warnings
from dcm.message m;
comment on column planning.message.endpoint is 'Path of the endpoint: week-based-capacity-group, week-based-material-demand, id-based-request-for-update or id-based-comment.';
comment on column planning.message.standard is 'Standard, version and section whose rules decided. NULL where no rule was asked.';
comment on column planning.message.problem is 'Last word of the type of a refusal''s problem document, such as refused or not-json. NULL if it was accepted.';
comment on column planning.message.warnings is 'What is odd about the message as a whole, though valid: a list of pointer and detail. NULL if nothing.';

create view planning.message_object as
select
    m.id as message, m.received_at, m.sender, m.message_id,
    (o.position - 1)::integer as index,
    o.object_id, o.object_id as capacity_group_id,
    coalesce(m.standard, 'CX-0048 v1.0.0 §3.2.7') as standard,
    o.rule,
    coalesce(o.outcome, case when o.rule = 5 then 'created' when o.rule in (4, 7) then 'overwritten' else 'ignored' end) as outcome,
    m.object_errors -> (o.position - 1)::text -> 'errors' as errors,
    coalesce((m.object_errors -> (o.position - 1)::text ->> 'moreErrors')::integer, 0) as more_errors,
    m.object_warnings -> (o.position - 1)::text -> 'errors' as warnings
from dcm.message m
cross join lateral unnest(m.object_id, m.rule, m.outcome) with ordinality as o (object_id, rule, outcome, position);
comment on view planning.message_object is 'One row per object of a received message, refused ones too.';
comment on column planning.message_object.message is 'id of planning.message.';
comment on column planning.message_object.received_at is 'When the message arrived.';
comment on column planning.message_object.sender is 'BPNL of the sending connector.';
comment on column planning.message_object.message_id is 'messageId of the message. NULL if it had no header.';
comment on column planning.message_object.index is 'Place of the object in the message, from 0.';
comment on column planning.message_object.object_id is 'Its capacityGroupId, materialDemandId or commentId. NULL if that could not be read.';
comment on column planning.message_object.capacity_group_id is 'The same as object_id: its name before there were other objects.';
comment on column planning.message_object.standard is 'Standard, version and section whose numbers the rules have.';
comment on column planning.message_object.rule is 'Number of the rule that decided, in standard.';
comment on column planning.message_object.outcome is 'created, overwritten, deleted or ignored.';
comment on column planning.message_object.errors is 'Why it was ignored: a list of pointer (RFC 6901, into the body) and detail. NULL otherwise.';
comment on column planning.message_object.more_errors is 'How many errors there are beyond the listed ones.';
comment on column planning.message_object.warnings is 'What is odd about it, though valid: a list of pointer and detail. NULL if nothing.';

-- A request for update is one row a message, whatever it asks for: its entries
-- stand in parallel arrays, those for material demands first.
create table dcm.requested_update (
    partner text not null,
    message_key uuid not null,
    message_id uuid,
    asked text,
    requested_at timestamptz not null,
    expected_response_by timestamptz,
    material_demands integer not null,
    requested_id uuid[] not null,
    changed_at timestamptz[] not null,
    changed_at_nanosecond smallint[] not null,
    answer text[],
    answered_at timestamptz,
    primary key (partner, message_key),
    constraint entries_have_all_columns check (
        cardinality(changed_at) in (0, cardinality(requested_id)) and cardinality(changed_at_nanosecond) = cardinality(changed_at)
        and material_demands between 0 and cardinality(requested_id))
);
comment on column dcm.requested_update.message_key is 'messageId, or our ID of a message without header: a repeated message adds no row.';
comment on column dcm.requested_update.asked is 'BPNL of ours that is asked. NULL: all of ours.';
comment on column dcm.requested_update.requested_id is 'NULL: all of that kind.';
comment on column dcm.requested_update.answer is 'What became of each entry for a material demand. NULL: waiting.';
create index requested_update_requested_at on dcm.requested_update using brin (requested_at);
create index requested_update_waiting on dcm.requested_update (requested_at) where answered_at is null;

insert into dcm.requested_update (
    partner, message_key, message_id, asked, requested_at, expected_response_by, material_demands, requested_id, changed_at, changed_at_nanosecond)
select
    supplier, message_key, min(message_id::text)::uuid, min(customer), min(requested_at), min(expected_response_by),
    count(*) filter (where kind = 'WeekBasedMaterialDemand'),
    array_agg(case when not asks_for_all then requested_id end order by kind desc, requested_id),
    array_agg(changed_at order by kind desc, requested_id),
    array_agg(changed_at_nanosecond order by kind desc, requested_id)
from dcm.request_for_update
group by supplier, message_key;

drop view planning.request_for_update, planning.request_for_capacity_group;
drop table dcm.request_for_update;

create view planning.request_for_update as
select
    r.partner as supplier, r.asked as customer, e.requested_id as material_demand_id, e.changed_at, e.changed_at_nanosecond,
    r.requested_at, r.expected_response_by, r.message_id,
    r.answered_at, coalesce(e.answer, 'waiting') as answer
from dcm.requested_update r
cross join lateral unnest(r.requested_id, r.changed_at, r.changed_at_nanosecond, r.answer) with ordinality
    as e (requested_id, changed_at, changed_at_nanosecond, answer, position)
where e.position <= r.material_demands;
comment on view planning.request_for_update is 'One row per WeekBasedMaterialDemand that a supplier asked us to send again (IdBasedRequestForUpdate). A repeated message adds no row.';
comment on column planning.request_for_update.supplier is 'BPNL of the supplier that asks.';
comment on column planning.request_for_update.customer is 'BPNL of ours that was asked. NULL if the message had no header and we are responsible for several: all of them.';
comment on column planning.request_for_update.material_demand_id is 'UUID of the wanted material demand. NULL: all of them.';
comment on column planning.request_for_update.changed_at is 'Send only what was changed after this, the supplier''s last known state, to the microsecond. NULL: in any case.';
comment on column planning.request_for_update.changed_at_nanosecond is 'Nanoseconds (0 to 999) to add to changed_at for the exact instant. NULL where changed_at is.';
comment on column planning.request_for_update.requested_at is 'When we received the request.';
comment on column planning.request_for_update.expected_response_by is 'When the supplier expects the answer. NULL if not said.';
comment on column planning.request_for_update.message_id is 'messageId of the request. NULL if it had no header.';
comment on column planning.request_for_update.answered_at is 'When it was decided what to send, and that was queued. NULL: not yet.';
comment on column planning.request_for_update.answer is 'What became of it: sent, nothing newer, unknown (no such demand for this supplier), refused, or waiting.';

create view planning.request_for_capacity_group as
select
    r.partner as supplier, r.asked as customer, e.requested_id as capacity_group_id, e.changed_at, e.changed_at_nanosecond,
    r.requested_at, r.expected_response_by, r.message_id
from dcm.requested_update r
cross join lateral unnest(r.requested_id, r.changed_at, r.changed_at_nanosecond) with ordinality
    as e (requested_id, changed_at, changed_at_nanosecond, position)
where e.position > r.material_demands;
comment on view planning.request_for_capacity_group is 'One row per WeekBasedCapacityGroup named in an IdBasedRequestForUpdate. These are for suppliers to answer; a customer has nothing to send for them.';
comment on column planning.request_for_capacity_group.supplier is 'BPNL of the partner that asks.';
comment on column planning.request_for_capacity_group.customer is 'BPNL of ours that was asked. NULL as in planning.request_for_update.';
comment on column planning.request_for_capacity_group.capacity_group_id is 'UUID of the named group. NULL: all of them.';
comment on column planning.request_for_capacity_group.changed_at is 'Send only what was changed after this, to the microsecond. NULL: in any case.';
comment on column planning.request_for_capacity_group.changed_at_nanosecond is 'Nanoseconds (0 to 999) to add to changed_at for the exact instant. NULL where changed_at is.';
comment on column planning.request_for_capacity_group.requested_at is 'When we received the request.';
comment on column planning.request_for_capacity_group.expected_response_by is 'When the partner expects the answer. NULL if not said.';
comment on column planning.request_for_capacity_group.message_id is 'messageId of the request. NULL if it had no header.';

-- What a partner sent beyond the rate at which messages that change nothing are
-- journalled, counted by the hour.
create table dcm.message_count (
    sender text not null,
    endpoint text not null,
    status smallint not null,
    hour timestamptz not null,
    messages bigint not null,
    bytes bigint not null,
    primary key (sender, endpoint, status, hour)
);

create view planning.message_count as
select sender, endpoint, status, hour, messages, bytes from dcm.message_count;
comment on view planning.message_count is 'Messages that changed nothing (refusals, identical re-sends, requests for update) beyond the rate at which they are journalled one by one: counted by sender, endpoint, status and hour.';
comment on column planning.message_count.sender is 'BPNL of the sending connector.';
comment on column planning.message_count.endpoint is 'Path of the endpoint.';
comment on column planning.message_count.status is 'HTTP status of our answers.';
comment on column planning.message_count.hour is 'The hour, by its beginning.';
comment on column planning.message_count.messages is 'How many messages.';
comment on column planning.message_count.bytes is 'Size of their bodies together, in bytes.';

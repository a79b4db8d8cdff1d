-- +goose Up

comment on schema dcm is 'Tables of dcm-receiver. Internal: they may change with any version. Planners read schema planning.';

-- The oldest program that can work with the tables as they are: the number of its
-- newest migration. A migration that older programs cannot work with raises it; those
-- programs then report that they are not ready.
create table dcm.compatibility (
    oldest_program integer not null
);
insert into dcm.compatibility (oldest_program) values (4);

-- The journal: one row a message, its objects in parallel arrays. standard names the
-- rules that the numbers in rule belong to. Entries of versions before 0.1.0 may lack
-- standard, problem and outcome (NULL); the views derive them.
create table dcm.message (
    sender text not null,
    id uuid not null,
    received_at timestamptz not null,
    endpoint text not null,
    message_id uuid,
    message_id_as_sent text,
    contract_agreement_id text,
    status smallint not null,
    objects integer not null,
    bytes bigint not null,
    duration interval not null,
    errors jsonb,
    more_errors integer not null,
    object_id uuid[] not null,
    rule smallint[] not null,
    object_errors jsonb,
    standard text,
    problem text,
    warnings jsonb,
    more_warnings integer not null default 0,
    outcome text[],
    object_warnings jsonb,
    primary key (sender, id)
);
create index message_message_id on dcm.message (sender, message_id) where message_id is not null;
create index message_received_at on dcm.message using brin (received_at);

-- Messages of a partner beyond the rate at which messages that change nothing are
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

-- A request for update is one row a message, whatever it asks for: its entries are in
-- parallel arrays, those for material demands first. answered_at is when the answer
-- was queued, arrived_at when all of it had arrived at the partner.
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
    arrived_at timestamptz,
    primary key (partner, message_key),
    constraint entries_have_all_columns check (
        cardinality(changed_at) in (0, cardinality(requested_id)) and cardinality(changed_at_nanosecond) = cardinality(changed_at)
        and material_demands between 0 and cardinality(requested_id))
);
comment on column dcm.requested_update.message_key is 'messageId, or our ID of a message without header: a repeated message adds no row.';
comment on column dcm.requested_update.asked is 'BPNL of ours that is asked. NULL: all of ours.';
comment on column dcm.requested_update.requested_id is 'NULL: all of that kind.';
comment on column dcm.requested_update.answer is 'What became of each entry for a material demand. NULL: waiting.';
comment on column dcm.requested_update.answered_at is 'When it was decided what to send, and that was queued. NULL: not yet.';
comment on column dcm.requested_update.arrived_at is 'When nothing of the answer waited any more. NULL: something does.';
create index requested_update_requested_at on dcm.requested_update using brin (requested_at);
create index requested_update_waiting on dcm.requested_update (requested_at) where answered_at is null;
create index requested_update_on_its_way on dcm.requested_update (partner) where arrived_at is null;

-- The constraints of a capacity group, as one function: Postgres parses the expression
-- of each check constraint anew for every statement, but a function's once a session.
-- This takes a third off a statement that only records an identical re-send.
-- +goose StatementBegin
create function dcm.is_capacity_group(
    supplier text, customer text, unit_of_measure_is_omitted boolean, unit_of_measure text, changed_at_nanosecond smallint, start_nanosecond smallint,
    point_in_time date[], actual_capacity numeric[], maximum_capacity numeric[], agreed_capacity numeric[], delta_production_result numeric[],
    material_number_customer text[], customer_location text[], demand_category_code text[]
) returns boolean language plpgsql immutable parallel safe as $$
begin
    return
        supplier ~ '^BPNL[a-zA-Z0-9]{12}$' and customer ~ '^BPNL[a-zA-Z0-9]{12}$'
        and (unit_of_measure is null) = unit_of_measure_is_omitted
        and changed_at_nanosecond between 0 and 999 and (start_nanosecond is null or start_nanosecond between 0 and 999)
        and 0 <= all (actual_capacity) and 0 <= all (maximum_capacity)
        and cardinality(actual_capacity) = cardinality(point_in_time) and cardinality(maximum_capacity) = cardinality(point_in_time)
        and cardinality(agreed_capacity) in (0, cardinality(point_in_time))
        and cardinality(delta_production_result) in (0, cardinality(point_in_time))
        and cardinality(customer_location) = cardinality(material_number_customer)
        and cardinality(demand_category_code) = cardinality(material_number_customer);
end
$$;
-- +goose StatementEnd
comment on function dcm.is_capacity_group is 'What is true of every capacity group: BPNLs, a unit unless it is omitted, nanoseconds below a microsecond, capacities that are not negative, and arrays with all columns of a week and of a link.';

-- One row a group, the weeks in parallel arrays: a message replaces a group as a
-- whole, and one row of arrays takes a fraction of the space and time of a row a
-- week. Every key begins with the supplier, so that the data can be distributed by it.
create table dcm.capacity_group (
    supplier text not null,
    customer text not null,
    capacity_group_id uuid not null,
    changed_at timestamptz not null,
    changed_at_nanosecond smallint not null,
    first_received_at timestamptz not null,
    received_at timestamptz not null,
    message_id uuid,
    content_hash bytea not null,
    unit_of_measure_is_omitted boolean not null,
    is_inactive boolean not null,
    start_reference_date_time timestamptz,
    start_reference_date_time_nanosecond smallint,
    measurement_interval numeric,
    name text not null,
    unit_of_measure text,
    supplier_locations text[] not null,
    linked_capacity_groups uuid[] not null,
    point_in_time date[] not null,
    actual_capacity numeric[] not null,
    maximum_capacity numeric[] not null,
    agreed_capacity numeric[] not null,
    delta_production_result numeric[] not null,
    material_number_customer text[] not null,
    material_number_supplier text[] not null,
    customer_location text[] not null,
    demand_category_code text[] not null,
    load_factor numeric[] not null,
    sequence_number numeric[] not null,
    subhorizon_length numeric[] not null,
    relative_positive_deviation numeric[] not null,
    relative_negative_deviation numeric[] not null,
    absolute_positive_deviation numeric[] not null,
    absolute_negative_deviation numeric[] not null,
    -- When the present state began (see 00024). NULL: first_received_at.
    valid_from timestamptz,
    -- Set by dcm-receiver group unlock: the next message is taken, whatever its
    -- changedAt. That message locks the group again.
    is_unlocked boolean not null default false,
    -- When the present start, interval and thresholds began. NULL: first_received_at.
    measured_by_since timestamptz,
    -- Another name is no new state; only the name before the present one is kept.
    previous_name text,
    renamed_at timestamptz,
    primary key (supplier, customer, capacity_group_id)
)
-- Each page keeps room for the new version of a row: an overwritten group then stays
-- on its page, and no index changes.
with (fillfactor = 60);
-- Not valid, because databases of versions before 0.1.0 have it so: Postgres checks
-- each new row, and does not read the stored ones.
alter table dcm.capacity_group add constraint capacity_group_is_one check (dcm.is_capacity_group(
    supplier, customer, unit_of_measure_is_omitted, unit_of_measure, changed_at_nanosecond, start_reference_date_time_nanosecond,
    point_in_time, actual_capacity, maximum_capacity, agreed_capacity, delta_production_result,
    material_number_customer, customer_location, demand_category_code)) not valid;

-- Postgres' default compression (pglz) took a sixth of its time for a message. lz4
-- takes next to none, for a tenth more space. Not every build of Postgres has it.
-- +goose StatementBegin
do $$
begin
    execute 'alter table dcm.capacity_group
        alter point_in_time set compression lz4,
        alter actual_capacity set compression lz4,
        alter maximum_capacity set compression lz4,
        alter agreed_capacity set compression lz4,
        alter delta_production_result set compression lz4';
exception
    when feature_not_supported or syntax_error then -- built without lz4, or older than version 14
        raise notice 'this Postgres has no lz4; the weeks are compressed by pglz';
end
$$;
-- +goose StatementEnd

create schema planning;
comment on schema planning is 'What suppliers reported, for planning tools. Views only; their columns are a promise. CX-0048 §3 and the data model WeekBasedCapacityGroup 3.0 say what the values mean.';

create view planning.capacity_group as
select
    supplier, customer, capacity_group_id, name, unit_of_measure, unit_of_measure_is_omitted, is_inactive,
    changed_at, changed_at_nanosecond, received_at, first_received_at, message_id,
    supplier_locations, linked_capacity_groups,
    start_reference_date_time, start_reference_date_time_nanosecond, measurement_interval
from dcm.capacity_group;
comment on view planning.capacity_group is 'One row per stored WeekBasedCapacityGroup: the last state that its supplier sent.';
comment on column planning.capacity_group.supplier is 'BPNL of the supplier: who can produce.';
comment on column planning.capacity_group.customer is 'BPNL of ours that the capacity is for.';
comment on column planning.capacity_group.capacity_group_id is 'UUID of the group; unique for one supplier and customer only, so join by all three.';
comment on column planning.capacity_group.name is 'Name that the supplier gave the group.';
comment on column planning.capacity_group.unit_of_measure is 'Unit of all quantities of the group, such as unit:piece. NULL where it is omitted.';
comment on column planning.capacity_group.unit_of_measure_is_omitted is 'True if the supplier left the unit out on purpose.';
comment on column planning.capacity_group.is_inactive is 'True if the supplier does not use or maintain the group at present; leave it out of sums.';
comment on column planning.capacity_group.changed_at is 'When the content was changed at the supplier, to the microsecond.';
comment on column planning.capacity_group.changed_at_nanosecond is 'Nanoseconds (0 to 999) to add to changed_at for the exact instant.';
comment on column planning.capacity_group.received_at is 'When we received the state that is shown.';
comment on column planning.capacity_group.first_received_at is 'When we received the group for the first time.';
comment on column planning.capacity_group.message_id is 'messageId of the message that brought the state shown. NULL if it had no header.';
comment on column planning.capacity_group.supplier_locations is 'BPNS of the supplier''s sites that produce; empty if not sent.';
comment on column planning.capacity_group.linked_capacity_groups is 'IDs of the groups below this one (same supplier and customer); empty if not sent.';
comment on column planning.capacity_group.start_reference_date_time is 'When measuring of demand volatility starts, to the microsecond. NULL without demandVolatilityParameters.';
comment on column planning.capacity_group.start_reference_date_time_nanosecond is 'Nanoseconds (0 to 999) to add to start_reference_date_time for the exact instant.';
comment on column planning.capacity_group.measurement_interval is 'Length of an interval of demand volatility, in weeks. NULL without demandVolatilityParameters.';

create view planning.capacity as
select
    g.supplier, g.customer, g.capacity_group_id, c.point_in_time,
    c.actual_capacity, c.maximum_capacity, c.agreed_capacity, c.delta_production_result,
    c.maximum_capacity - c.actual_capacity as flexible_capacity,
    g.unit_of_measure, g.is_inactive
from dcm.capacity_group g
cross join lateral unnest(g.point_in_time, g.actual_capacity, g.maximum_capacity, g.agreed_capacity, g.delta_production_result)
    as c (point_in_time, actual_capacity, maximum_capacity, agreed_capacity, delta_production_result);
comment on view planning.capacity is 'One row per stored WeekBasedCapacityGroup and week. Quantities are per week, in unit_of_measure.';
comment on column planning.capacity.unit_of_measure is 'Unit of the quantities, such as unit:piece. NULL where the supplier omitted it.';
comment on column planning.capacity.is_inactive is 'True if the supplier does not use or maintain the group at present; leave it out of sums.';
comment on column planning.capacity.supplier is 'BPNL of the supplier.';
comment on column planning.capacity.customer is 'BPNL of ours that the capacity is for.';
comment on column planning.capacity.capacity_group_id is 'UUID of the group; unique for one supplier and customer only.';
comment on column planning.capacity.point_in_time is 'The week, as the date of its Monday.';
comment on column planning.capacity.actual_capacity is 'Realistically planned output of the week, all known effects considered; in the group''s unit of measure.';
comment on column planning.capacity.maximum_capacity is 'Largest possible output of the week; in the group''s unit of measure.';
comment on column planning.capacity.agreed_capacity is 'Capacity agreed for the week, no legal obligation to deliver; in the group''s unit of measure. NULL if not sent.';
comment on column planning.capacity.delta_production_result is 'Difference to demand after pre- or post-production, may be negative; in the group''s unit of measure. NULL if not sent.';
comment on column planning.capacity.flexible_capacity is 'maximum_capacity − actual_capacity: what the supplier can add in the week; in the group''s unit of measure.';

create view planning.linked_demand_series as
select
    g.supplier, g.customer, g.capacity_group_id,
    s.material_number_customer, s.material_number_supplier, s.customer_location, s.demand_category_code, s.load_factor
from dcm.capacity_group g
cross join lateral unnest(g.material_number_customer, g.material_number_supplier, g.customer_location, g.demand_category_code, g.load_factor)
    as s (material_number_customer, material_number_supplier, customer_location, demand_category_code, load_factor);
comment on view planning.linked_demand_series is 'One row per stored WeekBasedCapacityGroup and demand series that it serves. A series may be served by several groups.';
comment on column planning.linked_demand_series.supplier is 'BPNL of the supplier.';
comment on column planning.linked_demand_series.customer is 'BPNL of ours that the capacity is for.';
comment on column planning.linked_demand_series.capacity_group_id is 'UUID of the group; unique for one supplier and customer only.';
comment on column planning.linked_demand_series.material_number_customer is 'Our number of the material.';
comment on column planning.linked_demand_series.material_number_supplier is 'The supplier''s number of the material, for information only. NULL if not sent.';
comment on column planning.linked_demand_series.customer_location is 'BPNS of our site that needs the material.';
comment on column planning.linked_demand_series.demand_category_code is 'Category of the demand: 0001 default, A1S1 after sales, SR99 series, PI01 phase-in, OS01 single order, OI01 small series, ED01 extraordinary, PO01 phase-out.';
comment on column planning.linked_demand_series.load_factor is 'How much more (above 1) or less (below 1) of the capacity one unit of this material takes; no unit. NULL if not sent.';

create view planning.alert_threshold as
select
    g.supplier, g.customer, g.capacity_group_id, t.sequence_number, t.subhorizon_length,
    t.relative_positive_deviation, t.relative_negative_deviation, t.absolute_positive_deviation, t.absolute_negative_deviation
from dcm.capacity_group g
cross join lateral unnest(g.sequence_number, g.subhorizon_length, g.relative_positive_deviation, g.relative_negative_deviation,
    g.absolute_positive_deviation, g.absolute_negative_deviation)
    as t (sequence_number, subhorizon_length, relative_positive_deviation, relative_negative_deviation,
    absolute_positive_deviation, absolute_negative_deviation);
comment on view planning.alert_threshold is 'One row per stored WeekBasedCapacityGroup and sub-horizon (rollingHorizonAlertThresholds). Sub-horizons follow each other from start_reference_date_time on.';
comment on column planning.alert_threshold.supplier is 'BPNL of the supplier.';
comment on column planning.alert_threshold.customer is 'BPNL of ours that the capacity is for.';
comment on column planning.alert_threshold.capacity_group_id is 'UUID of the group; unique for one supplier and customer only.';
comment on column planning.alert_threshold.sequence_number is 'Place of the sub-horizon among those of its group, from 1.';
comment on column planning.alert_threshold.subhorizon_length is 'Length of the sub-horizon, in weeks.';
comment on column planning.alert_threshold.relative_positive_deviation is 'Rise of demand that raises an alert, as a share: 0.2 is 20 %. NULL if not sent.';
comment on column planning.alert_threshold.relative_negative_deviation is 'Fall of demand that raises an alert, as a share: 0.3 is 30 %. NULL if not sent.';
comment on column planning.alert_threshold.absolute_positive_deviation is 'Rise of demand that raises an alert, in the group''s unit of measure. NULL if not sent.';
comment on column planning.alert_threshold.absolute_negative_deviation is 'Fall of demand that raises an alert, in the group''s unit of measure. NULL if not sent.';

-- Whether a message is a repeat follows from the order of arrival, which the id keeps.
-- To count repeats at each write would take a look-up, and two repeats that arrive at
-- the same moment would conflict.
create view planning.message as
select
    m.id, m.received_at, m.endpoint, m.sender, m.message_id,
    exists (select from dcm.message e where e.sender = m.sender and e.message_id = m.message_id and e.id < m.id) as is_repeat,
    m.contract_agreement_id, m.status, m.objects, m.bytes, m.duration, m.errors, m.more_errors,
    coalesce(m.standard, case when cardinality(m.rule) > 0 then 'CX-0048 v1.0.0 §3.2.7' end) as standard,
    coalesce(m.problem, case m.status when 422 then 'not-json' when 413 then 'too-large' when 400 then 'refused' end) as problem,
    m.warnings
from dcm.message m;
comment on view planning.message is 'One row per message received from an identified, allowed sender, refused ones too. Kept for the journal''s retention time.';
comment on column planning.message.id is 'Our own ID of the message: /messages/{id} in the answer.';
comment on column planning.message.received_at is 'When its first byte arrived.';
comment on column planning.message.endpoint is 'Path of the endpoint: week-based-capacity-group, week-based-material-demand, id-based-request-for-update or id-based-comment.';
comment on column planning.message.sender is 'BPNL of the sending connector.';
comment on column planning.message.message_id is 'messageId of its header. NULL if there was none.';
comment on column planning.message.is_repeat is 'True if the sender used the same messageId in an earlier message that is still in the journal: a retry, as a rule.';
comment on column planning.message.contract_agreement_id is 'Contract agreement under which the connector let it through. NULL if the connector did not say.';
comment on column planning.message.status is 'HTTP status of our answer.';
comment on column planning.message.objects is 'How many objects it carried.';
comment on column planning.message.bytes is 'Size of its body in bytes; of a body over the limit, what was announced or read.';
comment on column planning.message.duration is 'Time from its arrival to this entry.';
comment on column planning.message.errors is 'What is wrong with the message as a whole: a list of pointer (RFC 6901, into the body) and detail. NULL if nothing.';
comment on column planning.message.more_errors is 'How many errors there are beyond the listed ones.';
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
comment on column planning.message_object.capacity_group_id is 'The same as object_id: its name before there were other objects.';
comment on column planning.message_object.rule is 'Number of the rule that decided, in standard.';
comment on column planning.message_object.outcome is 'created, overwritten, deleted or ignored.';
comment on column planning.message_object.errors is 'Why it was ignored: a list of pointer (RFC 6901, into the body) and detail. NULL otherwise.';
comment on column planning.message_object.more_errors is 'How many errors there are beyond the listed ones.';
comment on column planning.message_object.object_id is 'Its capacityGroupId, materialDemandId or commentId. NULL if that could not be read.';
comment on column planning.message_object.standard is 'Standard, version and section whose numbers the rules have.';
comment on column planning.message_object.warnings is 'What is odd about it, though valid: a list of pointer and detail. NULL if nothing.';

create view planning.message_count as
select sender, endpoint, status, hour, messages, bytes from dcm.message_count;
comment on view planning.message_count is 'Messages that changed nothing (refusals, identical re-sends, requests for update) beyond the rate at which they are journalled one by one: counted by sender, endpoint, status and hour.';
comment on column planning.message_count.sender is 'BPNL of the sending connector.';
comment on column planning.message_count.endpoint is 'Path of the endpoint.';
comment on column planning.message_count.status is 'HTTP status of our answers.';
comment on column planning.message_count.hour is 'The hour, by its beginning.';
comment on column planning.message_count.messages is 'How many messages.';
comment on column planning.message_count.bytes is 'Size of their bodies together, in bytes.';

create view planning.request_for_update as
select
    r.partner as supplier, r.asked as customer, e.requested_id as material_demand_id, e.changed_at, e.changed_at_nanosecond,
    r.requested_at, r.expected_response_by, r.message_id,
    r.arrived_at as answered_at,
    case when e.answer is null or e.answer = 'sent' and r.arrived_at is null then 'waiting' else e.answer end as answer
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
comment on column planning.request_for_update.answered_at is 'When all of the answer had arrived at the supplier, was refused by it, or turned out to be nothing. NULL: not yet.';
comment on column planning.request_for_update.answer is 'What became of it: sent (it has arrived), nothing newer, unknown (no such demand for this supplier), refused (by the supplier: planning.delivery has the reason), or waiting.';

-- A customer asks its supplier for capacity groups: the partner that asks is the
-- customer, and we are the supplier.
create view planning.request_for_capacity_group as
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
comment on column planning.request_for_capacity_group.capacity_group_id is 'UUID of the named group. NULL: all of them.';
comment on column planning.request_for_capacity_group.changed_at is 'Send only what was changed after this, to the microsecond. NULL: in any case.';
comment on column planning.request_for_capacity_group.changed_at_nanosecond is 'Nanoseconds (0 to 999) to add to changed_at for the exact instant. NULL where changed_at is.';
comment on column planning.request_for_capacity_group.requested_at is 'When we received the request.';
comment on column planning.request_for_capacity_group.expected_response_by is 'When the partner expects the answer. NULL if not said.';
comment on column planning.request_for_capacity_group.message_id is 'messageId of the request. NULL if it had no header.';

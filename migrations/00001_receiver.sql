-- +goose Up

comment on schema dcm is 'Tables of dcm-receiver. Internal: they may change with any version. Planners read schema planning.';

-- One row a group, the weeks in parallel arrays: a message replaces a group as a
-- whole, and one row of arrays takes a fraction of the space and time of a row a
-- week. Every key begins with the supplier, so that the data can be spread by it.
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
    primary key (supplier, customer, capacity_group_id),
    constraint supplier_is_a_bpnl check (supplier ~ '^BPNL[a-zA-Z0-9]{12}$'),
    constraint customer_is_a_bpnl check (customer ~ '^BPNL[a-zA-Z0-9]{12}$'),
    constraint unit_is_there_unless_omitted check ((unit_of_measure is null) = unit_of_measure_is_omitted),
    constraint nanoseconds_below_a_microsecond check (changed_at_nanosecond between 0 and 999 and start_reference_date_time_nanosecond between 0 and 999),
    constraint capacities_are_not_negative check (0 <= all (actual_capacity) and 0 <= all (maximum_capacity)),
    constraint a_capacity_has_all_columns check (
        cardinality(actual_capacity) = cardinality(point_in_time) and cardinality(maximum_capacity) = cardinality(point_in_time)
        and cardinality(agreed_capacity) in (0, cardinality(point_in_time))
        and cardinality(delta_production_result) in (0, cardinality(point_in_time))),
    constraint a_demand_series_has_all_columns check (
        cardinality(customer_location) = cardinality(material_number_customer)
        and cardinality(demand_category_code) = cardinality(material_number_customer))
)
-- Room in each page for the new version of a row: an overwritten group then
-- stays where it is, and no index changes.
with (fillfactor = 60);

-- The journal: one row a message, its objects in parallel arrays.
create table dcm.message (
    sender text not null,
    id uuid not null,
    received_at timestamptz not null,
    endpoint text not null,
    message_id uuid,
    message_id_as_sent text,
    repeat integer not null,
    contract_agreement_id text,
    status smallint not null,
    objects integer not null,
    bytes bigint not null,
    duration interval not null,
    errors jsonb,
    more_errors integer not null,
    capacity_group_id uuid[] not null,
    rule smallint[] not null,
    object_errors jsonb,
    primary key (sender, id)
);
create unique index message_repeat on dcm.message (sender, message_id, repeat) where message_id is not null;
create index message_received_at on dcm.message using brin (received_at);

create table dcm.request_for_update (
    supplier text not null,
    message_key uuid not null,
    kind text not null,
    asks_for_all boolean not null,
    requested_id uuid not null,
    message_id uuid,
    customer text,
    changed_at timestamptz,
    changed_at_nanosecond smallint,
    requested_at timestamptz not null,
    expected_response_by timestamptz,
    primary key (supplier, message_key, kind, asks_for_all, requested_id),
    constraint kind_is_an_object check (kind in ('WeekBasedMaterialDemand', 'WeekBasedCapacityGroup'))
);
create index request_for_update_requested_at on dcm.request_for_update using brin (requested_at);

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

create view planning.request_for_update as
select
    supplier, customer,
    case when not asks_for_all then requested_id end as material_demand_id,
    changed_at, changed_at_nanosecond, requested_at, expected_response_by, message_id
from dcm.request_for_update
where kind = 'WeekBasedMaterialDemand';
comment on view planning.request_for_update is 'One row per WeekBasedMaterialDemand that a supplier asked us to send again (IdBasedRequestForUpdate). A repeated message adds no row.';
comment on column planning.request_for_update.supplier is 'BPNL of the supplier that asks.';
comment on column planning.request_for_update.customer is 'BPNL of ours that was asked. NULL if the message had no header and we are responsible for several: all of them.';
comment on column planning.request_for_update.material_demand_id is 'UUID of the wanted material demand. NULL: all of them.';
comment on column planning.request_for_update.changed_at is 'Send only what was changed after this, the supplier''s last known state, to the microsecond. NULL: in any case.';
comment on column planning.request_for_update.changed_at_nanosecond is 'Nanoseconds (0 to 999) to add to changed_at for the exact instant. NULL where changed_at is.';
comment on column planning.request_for_update.requested_at is 'When we received the request.';
comment on column planning.request_for_update.expected_response_by is 'When the supplier expects the answer. NULL if not said.';
comment on column planning.request_for_update.message_id is 'messageId of the request. NULL if it had no header.';

create view planning.request_for_capacity_group as
select
    supplier, customer,
    case when not asks_for_all then requested_id end as capacity_group_id,
    changed_at, changed_at_nanosecond, requested_at, expected_response_by, message_id
from dcm.request_for_update
where kind = 'WeekBasedCapacityGroup';
comment on view planning.request_for_capacity_group is 'One row per WeekBasedCapacityGroup named in an IdBasedRequestForUpdate. These are for suppliers to answer; a customer has nothing to send for them.';
comment on column planning.request_for_capacity_group.supplier is 'BPNL of the partner that asks.';
comment on column planning.request_for_capacity_group.customer is 'BPNL of ours that was asked. NULL as in planning.request_for_update.';
comment on column planning.request_for_capacity_group.capacity_group_id is 'UUID of the named group. NULL: all of them.';
comment on column planning.request_for_capacity_group.changed_at is 'Send only what was changed after this, to the microsecond. NULL: in any case.';
comment on column planning.request_for_capacity_group.changed_at_nanosecond is 'Nanoseconds (0 to 999) to add to changed_at for the exact instant. NULL where changed_at is.';
comment on column planning.request_for_capacity_group.requested_at is 'When we received the request.';
comment on column planning.request_for_capacity_group.expected_response_by is 'When the partner expects the answer. NULL if not said.';
comment on column planning.request_for_capacity_group.message_id is 'messageId of the request. NULL if it had no header.';

create view planning.message as
select
    id, received_at, endpoint, sender, message_id, repeat > 0 as is_repeat, contract_agreement_id, status, objects, bytes, duration, errors, more_errors
from dcm.message;
comment on view planning.message is 'One row per message received from an identified, allowed sender, refused ones too. Kept for the journal''s retention time.';
comment on column planning.message.id is 'Our own ID of the message: /messages/{id} in the answer.';
comment on column planning.message.received_at is 'When its first byte arrived.';
comment on column planning.message.endpoint is 'week-based-capacity-group or id-based-request-for-update.';
comment on column planning.message.sender is 'BPNL of the sending connector.';
comment on column planning.message.message_id is 'messageId of its header. NULL if there was none.';
comment on column planning.message.is_repeat is 'True if the sender had used the same messageId before: a retry, as a rule.';
comment on column planning.message.contract_agreement_id is 'Contract agreement under which the connector let it through. NULL if the connector did not say.';
comment on column planning.message.status is 'HTTP status of our answer.';
comment on column planning.message.objects is 'How many objects it carried.';
comment on column planning.message.bytes is 'Size of its body in bytes; of a body over the limit, what was announced or read.';
comment on column planning.message.duration is 'Time from its arrival to this entry.';
comment on column planning.message.errors is 'What is wrong with the message as a whole: a list of pointer (RFC 6901, into the body) and detail. NULL if nothing.';
comment on column planning.message.more_errors is 'How many errors there are beyond the listed ones.';

create view planning.message_object as
select
    m.id as message, m.received_at, m.sender, m.message_id,
    (o.position - 1)::integer as index,
    o.capacity_group_id, o.rule,
    case when o.rule = 5 then 'created' when o.rule in (4, 7) then 'overwritten' else 'ignored' end as outcome,
    m.object_errors -> (o.position - 1)::text -> 'errors' as errors,
    coalesce((m.object_errors -> (o.position - 1)::text ->> 'moreErrors')::integer, 0) as more_errors
from dcm.message m
cross join lateral unnest(m.capacity_group_id, m.rule) with ordinality as o (capacity_group_id, rule, position);
comment on view planning.message_object is 'One row per WeekBasedCapacityGroup of a received message, refused ones too.';
comment on column planning.message_object.message is 'id of planning.message.';
comment on column planning.message_object.received_at is 'When the message arrived.';
comment on column planning.message_object.sender is 'BPNL of the sending connector.';
comment on column planning.message_object.message_id is 'messageId of the message. NULL if it had no header.';
comment on column planning.message_object.index is 'Place of the object in the message, from 0.';
comment on column planning.message_object.capacity_group_id is 'Its capacityGroupId. NULL if that could not be read.';
comment on column planning.message_object.rule is 'Number of the rule in CX-0048 §3.2.7 that decided.';
comment on column planning.message_object.outcome is 'created, overwritten or ignored.';
comment on column planning.message_object.errors is 'Why it was ignored: a list of pointer (RFC 6901, into the body) and detail. NULL otherwise.';
comment on column planning.message_object.more_errors is 'How many errors there are beyond the listed ones.';

-- +goose Up

-- WeekBasedMaterialDemand objects: those that we send as a customer and those that we
-- receive as a supplier. Every key begins with the partner, the company at the other
-- end, so that the data can be distributed by it: of a sent demand that is the
-- supplier, of a received one the customer.
create table dcm.material_demand (
    partner text not null,
    direction text not null,
    supplier text not null,
    customer text not null,
    material_demand_id uuid not null,
    changed_at timestamptz not null,
    changed_at_nanosecond smallint not null,
    first_recorded_at timestamptz not null,
    recorded_at timestamptz not null,
    message_id uuid,
    content_hash bytea,
    unit_of_measure_is_omitted boolean not null,
    is_inactive boolean not null,
    material_number_customer text not null,
    material_number_supplier text,
    material_description_customer text not null,
    material_global_asset_id text,
    unit_of_measure text,
    -- Set by an operator: the next message is taken, whatever its changedAt. That
    -- message locks the demand again.
    is_unlocked boolean not null default false,
    primary key (partner, direction, supplier, customer, material_demand_id),
    -- CX-0048 §2.2.2: one object a supplier, customer and material. Checked at the end
    -- of a transaction, because a list may move a material from one object to another.
    constraint material_demand_one_a_material unique (partner, direction, supplier, customer, material_number_customer) deferrable initially deferred,
    constraint direction_is_a_direction check (direction in ('sent', 'received')),
    constraint partner_is_the_other_company check (partner = case direction when 'sent' then supplier else customer end),
    constraint supplier_is_a_bpnl check (supplier ~ '^BPNL[a-zA-Z0-9]{12}$'),
    constraint customer_is_a_bpnl check (customer ~ '^BPNL[a-zA-Z0-9]{12}$'),
    constraint unit_is_there_unless_omitted check ((unit_of_measure is null) = unit_of_measure_is_omitted),
    constraint nanoseconds_below_a_microsecond check (changed_at_nanosecond between 0 and 999)
);

-- The series of a material demand, the weeks of each in parallel arrays. Links of
-- capacity groups name a series by exactly this key, so it includes the material
-- number. A writer sets changed_at and valid_from to those of the demand; the trigger
-- (see 00024) restores them where the values are the same.
create table dcm.demand_series (
    partner text not null,
    direction text not null,
    supplier text not null,
    customer text not null,
    material_number_customer text not null,
    customer_location text not null,
    demand_category_code text not null,
    material_demand_id uuid not null,
    expected_supplier_location text,
    point_in_time date[] not null,
    demand numeric[] not null,
    changed_at timestamptz not null default '-infinity',
    changed_at_nanosecond smallint not null default 0,
    valid_from timestamptz not null default now(),
    primary key (partner, direction, supplier, customer, material_number_customer, customer_location, demand_category_code),
    constraint demands_are_not_negative check (0 <= all (demand)),
    constraint a_demand_has_all_columns check (cardinality(demand) = cardinality(point_in_time))
);

-- +goose StatementBegin
do $$
begin
    execute 'alter table dcm.demand_series alter point_in_time set compression lz4, alter demand set compression lz4';
exception
    when feature_not_supported or syntax_error then -- built without lz4, or older than version 14
        null;
end
$$;
-- +goose StatementEnd

create view planning.material_demand as
select
    supplier, customer, material_demand_id, material_number_customer, material_number_supplier,
    material_description_customer, material_global_asset_id, unit_of_measure, unit_of_measure_is_omitted, is_inactive,
    changed_at, changed_at_nanosecond, direction,
    case direction when 'sent' then recorded_at end as released_at,
    case direction when 'received' then recorded_at end as received_at,
    message_id
from dcm.material_demand;
comment on view planning.material_demand is 'One row per WeekBasedMaterialDemand that we released for sending (as customer) or received (as supplier): its last state.';
comment on column planning.material_demand.supplier is 'BPNL of the supplier: who is to deliver.';
comment on column planning.material_demand.customer is 'BPNL of the customer: who needs the material.';
comment on column planning.material_demand.material_demand_id is 'UUID of the object; one for ever per supplier, customer and material.';
comment on column planning.material_demand.material_number_customer is 'The customer''s number of the material.';
comment on column planning.material_demand.material_number_supplier is 'The supplier''s number of the material, for information only. NULL if not known.';
comment on column planning.material_demand.material_description_customer is 'The customer''s description of the material.';
comment on column planning.material_demand.material_global_asset_id is 'Global asset ID of the material''s digital twin. NULL if there is none.';
comment on column planning.material_demand.unit_of_measure is 'Unit of all quantities of the object, such as unit:piece. NULL where it is omitted.';
comment on column planning.material_demand.unit_of_measure_is_omitted is 'True if the unit is left out on purpose.';
comment on column planning.material_demand.is_inactive is 'True if the material is not needed at present; leave it out of sums.';
comment on column planning.material_demand.changed_at is 'When the content was changed at the customer, to the microsecond.';
comment on column planning.material_demand.changed_at_nanosecond is 'Nanoseconds (0 to 999) to add to changed_at for the exact instant.';
comment on column planning.material_demand.direction is 'sent: ours, for the supplier. received: a customer''s, for us.';
comment on column planning.material_demand.released_at is 'When the state shown was released for sending. NULL for what we received.';
comment on column planning.material_demand.received_at is 'When we received the state shown. NULL for what we send.';
comment on column planning.material_demand.message_id is 'messageId of the message that brought the state shown. NULL for what we send.';

create view planning.demand as
select
    s.supplier, s.customer, s.material_demand_id, s.material_number_customer, s.customer_location, s.demand_category_code,
    s.expected_supplier_location, d.point_in_time, d.demand, m.unit_of_measure, m.is_inactive, s.direction
from dcm.demand_series s
join dcm.material_demand m using (partner, direction, supplier, customer, material_number_customer)
cross join lateral unnest(s.point_in_time, s.demand) as d (point_in_time, demand);
comment on view planning.demand is 'One row per demand series (material, location, category) and week. Quantities are per week, in unit_of_measure.';
comment on column planning.demand.supplier is 'BPNL of the supplier.';
comment on column planning.demand.customer is 'BPNL of the customer.';
comment on column planning.demand.material_demand_id is 'UUID of the material demand that the series belongs to.';
comment on column planning.demand.material_number_customer is 'The customer''s number of the material.';
comment on column planning.demand.customer_location is 'BPNS of the customer''s site that needs the material.';
comment on column planning.demand.demand_category_code is 'Category of the demand: 0001 default, A1S1 after sales, SR99 series, PI01 phase-in, OS01 single order, OI01 small series, ED01 extraordinary, PO01 phase-out.';
comment on column planning.demand.expected_supplier_location is 'BPNS of the supplier''s site that is expected to deliver. NULL if not said.';
comment on column planning.demand.point_in_time is 'The week, as the date of its Monday.';
comment on column planning.demand.demand is 'What is needed in the week; in unit_of_measure.';
comment on column planning.demand.unit_of_measure is 'Unit of the quantities, such as unit:piece. NULL where it is omitted.';
comment on column planning.demand.is_inactive is 'True if the material is not needed at present; leave it out of sums.';
comment on column planning.demand.direction is 'sent: ours, for the supplier. received: a customer''s, for us.';

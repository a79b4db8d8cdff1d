-- +goose Up

-- What else of a group changes, for those who ask what changed since a day: load
-- factors and sites are kept with the state that they are part of. NULL: a state of
-- before this migration.
alter table dcm.capacity_group_history
    add column load_factor numeric[],
    add column supplier_locations text[];
-- A name is no value, so another one makes no state; only the one before is kept.
alter table dcm.capacity_group
    add column previous_name text,
    add column renamed_at timestamptz;

-- +goose StatementBegin
create or replace function dcm.keep_capacity_group() returns trigger language plpgsql as $$
begin
    if old.name <> new.name and current_setting('dcm.history', true) is distinct from 'off' then
        new.previous_name := old.name;
        new.renamed_at := new.received_at;
    end if;
    if (old.start_reference_date_time, old.measurement_interval, old.sequence_number, old.subhorizon_length,
            old.relative_positive_deviation, old.relative_negative_deviation, old.absolute_positive_deviation, old.absolute_negative_deviation)
        is distinct from (new.start_reference_date_time, new.measurement_interval, new.sequence_number, new.subhorizon_length,
                new.relative_positive_deviation, new.relative_negative_deviation, new.absolute_positive_deviation, new.absolute_negative_deviation)
    then
        if current_setting('dcm.history', true) is distinct from 'off' then
            insert into dcm.measurement_history (
                supplier, customer, capacity_group_id, valid_from, superseded_at, start_reference_date_time, measurement_interval, sequence_number, subhorizon_length,
                relative_positive_deviation, relative_negative_deviation, absolute_positive_deviation, absolute_negative_deviation)
            values (
                old.supplier, old.customer, old.capacity_group_id, coalesce(old.measured_by_since, old.first_received_at), new.received_at,
                old.start_reference_date_time, old.measurement_interval, old.sequence_number, old.subhorizon_length,
                old.relative_positive_deviation, old.relative_negative_deviation, old.absolute_positive_deviation, old.absolute_negative_deviation)
            on conflict do nothing;
        end if;
        new.measured_by_since := new.received_at;
    end if;
    if (old.actual_capacity, old.maximum_capacity, old.agreed_capacity, old.delta_production_result, old.point_in_time,
            old.unit_of_measure, old.is_inactive, old.linked_capacity_groups, old.material_number_customer, old.customer_location, old.demand_category_code,
            old.load_factor, old.supplier_locations)
        is not distinct from (new.actual_capacity, new.maximum_capacity, new.agreed_capacity, new.delta_production_result, new.point_in_time,
            new.unit_of_measure, new.is_inactive, new.linked_capacity_groups, new.material_number_customer, new.customer_location, new.demand_category_code,
            new.load_factor, new.supplier_locations)
    then
        return new;
    end if;
    if current_setting('dcm.history', true) is distinct from 'off' then
        insert into dcm.capacity_group_history (
            supplier, customer, capacity_group_id, valid_from, superseded_at, changed_at, changed_at_nanosecond, unit_of_measure, is_inactive,
            linked_capacity_groups, material_number_customer, customer_location, demand_category_code, load_factor, supplier_locations,
            point_in_time, actual_capacity, maximum_capacity, agreed_capacity, delta_production_result)
        values (
            old.supplier, old.customer, old.capacity_group_id, coalesce(old.valid_from, old.first_received_at), new.received_at,
            old.changed_at, old.changed_at_nanosecond, old.unit_of_measure, old.is_inactive,
            old.linked_capacity_groups, old.material_number_customer, old.customer_location, old.demand_category_code, old.load_factor, old.supplier_locations,
            old.point_in_time, old.actual_capacity, old.maximum_capacity, old.agreed_capacity, old.delta_production_result)
        on conflict do nothing; -- a clock that went back
    end if;
    new.valid_from := new.received_at;
    return new;
end
$$;

create or replace function dcm.keep_removed_capacity_group() returns trigger language plpgsql as $$
begin
    insert into dcm.capacity_group_history (
        supplier, customer, capacity_group_id, valid_from, superseded_at, changed_at, changed_at_nanosecond, unit_of_measure, is_inactive,
        linked_capacity_groups, material_number_customer, customer_location, demand_category_code, load_factor, supplier_locations,
        point_in_time, actual_capacity, maximum_capacity, agreed_capacity, delta_production_result)
    values (
        old.supplier, old.customer, old.capacity_group_id, coalesce(old.valid_from, old.first_received_at), now(),
        old.changed_at, old.changed_at_nanosecond, old.unit_of_measure, old.is_inactive,
        old.linked_capacity_groups, old.material_number_customer, old.customer_location, old.demand_category_code, old.load_factor, old.supplier_locations,
        old.point_in_time, old.actual_capacity, old.maximum_capacity, old.agreed_capacity, old.delta_production_result)
    on conflict do nothing;
    return old;
end
$$;
-- +goose StatementEnd

create view planning.group_history as
select s.supplier, s.customer, s.capacity_group_id, d.detail, d.subject, d.value, s.valid_from as received_at, s.superseded_at
from (
    select
        supplier, customer, capacity_group_id, valid_from, superseded_at, unit_of_measure, is_inactive, supplier_locations,
        linked_capacity_groups, material_number_customer, customer_location, demand_category_code, load_factor
    from dcm.capacity_group_history
    union all
    select
        supplier, customer, capacity_group_id, coalesce(valid_from, first_received_at), null, unit_of_measure, is_inactive, supplier_locations,
        linked_capacity_groups, material_number_customer, customer_location, demand_category_code, load_factor
    from dcm.capacity_group
) s
cross join lateral (
    select 'unit of measure' as detail, '' as subject, coalesce(s.unit_of_measure, 'omitted') as value
    union all
    select 'inactive', '', case when s.is_inactive then 'yes' else 'no' end
    union all
    select 'sites', '', case when s.supplier_locations = '{}' then 'not sent' else (select string_agg(l, ', ' order by l) from unnest(s.supplier_locations) l) end
    union all
    select 'linked demand series', concat_ws(', ', l.material, l.location, l.category), case when s.load_factor is not null then 'load factor ' || trim_scale(coalesce(l.factor, 1)) end
    from unnest(s.material_number_customer, s.customer_location, s.demand_category_code, s.load_factor) as l (material, location, category, factor)
    where l.material is not null
    union all
    select 'linked capacity group', l.id::text, 'linked' from unnest(s.linked_capacity_groups) as l (id)
) d
union all
select g.supplier, g.customer, g.capacity_group_id, 'name', '', n.name, n.received_at, n.superseded_at
from dcm.capacity_group g
cross join lateral (
    select g.name, coalesce(g.renamed_at, g.first_received_at) as received_at, null::timestamptz as superseded_at
    union all
    select g.previous_name, g.first_received_at, g.renamed_at where g.renamed_at is not null
) n
union all
select m.supplier, m.customer, m.capacity_group_id, d.detail, d.subject, d.value, m.valid_from, m.superseded_at
from (
    select
        supplier, customer, capacity_group_id, valid_from, superseded_at, start_reference_date_time, measurement_interval, sequence_number, subhorizon_length,
        relative_positive_deviation, relative_negative_deviation, absolute_positive_deviation, absolute_negative_deviation
    from dcm.measurement_history
    union all
    select
        supplier, customer, capacity_group_id, coalesce(measured_by_since, first_received_at), null, start_reference_date_time, measurement_interval,
        sequence_number, subhorizon_length, relative_positive_deviation, relative_negative_deviation, absolute_positive_deviation, absolute_negative_deviation
    from dcm.capacity_group
) m
cross join lateral (
    select
        'measurement' as detail, '' as subject,
        coalesce('every ' || trim_scale(m.measurement_interval) || ' weeks since ' || to_char(m.start_reference_date_time at time zone 'UTC', 'YYYY-MM-DD HH24:MI UTC'), 'none') as value
    union all
    select
        'threshold', 'sub-horizon ' || trim_scale(t.sequence_number),
        concat_ws(' ', trim_scale(t.length) || ' weeks:', '+' || trim_scale(100 * t.up) || ' %', '−' || trim_scale(100 * t.down) || ' %',
            '+' || trim_scale(t.more), '−' || trim_scale(t.less))
    from unnest(m.sequence_number, m.subhorizon_length, m.relative_positive_deviation, m.relative_negative_deviation,
        m.absolute_positive_deviation, m.absolute_negative_deviation) as t (sequence_number, length, up, down, more, less)
) d;
comment on view planning.group_history is 'One row per stored WeekBasedCapacityGroup, detail and state, the present one too; weeks are in planning.capacity_history. As of an instant: received_at <= instant and (superseded_at is null or superseded_at > instant).';
comment on column planning.group_history.supplier is 'BPNL of the supplier.';
comment on column planning.group_history.customer is 'BPNL of ours that the capacity is for.';
comment on column planning.group_history.capacity_group_id is 'UUID of the group; unique for one supplier and customer only.';
comment on column planning.group_history.detail is 'What is said of the group: name, unit of measure, inactive, sites, linked demand series, linked capacity group, measurement (of demand volatility), threshold. Of a name only the present one and the one before are known.';
comment on column planning.group_history.subject is 'Which of several: of a linked demand series the customer''s material number, site and category; of a linked group its ID; of a threshold its sub-horizon. Otherwise empty.';
comment on column planning.group_history.value is 'What was said. NULL where it was not kept then: sites and load factors before migration 23.';
comment on column planning.group_history.received_at is 'When we first received the state that says it.';
comment on column planning.group_history.superseded_at is 'When the next state took its place. NULL: still valid.';

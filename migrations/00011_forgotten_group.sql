-- +goose Up

-- A group that is removed (dcm-receiver group forget) ends its last state as other
-- values would.
-- +goose StatementBegin
create function dcm.keep_removed_capacity_group() returns trigger language plpgsql as $$
begin
    insert into dcm.capacity_group_history (
        supplier, customer, capacity_group_id, valid_from, superseded_at, changed_at, changed_at_nanosecond, unit_of_measure, is_inactive,
        linked_capacity_groups, material_number_customer, customer_location, demand_category_code,
        point_in_time, actual_capacity, maximum_capacity, agreed_capacity, delta_production_result)
    values (
        old.supplier, old.customer, old.capacity_group_id, coalesce(old.valid_from, old.first_received_at), now(),
        old.changed_at, old.changed_at_nanosecond, old.unit_of_measure, old.is_inactive,
        old.linked_capacity_groups, old.material_number_customer, old.customer_location, old.demand_category_code,
        old.point_in_time, old.actual_capacity, old.maximum_capacity, old.agreed_capacity, old.delta_production_result)
    on conflict do nothing;
    return old;
end
$$;
-- +goose StatementEnd

create trigger keep_removed_capacity_group before delete on dcm.capacity_group for each row
    when (current_setting('dcm.history', true) is distinct from 'off')
    execute function dcm.keep_removed_capacity_group();

-- +goose Up

-- The comparison of the values stood in the trigger's condition, which Postgres reads
-- anew for every statement, also for one that notes that the same content came again:
-- 0.02 ms each. In the function it is read once a session. What keeps the content
-- hash keeps the values, so such a statement need not meet the trigger at all.
-- +goose StatementBegin
create or replace function dcm.keep_capacity_group() returns trigger language plpgsql as $$
begin
    if (old.actual_capacity, old.maximum_capacity, old.agreed_capacity, old.delta_production_result, old.point_in_time,
            old.unit_of_measure, old.is_inactive, old.linked_capacity_groups, old.material_number_customer, old.customer_location, old.demand_category_code)
        is not distinct from (new.actual_capacity, new.maximum_capacity, new.agreed_capacity, new.delta_production_result, new.point_in_time,
            new.unit_of_measure, new.is_inactive, new.linked_capacity_groups, new.material_number_customer, new.customer_location, new.demand_category_code)
    then
        return new;
    end if;
    if current_setting('dcm.history', true) is distinct from 'off' then
        insert into dcm.capacity_group_history (
            supplier, customer, capacity_group_id, valid_from, superseded_at, changed_at, changed_at_nanosecond, unit_of_measure, is_inactive,
            linked_capacity_groups, material_number_customer, customer_location, demand_category_code,
            point_in_time, actual_capacity, maximum_capacity, agreed_capacity, delta_production_result)
        values (
            old.supplier, old.customer, old.capacity_group_id, coalesce(old.valid_from, old.first_received_at), new.received_at,
            old.changed_at, old.changed_at_nanosecond, old.unit_of_measure, old.is_inactive,
            old.linked_capacity_groups, old.material_number_customer, old.customer_location, old.demand_category_code,
            old.point_in_time, old.actual_capacity, old.maximum_capacity, old.agreed_capacity, old.delta_production_result)
        on conflict do nothing; -- a clock that went back
    end if;
    new.valid_from := new.received_at;
    return new;
end
$$;
-- +goose StatementEnd

drop trigger keep_capacity_group on dcm.capacity_group;
create trigger keep_capacity_group before update of content_hash on dcm.capacity_group for each row
    when (old.content_hash is distinct from new.content_hash)
    execute function dcm.keep_capacity_group();

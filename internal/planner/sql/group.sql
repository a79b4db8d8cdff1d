select
    supplier, customer, capacity_group_id, left(name, 10000) as name, unit_of_measure as unit, is_inactive, changed_at, received_at, first_received_at, message_id,
    supplier_locations[1:101] as supplier_locations, start_reference_date_time, measurement_interval::text as measurement_interval
from planning.capacity_group
where supplier = @supplier and customer = @customer and capacity_group_id = @id

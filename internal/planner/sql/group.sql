select
    supplier, customer, capacity_group_id, left(name, 10000) as name, unit_of_measure as unit, is_inactive, changed_at, received_at, first_received_at, message_id,
    supplier_locations[1:100] as supplier_locations, cardinality(supplier_locations) as sites, start_reference_date_time, measurement_interval::text as measurement_interval,
    exists (
        select from planning.group_overview o
        where o.supplier = g.supplier and o.customer = g.customer and o.capacity_group_id = g.capacity_group_id and o.gave_up_at > '-infinity') as gave_up
from planning.capacity_group g
where supplier = @supplier and customer = @customer and capacity_group_id = @id

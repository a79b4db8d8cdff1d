-- One row a material of the import: whether its lines are new, or differ from those before.
with touched as (
    select distinct supplier, customer, material_number_customer
    from imported
),
before as (
    select l.*
    from outbox.demand_line as l
    join touched using (supplier, customer, material_number_customer)
)
select supplier, customer, material_number_customer, case
    when not bool_or(b.demand is not null) then 'created'
    when bool_or(
        (n.demand, n.material_number_supplier, n.material_description_customer, n.material_global_asset_id,
            n.unit_of_measure, n.expected_supplier_location, n.is_inactive)
        is distinct from
        (b.demand, b.material_number_supplier, b.material_description_customer, b.material_global_asset_id,
            b.unit_of_measure, b.expected_supplier_location, b.is_inactive)
    ) then 'changed'
    else 'unchanged'
end as outcome
from imported as n
full join before as b
    using (supplier, customer, material_number_customer, customer_location, demand_category_code, point_in_time)
group by 1, 2, 3

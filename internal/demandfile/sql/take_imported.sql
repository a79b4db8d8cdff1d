insert into outbox.demand_line (
    supplier, customer, material_number_customer, customer_location, demand_category_code, point_in_time, demand,
    material_number_supplier, material_description_customer, material_global_asset_id, unit_of_measure,
    expected_supplier_location, is_inactive
)
select
    supplier, customer, material_number_customer, customer_location, demand_category_code, point_in_time, demand,
    material_number_supplier, material_description_customer, material_global_asset_id, unit_of_measure,
    expected_supplier_location, is_inactive
from imported

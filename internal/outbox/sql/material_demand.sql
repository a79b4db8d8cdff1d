-- Material demands as WeekBasedMaterialDemand 3.0: their newest state.
select m.material_demand_id, m.changed_at, json_strip_nulls(json_build_object(
    'materialDemandId', m.material_demand_id,
    'supplier', m.supplier,
    'customer', m.customer,
    'materialNumberCustomer', m.material_number_customer,
    'materialNumberSupplier', m.material_number_supplier,
    'materialDescriptionCustomer', m.material_description_customer,
    'materialGlobalAssetId', m.material_global_asset_id,
    'changedAt', to_char(m.changed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'unitOfMeasure', m.unit_of_measure,
    'unitOfMeasureIsOmitted', m.unit_of_measure_is_omitted,
    'materialDemandIsInactive', m.is_inactive,
    'demandSeries', (
        select json_agg(json_build_object(
            'customerLocation', s.customer_location,
            'expectedSupplierLocation', s.expected_supplier_location,
            'demandCategory', json_build_object('demandCategoryCode', s.demand_category_code),
            'demands', (
                select json_agg(json_build_object('pointInTime', to_char(w.point_in_time, 'YYYY-MM-DD'), 'demand', w.demand) order by w.point_in_time)
                from unnest(s.point_in_time, s.demand) as w (point_in_time, demand)))
            order by s.customer_location, s.demand_category_code)
        from dcm.demand_series s
        where s.partner = m.partner and s.direction = 'sent' and s.supplier = m.supplier and s.customer = m.customer
            and s.material_number_customer = m.material_number_customer)))::text
from dcm.material_demand m
where m.partner = $1 and m.direction = 'sent' and m.supplier = $1 and m.customer = $2 and m.material_demand_id = any ($3::uuid[])

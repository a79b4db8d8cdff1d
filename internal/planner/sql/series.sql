select
    left(s.material_number_customer, 201) as material_number_customer, left(s.material_number_supplier, 201) as material_number_supplier, s.customer_location, s.demand_category_code,
    trim_scale(s.load_factor)::text as load_factor, u.missing
from planning.linked_demand_series s
left join (
    -- Demands that no group links are of no interest here.
    select material_number_customer, customer_location, demand_category_code, string_agg(missing, ', ' order by missing) as missing
    from planning.unmatched_link
    where supplier = @supplier and customer = @customer and capacity_group_id = @id
    group by 1, 2, 3
) u using (material_number_customer, customer_location, demand_category_code)
where s.supplier = @supplier and s.customer = @customer and s.capacity_group_id = @id
order by 1, 3, 4
limit 501

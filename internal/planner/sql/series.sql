-- The first links of a group, and what each lacks (planning.unmatched_link). Where
-- looking that up takes too long, the links are read without it.
with link as materialized (
    select material_number_customer, material_number_supplier, customer_location, demand_category_code, load_factor, count(*) over () as total
    from planning.linked_demand_series
    where supplier = @supplier and customer = @customer and capacity_group_id = @id
    limit 500
)
select
    left(material_number_customer, 201) as material_number_customer, left(material_number_supplier, 201) as material_number_supplier,
    customer_location, demand_category_code, trim_scale(load_factor)::text as load_factor, @matched::boolean as is_matched, total,
    case
        when not @matched then null
        when (material_number_customer, customer_location, demand_category_code) in (
            select material_number_customer, customer_location, demand_category_code
            from planning.unmatched_link
            where supplier = @supplier and customer = @customer and capacity_group_id = @id and missing = 'demand') then 'demand'
        when (material_number_customer, customer_location, demand_category_code) in (
            select material_number_customer, customer_location, demand_category_code
            from planning.unmatched_link
            where supplier = @supplier and customer = @customer and capacity_group_id = @id and missing = 'unit') then 'unit'
    end as missing
from link
order by 1, 3, 4

-- The series of a material that its demand does not have any more.
delete from dcm.demand_series
where partner = @customer and direction = 'received' and supplier = @supplier and customer = @customer and material_number_customer = @material
    and (customer_location, demand_category_code) not in (select * from unnest(@locations::text[], @categories::text[]))

create index on imported (supplier, customer, material_number_customer)

delete from outbox.demand_line as l
where (l.supplier, l.customer, l.material_number_customer) in (
    select supplier, customer, material_number_customer
    from imported
)

-- The weeks of materials that were there before whose demand the import changes.
with touched as (
    select distinct supplier, customer, material_number_customer
    from imported as n
    where exists (
        select
        from outbox.demand_line as l
        where (l.supplier, l.customer, l.material_number_customer)
            = (n.supplier, n.customer, n.material_number_customer)
    )
),
before as (
    select l.*
    from outbox.demand_line as l
    join touched using (supplier, customer, material_number_customer)
),
after as (
    select l.*
    from imported as l
    join touched using (supplier, customer, material_number_customer)
)
select
    supplier, customer, material_number_customer, customer_location, demand_category_code, point_in_time::text,
    coalesce(trim_scale(b.demand)::text, ''), coalesce(trim_scale(n.demand)::text, '')
from after as n
full join before as b
    using (supplier, customer, material_number_customer, customer_location, demand_category_code, point_in_time)
where n.demand is distinct from b.demand
order by 1, 2, 3, 4, 5, 6
limit $1

-- What changed is as old as it was at the look before; all other overviews are of now.
with changed as (
    select unnest(@suppliers::text[]) as supplier, unnest(@customers::text[]) as customer
), marked as (
    update dcm.overview o
    set as_of = n.as_of
    from (
        select supplier, customer, case when c.supplier is not null then coalesce(k.as_of, t.as_of) end as as_of
        from dcm.overview k
        cross join dcm.overview_turn t
        left join changed c using (supplier, customer)
    ) n
    where o.supplier = n.supplier and o.customer = n.customer and o.as_of is distinct from n.as_of
)
update dcm.overview_turn
set as_of = greatest(as_of, @begun)

select
    supplier, customer,
    (select count(*) from dcm.capacity_group g where g.supplier = coalesce(c.supplier, o.supplier) and g.customer = coalesce(c.customer, o.customer)) as groups
from dcm.overview_content c
full join dcm.overview o using (supplier, customer)
where (c.content is distinct from o.content or o.first_week <> date_trunc('week', now() at time zone 'UTC')::date)
    and (o.gave_up_at is null or o.gave_up_at < now() - interval '1 hour')
order by o.supplier is not null, supplier, customer

-- Those that were given up come last: others do not wait for them.
select
    supplier, customer,
    (select count(*) from dcm.capacity_group g where g.supplier = coalesce(c.supplier, o.supplier) and g.customer = coalesce(c.customer, o.customer)) as groups,
    o.supplier is null as is_new, coalesce(o.gave_up_at > now() - interval '1 hour', false) as is_given_up
from dcm.overview_content c
full join dcm.overview o using (supplier, customer)
where c.content is distinct from o.content or o.first_week <> date_trunc('week', now() at time zone 'UTC')::date
order by coalesce(o.gave_up_at > '-infinity', false), o.supplier is not null, supplier, customer

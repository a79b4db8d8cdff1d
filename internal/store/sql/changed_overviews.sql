select supplier, customer
from dcm.overview_content c
full join dcm.overview o using (supplier, customer)
where c.content is distinct from o.content or o.first_week <> date_trunc('week', now() at time zone 'UTC')::date
order by o.supplier is not null, supplier, customer

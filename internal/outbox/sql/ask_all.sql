insert into outbox.request_for_update (supplier, customer)
select supplier, customer
from (
    select distinct supplier, customer
    from planning.capacity_group
    where ($1 = '' or supplier = $1) and ($2 = '' or customer = $2)
    union
    select $1, $2
    where $1 <> '' and $2 <> ''
) as relationship
returning message_id::text, supplier, customer, capacity_group_id::text, requested_at

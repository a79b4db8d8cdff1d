insert into outbox.request_for_update (supplier, customer, capacity_group_id, changed_at)
select supplier, customer, $3::text::uuid, changed_at
from (
    select supplier, customer, case when $4 then changed_at end as changed_at
    from planning.capacity_group
    where capacity_group_id = $3::text::uuid and ($1 = '' or supplier = $1) and ($2 = '' or customer = $2)
    union all
    select $1, $2, null
    where $1 <> '' and $2 <> '' and not exists (
        select
        from planning.capacity_group
        where capacity_group_id = $3::text::uuid and supplier = $1 and customer = $2
    )
) as relationship
returning message_id::text, supplier, customer, capacity_group_id::text, requested_at

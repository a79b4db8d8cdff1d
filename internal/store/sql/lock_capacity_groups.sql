-- Locks in the order of the key, so that two lists in opposite order cannot
-- wait for each other. Row locks live in the rows: a long list fills no table.
select g.customer, g.capacity_group_id, g.changed_at, g.changed_at_nanosecond, g.content_hash
from dcm.capacity_group g
where g.supplier = @supplier
    and (g.customer, g.capacity_group_id) in (select k.customer, k.id from unnest(@customers::text[], @ids::uuid[]) as k (customer, id))
order by g.customer, g.capacity_group_id
for update

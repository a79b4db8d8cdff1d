-- One look-up by key after the other, in the order of ids, whatever the planner
-- knows of the table: two lists in opposite order cannot wait for each other.
-- Row locks live in the rows: a long list fills no table. The parameter stands in
-- a query of its own so that the plan is kept.
select g.capacity_group_id, g.changed_at, g.changed_at_nanosecond, g.start_reference_date_time, g.start_reference_date_time_nanosecond, g.content_hash, g.is_unlocked
from unnest((select @ids::uuid[])) as k (id)
cross join lateral (
    select capacity_group_id, changed_at, changed_at_nanosecond, start_reference_date_time, start_reference_date_time_nanosecond, content_hash, is_unlocked
    from dcm.capacity_group
    where supplier = @supplier and customer = @customer and capacity_group_id = k.id
    for update
) as g

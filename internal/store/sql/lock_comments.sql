-- One look-up by key after the other, as lock_capacity_groups.sql, each by the
-- primary key (see lock_material_demands.sql).
select c.comment_id, c.originator, c.deleted_at, c.deleted_at_nanosecond, c.changed_at, c.changed_at_nanosecond, c.content_hash
from unnest((select @ids::uuid[])) as k (id)
cross join lateral (
    select comment_id, originator, deleted_at, deleted_at_nanosecond, changed_at, changed_at_nanosecond, content_hash
    from dcm.comment
    where partner = @partner and supplier = @supplier and customer = @customer and comment_id between k.id and k.id
    order by comment_id
    for update
) as c

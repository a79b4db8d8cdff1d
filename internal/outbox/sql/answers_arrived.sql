-- Ends requests for update of whose answer nothing waits any more: each object has
-- arrived since the request, in this state or a newer one, or was refused.
with ended as (
    select r.partner, r.message_key, r.requested_at,
        coalesce(cardinality(r.answer) = 1 and r.requested_id[1] is not null, false) as one,
        array(
            select case when a.answer = 'sent' and exists (
                select from dcm.delivery d
                where d.partner = r.partner and d.object = 'WeekBasedMaterialDemand' and d.state = 'refused' and (r.asked is null or d.customer = r.asked)
                    and (a.requested_id is null or d.object_id = a.requested_id)
                    and not exists (
                        select from dcm.delivery e
                        where e.partner = d.partner and e.object = d.object and e.object_id = d.object_id and e.delivered_at >= r.requested_at)
                ) then 'refused' else a.answer end
            from unnest(r.answer, r.requested_id[1:r.material_demands]) with ordinality as a (answer, requested_id, position)
            order by a.position) as answer
    from dcm.requested_update r
    where r.arrived_at is null and r.answered_at is not null and ($1 = '' or r.partner = $1)
        and not exists (
            select from unnest(r.answer, r.requested_id[1:r.material_demands]) as a (answer, requested_id)
            join dcm.delivery d on d.partner = r.partner and d.object = 'WeekBasedMaterialDemand' and d.state in ('waiting', 'sending')
                and (r.asked is null or d.customer = r.asked) and (a.requested_id is null or d.object_id = a.requested_id)
            where a.answer = 'sent' and not exists (
                select from dcm.delivery e
                where e.partner = d.partner and e.object = d.object and e.object_id = d.object_id and e.delivered_at >= r.requested_at))
)
update dcm.requested_update r set arrived_at = now(), answer = nullif(e.answer, '{}')
from ended e
where r.partner = e.partner and r.message_key = e.message_key and r.arrived_at is null
returning extract(epoch from now() - e.requested_at)::float8, e.one, coalesce('sent' = any (r.answer), false)

-- Ends requests for update of whose answer nothing waits any more: each object has
-- arrived since the request, in this state or a newer one, or was refused. What a
-- request names is looked up by key, as in answer_requests.sql.
with ended as (
    select r.partner, r.message_key, r.requested_at,
        coalesce(cardinality(r.answer) = 1 and r.requested_id[1] is not null, false) as one,
        array(
            select case when a.answer = 'sent' and exists (
                select from (
                    (select object_id
                    from dcm.delivery
                    where partner = r.partner and object = 'WeekBasedMaterialDemand' and object_id between a.requested_id and a.requested_id
                        and state = 'refused' and (r.asked is null or customer = r.asked)
                    order by object_id)
                    union all
                    select object_id
                    from dcm.delivery
                    where partner = r.partner and object = 'WeekBasedMaterialDemand' and a.requested_id is null
                        and state = 'refused' and (r.asked is null or customer = r.asked)
                ) as d
                where not exists (
                    select from dcm.delivery e
                    where e.partner = r.partner and e.object = 'WeekBasedMaterialDemand' and e.object_id = d.object_id and e.delivered_at >= r.requested_at)
                ) then 'refused' else a.answer end
            from unnest(r.answer, r.requested_id[1:r.material_demands]) with ordinality as a (answer, requested_id, position)
            order by a.position) as answer
    from dcm.requested_update r
    where r.arrived_at is null and r.answered_at is not null and ($1 = '' or r.partner = $1)
        and not exists (
            select from unnest(r.answer, r.requested_id[1:r.material_demands]) as a (answer, requested_id)
            cross join lateral (
                (select object_id
                from dcm.delivery
                where partner = r.partner and object = 'WeekBasedMaterialDemand' and object_id between a.requested_id and a.requested_id
                    and state in ('waiting', 'sending') and (r.asked is null or customer = r.asked)
                order by object_id)
                union all
                select object_id
                from dcm.delivery
                where partner = r.partner and object = 'WeekBasedMaterialDemand' and a.requested_id is null
                    and state in ('waiting', 'sending') and (r.asked is null or customer = r.asked)
            ) as d
            where a.answer = 'sent' and not exists (
                select from dcm.delivery e
                where e.partner = r.partner and e.object = 'WeekBasedMaterialDemand' and e.object_id = d.object_id and e.delivered_at >= r.requested_at))
)
update dcm.requested_update r set arrived_at = now(), answer = nullif(e.answer, '{}')
from ended e
where r.partner = e.partner and r.message_key = e.message_key and r.arrived_at is null
returning extract(epoch from now() - e.requested_at)::float8, e.one, coalesce('sent' = any (r.answer), false)

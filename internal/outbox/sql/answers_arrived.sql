-- Ends requests for update of whose answer nothing waits any more: each object has
-- arrived since the request, in this state or a newer one, or was refused. What a
-- request names is looked up by key, as in answer_requests.sql.
with request as materialized (
    select ctid as place, partner, requested_at, asked, answer, requested_id[1:material_demands] as requested_id
    from dcm.requested_update
    where arrived_at is null and answered_at is not null and ($1 = '' or partner = $1)
),
-- Of what waits or was refused, the time since which not all has arrived: once for all
-- requests for everything.
rest as materialized (
    select d.partner, d.customer, d.refused, min(coalesce((
            select max(delivered_at) from dcm.delivery
            where partner = d.partner and object = 'WeekBasedMaterialDemand' and object_id = d.object_id), '-infinity')) as delivered_at
    from (select distinct partner from request where array_position(requested_id, null) is not null and 'sent' = any (answer)) r
    cross join lateral (
        select partner, customer, object_id, false as refused
        from dcm.delivery
        where partner = r.partner and object = 'WeekBasedMaterialDemand' and state in ('waiting', 'sending')
        union all
        select partner, customer, object_id, true
        from dcm.delivery
        where partner = r.partner and object = 'WeekBasedMaterialDemand' and state = 'refused'
    ) d
    group by 1, 2, 3
),
ended as (
    select r.place, r.requested_at,
        coalesce(cardinality(r.answer) = 1 and r.requested_id[1] is not null, false) as one,
        array(
            select case
                when a.answer <> 'sent' then a.answer
                when a.requested_id is null and exists (
                    select from rest d
                    where d.partner = r.partner and d.refused and (r.asked is null or d.customer = r.asked) and d.delivered_at < r.requested_at
                ) then 'refused'
                when exists (
                    select from (
                        select object_id
                        from dcm.delivery
                        where partner = r.partner and object = 'WeekBasedMaterialDemand' and object_id between a.requested_id and a.requested_id
                            and state = 'refused' and (r.asked is null or customer = r.asked)
                        order by object_id
                    ) as d
                    where not exists (
                        select from dcm.delivery e
                        where e.partner = r.partner and e.object = 'WeekBasedMaterialDemand' and e.object_id = d.object_id
                            and e.delivered_at >= r.requested_at)
                ) then 'refused'
                else a.answer end
            from unnest(r.answer, r.requested_id) with ordinality as a (answer, requested_id, position)
            order by a.position) as answer
    from request r
    where not exists (
        select from unnest(r.answer, r.requested_id) as a (answer, requested_id)
        cross join lateral (
            (select object_id
            from dcm.delivery
            where partner = r.partner and object = 'WeekBasedMaterialDemand' and object_id between a.requested_id and a.requested_id
                and state in ('waiting', 'sending') and (r.asked is null or customer = r.asked)
            order by object_id)
        ) as d
        where a.answer = 'sent' and not exists (
            select from dcm.delivery e
            where e.partner = r.partner and e.object = 'WeekBasedMaterialDemand' and e.object_id = d.object_id and e.delivered_at >= r.requested_at)
    ) and not exists (
        select from unnest(r.answer, r.requested_id) as a (answer, requested_id)
        join rest d on d.partner = r.partner and not d.refused and (r.asked is null or d.customer = r.asked) and d.delivered_at < r.requested_at
        where a.answer = 'sent' and a.requested_id is null
    )
),
-- Another replica may be at it. By place: of tens of thousands, the planner may else look
-- through all that the partner has for each.
ours as (
    select r.ctid as place, e.requested_at, e.one, e.answer
    from ended e
    join dcm.requested_update r on r.ctid = e.place
    where r.arrived_at is null
    order by r.partner, r.message_key
    for update of r skip locked
)
update dcm.requested_update r set arrived_at = now(), answer = nullif(o.answer, '{}')
from ours o
where r.ctid = o.place
returning extract(epoch from now() - o.requested_at)::float8, o.one, coalesce('sent' = any (o.answer), false)

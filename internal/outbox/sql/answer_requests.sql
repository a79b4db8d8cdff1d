-- Decides what is sent for each request for update that waits, and queues it. What
-- waits already is sent once, also where several requests ask for it.
with request as (
    select r.partner, r.message_key, r.message_id, r.asked, r.material_demands, r.requested_id, r.changed_at, r.changed_at_nanosecond
    from dcm.requested_update r
    where r.answered_at is null
    order by r.requested_at
    limit 100
    for update skip locked
),
entry as (
    select r.partner, r.message_key, r.message_id, r.asked, e.requested_id, e.changed_at, e.changed_at_nanosecond, e.position
    from request r
    cross join lateral unnest(r.requested_id, r.changed_at, r.changed_at_nanosecond) with ordinality
        as e (requested_id, changed_at, changed_at_nanosecond, position)
    where e.position <= r.material_demands
),
found as (
    select e.partner, e.message_key, e.message_id, e.position, d.supplier, d.customer, d.material_demand_id, d.changed_at,
        e.changed_at is null or (d.changed_at, d.changed_at_nanosecond) > (e.changed_at, coalesce(e.changed_at_nanosecond, 0)) as newer
    from entry e
    join dcm.material_demand d on d.partner = e.partner and d.direction = 'sent' and (e.asked is null or d.customer = e.asked)
        and (e.requested_id is null or d.material_demand_id = e.requested_id)
),
answered as (
    select e.partner, e.message_key, array_agg(case
        when exists (select from found f where f.partner = e.partner and f.message_key = e.message_key and f.position = e.position and f.newer) then 'sent'
        when e.requested_id is null
            or exists (select from found f where f.partner = e.partner and f.message_key = e.message_key and f.position = e.position) then 'nothing newer'
        else 'unknown' end order by e.position) as answer
    from entry e
    group by 1, 2
),
queued as (
    insert into dcm.delivery as q (partner, object, object_id, changed_at, supplier, customer, queued_at, answers_message_id)
    select distinct on (f.partner, f.material_demand_id, f.changed_at)
        f.partner, 'WeekBasedMaterialDemand', f.material_demand_id, f.changed_at, f.supplier, f.customer, now(), f.message_id
    from found f
    where f.newer
    order by f.partner, f.material_demand_id, f.changed_at, f.message_id
    on conflict (partner, object, object_id, changed_at) do update set
        state = case when q.state = 'sending' then q.state else 'waiting' end,
        answers_message_id = excluded.answers_message_id,
        queued_at = case when q.state in ('waiting', 'sending') then q.queued_at else excluded.queued_at end,
        attempts = case when q.state in ('waiting', 'sending') then q.attempts else 0 end,
        next_attempt_at = null, -- who asks is there, whatever came of the last attempt
        delivered_at = case when q.state = 'sending' then q.delivered_at end
)
update dcm.requested_update r set answered_at = now(), answer = a.answer
from request w
left join answered a using (partner, message_key)
where r.partner = w.partner and r.message_key = w.message_key

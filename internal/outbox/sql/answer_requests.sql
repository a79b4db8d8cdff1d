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
-- A message without header asks each of ours that has sent the partner something.
customer as (
    select r.partner, c.customer
    from (select distinct partner from request where asked is null) as r
    cross join lateral (select distinct customer from dcm.material_demand where partner = r.partner and direction = 'sent') as c
),
asks as (
    select r.*, r.asked as customer
    from request r
    where r.asked is not null
    union all
    select r.*, c.customer
    from request r
    left join customer c using (partner)
    where r.asked is null
),
-- Each entry with what it finds, by one look-up by key after the other, whatever the
-- planner knows: a request may name tens of thousands, and is never to take its square.
found as (
    select r.partner, r.message_key, r.message_id, e.position, e.requested_id, d.supplier, d.customer, d.material_demand_id, d.changed_at,
        d.changed_at is not null
            and (e.changed_at is null or (d.changed_at, d.changed_at_nanosecond) > (e.changed_at, coalesce(e.changed_at_nanosecond, 0))) as newer
    from asks r
    cross join lateral unnest(r.requested_id, r.changed_at, r.changed_at_nanosecond) with ordinality
        as e (requested_id, changed_at, changed_at_nanosecond, position)
    left join lateral (
        (select supplier, customer, material_demand_id, changed_at, changed_at_nanosecond
        from dcm.material_demand
        where partner = r.partner and direction = 'sent' and supplier = r.partner and customer = r.customer
            and material_demand_id between e.requested_id and e.requested_id -- by the primary key (see lock_material_demands.sql)
        order by material_demand_id)
        union all
        select supplier, customer, material_demand_id, changed_at, changed_at_nanosecond
        from dcm.material_demand
        where partner = r.partner and direction = 'sent' and supplier = r.partner and customer = r.customer and e.requested_id is null
    ) as d on true
    where e.position <= r.material_demands
),
answered as (
    select partner, message_key, array_agg(answer order by position) as answer
    from (
        select partner, message_key, position, case
            when bool_or(newer) then 'sent'
            when bool_or(requested_id is null or material_demand_id is not null) then 'nothing newer'
            else 'unknown' end as answer
        from found
        group by 1, 2, 3
    ) as e
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

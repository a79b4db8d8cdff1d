-- Decides what is sent for the requests for update of a partner that wait ('': of every
-- partner), and queues it. Equal entries of several requests are looked up once, and an
-- object that several ask for is sent once, naming the newest of them.
with
-- One replica at a time answers a partner.
turn as materialized (
    select p.partner, coalesce(t.small_after <= now(), true) as small, coalesce(t.large_after <= now(), true) as large
    from (
        select partner from dcm.requested_update where answered_at is null and $1 = '' group by partner
        union all
        select $1::text where $1 <> ''
    ) p
    left join dcm.answering t using (partner)
    where pg_try_advisory_xact_lock(hashtext('dcm-receiver answers to ' || p.partner))
),
request as materialized (
    select r.*
    from turn t
    cross join lateral (
        select w.*, sum(w.material_demands) over (order by w.requested_at, w.message_key) - w.material_demands as entries_before
        from (values (false), (true)) c (large)
        cross join lateral (
            select
                ctid as place, partner, message_key, message_id, asked, material_demands, requested_id, changed_at, changed_at_nanosecond, requested_at, c.large
            from dcm.requested_update
            where partner = t.partner and answered_at is null and dcm.is_large(material_demands, requested_id) = c.large
            order by requested_at
            limit case when c.large then 10000 else 2000 end
            for update skip locked
        ) w
        where case when c.large then t.large else t.small end
    ) r
    where r.entries_before <= 20000 -- the rest next time: others wait meanwhile
),
-- A message without header asks each of ours that has sent the partner something.
customer as materialized (
    select r.partner, c.customer
    from (select distinct partner from request where asked is null) as r
    cross join lateral (select distinct customer from dcm.material_demand where partner = r.partner and direction = 'sent') as c
),
entry as materialized (
    select
        r.partner, r.message_key, r.message_id, r.requested_at, e.position, c.customer, e.requested_id, e.changed_at, e.changed_at_nanosecond,
        dense_rank() over (order by r.partner, c.customer, e.requested_id, e.changed_at, e.changed_at_nanosecond) as ask
    from request r
    left join lateral (
        select r.asked as customer where r.asked is not null
        union all
        select customer from customer where r.asked is null and customer.partner = r.partner
    ) c on true
    cross join lateral unnest(r.requested_id[1:r.material_demands], r.changed_at, r.changed_at_nanosecond) with ordinality
        as e (requested_id, changed_at, changed_at_nanosecond, position)
    where e.position <= r.material_demands
),
-- The newest request is the one that an answer names: of those that have an ID, if any.
ask as materialized (
    select distinct on (ask) ask, partner, customer, requested_id, changed_at, changed_at_nanosecond, message_id, requested_at
    from entry
    order by ask, message_id is null, requested_at desc, message_key
),
-- Each with what it finds, by one look-up by key after the other, whatever the planner
-- knows: a request may name tens of thousands, and is never to take its square.
found as materialized (
    select e.ask, e.partner, e.requested_id, e.message_id, e.requested_at, d.supplier, d.customer, d.material_demand_id, d.changed_at,
        d.changed_at is not null
            and (e.changed_at is null or (d.changed_at, d.changed_at_nanosecond) > (e.changed_at, coalesce(e.changed_at_nanosecond, 0))) as newer
    from ask e
    left join lateral (
        (select supplier, customer, material_demand_id, changed_at, changed_at_nanosecond
        from dcm.material_demand
        where partner = e.partner and direction = 'sent' and supplier = e.partner and customer = e.customer
            and material_demand_id between e.requested_id and e.requested_id -- by the primary key (see lock_material_demands.sql)
        order by material_demand_id)
        union all
        select supplier, customer, material_demand_id, changed_at, changed_at_nanosecond
        from dcm.material_demand
        where partner = e.partner and direction = 'sent' and supplier = e.partner and customer = e.customer and e.requested_id is null
    ) as d on true
),
verdict as materialized (
    select ask, bool_or(newer) as newer, bool_or(requested_id is null or material_demand_id is not null) as known
    from found
    group by ask
),
answered as (
    select partner, message_key,
        array_agg(case when newer then 'sent' when known then 'nothing newer' else 'unknown' end order by position) as answer
    from (
        select e.partner, e.message_key, e.position, bool_or(v.newer) as newer, bool_or(v.known) as known
        from entry e
        join verdict v using (ask)
        group by 1, 2, 3
    ) as e
    group by 1, 2
),
due as materialized (
    select distinct on (partner, material_demand_id, changed_at) partner, material_demand_id, changed_at, supplier, customer, message_id
    from found
    where newer
    order by partner, material_demand_id, changed_at, message_id is null, requested_at desc
),
-- Rows are locked in the order of their key, as by all who lock several. What waits as an
-- answer already stays as it is, since it is sent after this request too.
queued as (
    insert into dcm.delivery as q (partner, object, object_id, changed_at, supplier, customer, queued_at, answers_message_id)
    select partner, 'WeekBasedMaterialDemand', material_demand_id, changed_at, supplier, customer, now(), message_id
    from due
    order by partner, material_demand_id, changed_at
    on conflict (partner, object, object_id, changed_at) do update set
        state = case when q.state = 'sending' then q.state else 'waiting' end,
        answers_message_id = excluded.answers_message_id,
        queued_at = case when q.state in ('waiting', 'sending') then q.queued_at else excluded.queued_at end,
        attempts = case when q.state in ('waiting', 'sending') then q.attempts else 0 end,
        next_attempt_at = null, -- who asks is there, whatever came of the last attempt
        delivered_at = case when q.state = 'sending' then q.delivered_at end
    where q.state <> 'waiting' or q.answers_message_id is null or q.next_attempt_at is not null
),
paced as (
    insert into dcm.answering as t (partner, small_after, large_after)
    select
        r.partner, now() + interval '0.1 s',
        case when r.large then now() + least(interval '4 ms' * coalesce(d.objects, 0), interval '1 minute') else '-infinity' end
    from (select partner, bool_or(large) as large from request group by partner) r
    left join (select partner, count(*) as objects from due group by partner) d using (partner)
    on conflict (partner) do update set small_after = excluded.small_after, large_after = greatest(t.large_after, excluded.large_after)
)
update dcm.requested_update r set answered_at = now(), answer = a.answer
from request w
left join answered a using (partner, message_key)
where r.ctid = w.place

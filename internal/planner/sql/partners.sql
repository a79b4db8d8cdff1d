with partner as (
    select supplier as bpnl from planning.capacity_group
    union select sender from planning.message
    union select supplier from planning.request_for_update
    union select customer from planning.request_for_capacity_group
    union select partner from planning.delivery
), groups as (
    select supplier as bpnl, count(*) as groups from planning.capacity_group where not is_inactive group by supplier
), sent as (
    select
        sender as bpnl, max(received_at) as last_message, max(received_at) filter (where status < 300) as last_accepted,
        count(*) filter (where status >= 400 and received_at > @week_ago) as refused
    from planning.message
    group by sender
), reason as (
    select
        sender as bpnl,
        jsonb_agg(jsonb_build_object('reason', reason, 'messages', messages, 'last', last) order by messages desc, reason) filter (where place <= 3) as reasons
    from (
        select
            m.sender, left(coalesce(m.errors -> 0 ->> 'detail', o.errors -> 0 ->> 'detail'), 1000) as reason, count(distinct m.id) as messages,
            (array_agg(m.id order by m.received_at desc))[1] as last,
            row_number() over (partition by m.sender order by count(distinct m.id) desc, left(coalesce(m.errors -> 0 ->> 'detail', o.errors -> 0 ->> 'detail'), 1000)) as place
        from planning.message m
        left join planning.message_object o on o.message = m.id and o.sender = m.sender and o.outcome = 'ignored'
        where m.status >= 400 and m.received_at > @week_ago
        group by 1, 2
    ) r
    where reason is not null
    group by sender
), delivery as (
    select
        partner as bpnl, count(*) filter (where state in ('waiting', 'sending')) as waiting, count(*) filter (where state = 'refused') as not_taken,
        max(left(reason, 1000)) filter (where state in ('waiting', 'sending', 'refused')) as why
    from planning.delivery
    group by partner
), asked as (
    select supplier as bpnl, count(distinct (message_id, requested_at)) as requests
    from planning.request_for_update
    where answer = 'waiting'
    group by supplier
), asked_for_groups as (
    -- Whether they are answered is not known here: what sends our capacity groups does
    -- that. Who supplies us and asks for everything means demands.
    select customer as bpnl, count(distinct (message_id, requested_at)) as group_requests, max(requested_at) as last_group_request
    from planning.request_for_capacity_group r
    where requested_at > @week_ago and (capacity_group_id is not null or not exists (
        select from planning.capacity_group g where g.supplier = r.customer
        union all
        select from planning.material_demand d where d.supplier = r.customer and d.direction = 'sent'))
    group by customer
)
select
    bpnl, coalesce(groups, 0) as groups, last_message, last_accepted, coalesce(refused, 0) as refused, reason.reasons,
    coalesce(waiting, 0) as waiting, coalesce(not_taken, 0) as not_taken, why, coalesce(requests, 0) as requests,
    coalesce(group_requests, 0) as group_requests, last_group_request
from partner
left join groups using (bpnl)
left join sent using (bpnl)
left join reason using (bpnl)
left join delivery using (bpnl)
left join asked using (bpnl)
left join asked_for_groups using (bpnl)
order by bpnl

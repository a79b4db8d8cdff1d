with partner as (
    select supplier as bpnl from planning.capacity_group
    union select sender from planning.message
    union select supplier from planning.request_for_update
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
            m.sender, coalesce(m.errors -> 0 ->> 'detail', o.errors -> 0 ->> 'detail') as reason, count(distinct m.id) as messages,
            (array_agg(m.id order by m.received_at desc))[1] as last,
            row_number() over (partition by m.sender order by count(distinct m.id) desc, coalesce(m.errors -> 0 ->> 'detail', o.errors -> 0 ->> 'detail')) as place
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
        max(reason) filter (where state in ('waiting', 'sending', 'refused')) as why
    from planning.delivery
    group by partner
), asked as (
    select supplier as bpnl, count(*) as requests from planning.request_for_update where answer = 'waiting' group by supplier
)
select
    bpnl, coalesce(groups, 0) as groups, last_message, last_accepted, coalesce(refused, 0) as refused, reason.reasons,
    coalesce(waiting, 0) as waiting, coalesce(not_taken, 0) as not_taken, why, coalesce(requests, 0) as requests
from partner
left join groups using (bpnl)
left join sent using (bpnl)
left join reason using (bpnl)
left join delivery using (bpnl)
left join asked using (bpnl)
order by bpnl

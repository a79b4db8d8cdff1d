-- A receiver that sends begins within a second of what is due, and decides as soon what answers a
-- request: then something waits for the partner that asked, or nothing does.
with deliveries as (
    select
        partner,
        count(*) filter (where state = 'waiting') as waiting,
        count(*) filter (where state = 'sending') as sending,
        count(*) filter (where state = 'delivered') as delivered,
        count(*) filter (where state = 'refused') as refused,
        min(queued_at) filter (where state in ('waiting', 'sending')) as oldest,
        max(delivered_at) as latest,
        (
            array_agg(reason order by last_attempt_at desc)
            filter (where state in ('waiting', 'refused') and reason is not null)
        )[1] as reason,
        min(greatest(queued_at, next_attempt_at)) filter (where state in ('waiting', 'sending')) as oldest_due
    from planning.delivery
    group by partner
),
requests as (
    select
        supplier as partner,
        count(distinct (message_id, requested_at)) as requests,
        min(requested_at) as oldest_request
    from planning.request_for_update
    where answer = 'waiting'
    group by supplier
),
partners as (
    select *, coalesce(oldest_due, case when oldest is null then oldest_request end) as due
    from deliveries
    full join requests using (partner)
)
select
    partner,
    coalesce(waiting, 0) as waiting,
    coalesce(sending, 0) as sending,
    coalesce(delivered, 0) as delivered,
    coalesce(refused, 0) as refused,
    oldest,
    latest,
    reason,
    coalesce(requests, 0) as requests,
    oldest_request,
    due,
    coalesce(due < now() - interval '5 s', false) and not exists (select from planning.sending) as nobody_sends
from partners
order by waiting desc nulls last, refused desc nulls last, requests desc nulls last, partner

with delivery as (
    select
        count(*) filter (where state in ('waiting', 'sending'))::float8 as waiting,
        coalesce(extract(epoch from now() - min(queued_at) filter (where state in ('waiting', 'sending'))), 0)::float8 as oldest,
        count(*) filter (where state = 'refused')::float8 as refused,
        count(distinct partner) filter (where state in ('waiting', 'sending') and attempts >= 3)::float8 as unreachable
    from dcm.delivery
    where state in ('waiting', 'sending', 'refused')
),
request as (
    select now() - requested_at as age, material_demands = 1 and requested_id[1] is not null as one
    from dcm.requested_update
    where arrived_at is null and material_demands > 0
)
select d.waiting, d.oldest, d.refused, d.unreachable, coalesce(extract(epoch from r.oldest), 0)::float8, r.late_one, r.late_several, r.overdue
from delivery d
cross join (
    select max(age) as oldest,
        count(*) filter (where one and age > interval '10 s')::float8 as late_one,
        count(*) filter (where not one and age > interval '5 min')::float8 as late_several,
        count(*) filter (where age > interval '24 h')::float8 as overdue
    from request
) r

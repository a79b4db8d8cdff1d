with delivery as (
    select
        count(*)::float8 as waiting,
        coalesce(extract(epoch from now() - min(queued_at)), 0)::float8 as oldest,
        count(distinct partner) filter (where attempts >= 3)::float8 as unreachable
    from dcm.delivery
    where state in ('waiting', 'sending')
),
refusal as (
    select count(*)::float8 as refused from dcm.delivery where state = 'refused'
),
request as (
    select now() - requested_at as age, material_demands = 1 and requested_id[1] is not null as one
    from dcm.requested_update
    where arrived_at is null and material_demands > 0
)
select d.waiting, d.oldest, f.refused, d.unreachable, coalesce(extract(epoch from r.oldest), 0)::float8, r.late_one, r.late_several, r.overdue
from delivery d
cross join refusal f
cross join (
    select max(age) as oldest,
        count(*) filter (where one and age > interval '10 s')::float8 as late_one,
        count(*) filter (where not one and age > interval '5 min')::float8 as late_several,
        count(*) filter (where age > interval '24 h')::float8 as overdue
    from request
) r

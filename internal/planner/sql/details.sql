-- What else is not said of the group as it was at the instant since: links, thresholds,
-- name, sites, unit. Where no state of then is kept nothing can be compared.
with before as (
    select detail, subject, value
    from planning.group_history
    where supplier = @supplier and customer = @customer and capacity_group_id = @id
        and received_at <= @since and (superseded_at is null or superseded_at > @since)
), after as (
    select detail, subject, value
    from planning.group_history
    where supplier = @supplier and customer = @customer and capacity_group_id = @id and superseded_at is null
)
select
    detail, left(subject, 201) as subject, case when detail = 'linked capacity group' then subject::uuid end as group_id, left(g.name, 201) as group_name,
    case when b.detail is not null then left(coalesce(b.value, 'linked'), 201) end as before, case when a.detail is not null then left(coalesce(a.value, 'linked'), 201) end as after,
    count(*) over () as total
from before b
full join after a using (detail, subject)
left join planning.capacity_group g
    on detail = 'linked capacity group' and g.supplier = @supplier and g.customer = @customer and g.capacity_group_id::text = subject
where a.detail is null or b.value <> a.value
    or b.detail is null and exists (select from before k where k.detail = case a.detail when 'threshold' then 'measurement' else 'inactive' end)
order by 1, 2
limit 500

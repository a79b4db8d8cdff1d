-- Partners whose requests for update wait for an answer, and in how many seconds that is
-- due: small requests first, and then the oldest. Each step reads one entry of an index.
with recursive waiting as (
    (select partner, dcm.is_large(material_demands, requested_id) as large, requested_at
    from dcm.requested_update
    where answered_at is null
    order by partner, dcm.is_large(material_demands, requested_id), requested_at
    limit 1)
    union all
    select n.*
    from waiting w
    cross join lateral (
        select partner, dcm.is_large(material_demands, requested_id) as large, requested_at
        from dcm.requested_update
        where answered_at is null and (partner, dcm.is_large(material_demands, requested_id)) > (w.partner, w.large)
        order by partner, dcm.is_large(material_demands, requested_id), requested_at
        limit 1
    ) n
)
select w.partner, min(greatest(extract(epoch from case when w.large then t.large_after else t.small_after end - now()), 0))::float8 as seconds
from waiting w
left join dcm.answering t using (partner)
group by w.partner
order by bool_and(w.large), min(w.requested_at)

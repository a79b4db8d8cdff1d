-- Each group has its rows even so, so that the list of groups has all of them.
with given as (
    insert into dcm.overview (
        supplier, customer, content, first_week, gave_up_at)
    values (@supplier, @customer, 0, date_trunc('week', now() at time zone 'UTC')::date, coalesce(@at, now()))
    on conflict (supplier, customer) do update set gave_up_at = excluded.gave_up_at
)
insert into dcm.group_overview (
    supplier, customer, capacity_group_id, weeks, red_weeks, orange_weeks, weeks_without_capacity)
select supplier, customer, capacity_group_id, weeks, 0, 0, 0
from dcm.capacity_group
cross join (values (26), (52), (104)) as h (weeks)
where supplier = @supplier and customer = @customer
on conflict do nothing

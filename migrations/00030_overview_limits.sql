-- +goose Up

-- A partner's valid messages can make an overview that takes hours to work out: groups
-- that link each other by the thousand, or one material by the hundred thousand. serve
-- gives up on such a supplier and customer after some time, so that all others' figures
-- are kept up to date.
alter table dcm.overview add column gave_up_at timestamptz;
comment on column dcm.overview.gave_up_at is 'When working out the overview took too long. It is tried again an hour later. NULL: it was worked out.';

create or replace view planning.group_overview as
select
    g.supplier, g.customer, g.capacity_group_id, g.weeks, o.first_week,
    case when o.gave_up_at is null then g.red_weeks end as red_weeks,
    case when o.gave_up_at is null then g.orange_weeks end as orange_weeks,
    case when o.gave_up_at is null then g.weeks_without_capacity end as weeks_without_capacity,
    case when o.gave_up_at is null then g.first_bottleneck end as first_bottleneck,
    case when o.gave_up_at is null then g.missing end as missing,
    case when o.gave_up_at is null then g.weeks_missing end as weeks_missing,
    (select as_of from dcm.overview_turn) as as_of, o.gave_up_at
from dcm.group_overview g
join dcm.overview o using (supplier, customer);
comment on column planning.group_overview.red_weeks is 'Weeks whose demand is above maximum capacity. NULL: not worked out, see gave_up_at.';
comment on column planning.group_overview.orange_weeks is 'Weeks whose demand is above actual capacity, but not above maximum capacity. NULL: not worked out, see gave_up_at.';
comment on column planning.group_overview.weeks_without_capacity is 'Weeks with demand of which no capacity is known. NULL: not worked out, see gave_up_at.';
comment on column planning.group_overview.gave_up_at is 'When working out the figures of this supplier and customer took too long, because their groups have too many links; the figures are NULL then. NULL: they are there.';

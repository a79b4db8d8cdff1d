-- +goose Up

-- A partner's valid messages can make an overview that takes hours to work out: groups
-- that link each other by the thousand, or one material by the hundred thousand. serve
-- gives up on such a supplier and customer after some time, so that all others' figures
-- are kept up to date, and each supplier and customer says how old its figures are.
alter table dcm.overview add column gave_up_at timestamptz, add column as_of timestamptz;
comment on column dcm.overview.gave_up_at is 'When working out the overview took too long. It is tried again an hour later. -infinity: it was not worked out yet. NULL: it was worked out.';
comment on column dcm.overview.as_of is 'What was stored before this is in the overview of this supplier and customer. NULL: as dcm.overview_turn.as_of says.';
comment on column dcm.overview_turn.as_of is 'When serve last looked for changes. The overviews in which it found none have what was stored before. NULL: it has not looked yet.';

create or replace view planning.group_overview as
select
    g.supplier, g.customer, g.capacity_group_id, g.weeks, o.first_week,
    case when o.gave_up_at is null then g.red_weeks end as red_weeks,
    case when o.gave_up_at is null then g.orange_weeks end as orange_weeks,
    case when o.gave_up_at is null then g.weeks_without_capacity end as weeks_without_capacity,
    case when o.gave_up_at is null then g.first_bottleneck end as first_bottleneck,
    case when o.gave_up_at is null then g.missing end as missing,
    case when o.gave_up_at is null then g.weeks_missing end as weeks_missing,
    coalesce(o.as_of, (select as_of from dcm.overview_turn)) as as_of, o.gave_up_at
from dcm.group_overview g
join dcm.overview o using (supplier, customer);
comment on column planning.group_overview.red_weeks is 'Weeks whose demand is above maximum capacity. NULL: not worked out, see gave_up_at.';
comment on column planning.group_overview.orange_weeks is 'Weeks whose demand is above actual capacity, but not above maximum capacity. NULL: not worked out, see gave_up_at.';
comment on column planning.group_overview.weeks_without_capacity is 'Weeks with demand of which no capacity is known. NULL: not worked out, see gave_up_at.';
comment on column planning.group_overview.as_of is 'What was stored before this is in all rows of this supplier and customer; later changes are in some.';
comment on column planning.group_overview.gave_up_at is 'When working out the figures of this supplier and customer took too long, because their groups have too many links; the figures are NULL then. -infinity: they were not worked out yet. NULL: they are there.';

create or replace view planning.capacity_total as
select
    t.supplier, t.customer, nullif(t.unit_of_measure, '') as unit_of_measure, t.point_in_time, sum(t.capacity_groups) as capacity_groups,
    sum(t.actual_capacity) as actual_capacity, sum(t.maximum_capacity) as maximum_capacity,
    sum(t.maximum_capacity) - sum(t.actual_capacity) as flexible_capacity,
    coalesce(o.as_of, (select as_of from dcm.overview_turn)) as as_of
from dcm.capacity_total t
join dcm.overview o using (supplier, customer)
group by t.supplier, t.customer, t.unit_of_measure, t.point_in_time, o.as_of;
comment on column planning.capacity_total.as_of is 'What was stored before this is in all rows of this supplier and customer; later changes are in some.';

-- Groups with many links are pieces of their own, so that serve rests after each of them.
-- +goose StatementBegin
do $$
declare
    was constant text := pg_get_functiondef('dcm.make_overview(text, text, float)'::regprocedure);
    by_number constant text := 'select g.capacity_group_id as id, row_number() over (order by g.capacity_group_id) - 1 as place';
    source constant text := 'from dcm.capacity_group g
            where g.supplier = of_supplier and g.customer = of_customer
        ) g
';
    choice constant text := 'where place % groups_in_piece = 0';
begin
    if position(by_number in was) = 0 or position(choice in was) = 0 or position(source in was) = 0 then
        raise exception 'dcm.make_overview is not the one that this migration changes';
    end if;
    execute replace(replace(replace(was, by_number, 'select
                g.capacity_group_id as id,
                sum(g.weight) over (order by g.capacity_group_id rows between unbounded preceding and 1 preceding) as place,
                sum(g.weight) over (order by g.capacity_group_id rows between unbounded preceding and 2 preceding) as place_before'),
        choice, 'where place is null or place / groups_in_piece <> coalesce(place_before, 0) / groups_in_piece'),
        source, 'from (
                select supplier, customer, capacity_group_id, 1 + cardinality(linked_capacity_groups) + cardinality(material_number_customer) / 100 as weight
                from dcm.capacity_group
            ) g
            where g.supplier = of_supplier and g.customer = of_customer
        ) g
');
end
$$;
-- +goose StatementEnd

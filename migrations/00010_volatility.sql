-- +goose Up

-- All states, the present one too, each with its time: valid_from inclusive,
-- superseded_at exclusive.
create view dcm.capacity_group_state as
select
    supplier, customer, capacity_group_id, valid_from, superseded_at, is_inactive,
    linked_capacity_groups, material_number_customer, customer_location, demand_category_code
from dcm.capacity_group_history
union all
select
    supplier, customer, capacity_group_id, coalesce(valid_from, first_received_at), 'infinity'::timestamptz, is_inactive,
    linked_capacity_groups, material_number_customer, customer_location, demand_category_code
from dcm.capacity_group;

create view dcm.demand_series_state as
select
    partner, direction, supplier, customer, material_number_customer, customer_location, demand_category_code,
    valid_from, superseded_at, point_in_time, demand
from dcm.demand_series_history
union all
select
    partner, direction, supplier, customer, material_number_customer, customer_location, demand_category_code,
    valid_from, 'infinity'::timestamptz, point_in_time, demand
from dcm.demand_series;

-- Measurement k is taken k intervals after the start; the first that has something
-- to compare with is k = 1. A week of 168 hours, so that no time zone shifts it.
create view planning.volatility as
select
    g.supplier, g.customer, g.capacity_group_id, w.point_in_time, m.measured_at, w.latest, w.previous,
    w.latest - w.previous as absolute_deviation,
    (w.latest - w.previous) / nullif(w.previous, 0) as relative_deviation,
    nullif(concat_ws(',',
        case when w.previous > 0 and w.latest - w.previous > t.relative_positive_deviation * w.previous then 'relative positive' end,
        case when w.previous > 0 and w.latest - w.previous < -t.relative_negative_deviation * w.previous then 'relative negative' end,
        case when w.latest - w.previous > t.absolute_positive_deviation then 'absolute positive' end,
        case when w.latest - w.previous < -t.absolute_negative_deviation then 'absolute negative' end), '') as alert
from dcm.capacity_group g
cross join lateral (
    select
        g.start_reference_date_time + (n.k * g.measurement_interval)::float8 * interval '168 hours' as measured_at,
        g.start_reference_date_time + ((n.k - 1) * g.measurement_interval)::float8 * interval '168 hours' as compared_at
    from generate_series(
        greatest(1, ceil(extract(epoch from g.first_received_at - g.start_reference_date_time)::numeric / 604800 / nullif(greatest(g.measurement_interval, 0), 0))),
        floor(extract(epoch from now() - g.start_reference_date_time)::numeric / 604800 / nullif(greatest(g.measurement_interval, 0), 0))) as n (k)
) m
cross join lateral (
    select linked_capacity_groups, material_number_customer, customer_location, demand_category_code
    from dcm.capacity_group_state s
    where s.supplier = g.supplier and s.customer = g.customer and s.capacity_group_id = g.capacity_group_id
        and s.valid_from <= m.measured_at and s.superseded_at > m.measured_at and not s.is_inactive
) s
cross join lateral (
    select
        u.point_in_time,
        coalesce(sum(u.demand) filter (where u.is_latest), 0) as latest,
        coalesce(sum(u.demand) filter (where not u.is_latest), 0) as previous,
        bool_or(bool_or(not u.is_latest)) over () as is_comparable
    from (
        select i.is_latest, d.point_in_time, d.demand
        from (
            with recursive below (id) as (
                select unnest(s.linked_capacity_groups)
                union
                select unnest(p.linked_capacity_groups)
                from below b
                join dcm.capacity_group_state p on p.supplier = g.supplier and p.customer = g.customer and p.capacity_group_id = b.id
                where not p.is_inactive and p.valid_from <= m.measured_at and p.superseded_at > m.measured_at
            )
            select * from unnest(s.material_number_customer, s.customer_location, s.demand_category_code)
            union all
            select x.*
            from below b
            join dcm.capacity_group_state p on p.supplier = g.supplier and p.customer = g.customer and p.capacity_group_id = b.id
            cross join lateral unnest(p.material_number_customer, p.customer_location, p.demand_category_code) as x
            where not p.is_inactive and p.valid_from <= m.measured_at and p.superseded_at > m.measured_at
                and p.capacity_group_id <> g.capacity_group_id
        ) as l (material_number_customer, customer_location, demand_category_code)
        cross join lateral (
            select m.partner, m.direction, m.is_inactive
            from (
                select partner, direction, is_inactive
                from dcm.material_demand
                where partner = g.supplier and direction = 'sent' and supplier = g.supplier and customer = g.customer
                    and material_number_customer = l.material_number_customer
                union all
                select partner, direction, is_inactive
                from dcm.material_demand
                where partner = g.customer and direction = 'received' and supplier = g.supplier and customer = g.customer
                    and material_number_customer = l.material_number_customer
            ) m
            order by m.direction desc -- ours, if there is one
            limit 1
        ) c
        cross join lateral (values (true, m.measured_at), (false, m.compared_at)) as i (is_latest, at)
        join dcm.demand_series_state t
            on t.partner = c.partner and t.direction = c.direction and t.supplier = g.supplier and t.customer = g.customer
            and t.material_number_customer = l.material_number_customer and t.customer_location = l.customer_location
            and t.demand_category_code = l.demand_category_code and t.valid_from <= i.at and t.superseded_at > i.at
        cross join lateral unnest(t.point_in_time, t.demand) as d (point_in_time, demand)
        where not c.is_inactive
    ) u
    group by u.point_in_time
) w
-- A sub-horizon has exactly as many weeks as its length says; the first begins with
-- the week of the measurement.
left join lateral (
    select h.*
    from (
        select
            t.*,
            sum(t.subhorizon_length) over (order by t.sequence_number rows unbounded preceding) as ends_before
        from unnest(g.sequence_number, g.subhorizon_length, g.relative_positive_deviation, g.relative_negative_deviation,
            g.absolute_positive_deviation, g.absolute_negative_deviation)
            as t (sequence_number, subhorizon_length, relative_positive_deviation, relative_negative_deviation,
            absolute_positive_deviation, absolute_negative_deviation)
    ) h
    where (w.point_in_time - date_trunc('week', m.measured_at at time zone 'UTC')::date) / 7 >= h.ends_before - h.subhorizon_length
        and (w.point_in_time - date_trunc('week', m.measured_at at time zone 'UTC')::date) / 7 < h.ends_before
    order by h.sequence_number
    limit 1
) t on true
where w.is_comparable and w.point_in_time >= date_trunc('week', m.measured_at at time zone 'UTC')::date;
comment on view planning.volatility is 'One row per stored WeekBasedCapacityGroup with startReferenceDateTime and measurementInterval, measurement and week from that of the measurement on: its demand then against its demand one interval before (CX-0128 §5.11). Links are those at the measurement, thresholds and start the present ones. A measurement before which nothing is known of the demand has no row.';
comment on column planning.volatility.supplier is 'BPNL of the supplier.';
comment on column planning.volatility.customer is 'BPNL of ours that the capacity is for.';
comment on column planning.volatility.capacity_group_id is 'UUID of the group; unique for one supplier and customer only.';
comment on column planning.volatility.point_in_time is 'The week, as the date of its Monday.';
comment on column planning.volatility.measured_at is 'When latest was measured: startReferenceDateTime plus a whole number of measurement intervals. Previous was measured one interval before.';
comment on column planning.volatility.latest is 'Sum of the linked demand series, those of the groups below too, without load factors and delta-production, as known at measured_at; 0 where the week had none; in the group''s unit of measure.';
comment on column planning.volatility.previous is 'The same one measurement interval before; 0 where the week had none.';
comment on column planning.volatility.absolute_deviation is 'latest − previous; in the group''s unit of measure.';
comment on column planning.volatility.relative_deviation is 'absolute_deviation / previous, as a share: 0.2 is 20 %. NULL where previous is 0.';
comment on column planning.volatility.alert is 'Thresholds of the week''s sub-horizon that are passed: relative positive, relative negative, absolute positive, absolute negative; several joined by a comma. NULL: none.';

-- +goose Up

-- Where each sub-horizon begins is worked out once for the thresholds, not for every
-- week of every measurement. The view means what it meant.
create or replace view planning.volatility as
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
-- Start, interval and thresholds, those of earlier times too.
cross join lateral (
    select
        coalesce(g.measured_by_since, g.first_received_at) as valid_from, 'infinity'::timestamptz as superseded_at,
        g.start_reference_date_time, g.measurement_interval, g.sequence_number, g.subhorizon_length,
        g.relative_positive_deviation, g.relative_negative_deviation, g.absolute_positive_deviation, g.absolute_negative_deviation
    union all
    select
        h.valid_from, h.superseded_at, h.start_reference_date_time, h.measurement_interval, h.sequence_number, h.subhorizon_length,
        h.relative_positive_deviation, h.relative_negative_deviation, h.absolute_positive_deviation, h.absolute_negative_deviation
    from dcm.measurement_history h
    where h.supplier = g.supplier and h.customer = g.customer and h.capacity_group_id = g.capacity_group_id
) p
-- A sub-horizon has exactly as many weeks as its length says; the first begins with
-- the week of the measurement.
cross join lateral (
    select
        array_agg(t.ends_before - t.subhorizon_length order by t.sequence_number) as begins,
        array_agg(t.subhorizon_length order by t.sequence_number) as subhorizon_length,
        array_agg(t.relative_positive_deviation order by t.sequence_number) as relative_positive_deviation,
        array_agg(t.relative_negative_deviation order by t.sequence_number) as relative_negative_deviation,
        array_agg(t.absolute_positive_deviation order by t.sequence_number) as absolute_positive_deviation,
        array_agg(t.absolute_negative_deviation order by t.sequence_number) as absolute_negative_deviation
    from (
        select t.*, sum(t.subhorizon_length) over (order by t.sequence_number rows unbounded preceding) as ends_before
        from unnest(p.sequence_number, p.subhorizon_length, p.relative_positive_deviation, p.relative_negative_deviation,
            p.absolute_positive_deviation, p.absolute_negative_deviation)
            as t (sequence_number, subhorizon_length, relative_positive_deviation, relative_negative_deviation,
            absolute_positive_deviation, absolute_negative_deviation)
    ) t
) h
cross join lateral (
    select e.measured_at, e.compared_at, date_trunc('week', e.measured_at at time zone 'UTC')::date as monday
    from (
        select
            p.start_reference_date_time + (n.k * p.measurement_interval)::float8 * interval '168 hours' as measured_at,
            p.start_reference_date_time + ((n.k - 1) * p.measurement_interval)::float8 * interval '168 hours' as compared_at
        from generate_series(
            greatest(1, ceil(extract(epoch from p.valid_from - p.start_reference_date_time)::numeric / 604800 / nullif(greatest(p.measurement_interval, 0), 0))),
            floor(extract(epoch from least(now(), p.superseded_at) - p.start_reference_date_time)::numeric / 604800 / nullif(greatest(p.measurement_interval, 0), 0)))
            as n (k)
    ) e
    offset 0
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
        select i.is_latest, unnest(t.point_in_time) as point_in_time, unnest(t.demand) as demand
        from (
            with recursive below (id) as (
                select unnest(s.linked_capacity_groups)
                union
                select unnest(p.linked_capacity_groups)
                from below b
                cross join lateral (
                    select p.linked_capacity_groups
                    from dcm.capacity_group_state p
                    where p.supplier = g.supplier and p.customer = g.customer and p.capacity_group_id = b.id and not p.is_inactive
                        and p.valid_from <= m.measured_at and p.superseded_at > m.measured_at
                    offset 0
                ) p
            )
            select * from unnest(s.material_number_customer, s.customer_location, s.demand_category_code)
            union all
            select x.*
            from below b
            cross join lateral (
                select p.material_number_customer, p.customer_location, p.demand_category_code
                from dcm.capacity_group_state p
                where p.supplier = g.supplier and p.customer = g.customer and p.capacity_group_id = b.id and not p.is_inactive
                    and p.valid_from <= m.measured_at and p.superseded_at > m.measured_at and p.capacity_group_id <> g.capacity_group_id
                offset 0
            ) p
            cross join lateral unnest(p.material_number_customer, p.customer_location, p.demand_category_code) as x
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
        left join dcm.activity_history a
            on a.partner = c.partner and a.direction = c.direction and a.supplier = g.supplier and a.customer = g.customer
            and a.material_number_customer = l.material_number_customer and a.valid_from <= i.at and a.superseded_at > i.at
        cross join lateral (
            select t.point_in_time, t.demand
            from dcm.demand_series_state t
            where t.partner = c.partner and t.direction = c.direction and t.supplier = g.supplier and t.customer = g.customer
                and t.material_number_customer = l.material_number_customer and t.customer_location = l.customer_location
                and t.demand_category_code = l.demand_category_code and t.valid_from <= i.at and t.superseded_at > i.at
            offset 0
        ) t
        where not coalesce(a.is_inactive, c.is_inactive)
    ) u
    group by u.point_in_time
) w
cross join lateral (
    select
        (w.point_in_time - m.monday) / 7 as week,
        width_bucket(((w.point_in_time - m.monday) / 7)::numeric, h.begins) as i
    offset 0
) n
left join lateral (
    select
        h.relative_positive_deviation[n.i] as relative_positive_deviation, h.relative_negative_deviation[n.i] as relative_negative_deviation,
        h.absolute_positive_deviation[n.i] as absolute_positive_deviation, h.absolute_negative_deviation[n.i] as absolute_negative_deviation
    where n.week < h.begins[n.i] + h.subhorizon_length[n.i]
    offset 0
) t on true
where m.measured_at < p.superseded_at and w.is_comparable and w.point_in_time >= m.monday;

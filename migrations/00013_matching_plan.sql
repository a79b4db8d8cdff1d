-- +goose Up

-- What is below a group is a recursion, of which Postgres expects tens of thousands
-- of rows where there are none: left to itself it reads all demands of a supplier
-- for every group (30 ms a group). "offset 0" makes each link look up its own rows
-- by their key. The views mean what they meant.
create or replace view planning.group_week as
select
    g.supplier, g.customer, g.capacity_group_id, w.point_in_time, w.demand,
    w.actual_capacity, w.maximum_capacity, w.agreed_capacity,
    case
        when g.is_inactive then null
        when w.demand is null then 'no demand'
        when w.actual_capacity is null then 'no capacity'
        when w.demand = w.actual_capacity then 'zero deviation'
        when w.demand < w.actual_capacity then 'surplus'
        else 'bottleneck'
    end as result,
    case
        when g.is_inactive or w.demand is null or w.actual_capacity is null then null
        when w.demand <= w.actual_capacity then 'green'
        when w.demand <= w.maximum_capacity then 'orange'
        else 'red'
    end as colour,
    g.unit_of_measure, g.is_inactive
from dcm.capacity_group g
cross join lateral (
    select
        u.point_in_time,
        sum(u.demand) + coalesce(sum(u.delta_production_result), 0) as demand,
        max(u.actual_capacity) as actual_capacity, max(u.maximum_capacity) as maximum_capacity, max(u.agreed_capacity) as agreed_capacity
    from (
        select c.point_in_time, null::numeric as demand, c.actual_capacity, c.maximum_capacity, c.agreed_capacity, c.delta_production_result
        from unnest(g.point_in_time, g.actual_capacity, g.maximum_capacity, g.agreed_capacity, g.delta_production_result)
            as c (point_in_time, actual_capacity, maximum_capacity, agreed_capacity, delta_production_result)
        union all
        select d.point_in_time, d.demand * coalesce(l.load_factor, 1), null, null, null, null
        from (
            with recursive below (id) as (
                select unnest(g.linked_capacity_groups)
                union
                select unnest(p.linked_capacity_groups)
                from below b
                cross join lateral (
                    select p.linked_capacity_groups
                    from dcm.capacity_group p
                    where p.supplier = g.supplier and p.customer = g.customer and p.capacity_group_id = b.id and not p.is_inactive
                    offset 0
                ) p
            )
            select * from unnest(g.material_number_customer, g.customer_location, g.demand_category_code, g.load_factor)
            union all
            select s.*
            from below b
            cross join lateral (
                select p.material_number_customer, p.customer_location, p.demand_category_code, p.load_factor
                from dcm.capacity_group p
                where p.supplier = g.supplier and p.customer = g.customer and p.capacity_group_id = b.id and not p.is_inactive
                    and p.capacity_group_id <> g.capacity_group_id
                offset 0
            ) p
            cross join lateral unnest(p.material_number_customer, p.customer_location, p.demand_category_code, p.load_factor) as s
        ) as l (material_number_customer, customer_location, demand_category_code, load_factor)
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
        ) m
        cross join lateral (
            select t.point_in_time, t.demand
            from dcm.demand_series t
            where t.partner = m.partner and t.direction = m.direction and t.supplier = g.supplier and t.customer = g.customer
                and t.material_number_customer = l.material_number_customer and t.customer_location = l.customer_location
                and t.demand_category_code = l.demand_category_code
            offset 0
        ) t
        cross join lateral unnest(t.point_in_time, t.demand) as d (point_in_time, demand)
        where not m.is_inactive
    ) u
    group by u.point_in_time
) w;

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
        cross join lateral (
            select t.point_in_time, t.demand
            from dcm.demand_series_state t
            where t.partner = c.partner and t.direction = c.direction and t.supplier = g.supplier and t.customer = g.customer
                and t.material_number_customer = l.material_number_customer and t.customer_location = l.customer_location
                and t.demand_category_code = l.demand_category_code and t.valid_from <= i.at and t.superseded_at > i.at
            offset 0
        ) t
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

-- The weeks in which capacity or demand is not what it was at the instant since,
-- by the present links and load factors, without delta-production.
with recursive below (id) as (
    select @id::uuid
    union
    select unnest(g.linked_capacity_groups)
    from below b
    join planning.capacity_group g on g.supplier = @supplier and g.customer = @customer and g.capacity_group_id = b.id
    where not g.is_inactive or b.id = @id
), demand as (
    select
        d.point_in_time,
        sum(d.demand * coalesce(s.load_factor, 1)) filter (where d.received_at <= @since and (d.superseded_at is null or d.superseded_at > @since)) as before,
        sum(d.demand * coalesce(s.load_factor, 1)) filter (where d.superseded_at is null) as after
    from below b
    join planning.capacity_group g on g.supplier = @supplier and g.customer = @customer and g.capacity_group_id = b.id and (not g.is_inactive or b.id = @id)
    join planning.linked_demand_series s on s.supplier = @supplier and s.customer = @customer and s.capacity_group_id = b.id
    join planning.demand_history d
        on d.supplier = @supplier and d.customer = @customer and d.material_number_customer = s.material_number_customer
        and d.customer_location = s.customer_location and d.demand_category_code = s.demand_category_code
    where d.point_in_time >= @from and d.point_in_time < @until
        and (d.superseded_at is null or d.received_at <= @since and d.superseded_at > @since)
        and d.direction = ( -- ours, if there is one
            select max(m.direction) from planning.material_demand m
            where m.supplier = @supplier and m.customer = @customer and m.material_number_customer = s.material_number_customer and not m.is_inactive)
    group by d.point_in_time
), before as (
    select point_in_time, actual_capacity, maximum_capacity, agreed_capacity
    from planning.capacity_history
    where supplier = @supplier and customer = @customer and capacity_group_id = @id and point_in_time >= @from and point_in_time < @until
        and received_at <= @since and (superseded_at is null or superseded_at > @since)
), after as (
    select point_in_time, actual_capacity, maximum_capacity, agreed_capacity
    from planning.capacity_history
    where supplier = @supplier and customer = @customer and capacity_group_id = @id and point_in_time >= @from and point_in_time < @until
        and superseded_at is null
)
select
    point_in_time,
    trim_scale(d.before)::text as demand_before, trim_scale(d.after)::text as demand_after,
    trim_scale(b.actual_capacity)::text as actual_before, trim_scale(a.actual_capacity)::text as actual_after,
    trim_scale(b.maximum_capacity)::text as maximum_before, trim_scale(a.maximum_capacity)::text as maximum_after,
    trim_scale(b.agreed_capacity)::text as agreed_before, trim_scale(a.agreed_capacity)::text as agreed_after
from before b
full join after a using (point_in_time)
full join demand d using (point_in_time)
where exists (select from before) and (b.actual_capacity, b.maximum_capacity, b.agreed_capacity) is distinct from (a.actual_capacity, a.maximum_capacity, a.agreed_capacity)
    or exists (select from demand where before is not null) and d.before is distinct from d.after
order by point_in_time

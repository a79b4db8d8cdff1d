-- What moved by more than was agreed, at the measurements since.
select
    measured_at, point_in_time, trim_scale(previous)::text as previous, trim_scale(latest)::text as latest,
    round(100 * relative_deviation, 1)::text as percent, alert, count(*) over () as total
from planning.volatility
where supplier = @supplier and customer = @customer and capacity_group_id = @id and alert is not null and measured_at >= @since
order by measured_at desc, point_in_time
limit 200

select
    subhorizon_length as weeks,
    trim_scale(100 * relative_positive_deviation)::text as relative_positive, trim_scale(100 * relative_negative_deviation)::text as relative_negative,
    trim_scale(absolute_positive_deviation)::text as absolute_positive, trim_scale(absolute_negative_deviation)::text as absolute_negative,
    count(*) over () as total
from planning.alert_threshold
where supplier = @supplier and customer = @customer and capacity_group_id = @id
order by sequence_number
limit 100

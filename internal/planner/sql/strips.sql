select k.place::integer as place, w.point_in_time, w.result, w.colour
from unnest(@suppliers::text[], @customers::text[], @ids::uuid[]) with ordinality as k (supplier, customer, id, place)
cross join lateral (
    select point_in_time, result, colour
    from planning.group_week w
    where w.supplier = k.supplier and w.customer = k.customer and w.capacity_group_id = k.id
        and w.point_in_time >= @from and w.point_in_time < @until
) w

insert into dcm.way as w (partner, endpoint, way)
values ($1, $2, $3)
on conflict (partner, endpoint) do update set way = excluded.way
where w.way <> excluded.way

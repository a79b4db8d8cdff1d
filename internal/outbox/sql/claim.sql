insert into dcm.sending as s (partner, owner, until) values ($1, $2, now() + $3::interval)
on conflict (partner) do update set owner = excluded.owner, until = excluded.until where s.until <= now()

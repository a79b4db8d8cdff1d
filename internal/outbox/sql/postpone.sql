-- The partner takes nothing of this kind now: all of it waits as long.
update dcm.delivery set
    state = 'waiting', next_attempt_at = now() + $3::interval, status = nullif($4::integer, 0), reason = $5
where partner = $1 and object = $2 and state in ('waiting', 'sending')

-- A piece of what a message's entry says of its objects.
select
    object_id[@begin::int:@until::int], rule[@begin::int:@until::int],
    coalesce(outcome[@begin::int:@until::int], array(
        select case when r = 5 then 'created' when r in (4, 7) then 'overwritten' else 'ignored' end
        from unnest(rule[@begin::int:@until::int]) with ordinality as u (r, i) order by i))
from dcm.message
where sender = @sender and id = @id

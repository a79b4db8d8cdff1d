with taken as (
    update dcm.overview_turn
    set begins_after = now() + @lease::interval
    where begins_after <= now()
    returning now() as begun
)
select (select begun from taken), as_of
from dcm.overview_turn

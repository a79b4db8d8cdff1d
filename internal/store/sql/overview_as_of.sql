select least(as_of, (select min(as_of) from dcm.overview where gave_up_at is null))
from dcm.overview_turn
where not exists (select from dcm.overview where gave_up_at = '-infinity')

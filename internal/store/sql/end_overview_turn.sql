update dcm.overview_turn
set begins_after = now() + @pause::interval

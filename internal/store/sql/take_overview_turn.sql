update dcm.overview_turn
set begins_after = now() + @lease::interval
where begins_after <= now()
returning now()

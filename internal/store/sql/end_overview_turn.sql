update dcm.overview_turn
set begins_after = now() + @pause::interval, as_of = greatest(as_of, @begun)

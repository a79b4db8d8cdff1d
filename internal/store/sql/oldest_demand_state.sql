select min(superseded_at) from dcm.demand_series_history where superseded_at < @before

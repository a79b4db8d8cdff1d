delete from dcm.demand_series_history where superseded_at < @before

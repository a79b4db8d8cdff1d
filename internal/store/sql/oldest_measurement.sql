select min(superseded_at) from dcm.measurement_history where superseded_at < @before

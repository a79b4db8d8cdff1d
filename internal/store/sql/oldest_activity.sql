select min(superseded_at) from dcm.activity_history where superseded_at < @before

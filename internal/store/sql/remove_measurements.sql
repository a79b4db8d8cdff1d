delete from dcm.measurement_history where superseded_at < @before

delete from dcm.activity_history where superseded_at < @before

delete from dcm.capacity_group_history where superseded_at < @before

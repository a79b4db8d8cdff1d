select min(superseded_at) from dcm.capacity_group_history where superseded_at < @before

select min(requested_at) from dcm.requested_update where requested_at < @before

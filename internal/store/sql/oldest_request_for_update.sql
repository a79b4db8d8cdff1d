select min(requested_at) from dcm.request_for_update where requested_at < @before

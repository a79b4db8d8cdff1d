select min(received_at) from dcm.message where received_at < @before

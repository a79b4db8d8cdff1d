delete from dcm.message where received_at < @before

delete from dcm.requested_update where requested_at < @before

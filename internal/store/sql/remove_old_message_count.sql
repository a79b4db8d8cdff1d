delete from dcm.message_count where hour < @before

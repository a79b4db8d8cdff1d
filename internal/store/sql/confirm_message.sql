-- Changes nothing, but writes: so its commit waits until a synchronous standby
-- has everything up to here, the entry's own commit with it.
update dcm.message set duration = duration where sender = @sender and id = @id

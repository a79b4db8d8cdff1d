-- In portions, so that no lock is held for long; replicas skip each other's.
delete from dcm.message
where (sender, id) in (
    select sender, id from dcm.message where received_at < @before limit @portion for update skip locked
)

-- In portions, so that no lock is held for long; replicas skip each other's.
delete from dcm.request_for_update
where (supplier, message_key, kind, asks_for_all, requested_id) in (
    select supplier, message_key, kind, asks_for_all, requested_id from dcm.request_for_update where requested_at < @before limit @portion for update skip locked
)

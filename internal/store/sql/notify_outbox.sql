-- Wakes those who answer requests for update, when this transaction commits.
select pg_notify('dcm_outbox', @sender)

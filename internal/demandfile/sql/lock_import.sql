select pg_advisory_xact_lock(hashtext('dcm-receiver demand import'))

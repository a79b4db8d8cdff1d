select
    coalesce((select max(version_id) from dcm.schema_version where is_applied), 0) as version,
    pg_is_in_recovery() or current_setting('transaction_read_only')::boolean as read_only

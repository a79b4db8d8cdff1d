select
    coalesce((select max(version_id) from dcm.schema_version where is_applied), 0) as version,
    (select max(oldest_program) from dcm.compatibility) as oldest_program,
    pg_is_in_recovery() or current_setting('transaction_read_only')::boolean as read_only,
    getdatabaseencoding() as encoding,
    (select reset_val = 'off' from pg_settings where name = 'synchronous_commit') as async_commit,
    (
        select format('%s on %s for %s', r.privilege, t.name, current_user)
        from unnest($1::text[]) as t (name)
        cross join unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE']) as r (privilege)
        where not has_table_privilege(t.name, r.privilege)
        order by 1
        limit 1
    ) as missing_right

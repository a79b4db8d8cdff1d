select
    coalesce((select max(version_id) from dcm.schema_version where is_applied), 0) as version,
    (select max(oldest_program) from dcm.compatibility) as oldest_program,
    pg_is_in_recovery() or current_setting('transaction_read_only')::boolean as read_only,
    getdatabaseencoding() as encoding,
    (select reset_val = 'off' from pg_settings where name = 'synchronous_commit') as hasty,
    (
        select format('%s on %s for %s', r.privilege, t.name, current_user)
        from unnest(array[
            'dcm.capacity_group', 'dcm.message', 'dcm.requested_update', 'dcm.material_demand', 'dcm.demand_series', 'dcm.message_count', 'dcm.comment',
            'dcm.capacity_group_history', 'dcm.demand_series_history', 'dcm.measurement_history', 'dcm.activity_history' -- their triggers write as who writes
        ]) as t (name)
        cross join unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE']) as r (privilege)
        where not has_table_privilege(t.name, r.privilege)
        order by 1
        limit 1
    ) as missing_right

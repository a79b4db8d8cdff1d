-- The roles that planners' and senders' own roles are granted. Run after every migration, so
-- that a role which an administrator adds later gets its rights too.
-- Replicas that start together grant one after the other, to the end of this
-- transaction.
select pg_advisory_xact_lock(hashtext('dcm-receiver planner'));
do $$
begin
    if not exists (select from pg_roles where rolname = 'dcm_planner') then
        create role dcm_planner nologin;
    end if;
    if not exists (select from pg_roles where rolname = 'dcm_sender') then
        create role dcm_sender nologin;
    end if;
exception
    when insufficient_privilege then
        raise warning 'roles dcm_planner and dcm_sender were not created: the receiver''s role may not create roles; let an administrator run "create role dcm_planner nologin; create role dcm_sender nologin" and start the receiver or its migrate command again';
        return;
    when duplicate_object or unique_violation then
        null; -- another database of this server made it at the same moment
end
$$;
do $$
begin
    if exists (select from pg_roles where rolname = 'dcm_planner') then
        grant usage on schema planning to dcm_planner;
        grant select on all tables in schema planning to dcm_planner;
    end if;
    if exists (select from pg_roles where rolname = 'dcm_sender') then
        grant usage on schema planning, outbox to dcm_sender;
        grant select on all tables in schema planning to dcm_sender;
        grant select, insert, update, delete on all tables in schema outbox to dcm_sender;
        grant execute on all functions in schema outbox to dcm_sender;
        -- demand import compares in a temporary table.
        if has_database_privilege(current_database(), 'temporary with grant option') then
            execute format('grant temporary on database %I to dcm_sender', current_database());
        end if;
    end if;
end
$$;

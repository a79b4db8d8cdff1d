-- Spreads the tables over several Postgres servers by partner (Citus 11 or later
-- on the coordinator that DATABASE_URL names). Not tried yet: README.md.
--
-- psql -X -v ON_ERROR_STOP=1 -f citus.sql, as owner of the tables, after
-- `dcm-receiver migrate`. With data in the tables each call copies its table and
-- holds up writes; create_distributed_table_concurrently does not.

-- A message is of one supplier, and so are all groups in it: each statement stays
-- on one server. 64 shards leave room for 32 servers and more.
select create_distributed_table('dcm.capacity_group', 'supplier', shard_count => 64);

-- In the same place as the groups of that supplier, so that views join locally.
select create_distributed_table('dcm.message', 'sender', colocate_with => 'dcm.capacity_group');
select create_distributed_table('dcm.requested_update', 'partner', colocate_with => 'dcm.capacity_group');
select create_distributed_table('dcm.message_count', 'sender', colocate_with => 'dcm.capacity_group');

-- Material demands lie by the partner: the supplier of those sent, the customer of
-- those received.
select create_distributed_table('dcm.material_demand', 'partner', colocate_with => 'dcm.capacity_group');
select create_distributed_table('dcm.comment', 'partner', colocate_with => 'dcm.capacity_group');
select create_distributed_table('dcm.demand_series', 'partner', colocate_with => 'dcm.capacity_group');
select create_distributed_table('dcm.demand_series_history', 'partner', colocate_with => 'dcm.capacity_group');
select create_distributed_table('dcm.capacity_group_history', 'supplier', colocate_with => 'dcm.capacity_group');
select create_distributed_table('dcm.measurement_history', 'supplier', colocate_with => 'dcm.capacity_group');
select create_distributed_table('dcm.activity_history', 'partner', colocate_with => 'dcm.capacity_group');
select create_distributed_table('dcm.overview', 'supplier', colocate_with => 'dcm.capacity_group');
select create_distributed_table('dcm.group_overview', 'supplier', colocate_with => 'dcm.capacity_group');
select create_distributed_table('dcm.capacity_total', 'supplier', colocate_with => 'dcm.capacity_group');

select create_distributed_table('dcm.delivery', 'partner', colocate_with => 'dcm.capacity_group');
select create_distributed_table('dcm.sending', 'partner', colocate_with => 'dcm.capacity_group');
select create_distributed_table('dcm.answering', 'partner', colocate_with => 'dcm.capacity_group');
select create_distributed_table('dcm.way', 'partner', colocate_with => 'dcm.capacity_group');

-- Schema outbox stays on the coordinator, where releases are made. So do
-- dcm.schema_version, dcm.compatibility, dcm.overview_turn and dcm.served_setting. Grants and
-- views reach the workers by themselves.

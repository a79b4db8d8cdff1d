-- +goose Up

-- A publication for all tables (logical replication, an upgrade with it) refuses
-- updates of a table without a key.
alter table dcm.compatibility
    add column only_row boolean not null default true,
    add primary key (only_row),
    add constraint one_row check (only_row);
comment on column dcm.compatibility.only_row is 'Key of the only row.';
alter table dcm.overview_turn
    add column only_row boolean not null default true,
    add primary key (only_row),
    add constraint one_row check (only_row);
comment on column dcm.overview_turn.only_row is 'Key of the only row.';

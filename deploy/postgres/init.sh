#!/bin/sh
# Prepares an empty Postgres 15 for dcm-receiver: run once, as superuser. The
# postgres image does so by itself (compose.yaml); elsewhere:
#
#   PGHOST=… PGUSER=postgres DCM_DATABASE_PASSWORD=… DCM_PLANNER_PASSWORD=… ./init.sh
#
# The receiver owns its database and is otherwise an ordinary role, so dcm_planner,
# which its migrations would make if they were allowed to, is made here.
set -eu
# The passwords reach psql by its own environment and not as arguments, which
# anybody could see in the list of processes.
psql -X -q -v ON_ERROR_STOP=1 -U "${POSTGRES_USER:-${PGUSER:-postgres}}" -d postgres <<'SQL'
\getenv receiver DCM_DATABASE_PASSWORD
\getenv planner DCM_PLANNER_PASSWORD
-- The log must not show the passwords that follow.
set log_statement = 'none';
set log_min_error_statement = 'panic';

create role dcm_receiver login password :'receiver';
-- A statement that hangs must not hold locks for ever; the receiver sets tighter
-- limits of its own.
alter role dcm_receiver set idle_in_transaction_session_timeout = '60s';
create database dcm owner dcm_receiver encoding 'UTF8' template template0;

-- Reads the views of schema planning and nothing else; no login of its own.
create role dcm_planner nologin;

-- Writes in schema outbox and reads the planners' views; for tools that load demands.
create role dcm_sender nologin;

-- An example of somebody who plans: one such role a person or tool, so that
-- access can be taken back one by one.
create role planner login password :'planner' in role dcm_planner;
alter role planner set search_path = planning;
-- A report must not hold back vacuum for hours.
alter role planner set statement_timeout = '10min';
alter role planner set idle_in_transaction_session_timeout = '10min';

revoke connect, temporary on database dcm from public;
grant connect on database dcm to dcm_planner, dcm_sender;
-- demand import compares in a temporary table.
grant temporary on database dcm to dcm_sender;
SQL

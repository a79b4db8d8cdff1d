-- +goose Up

-- An object that an operator has unlocked takes the next message, whatever its
-- changedAt (dcm-receiver group unlock). That message locks it again.
alter table dcm.capacity_group add column is_unlocked boolean not null default false;
alter table dcm.material_demand add column is_unlocked boolean not null default false;

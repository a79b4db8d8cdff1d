-- +goose Up

-- A comment of ours that is taken back leaves no trace: a partner's reason for
-- refusing it may quote its text or author. What comes after that is not kept either.
alter table dcm.delivery add column is_forgotten boolean not null default false;

-- +goose StatementBegin
create function outbox.forget_reasons() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update dcm.delivery d set reason = null, is_forgotten = true
    where d.object = 'IdBasedComment' and d.object_id = new.comment_id and d.supplier = new.supplier and d.customer = new.customer
        and d.partner in (new.supplier, new.customer) and d.changed_at < new.changed_at;
    return null;
end
$$;
-- +goose StatementEnd
comment on function outbox.forget_reasons is 'Forgets what a partner said of a comment that is taken back.';
create trigger forget_reasons after update on outbox.comment for each row when (new.request_delete) execute function outbox.forget_reasons();
revoke execute on function outbox.forget_reasons from public;

-- +goose Up

create table dcm.served_setting (
    name text primary key,
    value text not null
);
comment on table dcm.served_setting is 'Settings of the last serve, for what runs in SQL alone and knows no variables.';
comment on column dcm.served_setting.name is 'Name of the variable, such as DCM_CUSTOMER_BPNLS.';
comment on column dcm.served_setting.value is 'Its value; of a list, separated by commas.';

create function outbox.why_not(supplier text, customer text) returns text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select case
        when why_not.supplier = why_not.customer then format('supplier and customer are both %s; write the BPNL of the partner that is to deliver', why_not.supplier)
        when why_not.customer <> all (string_to_array(ours.list, ',')) then format(
            'customer %s is none of ours: DCM_CUSTOMER_BPNLS has %s; write one of these, or add it there', why_not.customer, ours.list)
    end
    from (select coalesce(
        nullif(current_setting('dcm.customer_bpnls', true), ''),
        (select value from dcm.served_setting where name = 'DCM_CUSTOMER_BPNLS')) as list) ours
$$;
comment on function outbox.why_not is 'Why no demand of this supplier and customer may go out; NULL if it may. Which customers are ours says the variable of the command that calls it, else that of the last serve; where neither says it, all are.';
revoke execute on function outbox.why_not from public;

-- outbox.release asks it first.
-- +goose StatementBegin
do $$
declare
    was constant text := pg_get_functiondef('outbox.release(text, text)'::regprocedure);
    first constant text := 'when count(distinct l.material_description_customer) > 1';
begin
    if position(first in was) = 0 then
        raise exception 'outbox.release is not the one that this migration extends';
    end if;
    execute replace(was, first, 'when outbox.why_not(l.supplier, l.customer) is not null
                    then outbox.why_not(l.supplier, l.customer)
                ' || first);
end
$$;
-- +goose StatementEnd

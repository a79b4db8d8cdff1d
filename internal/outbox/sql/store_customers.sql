-- Stores the customers of ours that releases in SQL may send for; none: any.
with none as (
    delete from dcm.served_setting where name = 'DCM_CUSTOMER_BPNLS' and $1 = ''
)
insert into dcm.served_setting as s (name, value)
select 'DCM_CUSTOMER_BPNLS', $1 where $1 <> ''
on conflict (name) do update set value = excluded.value where s.value <> excluded.value

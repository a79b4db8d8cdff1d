-- +goose Up

-- Negotiations, agreements and transfers belong to an entry of a partner. Whoever writes or
-- removes the entry wants them begun anew, by whatever interface.
-- +goose StatementBegin
create function outbox.forget_ways() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    delete from dcm.way where partner in (old.bpnl, new.bpnl);
    return null;
end
$$;
-- +goose StatementEnd
comment on function outbox.forget_ways is 'Forgets what is open to a partner whose entry is written or removed.';
create trigger forget_ways after insert or update or delete on outbox.partner for each row execute function outbox.forget_ways();
revoke execute on function outbox.forget_ways from public;

-- A reason is one line of at most 4,000 characters. Versions before this one stored what
-- partners said as it was.
update dcm.delivery set reason = left(regexp_replace(reason, '[\u0001-\u001f\u007f-\u009f\u2028\u2029]+', ' ', 'g'), 4000)
where char_length(reason) > 4000 or reason ~ '[\u0001-\u001f\u007f-\u009f\u2028\u2029]';
update dcm.delivery set reason = regexp_replace(reason, '[\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]+', '', 'g')
where reason ~ '[\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]';

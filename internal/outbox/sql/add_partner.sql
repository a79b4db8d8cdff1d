insert into outbox.partner (bpnl, dsp_url, did, protocol)
values ($1, nullif($2, ''), nullif($3, ''), nullif($4, ''))
on conflict (bpnl) do update
set dsp_url = excluded.dsp_url, did = excluded.did, protocol = excluded.protocol
returning xmax = 0 as added

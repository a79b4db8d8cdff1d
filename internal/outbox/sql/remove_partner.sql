delete from outbox.partner
where bpnl = $1

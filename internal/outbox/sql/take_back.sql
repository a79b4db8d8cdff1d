-- What was begun and has no end waits again, if no other replica serves the partner now.
update dcm.delivery set state = 'waiting'
where partner = $1 and state = 'sending' and exists (select from dcm.sending s where s.partner = $1 and s.owner = $2)

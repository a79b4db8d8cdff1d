-- What was begun and has no end waits again.
update dcm.delivery set state = 'waiting' where partner = $1 and state = 'sending'

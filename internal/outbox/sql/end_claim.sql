delete from dcm.sending
where partner = $1 and owner = $2

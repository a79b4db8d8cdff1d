-- Keeps other replicas from the partners that this one serves; says which they are:
-- a partner that is missing here is served by another by now.
update dcm.sending set until = now() + $3::interval
where owner = $1 and partner = any ($2)
returning partner

-- +goose Up

-- So that who may not read the tables can tell whether anybody sends.
create view planning.sending as
select partner, until from dcm.sending where until > now();
comment on view planning.sending is 'One row per partner that a receiver with DCM_SEND is serving at this moment. Where something is due for a partner and there is no row at all, nobody sends.';
comment on column planning.sending.partner is 'BPNL of the partner.';
comment on column planning.sending.until is 'When another receiver may take over, unless this one goes on.';

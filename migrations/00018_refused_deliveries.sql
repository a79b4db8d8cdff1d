-- +goose Up

-- Counted every 15 s, among all that was ever delivered.
create index delivery_refused on dcm.delivery (partner) where state = 'refused';

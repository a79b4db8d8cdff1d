-- +goose Up

-- What the command refuses, SQL refuses too. Rows of before are left as they are.
alter table outbox.partner
    add constraint "one of dataspace-protocol-http, dataspace-protocol-http:2025-1"
        check (protocol in ('dataspace-protocol-http', 'dataspace-protocol-http:2025-1')) not valid,
    add constraint "did must begin with did: and a method, such as did:web:"
        check (did ~ '^did:[a-z0-9]+:.') not valid;

-- A name has at most 63 bytes.
alter table outbox.demand_line rename constraint "expected_supplier_location must be BPNS and 12 letters or digit"
    to "expected_supplier_location must be BPNS, 12 letters or digits";

package outbox

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/privatepg/pgtest"
	"dcm-receiver/internal/sqlfile"
)

// TestStatements prepares every statement of the package.
func TestStatements(t *testing.T) {
	conn, err := pgx.Connect(t.Context(), pgtest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for _, name := range sqlfile.Names(files) {
		if _, err := conn.Prepare(t.Context(), name, sqlfile.Load(files, name).SQL); err != nil {
			t.Errorf("sql/%s.sql: %v", name, err)
		}
	}
}

// TestKinds: every object that is sent has one kind, and no other object is sent as one of them.
func TestKinds(t *testing.T) {
	for _, k := range kinds {
		found, err := kindOf(k.endpoint.Object)
		if err != nil || found.endpoint.Path != k.endpoint.Path || found.write == "" {
			t.Errorf("%s: %+v, %v", k.endpoint.Object, found, err)
		}
	}
	if _, err := kindOf(dcm.CapacityGroupEndpoint.Object); err == nil {
		t.Error("capacity groups are sent as something else")
	}
}

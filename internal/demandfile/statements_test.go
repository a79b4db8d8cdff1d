package demandfile

import (
	"testing"

	"github.com/jackc/pgx/v5"

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
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), createImported); err != nil { // the others are about this table
		t.Fatal(err)
	}
	for _, name := range sqlfile.Names(files) {
		if name == "create_imported" {
			continue
		}
		if _, err := tx.Prepare(t.Context(), name, sqlfile.Load(files, name).SQL); err != nil {
			t.Errorf("sql/%s.sql: %v", name, err)
		}
	}
}

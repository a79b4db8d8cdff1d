package store_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"dcm-receiver/internal/privatepg/pgtest"
)

// TestDocumentHasEveryColumn holds the table of views in api/planners.md equal to the database: a column
// that was added to schema planning but not to the document fails here.
func TestDocumentHasEveryColumn(t *testing.T) {
	conn, err := pgx.Connect(t.Context(), pgtest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	rows, err := conn.Query(t.Context(), `
		select table_name::text, array_agg(column_name::text order by ordinal_position)
		from information_schema.columns
		where table_schema = 'planning'
		group by table_name`)
	if err != nil {
		t.Fatal(err)
	}
	columns := map[string][]string{}
	var view string
	var names []string
	if _, err := pgx.ForEachRow(rows, []any{&view, &names}, func() error {
		columns[view] = slices.Clone(names)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	document, err := os.ReadFile("../../api/planners.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `(\\w+)` \\|[^|]*\\| ([^|]*) \\|$")
	found := map[string]bool{}
	for _, m := range row.FindAllStringSubmatch(string(document), -1) {
		view, cell := m[1], regexp.MustCompile(`\([^)]*\)`).ReplaceAllString(m[2], "")
		if columns[view] == nil {
			t.Errorf("api/planners.md has a view %s, which is not in schema planning", view)
			continue
		}
		found[view] = true
		var named []string
		for name := range strings.SplitSeq(cell, ",") {
			named = append(named, strings.TrimSpace(name))
		}
		for _, c := range columns[view] {
			if !slices.Contains(named, c) {
				t.Errorf("api/planners.md does not name column %s of %s", c, view)
			}
		}
		for _, n := range named {
			if !slices.Contains(columns[view], n) {
				t.Errorf("api/planners.md names column %q of %s, which it does not have", n, view)
			}
		}
	}
	for view := range columns {
		if !found[view] {
			t.Errorf("api/planners.md has no row for view %s", view)
		}
	}
}

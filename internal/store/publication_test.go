package store_test

import (
	"context"
	"testing"
	"time"

	"dcm-receiver/internal/privatepg/pgtest"
	"dcm-receiver/internal/store"

	"github.com/jackc/pgx/v5"
)

// TestPublicationForAllTables: a publication for all tables refuses updates and deletions
// in a table without a key, so each table has one, and the receiver stays ready.
func TestPublicationForAllTables(t *testing.T) {
	url := pgtest.New(t)
	conn := connect(t, url)
	rows, err := conn.Query(t.Context(), `
		select c.oid::regclass::text
		from pg_class c
		where c.relnamespace in ('dcm'::regnamespace, 'outbox'::regnamespace, 'planning'::regnamespace) and
		c.relkind in ('r', 'p') and c.relpersistence <> 't'
			and not exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary)`)
	if err != nil {
		t.Fatal(err)
	}
	without, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(without) > 0 {
		t.Errorf("tables without a key: %v %v", without, err)
	}
	for _, sql := range []string{
		"create publication p for all tables",
		"insert into outbox.partner (bpnl) values ('BPNL6666666666YY')",
		`insert into outbox.demand_line (supplier, customer, material_number_customer, customer_location,
			point_in_time, demand)
			values ('BPNL6666666666YY', 'BPNL8888888888XX', 'M', 'BPNS8888888888XX', date_trunc('week',
			now())::date + 28, 1)`,
		"select outbox.release()",
		"update outbox.demand_line set demand = 2",
		"select outbox.release()",
		"update dcm.overview_turn set begins_after = '-infinity'",
	} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
	s, err := store.Open(url, 2, 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if err := s.Ready(t.Context()); err != nil {
		t.Errorf("ready: %v", err)
	}
	if asOf, err := s.UpdateOverview(context.Background(), func() float64 { return 1 }); err != nil || asOf == nil {
		t.Errorf("overview as of %v: %v", asOf, err)
	}
}

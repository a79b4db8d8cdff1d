package outbox_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"dcm-receiver/internal/privatepg/pgtest"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const (
	supplier = "BPNL6666666666YY"
	customer = "BPNL8888888888XX"
	site     = "BPNS8888888888XX"
)

func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func exec(t testing.TB, conn *pgx.Conn, sql string, arguments ...any) {
	t.Helper()
	if _, err := conn.Exec(context.Background(), sql, arguments...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func rows(t testing.TB, conn *pgx.Conn, sql string, arguments ...any) []string {
	t.Helper()
	found, err := conn.Query(context.Background(), sql, arguments...)
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(found, pgx.RowTo[string])
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return list
}

func lines(t testing.TB, conn *pgx.Conn, material string, weeks int) {
	t.Helper()
	exec(t, conn, `insert into outbox.demand_line (supplier, customer, material_number_customer, customer_location, demand_category_code, point_in_time, demand, unit_of_measure)
		select $1, $2, $3, $4, '0001', date_trunc('week', now())::date + 7 * n, n, 'unit:piece' from generate_series(0, $5 - 1) n`,
		supplier, customer, material, site, weeks)
}

const outcomes = "select material_number_customer || ' ' || outcome || coalesce(': ' || why, '') from outbox.release()"

func expect(t testing.TB, got []string, want ...string) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestRelease(t *testing.T) {
	url := pgtest.New(t)
	conn := connect(t, url)
	// As the role that loads, which may not look behind the views.
	exec(t, conn, "set role dcm_sender")
	lines(t, conn, "A", 5)
	lines(t, conn, "B", 5)
	lines(t, conn, "near", 2)
	const near = "near refused: it has no week other than the current and the next one: add a line of a later week"
	expect(t, rows(t, conn, outcomes), "A created", "B created", near)
	expect(t, rows(t, conn, outcomes), "A unchanged", "B unchanged", near)
	expect(t, rows(t, conn, "select state from planning.delivery"), "waiting", "waiting")
	before := rows(t, conn, "select material_demand_id || ' ' || substr(material_demand_id::text, 15, 1) from planning.material_demand order by 1")

	// The same value in another spelling is no change; another value is, though it waits still.
	exec(t, conn, "update outbox.demand_line set demand = demand + 0.000 where material_number_customer = 'A'")
	expect(t, rows(t, conn, outcomes+" where outcome <> 'refused'"), "A unchanged", "B unchanged")
	exec(t, conn, "update outbox.demand_line set demand = 7.001 where material_number_customer = 'A' and demand = 4")
	exec(t, conn, "delete from outbox.demand_line where material_number_customer = 'B'")
	expect(t, rows(t, conn, outcomes+" where outcome <> 'refused'"), "A changed")
	expect(t, rows(t, conn, "select m.material_number_customer || ' ' || d.state from planning.delivery d join planning.material_demand m on m.material_demand_id = d.object_id order by queued_at, 1"),
		"A superseded", "B waiting", "A waiting")
	expect(t, rows(t, conn, "select material_demand_id || ' ' || substr(material_demand_id::text, 15, 1) from planning.material_demand order by 1"), before...)
	for _, id := range before {
		if !strings.HasSuffix(id, " 4") {
			t.Errorf("%s is no UUIDv4", id)
		}
	}
	expect(t, rows(t, conn, "select demand::text from planning.demand where material_number_customer = 'A' order by point_in_time"), "0", "1", "2", "3", "7.001")
	expect(t, rows(t, conn, "select demand::text from planning.demand_history where superseded_at is not null and demand > 3"), "4")

	// A series that has no line any more is gone; a clock that went back changes nothing.
	exec(t, conn, "reset role")
	exec(t, conn, "update dcm.material_demand set changed_at = now() + interval '1 year', changed_at_nanosecond = 900")
	exec(t, conn, `insert into outbox.demand_line (supplier, customer, material_number_customer, customer_location, demand_category_code, point_in_time, demand, unit_of_measure)
		select supplier, customer, material_number_customer, customer_location, 'A1S1', point_in_time, 1, unit_of_measure from outbox.demand_line where material_number_customer = 'A'`)
	expect(t, rows(t, conn, outcomes+" where changed_at > now() + interval '364 days'"), "A changed")
	exec(t, conn, "delete from outbox.demand_line where demand_category_code = 'A1S1'")
	expect(t, rows(t, conn, outcomes+" where outcome = 'changed'"), "A changed")
	expect(t, rows(t, conn, "select distinct demand_category_code from planning.demand where material_number_customer = 'A'"), "0001")
	expect(t, rows(t, conn, "select count(*)::text from (select changed_at from planning.delivery d where object_id in (select material_demand_id from planning.material_demand where material_number_customer = 'A') group by 1) c"), "4")
}

func TestRefusals(t *testing.T) {
	conn := connect(t, pgtest.New(t))
	for _, c := range []struct{ name, change, want string }{
		{"descriptions", "material_description_customer = 'text ' || demand", `its lines have several descriptions, such as "text 0" and "text 4": give material_description_customer the same value in all of them`},
		{"units", "unit_of_measure = case when demand > 2 then 'unit:gram' end", "its lines have several units, none and unit:gram: give unit_of_measure the same value in all of them"},
		{"inactive", "is_inactive = demand > 2", "some of its lines are inactive and others are not: give is_inactive the same value in all of them"},
		{"expected", "expected_supplier_location = case when demand > 2 then 'BPNS6666666666YY' end", "the weeks of location " + site + ", category 0001 have several expected supplier locations: give expected_supplier_location the same value in all of them"},
	} {
		lines(t, conn, c.name, 5)
		exec(t, conn, "update outbox.demand_line set "+c.change+" where material_number_customer = $1", c.name)
		expect(t, rows(t, conn, outcomes), c.name+" refused: "+c.want)
		exec(t, conn, "delete from outbox.demand_line")
	}
	for _, c := range []struct{ change, want string }{
		{"point_in_time = '2026-11-24'", "point_in_time must be a Monday"},
		{"demand = -1", "demand must not be negative"},
		{"demand = 'NaN'", "demand must be at most 10^18"},
		{"supplier = 'ACME'", "supplier must be a BPNL"},
		{"customer_location = 'BPNL8888888888XX'", "customer_location must be a BPNS"},
		{"unit_of_measure = 'PCE'", "unit_of_measure must be a known unit, such as unit:piece"},
		{"demand_category_code = '1'", "demand_category_code must be a known code"},
		{"material_global_asset_id = 'x'", "material_global_asset_id must be a UUID"},
	} {
		lines(t, conn, "A", 1)
		_, err := conn.Exec(context.Background(), "update outbox.demand_line set "+c.change)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.change, err)
		}
		exec(t, conn, "delete from outbox.demand_line")
	}
}

func TestReleasesSideBySide(t *testing.T) {
	url := pgtest.New(t)
	conn := connect(t, url)
	for n := range 20 {
		lines(t, conn, fmt.Sprint("M", n), 5)
	}
	created := make(chan int, 4)
	var wait sync.WaitGroup
	for range 4 {
		c := connect(t, url)
		wait.Go(func() { created <- len(rows(t, c, outcomes+" where outcome = 'created'")) })
	}
	wait.Wait()
	sum := 0
	for range 4 {
		sum += <-created
	}
	if sum != 20 {
		t.Errorf("%d created, want 20 once", sum)
	}
	expect(t, rows(t, conn, "select count(*)::text from planning.delivery"), "20")
}

// TestMillion says how long as many lines take as DCM_MILLION says.
func TestMillion(t *testing.T) {
	if os.Getenv("DCM_MILLION") == "" {
		t.Skip("DCM_MILLION is not set")
	}
	conn := connect(t, pgtest.New(t))
	took := func(what, sql string) {
		start := time.Now()
		exec(t, conn, sql)
		t.Logf("%s: %s", what, time.Since(start).Round(10*time.Millisecond))
	}
	took("insert", `insert into outbox.demand_line (supplier, customer, material_number_customer, customer_location, demand_category_code, point_in_time, demand, unit_of_measure)
		select 'BPNL' || lpad((m % 1000)::text, 12, '0'), 'BPNL8888888888XX', 'MNR-' || m, 'BPNS8888888888XX', '0001', date '2026-11-23' + 7 * n, m + n, 'unit:piece'
		from generate_series(1, `+os.Getenv("DCM_MILLION")+`::int / 50) m, generate_series(1, 50) n`)
	took("release", "select count(*) from outbox.release()")
	took("release again", "select count(*) from outbox.release()")
	exec(t, conn, "update outbox.demand_line set demand = demand + 1")
	took("release of all changed", "select count(*) from outbox.release()")
}

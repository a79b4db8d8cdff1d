package store_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/privatepg/pgtest"
	"dcm-receiver/internal/store"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// TestEveryStatementFitsTheDatabase prepares each embedded file.
func TestEveryStatementFitsTheDatabase(t *testing.T) {
	conn := connect(t, pgtest.New(t))
	statements, err := filepath.Glob("sql/*.sql")
	if err != nil || len(statements) < 10 {
		t.Fatalf("%d statements: %v", len(statements), err)
	}
	for _, path := range statements {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		sql, _, err := pgx.NamedArgs{}.RewriteQuery(context.Background(), conn, string(text), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Prepare(context.Background(), path, sql); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestListsAreLookedUpByKey: no statement compares each object of a list with each that
// its partner has, whatever the planner knows of the table: that takes a partner's
// square of time.
func TestListsAreLookedUpByKey(t *testing.T) {
	conn := connect(t, pgtest.New(t))
	if _, err := conn.Exec(context.Background(), "set plan_cache_mode = force_generic_plan"); err != nil {
		t.Fatal(err)
	}
	otherwise := map[string]string{
		"sql/requested_groups.sql":       "what was asked for is ours",
		"sql/touch_material_demand.sql":  "one at a time",
		"sql/unlock_material_demand.sql": "one at a time",
		"sql/touch_capacity_groups.sql":  "planned anew for each list",
		"sql/touch_material_demands.sql": "planned anew for each list",
	}
	linear := regexp.MustCompile(
		`Filter: .*(ANY \(\$\d|(capacity_group|material_demand|comment)_id = |material_number_customer = )`)
	statements, _ := filepath.Glob("sql/*.sql") // the pattern is well formed
	for i, path := range statements {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		sql, _, err := pgx.NamedArgs{}.RewriteQuery(context.Background(), conn, string(text), nil)
		if err != nil {
			t.Fatal(err)
		}
		prepared, err := conn.Prepare(context.Background(), fmt.Sprint("s", i), sql)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		explain := fmt.Sprint("explain execute s", i)
		if n := len(prepared.ParamOIDs); n > 0 {
			explain += "(null" + strings.Repeat(", null", n-1) + ")"
		}
		rows, _ := conn.Query(context.Background(), explain, pgx.QueryExecModeSimpleProtocol)
		plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if whole := strings.Join(plan, "\n"); linear.MatchString(whole) != (otherwise[path] != "") &&
			!strings.Contains(whole, "(ctid = ANY") {
			t.Errorf("%s:\n%s", path, whole)
		}
	}
}

// TestEveryColumnFitsTheDatabase prepares what is made from the tables of columns.
func TestEveryColumnFitsTheDatabase(t *testing.T) {
	conn := connect(t, pgtest.New(t))
	made := store.MadeStatements()
	if len(made) < 30 {
		t.Fatalf("%d statements", len(made))
	}
	for i, sql := range made {
		if _, err := conn.Prepare(context.Background(), fmt.Sprint("made", i), sql); err != nil {
			t.Errorf("%.100s…: %v", sql, err)
		}
	}
}

// TestTablesCanBeSpreadBySupplier holds the catalogue and the statements against
// deploy/ha/citus.sql: each table has a column by which it is spread, which
// begins every unique key, and which each statement of a message names.
func TestTablesCanBeSpreadBySupplier(t *testing.T) {
	script, err := os.ReadFile("../../deploy/ha/citus.sql")
	if err != nil {
		t.Fatal(err)
	}
	spreadBy := map[string]string{}
	for _, m := range regexp.MustCompile(`create_distributed_table\('dcm\.(\w+)', '(\w+)'`).FindAllStringSubmatch(
		string(script), -1) {
		spreadBy[m[1]] = m[2]
	}
	conn := connect(t, pgtest.New(t))
	rows, _ := conn.Query(context.Background(), `
		select c.relname, coalesce(i.indexrelid::regclass::text, 'no unique key'), coalesce(a.attname, '')
		from pg_class c
		left join pg_index i on i.indrelid = c.oid and i.indisunique
		left join pg_attribute a on a.attrelid = c.oid and a.attnum = i.indkey[0]
		where c.relnamespace = 'dcm'::regnamespace and c.relkind = 'r' and c.relname not in ('schema_version',
		'compatibility', 'overview_turn', 'served_setting')`)
	var table, key, first string
	seen := map[string]bool{}
	if _, err := pgx.ForEachRow(rows, []any{&table, &key, &first}, func() error {
		seen[table] = true
		if spreadBy[table] == "" || first != spreadBy[table] {
			t.Errorf("%s is spread by %q, but %s begins with %q", table, spreadBy[table], key, first)
		}
		return nil
	}); err != nil || len(seen) < 3 {
		t.Fatalf("%d tables: %v", len(seen), err)
	}
	statements, _ := filepath.Glob("sql/*.sql") // the pattern is well formed
	for _, path := range statements {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		ofNoMessage := []string{"last_accepted.sql", "ready.sql", "oldest_message.sql", "oldest_requested_update.sql",
			"remove_old_message.sql",
			"remove_old_delivery.sql", "remove_old_requested_update.sql", "add_counts.sql",
			"remove_old_message_count.sql",
			"oldest_group_state.sql", "oldest_demand_state.sql", "remove_group_states.sql", "remove_demand_states.sql",
			"oldest_measurement.sql", "remove_measurements.sql", "oldest_activity.sql", "remove_activities.sql",
			"take_overview_turn.sql", "keep_overview_turn.sql", "end_overview_turn.sql", "changed_overviews.sql",
			"mark_overviews.sql", "overview_as_of.sql"}
		for table := range seen {
			if !strings.Contains(string(text), "dcm."+table) || slices.Contains(ofNoMessage, filepath.Base(path)) {
				continue
			}
			column := spreadBy[table]
			if !regexp.MustCompile(`where\s+` + column + ` = @|insert into dcm\.` + table + ` \(\s+` + column +
				`,`).Match(text) {
				t.Errorf("%s does not say which %s it is about", path, column)
			}
		}
	}
}

// TestEveryViewAndColumnHasAComment: planners read them in their tools.
func TestEveryViewAndColumnHasAComment(t *testing.T) {
	conn := connect(t, pgtest.New(t))
	rows, err := conn.Query(context.Background(), `
		select c.relname || coalesce('.' || a.attname, '')
		from pg_class c
		left join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
		where c.relnamespace = 'planning'::regnamespace
			and (col_description(c.oid, a.attnum) is null or obj_description(c.oid, 'pg_class') is null)`)
	if err != nil {
		t.Fatal(err)
	}
	without, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(without) > 0 {
		t.Errorf("without a comment: %v %v", without, err)
	}
}

// TestDecimalsComeBack: whatever number is written in Postgres' own form is
// read back as the same value.
func TestDecimalsComeBack(t *testing.T) {
	url := pgtest.New(t)
	s, err := store.Open(url, 2, 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	conn := connect(t, url)
	fixed := []string{"0", "1", "10", "9999", "10000", "10001", "100000000", "0.1", "0.0001", "0.00001", "0.00010001",
		"12345.6789", "999999999999999999.999",
		"1000000000000000000", "1e39", "1e-39", "0." + strings.Repeat("0", 38) + "7",
		strings.Repeat("9", 20) + "." + strings.Repeat("9", 20)}
	rapid.Check(t, func(rt *rapid.T) {
		g := &dcm.CapacityGroup{ID: uuid.New(), Supplier: "BPNL6666666666YY", Customer: "BPNL8888888888XX",
			UnitOfMeasureIsOmitted: true, ChangedAt: dcm.Timestamp{Time: time.Now()}}
		texts := append(fixed[:len(fixed):len(fixed)], rapid.SliceOfN(
			rapid.StringMatching(`(0|[1-9][0-9]{0,12})(\.[0-9]{1,12})?([eE][+-]?[0-9])?`), 1, 20).Draw(rt,
			"numbers")...)
		for i, text := range texts {
			positive, err := dcm.ParseDecimal(text)
			if err != nil {
				rt.Fatal(err)
			}
			negative, err := dcm.ParseDecimal("-" + text)
			if err != nil {
				rt.Fatal(err)
			}
			g.Capacities = append(g.Capacities, dcm.Capacity{PointInTime: dcm.Date(4 + 7*i), ActualCapacity: positive,
				MaximumCapacity: positive, DeltaProductionResult: negative})
		}
		a := store.Arrival{ID: uuid.New(), Sender: g.Supplier, Endpoint: dcm.CapacityGroupEndpoint.Path,
			ReceivedAt: time.Now()}
		subject := store.Subject{Key: store.Key{Supplier: g.Supplier, Customer: g.Customer, ID: g.ID}}
		if _, err := s.Save(context.Background(), a, []store.Subject{subject},
			func(snapshot *store.Snapshot) store.Decision {
				snapshot.Write(subject, store.WriteCapacityGroup(g, store.Content{}))
				return store.Decision{}
			}); err != nil {
			rt.Fatal(err)
		}
		for i, text := range texts {
			var same bool
			if err := conn.QueryRow(context.Background(), fmt.Sprintf(`select actual_capacity = %[1]s and
				delta_production_result = -(%[1]s) and agreed_capacity is null
				from planning.capacity where capacity_group_id = $1 and point_in_time =
				$2::date`, text), g.ID, g.Capacities[i].PointInTime.String()).Scan(&same); err != nil || !same {
				rt.Errorf("%s came back as another value: %v", text, err)
			}
		}
	})
}

// TestRetention: old entries and requests go, newer ones stay.
func TestRetention(t *testing.T) {
	url := pgtest.New(t)
	s, err := store.Open(url, 2, 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	now := time.Now()
	for age := range 10 {
		a := store.Arrival{ID: uuid.New(), Sender: "BPNL6666666666YY", Endpoint: dcm.RequestForUpdateEndpoint.Path,
			ReceivedAt: now.AddDate(0, 0, -age)}
		d := store.Decision{Entry: store.Entry{Status: 200},
			Request: &store.UpdateRequest{Entries: []dcm.RequestForUpdate{{Object: dcm.MaterialDemandEndpoint.Object}}}}
		if _, err := s.Save(context.Background(), a, nil,
			func(*store.Snapshot) store.Decision { return d }); err != nil {
			t.Fatal(err)
		}
	}
	removed, err := s.RemoveOld(context.Background(), now.AddDate(0, 0, -7).Add(time.Hour))
	if err != nil || removed != 6 {
		t.Errorf("removed %d entries and requests, want 3 of each: %v", removed, err)
	}
	var left int
	if err := connect(t, url).QueryRow(context.Background(),
		`select count(*) from planning.message m join planning.request_for_update r on r.requested_at = `+
			`m.received_at`).Scan(&left); err != nil || left != 7 {
		t.Errorf("%d are left, want 7: %v", left, err)
	}
}

// TestRemoveOldDeliveries: what is over and old goes, but not the last state of an
// object, nor what still waits.
func TestRemoveOldDeliveries(t *testing.T) {
	url := pgtest.New(t)
	s, err := store.Open(url, 2, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	conn := connect(t, url)
	const demand, request = "'WeekBasedMaterialDemand'", "'IdBasedRequestForUpdate'"
	for i, row := range []struct {
		object, id, state string
		days              int // since it was changed and queued
	}{
		// the last one stays
		{demand, "1", "delivered", 9}, {demand, "1", "superseded", 8}, {demand, "1", "delivered", 7},
		{demand, "2", "refused", 8}, {demand, "2", "waiting", 7}, // what waits stays
		{demand, "3", "delivered", 2}, {demand, "3", "delivered", 1}, // not old
		{request, "4", "delivered", 9}, {request, "5", "waiting", 9},
	} {
		_, err := conn.Exec(context.Background(), `insert into dcm.delivery (partner, object, object_id, changed_at,
			supplier, customer, state, queued_at)
			select 'BPNL6666666666YY', `+row.object+`, $1::uuid, at, 'BPNL6666666666YY', 'BPNL8888888888XX', $2, at
				from (select now() - $3::interval as at) t`,
			"00000000-0000-4000-8000-00000000000"+row.id, row.state, fmt.Sprintf("%d days", row.days))
		if err != nil {
			t.Fatalf("row %d: %v", i, err)
		}
	}
	if removed, err := s.RemoveOld(context.Background(), time.Now().AddDate(0, 0, -5)); err != nil || removed != 4 {
		t.Errorf("removed %d, want 4: %v", removed, err)
	}
	var left string
	if err := conn.QueryRow(context.Background(),
		"select string_agg(right(object_id::text, 1) || state, ' ' order by changed_at, object_id) from "+
			"dcm.delivery").Scan(&left); err != nil ||
		left != "5waiting 1delivered 2waiting 3delivered 3delivered" {
		t.Errorf("left: %s: %v", left, err)
	}
}

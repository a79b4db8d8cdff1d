package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/edc"
	"dcm-receiver/internal/privatepg/pgtest"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// desk is a sender's SQL client.
type desk struct {
	*testing.T
	conn *pgx.Conn
	url  string
}

func newDesk(t *testing.T) *desk {
	url := pgtest.New(t)
	d := &desk{t, connect(t, url), url}
	d.exec("set role dcm_sender")
	return d
}

func (d *desk) exec(sql string, args ...any) {
	d.Helper()
	if _, err := d.conn.Exec(context.Background(), sql, args...); err != nil {
		d.Fatal(err)
	}
}

func (d *desk) query(sql string, args ...any) []string {
	d.Helper()
	rows, err := d.conn.Query(context.Background(), sql, args...)
	if err != nil {
		d.Fatal(err)
	}
	values, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		d.Fatal(err)
	}
	return values
}

// line loads a week of a material.
func (d *desk) line(material, week, demand string) {
	d.Helper()
	d.exec(`insert into outbox.demand_line (supplier, customer, material_number_customer, customer_location,
		point_in_time, demand, unit_of_measure)
		values ($1, $2, $3, $4, $5::text::date, $6::text::numeric,
		'unit:piece')`, supplier, customer, material, site, week, demand)
}

func (d *desk) release() []string {
	d.Helper()
	return d.query(`select concat_ws(' ', material_number_customer, outcome, why) from outbox.release()`)
}

// TestRelease is a planner's way: load, release, change, release.
func TestRelease(t *testing.T) {
	d := newDesk(t)
	d.line("A", "2030-01-07", "10")
	d.line("A", "2030-01-14", "0")
	d.line("B", "2030-01-07", "5.50")
	if n := d.query(`select count(*)::text from planning.material_demand`); n[0] != "0" {
		t.Error("what is loaded has leaked before its release")
	}
	for _, step := range []struct {
		name string
		do   string
		want []string
	}{
		{name: "new", want: []string{"A created", "B created"}},
		{name: "again", want: []string{"A unchanged", "B unchanged"}},
		{name: "the same in another spelling",
			do:   "update outbox.demand_line set demand = 5.5 where material_number_customer = 'B'",
			want: []string{"A unchanged", "B unchanged"}},
		{name: "a quantity", do: "update outbox.demand_line set demand = 11 where demand = 10",
			want: []string{"A changed", "B unchanged"}},
		{name: "back again", do: "update outbox.demand_line set demand = 10 where demand = 11",
			want: []string{"A changed", "B unchanged"}},
		{name: "a week is gone", do: "delete from outbox.demand_line where demand = 0",
			want: []string{"A changed", "B unchanged"}},
		{name: "an attribute",
			do:   "update outbox.demand_line set is_inactive = true where material_number_customer = 'B'",
			want: []string{"A unchanged", "B changed"}},
		{name: "another category",
			do:   "update outbox.demand_line set demand_category_code = 'A1S1' where material_number_customer = 'B'",
			want: []string{"A unchanged", "B changed"}},
		{name: "a material without rows stays",
			do: "delete from outbox.demand_line where material_number_customer = 'B'", want: []string{"A unchanged"}},
	} {
		if step.do != "" {
			d.exec(step.do)
		}
		if diff := cmp.Diff(step.want, d.release()); diff != "" {
			t.Errorf("%s: %s", step.name, diff)
		}
	}
	want := []string{"A 2030-01-07 10 0001", "B 2030-01-07 5.5 A1S1"}
	if diff := cmp.Diff(want,
		d.query(`select concat_ws(' ', material_number_customer, point_in_time, demand, demand_category_code) `+
			`from planning.demand order by 1`)); diff != "" {
		t.Error(diff)
	}
	// One object for ever, and each state once; older ones that wait are superseded.
	if got := d.query(
		`select count(distinct object_id)::text || ' ' || count(*) from planning.delivery`); got[0] != "2 7" {
		t.Errorf("objects and states: %s", got)
	}
	if got := d.query(
		`select state || ' ' || count(*) from planning.delivery group by state order by 1`); !slices.Equal(got,
		[]string{"superseded 5", "waiting 2"}) {
		t.Errorf("%s", got)
	}
	if got := d.query(`select bool_and(d.changed_at = m.changed_at and d.changed_at > all (select changed_at from
		planning.delivery o where o.object_id = d.object_id and o.state = 'superseded'))::text
		from planning.delivery d join planning.material_demand m on m.material_demand_id = d.object_id where
		d.state = 'waiting'`); got[0] != "true" {
		t.Error("changedAt does not rise, or is not that of the object")
	}
	if got := d.query(
		`select count(*)::text from planning.demand_history where superseded_at is not null`); got[0] == "0" {
		t.Error("no earlier state is kept")
	}
}

// TestReleaseOfOneSupplier leaves the others alone.
func TestReleaseOfOneSupplier(t *testing.T) {
	d := newDesk(t)
	d.line("A", "2030-01-07", "10")
	d.exec(`insert into outbox.demand_line (supplier, customer, material_number_customer, customer_location, `+
		`point_in_time, demand) values ('BPNL00000000ELSE', $1, 'A', $2, '2030-01-07', 1)`, customer, site)
	if got := d.query(`select released_supplier || ' ' || outcome from outbox.release($1)`,
		supplier); !slices.Equal(got, []string{supplier + " created"}) {
		t.Errorf("%s", got)
	}
	if got := d.query(`select outcome from outbox.release(customer => 'BPNL00000000ELSE')`); len(got) > 0 {
		t.Errorf("%s", got)
	}
	if got := d.query(`select released_supplier || ' ' || outcome from outbox.release() order by 1`); !slices.Equal(
		got, []string{"BPNL00000000ELSE created", supplier + " unchanged"}) {
		t.Errorf("%s", got)
	}
}

// TestChangedAtRises also against a clock that went back.
func TestChangedAtRises(t *testing.T) {
	d := newDesk(t)
	d.line("A", "2030-01-07", "10")
	d.release()
	d.exec("reset role; update dcm.material_demand set changed_at = '2200-01-01 00:00:00.000005Z'; set role dcm_sender")
	d.exec("update outbox.demand_line set demand = 11")
	d.release()
	if got := d.query(
		`select to_char(changed_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') from ` +
			`planning.material_demand`); got[0] != "2200-01-01 00:00:00.000006" {
		t.Errorf("changedAt is %s", got)
	}
}

// TestRefusals are in words that a planner understands, and stop no one else.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name, do, why string
	}{
		{name: "two descriptions",
			do: "update outbox.demand_line set material_description_customer = point_in_time::text where " +
				"material_number_customer = 'A'", why: "material_description_customer differs"},
		{name: "two units",
			do: "update outbox.demand_line set unit_of_measure = null where point_in_time = '2030-01-07' and " +
				"material_number_customer = 'A'", why: "unit_of_measure differs"},
		{name: "two numbers",
			do: "update outbox.demand_line set material_number_supplier = point_in_time::text where " +
				"material_number_customer = 'A'", why: "material_number_supplier differs"},
		{name: "partly inactive",
			do: "update outbox.demand_line set is_inactive = true where point_in_time = '2030-01-07' and " +
				"material_number_customer = 'A'", why: "is_inactive differs"},
		{name: "two supplier locations",
			do: "update outbox.demand_line set expected_supplier_location = 'BPNS6666666666YY' where " +
				"point_in_time = '2030-01-07' and material_number_customer = 'A'",
			why: "expected_supplier_location differs"},
		{name: "this week only",
			do: "delete from outbox.demand_line where point_in_time = '2030-01-07' and material_number_customer = " +
				"'A'; update outbox.demand_line set point_in_time = date_trunc('week', now() at time zone 'UTC') " +
				"where material_number_customer = 'A'", why: "there are only the current week"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t)
			d.line("A", "2030-01-07", "10")
			d.line("A", "2030-01-14", "10")
			d.line("B", "2030-01-07", "10")
			d.exec(c.do)
			got := d.release()
			if len(got) != 2 || !strings.HasPrefix(got[0], "A refused "+c.why) || got[1] != "B created" {
				t.Errorf("%q", got)
			}
			if n := d.query(`select count(*)::text from planning.material_demand`); n[0] != "1" {
				t.Errorf("%s are stored", n)
			}
		})
	}
}

// TestLinesSayWhatIsWrong: the name of the constraint is the sentence.
func TestLinesSayWhatIsWrong(t *testing.T) {
	d := newDesk(t)
	for set, want := range map[string]string{
		"point_in_time = '2030-01-08'":           "point_in_time must be a Monday",
		"demand = -0.001":                        "demand must not be negative",
		"demand = 'NaN'":                         "demand must be at most 1000000000000000000",
		"demand = 1e-30":                         "demand must not need more than 40 digits",
		"unit_of_measure = 'pcs'":                "unit_of_measure must be a unit of the model, such as unit:piece",
		"demand_category_code = '1'":             "demand_category_code must be one of the codes of the model",
		"supplier = 'ACME'":                      "supplier must be BPNL and 12 letters or digits",
		"customer_location = 'BPNL8888888888XX'": "customer_location must be BPNS and 12 letters or digits",
		"material_number_customer = ''":          "material_number_customer must not be empty",
		"expected_supplier_location = 'ACME'":    "expected_supplier_location must be BPNS, 12 letters or digits",
	} {
		d.exec("delete from outbox.demand_line")
		d.line("A", "2030-01-07", "10")
		_, err := d.conn.Exec(context.Background(), "update outbox.demand_line set "+set)
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.ConstraintName != want {
			t.Errorf("%s: %v", set, err)
		}
	}
	// The model's words, which the table lists once more.
	for column, words := range map[string][]string{"demand_category_code": dcm.DemandCategoryCodes,
		"unit_of_measure": dcm.UnitsOfMeasure} {
		for _, word := range words {
			if _, err := d.conn.Exec(context.Background(), "update outbox.demand_line set "+column+" = $1",
				word); err != nil {
				t.Errorf("%s %s: %v", column, word, err)
			}
		}
	}
}

// TestPartnersSayWhatIsWrong likewise, and what is right is taken.
func TestPartnersSayWhatIsWrong(t *testing.T) {
	d := newDesk(t)
	for _, c := range []struct{ column, value, want string }{
		{"bpnl", "ACME", "bpnl must be BPNL and 12 letters or digits"},
		{"dsp_url", "example.com", "dsp_url must begin with http:// or https://"},
		{"did", "example.com", "did must begin with did: and a method, such as did:web:"},
		{"protocol", "http", "one of dataspace-protocol-http, dataspace-protocol-http:2025-1"},
		{"dsp_url", "https://example.com/api/v1/dsp", ""},
		{"did", "did:web:example.com:BPNL6666666666YY", ""},
		{"protocol", edc.DSP08, ""},
		{"protocol", edc.DSP2025, ""},
	} {
		d.exec("delete from outbox.partner")
		d.exec("insert into outbox.partner (bpnl) values ('BPNL6666666666YY')")
		_, err := d.conn.Exec(context.Background(), "update outbox.partner set "+c.column+" = $1", c.value)
		said := ""
		if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
			said = pg.ConstraintName
		}
		if said != c.want {
			t.Errorf("%s %q: %v, want %q", c.column, c.value, err, c.want)
		}
	}
	if cut := d.query(
		`select conname from pg_constraint where octet_length(conname) = 63 and conname not like 'unit_of_measure ` +
			`must%'`); len(cut) > 0 {
		t.Errorf("these names may have lost their end: %q", cut)
	}
}

// TestReleasesAtOnce: two of them queue each state once.
func TestReleasesAtOnce(t *testing.T) {
	d := newDesk(t)
	for i := range 20 {
		d.line(fmt.Sprint("M", i), "2030-01-07", "1")
	}
	var all sync.WaitGroup
	for range 4 {
		conn := connect(t, d.url)
		all.Go(func() {
			if _, err := conn.Exec(context.Background(), "select outbox.release()"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := d.query(
		`select count(*)::text || ' ' || count(distinct object_id) from planning.delivery`); got[0] != "20 20" {
		t.Errorf("%s states and objects are queued", got)
	}
}

// TestSendersMayNothingElse: no table of the receiver, no change of what planners
// read.
func TestSendersMayNothingElse(t *testing.T) {
	d := newDesk(t)
	for _, sql := range []string{"select from dcm.message", "delete from dcm.delivery",
		"insert into planning.material_demand default values", "create table outbox.x ()"} {
		if _, err := d.conn.Exec(context.Background(), sql); err == nil || !strings.Contains(err.Error(), "42501") {
			t.Errorf("%s: %v", sql, err)
		}
	}
	d.exec("reset role; set role dcm_planner")
	for _, sql := range []string{"select from outbox.demand_line", "select outbox.release()"} {
		if _, err := d.conn.Exec(context.Background(), sql); err == nil || !strings.Contains(err.Error(), "42501") {
			t.Errorf("a planner: %s: %v", sql, err)
		}
	}
}

package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"dcm-receiver/internal/dcm"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// What the overview has to be, by the exact views.
const (
	exactOverview = `
		select concat_ws('|', right(g.capacity_group_id::text, 1), h.weeks, date_trunc('week', now() at time zone
		'UTC')::date,
			count(*) filter (where colour = 'red'), count(*) filter (where colour = 'orange'), count(*) filter
			(where result = 'no capacity'),
			coalesce((min(point_in_time) filter (where result = 'bottleneck'))::text, '-'),
			coalesce(sum(demand - maximum_capacity) filter (where colour = 'red'), 0)::float8,
			coalesce(sum(demand - maximum_capacity) filter (where colour = 'red') / avg(demand) filter (where
			demand > 0), 0)::numeric(40, 6))
		from planning.capacity_group g
		cross join (values (26), (52), (104)) as h (weeks)
		left join planning.group_week w
			on w.supplier = g.supplier and w.customer = g.customer and w.capacity_group_id = g.capacity_group_id
			and point_in_time >= date_trunc('week', now() at time zone 'UTC') and point_in_time < date_trunc('week',
			now() at time zone 'UTC') + weeks * interval '7 days'
		group by g.supplier, g.customer, g.capacity_group_id, h.weeks`
	keptOverview = `
		select concat_ws('|', right(capacity_group_id::text, 1), weeks, first_week, red_weeks, orange_weeks,
		weeks_without_capacity,
			coalesce(first_bottleneck::text, '-'), coalesce(missing, 0)::float8, coalesce(weeks_missing,
			0)::numeric(40, 6))
		from planning.group_overview`
	exactTotals = `
		select concat_ws('|', coalesce(unit_of_measure, '-'), point_in_time, count(*), sum(actual_capacity)::float8,
		sum(maximum_capacity)::float8, sum(flexible_capacity)::float8)
		from planning.capacity
		where not is_inactive
		group by supplier, customer, unit_of_measure, point_in_time`
	keptTotals = `
		select concat_ws('|', coalesce(unit_of_measure, '-'), point_in_time, capacity_groups,
		actual_capacity::float8, maximum_capacity::float8, flexible_capacity::float8)
		from planning.capacity_total`
)

// TestOverview: after any changes what is kept ready is what the exact views say,
// whichever of a group's links brought the change.
func TestOverview(t *testing.T) {
	w := newWorld(t)
	if _, err := w.conn.Exec(context.Background(), "set jit = off"); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	one := func(of ...dcm.Decimal) dcm.Decimal { return of[r.IntN(len(of))] }
	monday := dcm.Date(time.Now().UTC().Unix()/86400+3)/7*7 - 3 // 1970-01-01 was a Thursday
	weeks := []dcm.Date{-1, 0, 1, 25, 26, 51, 52, 103, 104}
	const groups, materials = 6, 4
	change := func() {
		switch n := r.IntN(10); {
		case n < 4:
			g := dcm.CapacityGroup{ID: uuid.UUID{15: byte(r.IntN(groups))}, Name: "g", IsInactive: r.IntN(6) == 0,
				UnitOfMeasure: []string{"", "unit:piece"}[r.IntN(2)]}
			for j := range groups {
				if r.IntN(4) == 0 {
					g.LinkedCapacityGroups = append(g.LinkedCapacityGroups, uuid.UUID{15: byte(j)})
				}
			}
			for m := range materials {
				if r.IntN(2) == 0 {
					g.LinkedDemandSeries = append(g.LinkedDemandSeries, link(fmt.Sprint("M", m), one("", "0.5", "2")))
				}
			}
			for _, n := range weeks {
				if r.IntN(5) > 0 {
					actual := one("0", "2", "10", "3.25")
					g.Capacities = append(g.Capacities, dcm.Capacity{PointInTime: monday + 7*n,
						ActualCapacity: actual, MaximumCapacity: actual + "5", DeltaProductionResult: one("", "1.5")})
				}
			}
			w.receive(g)
		case n < 9:
			m := r.IntN(materials)
			d := demandOf(uuid.UUID{0: 1, 15: byte(m)}, fmt.Sprint("M", m))
			d.IsInactive = r.IntN(6) == 0
			for _, n := range weeks {
				if r.IntN(4) > 0 {
					d.Series[0].Demands = append(d.Series[0].Demands,
						dcm.Demand{PointInTime: monday + 7*n, Demand: one("0", "1", "12", "25.5", "100")})
				}
			}
			if n == 8 {
				_, _ = w.conn.Exec(context.Background(), "delete from dcm.demand_series where direction = 'sent'")
				_, _ = w.conn.Exec(context.Background(), "delete from dcm.material_demand where direction = 'sent'")
				w.sent(d)
			} else {
				w.demand(d)
			}
		default:
			if _, err := w.conn.Exec(context.Background(),
				"delete from dcm.capacity_group where capacity_group_id = $1",
				uuid.UUID{15: byte(r.IntN(groups))}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for round := range 12 {
		for range 1 + r.IntN(4) {
			change()
		}
		w.updateOverview()
		n, m := w.same("overview", keptOverview, exactOverview), w.same("totals", keptTotals, exactTotals)
		if round == 11 && (n < 3 || m < 3) {
			t.Errorf("only %d and %d rows were compared", n, m)
		}
	}
}

// TestOverviewInPieces: a supplier with more groups than are worked out at once.
func TestOverviewInPieces(t *testing.T) {
	w := newWorld(t)
	const groups = 201 // one more than a piece has
	for i := range groups {
		w.receive(dcm.CapacityGroup{ID: uuid.UUID{0: byte(i), 15: 1}, Name: "g",
			Capacities: []dcm.Capacity{{PointInTime: 7*4000 - 3, ActualCapacity: "2", MaximumCapacity: "3"}}})
	}
	for _, removed := range []byte{groups - 1, 0} { // the second piece is gone; the first one is shorter
		w.updateOverview()
		if n := w.same("overview", keptOverview, exactOverview); n < 3*(groups-2) {
			t.Errorf("%d rows", n)
		}
		w.same("totals", keptTotals, exactTotals)
		if _, err := w.conn.Exec(context.Background(), "delete from dcm.capacity_group where capacity_group_id = $1",
			uuid.UUID{0: removed, 15: 1}); err != nil {
			t.Fatal(err)
		}
	}
	w.updateOverview()
	w.same("totals", keptTotals, exactTotals)
	if pieces := w.query("select piece::text from dcm.capacity_total"); len(pieces) != 1 {
		t.Errorf("pieces: %s", pieces)
	}
}

// same compares what two queries say, and returns how many rows that is.
func (w *world) same(of, got, want string) int {
	w.t.Helper()
	g, e := w.query(got), w.query(want)
	slices.Sort(g)
	slices.Sort(e)
	if diff := cmp.Diff(e, g); diff != "" {
		w.t.Fatalf("%s: %s", of, diff)
	}
	return len(e)
}

func whole() float64 { return 1 }

// updateOverview updates the overview, whose turn it is now.
func (w *world) updateOverview() {
	w.t.Helper()
	before := time.Now().Add(-time.Second) // the database stands on the same machine
	if _, err := w.conn.Exec(context.Background(),
		"update dcm.overview_turn set begins_after = '-infinity'"); err != nil {
		w.t.Fatal(err)
	}
	asOf, err := w.store.UpdateOverview(context.Background(), whole)
	if err != nil || asOf == nil || asOf.Before(before) {
		w.t.Fatalf("as of %v: %v", asOf, err)
	}
}

// TestOverviewTurns: one replica at a time is at it; what did not change is not made
// again, and one that falls behind writes nothing over what is newer.
func TestOverviewTurns(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	exec := func(conn interface {
		Exec(context.Context, string, ...any) (pgconn.CommandTag, error)
	}, sql string) {
		t.Helper()
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	g := dcm.CapacityGroup{ID: uuid.UUID{1}, Name: "g"}
	w.receive(g)
	exec(w.conn, "update dcm.overview_turn set begins_after = now() + interval '1 hour'")
	if asOf, err := w.store.UpdateOverview(ctx, whole); asOf != nil || err != nil {
		t.Errorf("in another's turn: as of %v, %v", asOf, err)
	}
	made := func() string {
		return fmt.Sprint(
			w.query("select concat_ws(' ', count(*), min(ctid::text), min(xmin::text)) from dcm.overview"))
	}
	w.updateOverview()
	first := made()
	exec(w.conn, "update dcm.capacity_group set received_at = now()") // the same content came again
	w.updateOverview()
	if again := made(); again != first {
		t.Errorf("made again: %s, before %s", again, first)
	}

	behind, err := w.conn.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	exec(behind, "set transaction isolation level repeatable read")
	exec(behind, "select from dcm.overview")
	url := w.conn.Config().ConnString()
	other, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(ctx)
	w.receive(g)
	exec(other, "select dcm.make_overview(supplier, customer) from dcm.overview")
	_, err = behind.Exec(ctx, "select dcm.make_overview(supplier, customer) from dcm.overview")
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != "40001" {
		t.Errorf("one that is behind: %v", err)
	}
	if err := behind.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
}

// TestOverviewsAreMarked: from the look for changes on, each overview says how old it
// is: one that changed is as old as before, all others are of now. The groups of a new
// supplier are listed without figures.
func TestOverviewsAreMarked(t *testing.T) {
	const others = "BPNL7777777777ZZ"
	w := newWorld(t)
	for i, of := range []string{supplier, others} {
		w.receive(dcm.CapacityGroup{ID: uuid.UUID{byte(i)}, Supplier: of, Name: "g"})
	}
	listed := func() string {
		return fmt.Sprint(w.query(`
			select concat_ws(' ', right(supplier, 2), count(*), count(red_weeks), (min(as_of) = (select as_of from
			dcm.overview_turn))::text)
			from planning.group_overview group by supplier order by supplier`))
	}
	look := func() {
		t.Helper()
		if _, err := w.store.LookForChanges(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	look()
	if got, want := listed(), "[YY 3 0 true ZZ 3 0 true]"; got != want {
		t.Errorf("new ones: %s, want %s", got, want)
	}
	w.updateOverview()
	before := w.query("select as_of::text from dcm.overview_turn")[0]
	w.receive(dcm.CapacityGroup{ID: uuid.UUID{0}, Name: "another name", IsInactive: true})
	look()
	look() // it does not grow younger while it waits
	if got, want := listed(), "[YY 3 3 false ZZ 3 3 true]"; got != want {
		t.Errorf("one has changed: %s, want %s", got, want)
	}
	if got := w.query("select as_of::text from planning.group_overview where supplier = '" + supplier +
		"' limit 1")[0]; got != before {
		t.Errorf("it is as of %s, before %s", got, before)
	}
	w.updateOverview()
	if got, want := listed(), "[YY 3 3 true ZZ 3 3 true]"; got != want {
		t.Errorf("it is made: %s, want %s", got, want)
	}
}

// TestOverviewPieces: groups with many links are pieces of their own.
func TestOverviewPieces(t *testing.T) {
	w := newWorld(t)
	for i := range 6 {
		g := dcm.CapacityGroup{ID: uuid.UUID{byte(i)}, Name: "g",
			Capacities: []dcm.Capacity{{PointInTime: 7*4000 - 3, ActualCapacity: "2", MaximumCapacity: "3"}}}
		for j := range 300 * (i / 4) { // the last two
			g.LinkedCapacityGroups = append(g.LinkedCapacityGroups, uuid.UUID{1, 14: byte(j / 256), 15: byte(j)})
		}
		w.receive(g)
	}
	w.updateOverview()
	if got, want := fmt.Sprint(
		w.query("select concat_ws(': ', piece, capacity_groups) from dcm.capacity_total order by piece")),
		"[0: 5 1: 1]"; got != want {
		t.Errorf("groups of pieces: %s, want %s", got, want)
	}
	w.same("overview", keptOverview, exactOverview)
	w.same("totals", keptTotals, exactTotals)
}

// TestOverviewGivesUp: a supplier whose groups link each other without end keeps no
// other supplier's overview from being made. Its groups are listed without figures, and
// tried again an hour later.
func TestOverviewGivesUp(t *testing.T) {
	const others = "BPNL7777777777ZZ"
	w := newWorld(t)
	exec := func(sql string) {
		t.Helper()
		if _, err := w.conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	monday := dcm.DateOf(time.Now()).Monday()
	w.receive(dcm.CapacityGroup{
		ID: uuid.UUID{1}, Supplier: others, Name: "usual",
		Capacities: []dcm.Capacity{{PointInTime: monday + 7, ActualCapacity: "1", MaximumCapacity: "2"}},
	})
	const groups = 120
	for i := range groups {
		g := dcm.CapacityGroup{ID: uuid.UUID{15: byte(i)}, Name: "linked"}
		for j := range groups {
			g.LinkedCapacityGroups = append(g.LinkedCapacityGroups, uuid.UUID{15: byte(j)})
		}
		w.receive(g)
	}
	figures := func(of string) string {
		return fmt.Sprint(
			w.query(`select concat_ws(' ', count(*), count(red_weeks), count(gave_up_at)) from ` +
				`planning.group_overview where supplier = '` + of + `'`))
	}
	w.store.LimitOverviews(200 * time.Millisecond)
	w.updateOverview()
	if got := figures(others); got != "[3 3 0]" {
		t.Errorf("the usual group's rows, those with figures and those given up: %s", got)
	}
	if got, want := figures(supplier), fmt.Sprintf("[%d 0 %d]", 3*groups, 3*groups); got != want {
		t.Errorf("the linked groups' rows, those with figures and those given up: %s, want %s", got, want)
	}
	gaveUp := func() string {
		return fmt.Sprint(w.query(`select gave_up_at::text from dcm.overview where gave_up_at is not null`))
	}
	before := gaveUp()
	w.updateOverview()
	if after := gaveUp(); after != before {
		t.Errorf("it is tried again at once: %s, before %s", after, before)
	}
	w.store.LimitOverviews(time.Minute)
	exec(`update dcm.overview set gave_up_at = gave_up_at - interval '61 minutes'`)
	w.updateOverview()
	if got, want := figures(supplier), fmt.Sprintf("[%d %d 0]", 3*groups, 3*groups); got != want {
		t.Errorf("an hour later: %s, want %s", got, want)
	}
}

package store_test

import (
	"context"
	"fmt"
	"math/big"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/privatepg/pgtest"
	"dcm-receiver/internal/rules"
	"dcm-receiver/internal/store"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"
)

const (
	supplier = "BPNL6666666666YY"
	customer = "BPNL8888888888XX"
	site     = "BPNS8888888888XX"
)

// world is a supplier's groups and the demands that they are for.
type world struct {
	t     testing.TB
	store *store.Store
	conn  *pgx.Conn
	now   time.Time
}

func newWorld(t testing.TB) *world {
	t.Helper()
	url := pgtest.New(t)
	s, err := store.Open(url, 4, 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return &world{t, s, conn, time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)}
}

func (w *world) arrival(endpoint dcm.Endpoint, sender string) store.Arrival {
	w.now = w.now.Add(time.Second)
	return store.Arrival{ID: uuid.Must(uuid.NewV7()), Sender: sender, Endpoint: endpoint.Path, ReceivedAt: w.now}
}

// receive stores a group as a message would.
func (w *world) receive(g dcm.CapacityGroup) {
	w.t.Helper()
	if g.Supplier == "" {
		g.Supplier = supplier
	}
	g.Customer, g.ChangedAt = customer, dcm.Timestamp{Time: w.now}
	g.UnitOfMeasureIsOmitted = g.UnitOfMeasure == ""
	s := store.Subject{Key: store.Key{Supplier: g.Supplier, Customer: customer, ID: g.ID}}
	_, err := w.store.Save(context.Background(), w.arrival(dcm.CapacityGroupEndpoint, g.Supplier), []store.Subject{s},
		func(snapshot *store.Snapshot) store.Decision {
			snapshot.Write(s, store.WriteCapacityGroup(&g, store.ContentOf([]byte(fmt.Sprint(w.now)))))
			return store.Decision{Entry: store.Entry{Status: 200,
				Results: []store.Result{{ObjectID: &g.ID, Rule: 4, Outcome: rules.Overwritten}}}}
		})
	if err != nil {
		w.t.Fatal(err)
	}
}

// demand stores a received demand as a message would.
func (w *world) demand(d dcm.MaterialDemand) {
	w.t.Helper()
	d.Supplier, d.Customer, d.ChangedAt = supplier, customer, dcm.Timestamp{Time: w.now}
	d.UnitOfMeasureIsOmitted = d.UnitOfMeasure == ""
	s := store.Subject{Key: store.Key{Supplier: supplier, Customer: customer, ID: d.ID},
		Material: d.MaterialNumberCustomer}
	_, err := w.store.Save(context.Background(), w.arrival(dcm.MaterialDemandEndpoint, customer), []store.Subject{s},
		func(snapshot *store.Snapshot) store.Decision {
			snapshot.Write(s, store.WriteMaterialDemand(&d, store.ContentOf([]byte(fmt.Sprint(w.now)))))
			return store.Decision{Entry: store.Entry{Status: 200,
				Results: []store.Result{{ObjectID: &d.ID, Rule: 4, Outcome: rules.Overwritten}}}}
		})
	if err != nil {
		w.t.Fatal(err)
	}
}

// sent stores a demand as one that we sent.
func (w *world) sent(d dcm.MaterialDemand) {
	w.t.Helper()
	w.demand(d)
	for _, table := range []string{"material_demand", "demand_series"} {
		if _, err := w.conn.Exec(context.Background(),
			"update dcm."+table+" set direction = 'sent', partner = supplier where direction = 'received' and "+
				"material_number_customer = $1",
			d.MaterialNumberCustomer); err != nil {
			w.t.Fatal(err)
		}
	}
}

// query reads one column of text.
func (w *world) query(sql string, args ...any) []string {
	w.t.Helper()
	rows, err := w.conn.Query(context.Background(), sql, args...)
	if err != nil {
		w.t.Fatal(err)
	}
	values, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		w.t.Fatal(err)
	}
	return values
}

// week is the n-th Monday from 2026-11-30.
func week(n int) dcm.Date {
	d, _ := dcm.ParseDate("2026-11-30")
	return d + dcm.Date(7*n)
}

func link(material string, factor dcm.Decimal) dcm.LinkedDemandSeries {
	return dcm.LinkedDemandSeries{MaterialNumberCustomer: material, CustomerLocation: site,
		DemandCategoryCode: "0001", LoadFactor: factor}
}

func demandOf(id uuid.UUID, material string, weeks ...dcm.Decimal) dcm.MaterialDemand {
	d := dcm.MaterialDemand{ID: id, MaterialNumberCustomer: material, MaterialDescriptionCustomer: "d",
		Series: []dcm.DemandSeries{{CustomerLocation: site, DemandCategoryCode: "0001"}}}
	for i, q := range weeks {
		if q != "" {
			d.Series[0].Demands = append(d.Series[0].Demands, dcm.Demand{PointInTime: week(i), Demand: q})
		}
	}
	return d
}

// TestSituations is the table of CX-0128 §5.7.1, and weeks of which one side is
// not known.
func TestSituations(t *testing.T) {
	for _, c := range []struct {
		name                    string
		demand, actual, maximum dcm.Decimal // "" unknown
		delta                   dcm.Decimal
		want                    string // result and colour
	}{
		{name: "1: demand = actual = maximum", demand: "10", actual: "10", maximum: "10", want: "zero deviation green"},
		{name: "2: demand = actual < maximum", demand: "10", actual: "10", maximum: "11", want: "zero deviation green"},
		{name: "3: demand < actual = maximum", demand: "9", actual: "10", maximum: "10", want: "surplus green"},
		{name: "4: demand < actual < maximum", demand: "9", actual: "10", maximum: "11", want: "surplus green"},
		{name: "5: demand > actual = maximum", demand: "11", actual: "10", maximum: "10", want: "bottleneck red"},
		{name: "6: actual < demand = maximum", demand: "11", actual: "10", maximum: "11", want: "bottleneck orange"},
		{name: "7: actual < demand < maximum", demand: "10.5", actual: "10", maximum: "11", want: "bottleneck orange"},
		{name: "8: actual < maximum < demand", demand: "12", actual: "10", maximum: "11", want: "bottleneck red"},
		{name: "by a hair", demand: "999999999999999999.999", actual: "999999999999999999.998",
			maximum: "999999999999999999.998", want: "bottleneck red"},
		{name: "demand is 0", demand: "0", actual: "0", maximum: "0", want: "zero deviation green"},
		{name: "no demand", actual: "10", maximum: "11", want: "no demand"},
		{name: "no capacity", demand: "10", want: "no capacity"},
		{name: "a delta alone is no demand", actual: "10", maximum: "11", delta: "5", want: "no demand"},
		{name: "a delta is added", demand: "9", actual: "10", maximum: "12", delta: "2", want: "bottleneck orange"},
		{name: "a delta takes away", demand: "12", actual: "10", maximum: "11", delta: "-2",
			want: "zero deviation green"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			g := dcm.CapacityGroup{ID: uuid.New(), Name: "g",
				LinkedDemandSeries: []dcm.LinkedDemandSeries{link("M", "")}}
			if c.actual != "" {
				g.Capacities = []dcm.Capacity{{PointInTime: week(0), ActualCapacity: c.actual,
					MaximumCapacity: c.maximum, DeltaProductionResult: c.delta}}
			}
			w.receive(g)
			w.demand(demandOf(uuid.New(), "M", c.demand))
			if got := w.query(`select concat_ws(' ', result, colour) from planning.group_week`); !slices.Equal(got,
				[]string{c.want}) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// TestChoices are those that the standard leaves for nested and inactive objects.
func TestChoices(t *testing.T) {
	var id [4]uuid.UUID
	for i := range id {
		id[i] = uuid.UUID{15: byte(i + 1)}
	}
	group := func(i int, children []int, links ...dcm.LinkedDemandSeries) dcm.CapacityGroup {
		g := dcm.CapacityGroup{ID: id[i], Name: fmt.Sprint(i), LinkedDemandSeries: links,
			Capacities: []dcm.Capacity{{PointInTime: week(0), ActualCapacity: "10", MaximumCapacity: "10",
				DeltaProductionResult: "100"}}}
		for _, c := range children {
			g.LinkedCapacityGroups = append(g.LinkedCapacityGroups, id[c])
		}
		return g
	}
	inactive := func(g dcm.CapacityGroup) dcm.CapacityGroup { g.IsInactive = true; return g }
	in := func(unit string, g dcm.CapacityGroup) dcm.CapacityGroup { g.UnitOfMeasure = unit; return g }
	idle := demandOf(uuid.New(), "A", "1")
	idle.IsInactive = true
	kilograms := demandOf(uuid.New(), "A", "1")
	kilograms.UnitOfMeasure = "unit:kilogram"
	a, b := demandOf(uuid.New(), "A", "1"), demandOf(uuid.New(), "B", "20")
	// Another category at the same site, and the same category at another.
	many := demandOf(uuid.New(), "A", "1")
	many.Series = append(many.Series, dcm.DemandSeries{CustomerLocation: site, DemandCategoryCode: "A1S1",
		Demands: []dcm.Demand{{PointInTime: week(0), Demand: "2"}}},
		dcm.DemandSeries{CustomerLocation: "BPNS8888888888ZZ", DemandCategoryCode: "0001",
			Demands: []dcm.Demand{{PointInTime: week(0), Demand: "4"}}})
	otherCategory, otherSite := link("A", ""), link("A", "")
	otherCategory.DemandCategoryCode, otherSite.CustomerLocation = "A1S1", "BPNS8888888888ZZ"
	for _, c := range []struct {
		name      string
		groups    []dcm.CapacityGroup
		demands   []dcm.MaterialDemand
		want      string // demand of group 0; "" none
		unmatched []string
	}{
		{name: "two series with load factors, delta last", groups: []dcm.CapacityGroup{group(0, nil, link("A", "3"),
			link("B", "0.5"))}, demands: []dcm.MaterialDemand{a, b}, want: "113"},
		{name: "a parent takes its children's, not their deltas",
			groups: []dcm.CapacityGroup{group(0, []int{1, 2}), group(1, nil, link("A", "2")),
				group(2, nil, link("B", ""))},
			demands: []dcm.MaterialDemand{a, b}, want: "122"},
		{name: "a series of two children counts for each", groups: []dcm.CapacityGroup{group(0, []int{1, 2}),
			group(1, nil, link("A", "")), group(2, nil, link("A", "2"))},
			demands: []dcm.MaterialDemand{a}, want: "103"},
		{name: "a shared grandchild counts once", groups: []dcm.CapacityGroup{group(0, []int{1, 2}),
			group(1, []int{3}), group(2, []int{3}), group(3, nil, link("A", ""))},
			demands: []dcm.MaterialDemand{a}, want: "101"},
		{name: "both kinds of link", groups: []dcm.CapacityGroup{group(0, []int{1}, link("A", "")),
			group(1, nil, link("B", ""))}, demands: []dcm.MaterialDemand{a, b}, want: "121"},
		{name: "a cycle counts each member once", groups: []dcm.CapacityGroup{group(0, []int{1}, link("A", "")),
			group(1, []int{0}, link("B", ""))}, demands: []dcm.MaterialDemand{a, b},
			want: "121", unmatched: []string{"1 cycle", "2 cycle"}},
		{name: "a group below itself", groups: []dcm.CapacityGroup{group(0, []int{0}, link("A", ""))},
			demands: []dcm.MaterialDemand{a}, want: "101", unmatched: []string{"1 cycle"}},
		{name: "an unknown child", groups: []dcm.CapacityGroup{group(0, []int{1}, link("A", ""))},
			demands: []dcm.MaterialDemand{a}, want: "101", unmatched: []string{"1 child group 2"}},
		{name: "an inactive child, and what is below it", groups: []dcm.CapacityGroup{group(0, []int{1}),
			inactive(group(1, []int{2}, link("A", ""))), group(2, nil, link("B", ""))},
			demands: []dcm.MaterialDemand{a, b}, unmatched: []string{"1 child group 2", "capacity group A"}},
		{name: "one series of a demand with several", groups: []dcm.CapacityGroup{group(0, nil, link("A", ""))},
			demands: []dcm.MaterialDemand{many}, want: "101",
			unmatched: []string{"capacity group A", "capacity group A"}},
		{name: "a series by its category", groups: []dcm.CapacityGroup{group(0, nil, otherCategory)},
			demands: []dcm.MaterialDemand{many}, want: "102",
			unmatched: []string{"capacity group A", "capacity group A"}},
		{name: "a series by its site", groups: []dcm.CapacityGroup{group(0, nil, otherSite)},
			demands: []dcm.MaterialDemand{many}, want: "104",
			unmatched: []string{"capacity group A", "capacity group A"}},
		{name: "two series of one demand", groups: []dcm.CapacityGroup{group(0, nil, link("A", ""), otherSite)},
			demands: []dcm.MaterialDemand{many}, want: "105",
			unmatched: []string{"capacity group A"}},
		{name: "an inactive demand", groups: []dcm.CapacityGroup{group(0, nil, link("A", ""))},
			demands: []dcm.MaterialDemand{idle}, unmatched: []string{"1 demand A"}},
		{name: "a link without demand", groups: []dcm.CapacityGroup{group(0, nil, link("C", ""))},
			demands: []dcm.MaterialDemand{a}, unmatched: []string{"1 demand C", "capacity group A"}},
		{name: "another unit", groups: []dcm.CapacityGroup{in("unit:piece", group(0, nil, link("A", "")))},
			demands: []dcm.MaterialDemand{kilograms}, want: "101", unmatched: []string{"1 unit A"}},
		{name: "another unit that a load factor converts", groups: []dcm.CapacityGroup{in("unit:cycle",
			group(0, nil, link("A", "2")))}, demands: []dcm.MaterialDemand{kilograms}, want: "102"},
		{name: "one of them has no unit", groups: []dcm.CapacityGroup{group(0, nil, link("A", ""))},
			demands: []dcm.MaterialDemand{kilograms}, want: "101"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			for _, g := range c.groups {
				w.receive(g)
			}
			for _, d := range c.demands {
				w.demand(d)
			}
			want := []string{c.want}
			if got := w.query(
				`select coalesce(trim_scale(demand)::text, '') from planning.group_week where capacity_group_id = `+
					`$1 and point_in_time = '2026-11-30'`, id[0]); !slices.Equal(got, want) {
				t.Errorf("demand %q, want %q", got, want)
			}
			got := w.query(`select concat_ws(' ', right(capacity_group_id::text, 1), missing,
				material_number_customer, right(linked_capacity_group_id::text, 1))
				from planning.unmatched_link order by 1`)
			if diff := cmp.Diff(c.unmatched, got); diff != "" && len(c.unmatched)+len(got) > 0 {
				t.Errorf("unmatched: %s", diff)
			}
		})
	}
	t.Run("an inactive group has no result", func(t *testing.T) {
		w := newWorld(t)
		w.receive(inactive(group(0, nil, link("A", ""))))
		w.demand(a)
		if got := w.query(
			`select concat_ws(' ', is_inactive, result, colour) from planning.group_week`); !slices.Equal(got,
			[]string{"t"}) {
			t.Errorf("%q", got)
		}
	})
}

// TestGroupWeek compares the view with a plain program on random worlds: groups
// that link series and each other in any way, circles too.
func TestGroupWeek(t *testing.T) {
	w := newWorld(t)
	const groups, materials, weeks = 5, 4, 3
	quantity := rapid.SampledFrom([]dcm.Decimal{"", "0", "1", "2", "10", "0.5", "3.25", "999999999999999999.999"})
	rapid.Check(t, func(rt *rapid.T) {
		for _, table := range []string{"capacity_group", "material_demand", "demand_series", "message"} {
			if _, err := w.conn.Exec(context.Background(), "delete from dcm."+table); err != nil {
				rt.Fatal(err)
			}
		}
		var all [groups]dcm.CapacityGroup
		for i := range all {
			g := &all[i]
			g.ID, g.Name, g.IsInactive = uuid.UUID{15: byte(i)}, "g", rapid.IntRange(0, 5).Draw(rt, "inactive") == 0
			for j := range groups + 1 { // the last one is unknown
				if rapid.IntRange(0, 3).Draw(rt, "child") == 0 {
					g.LinkedCapacityGroups = append(g.LinkedCapacityGroups, uuid.UUID{15: byte(j)})
				}
			}
			for m := range materials {
				if rapid.IntRange(0, 2).Draw(rt, "link") == 0 {
					g.LinkedDemandSeries = append(g.LinkedDemandSeries,
						link(fmt.Sprint("M", m), quantity.Draw(rt, "factor")))
				}
			}
			for n := range weeks {
				if actual := quantity.Draw(rt, "actual"); actual != "" {
					g.Capacities = append(g.Capacities, dcm.Capacity{PointInTime: week(n), ActualCapacity: actual,
						MaximumCapacity: actual + "5", DeltaProductionResult: quantity.Draw(rt, "delta")})
				}
			}
		}
		// Of a material that was both sent and received, what was sent counts, also
		// where it is inactive.
		var demands [materials]dcm.MaterialDemand
		for m := range demands {
			demands[m].IsInactive = true // as good as none
			for _, store := range []func(dcm.MaterialDemand){w.sent, w.demand} {
				if rapid.Bool().Draw(rt, "unknown") {
					continue
				}
				d := demandOf(uuid.New(), fmt.Sprint("M", m), quantity.Draw(rt, "demand"),
					quantity.Draw(rt, "demand"), quantity.Draw(rt, "demand"))
				d.IsInactive = rapid.IntRange(0, 5).Draw(rt, "idle") == 0
				if rapid.IntRange(0, 3).Draw(rt, "other unit") == 0 { // shown, but not converted
					d.UnitOfMeasure = "unit:kilogram"
				}
				store(d)
				if demands[m].ID == (uuid.UUID{}) {
					demands[m] = d
				}
			}
		}
		for i := range all {
			w.receive(all[i])
		}
		got := w.query(`select concat_ws(' ', right(capacity_group_id::text, 1), point_in_time,
			coalesce(trim_scale(demand)::text, '-'), coalesce(trim_scale(actual_capacity)::text, '-'),
			result, colour) from planning.group_week`)
		sort.Strings(got)
		if diff := cmp.Diff(expected(all[:], demands[:], weeks), got); diff != "" {
			rt.Fatal(diff)
		}
	})
}

// expected is the demand and capacity of every group and week, by a plain program.
func expected(groups []dcm.CapacityGroup, demands []dcm.MaterialDemand, weeks int) (rows []string) {
	number := func(d dcm.Decimal) *big.Rat {
		r, _ := new(big.Rat).SetString(string(d))
		return r
	}
	for i := range groups {
		members := map[int]bool{i: true}
		var visit func(g int)
		visit = func(g int) {
			for _, child := range groups[g].LinkedCapacityGroups {
				if c := int(child[15]); c < len(groups) && !groups[c].IsInactive && !members[c] {
					members[c] = true
					visit(c)
				}
			}
		}
		visit(i)
		for n := range weeks {
			var demand, actual, maximum *big.Rat
			for m := range members {
				for _, l := range groups[m].LinkedDemandSeries {
					for _, d := range demands {
						if d.IsInactive || d.MaterialNumberCustomer != l.MaterialNumberCustomer {
							continue
						}
						for _, q := range d.Series[0].Demands {
							if q.PointInTime != week(n) {
								continue
							}
							if demand == nil {
								demand = new(big.Rat)
							}
							factor := big.NewRat(1, 1)
							if l.LoadFactor != "" {
								factor = number(l.LoadFactor)
							}
							demand.Add(demand, factor.Mul(factor, number(q.Demand)))
						}
					}
				}
			}
			for _, c := range groups[i].Capacities {
				if c.PointInTime == week(n) {
					actual, maximum = number(c.ActualCapacity), number(c.MaximumCapacity)
					if demand != nil && c.DeltaProductionResult != "" {
						demand.Add(demand, number(c.DeltaProductionResult))
					}
				}
			}
			if demand == nil && actual == nil {
				continue
			}
			show := func(r *big.Rat) string {
				if r == nil {
					return "-"
				}
				s := r.FloatString(6)
				return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
			}
			var result string // CX-0128 §5.7.1
			switch {
			case groups[i].IsInactive:
			case demand == nil:
				result = " no demand"
			case actual == nil:
				result = " no capacity"
			case demand.Cmp(actual) == 0:
				result = " zero deviation green"
			case demand.Cmp(actual) < 0:
				result = " surplus green"
			case demand.Cmp(maximum) <= 0:
				result = " bottleneck orange"
			default:
				result = " bottleneck red"
			}
			rows = append(rows, fmt.Sprintf("%d %s %s %s%s", i, week(n), show(demand), show(actual), result))
		}
	}
	sort.Strings(rows)
	if rows == nil {
		rows = []string{}
	}
	return rows
}

// TestCapacityHistory: a state ends when other values take its place; the same
// values again, in another order or with other words around them, are the same
// state.
func TestCapacityHistory(t *testing.T) {
	w := newWorld(t)
	g := dcm.CapacityGroup{ID: uuid.New(), Name: "g"}
	send := func(actual ...dcm.Decimal) time.Time {
		g.Capacities = nil
		for i, a := range actual {
			g.Capacities = append(g.Capacities, dcm.Capacity{PointInTime: week(i), ActualCapacity: a,
				MaximumCapacity: "9"})
		}
		w.receive(g)
		return w.now
	}
	first := send("1", "2")
	g.Name = "another name"
	send("1", "2")
	slices.Reverse(g.Capacities)
	w.receive(g)
	second := send("1", "3")
	third := send("4")
	states := `select concat_ws(' ', point_in_time, actual_capacity, to_char(received_at at time zone 'UTC',
		'HH24:MI:SS'), to_char(superseded_at at time zone 'UTC', 'HH24:MI:SS'))
		from planning.capacity_history order by received_at, point_in_time`
	at := func(t time.Time) string { return t.Format(time.TimeOnly) }
	want := []string{
		"2026-11-30 1 " + at(first) + " " + at(second), "2026-12-07 2 " + at(first) + " " + at(second),
		"2026-11-30 1 " + at(second) + " " + at(third), "2026-12-07 3 " + at(second) + " " + at(third),
		"2026-11-30 4 " + at(third),
	}
	if diff := cmp.Diff(want, w.query(states)); diff != "" {
		t.Error(diff)
	}
	asOf := `select concat_ws(' ', point_in_time, actual_capacity) from planning.capacity_history where ` +
		`received_at <= $1 and (superseded_at is null or superseded_at > $1) order by 1`
	for _, c := range []struct {
		at   time.Time
		want []string
	}{
		{first.Add(-time.Second), []string{}}, {first, []string{"2026-11-30 1", "2026-12-07 2"}},
		{second.Add(-time.Microsecond), []string{"2026-11-30 1", "2026-12-07 2"}},
		{second, []string{"2026-11-30 1", "2026-12-07 3"}}, {third, []string{"2026-11-30 4"}},
	} {
		if diff := cmp.Diff(c.want, w.query(asOf, c.at)); diff != "" {
			t.Errorf("as of %s: %s", at(c.at), diff)
		}
	}
	if removed, err := w.store.RemoveHistory(context.Background(), second.Add(time.Microsecond)); err != nil ||
		removed != 1 {
		t.Errorf("%d states removed, want 1: %v", removed, err)
	}
	if diff := cmp.Diff(want[2:], w.query(states)); diff != "" {
		t.Error(diff)
	}
}

// TestDemandHistory: the same of demands, and a series that is gone ends.
func TestDemandHistory(t *testing.T) {
	w := newWorld(t)
	id := uuid.New()
	w.demand(demandOf(id, "M", "1", "2"))
	first := w.now
	w.demand(demandOf(id, "M", "1", "2"))
	changed := demandOf(id, "M", "1", "5")
	changed.Series = append(changed.Series, dcm.DemandSeries{CustomerLocation: site, DemandCategoryCode: "A1S1",
		Demands: []dcm.Demand{{PointInTime: week(0), Demand: "7"}}})
	w.demand(changed)
	w.demand(demandOf(id, "M", "1", "5"))
	got := w.query(
		`select concat_ws(' ', demand_category_code, point_in_time, demand, superseded_at is null) from ` +
			`planning.demand_history order by 1`)
	want := []string{"0001 2026-11-30 1 f", "0001 2026-11-30 1 t", "0001 2026-12-07 2 f", "0001 2026-12-07 5 t",
		"A1S1 2026-11-30 7 f"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := w.query(
		`select distinct to_char(received_at at time zone 'UTC', 'HH24:MI:SS') from planning.demand_history where ` +
			`demand = 2`); !slices.Equal(got, []string{first.Format(time.TimeOnly)}) {
		t.Errorf("the first state began %s", got)
	}
}

// TestKeepNoHistory: earlier states are not kept where no one wants them.
func TestKeepNoHistory(t *testing.T) {
	w := newWorld(t)
	w.store.KeepNoHistory()
	g := dcm.CapacityGroup{ID: uuid.New(), Name: "g"}
	for _, actual := range []dcm.Decimal{"1", "2"} {
		g.Capacities = []dcm.Capacity{{PointInTime: week(0), ActualCapacity: actual, MaximumCapacity: "9"}}
		w.receive(g)
		w.demand(demandOf(uuid.UUID{1}, "M", actual))
	}
	if got := w.query(
		`select actual_capacity::text from planning.capacity_history union all select demand::text from ` +
			`planning.demand_history`); !slices.Equal(got, []string{"2", "2"}) {
		t.Errorf("states: %s", got)
	}
}

package store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/store"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

// monday is the week of the measurement that the tests of volatility take: the one
// before last, so that now() is past it.
func monday(n int) dcm.Date {
	now := time.Now().UTC()
	day := now.AddDate(0, 0, -7-(int(now.Weekday())+6)%7)
	d, _ := dcm.ParseDate(day.Format(time.DateOnly))
	return d + dcm.Date(7*n)
}

// TestVolatility measures one group every week (CX-0128 §5.11.3). Of four series
// of states, the second is in force at the first measurement, the third at the
// second; the first ended before the start, the last came after.
func TestVolatility(t *testing.T) {
	start, _ := time.Parse(time.DateOnly, monday(-1).String())
	start = start.Add(36 * time.Hour) // on a Tuesday; the second measurement is a week later, in week 0
	id, material := uuid.UUID{1}, uuid.UUID{2}
	type state struct {
		after  time.Duration // since start
		demand []dcm.Decimal // of weeks 0, 1, …; "" none
	}
	const day = 24 * time.Hour
	threshold := func(n int, weeks int, relPos, relNeg, absPos, absNeg dcm.Decimal) dcm.AlertThreshold {
		return dcm.AlertThreshold{SequenceNumber: dcm.Decimal(strconv.Itoa(n)),
			SubhorizonLength:          dcm.Decimal(strconv.Itoa(weeks)),
			RelativePositiveDeviation: relPos, RelativeNegativeDeviation: relNeg, AbsolutePositiveDeviation: absPos,
			AbsoluteNegativeDeviation: absNeg}
	}
	for _, c := range []struct {
		name       string
		states     []state
		thresholds []dcm.AlertThreshold
		factor     dcm.Decimal
		inactive   bool
		want       []string // week, latest, previous, absolute, relative, alert
	}{
		{name: "states in force at the two instants", states: []state{{-20 * day, []dcm.Decimal{"1"}},
			{-day, []dcm.Decimal{"100"}}, {day, []dcm.Decimal{"110"}}, {8 * day, []dcm.Decimal{"999"}}},
			want: []string{"0 110 100 10 0.1 -"}},
		{name: "no load factors, no delta", factor: "3", states: []state{{-day, []dcm.Decimal{"100"}},
			{day, []dcm.Decimal{"110"}}}, want: []string{"0 110 100 10 0.1 -"}},
		{name: "thresholds are strict", thresholds: []dcm.AlertThreshold{threshold(1, 4, "0.1", "0.1", "10", "10")},
			states: []state{{-day, []dcm.Decimal{"100", "100", "100", "100"}},
				{day, []dcm.Decimal{"110", "110.001", "90", "89.999"}}},
			want: []string{"0 110 100 10 0.1 -", "1 110.001 100 10.001 0.10001 relative positive,absolute positive",
				"2 90 100 -10 -0.1 -",
				"3 89.999 100 -10.001 -0.10001 relative negative,absolute negative"}},
		{name: "a threshold that no division makes exact", thresholds: []dcm.AlertThreshold{threshold(1, 1,
			"0.333333333333333333333333333", "", "", "")},
			states: []state{{-day, []dcm.Decimal{"3"}}, {day, []dcm.Decimal{"4"}}},
			want:   []string{"0 4 3 1 0.33333333333333333333 relative positive"}},
		{name: "a sub-horizon has as many weeks as it says",
			thresholds: []dcm.AlertThreshold{threshold(2, 1, "", "", "5", ""), threshold(1, 2, "", "", "1", "")},
			states:     []state{{-day, []dcm.Decimal{"1", "1", "1", "1"}}, {day, []dcm.Decimal{"3", "3", "3", "7"}}},
			want: []string{"0 3 1 2 2 absolute positive", "1 3 1 2 2 absolute positive", "2 3 1 2 2 -",
				"3 7 1 6 6 -"}},
		{name: "a week that one state alone has is compared with 0",
			thresholds: []dcm.AlertThreshold{threshold(1, 3, "0", "0", "0", "0")},
			states:     []state{{-day, []dcm.Decimal{"5", ""}}, {day, []dcm.Decimal{"", "7"}}},
			want:       []string{"0 0 5 -5 -1 relative negative,absolute negative", "1 7 0 7 - absolute positive"}},
		{name: "nothing known before", states: []state{{day, []dcm.Decimal{"5"}}}, want: []string{}},
		{name: "unchanged", states: []state{{-day, []dcm.Decimal{"5"}}}, want: []string{"0 5 5 0 0 -"}},
		{name: "an inactive group", inactive: true, states: []state{{-day, []dcm.Decimal{"5"}}}, want: []string{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.now = start.Add(-40 * day)
			w.receive(dcm.CapacityGroup{ID: id, Name: "g", IsInactive: c.inactive,
				LinkedDemandSeries: []dcm.LinkedDemandSeries{link("M", c.factor)},
				DemandVolatility: &dcm.DemandVolatilityParameters{StartReferenceDateTime: dcm.Timestamp{Time: start},
					MeasurementInterval: "1", AlertThresholds: c.thresholds},
				Capacities: []dcm.Capacity{{PointInTime: monday(0), ActualCapacity: "1", MaximumCapacity: "1",
					DeltaProductionResult: "50"}}})
			for _, s := range c.states {
				d := demandOf(material, "M")
				for i, q := range s.demand {
					if q != "" {
						d.Series[0].Demands = append(d.Series[0].Demands, dcm.Demand{PointInTime: monday(i), Demand: q})
					}
				}
				w.now = start.Add(s.after)
				w.demand(d)
			}
			got := w.query(`select concat_ws(' ', (point_in_time - $1::date) / 7, trim_scale(latest),
				trim_scale(previous), trim_scale(absolute_deviation),
					coalesce(trim_scale(relative_deviation)::text, '-'), coalesce(alert, '-'))
				from planning.volatility where measured_at = $2 order by
				point_in_time`, monday(0).String(), start.Add(7*day))
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if n := w.query(
				`select count(*)::text from planning.volatility where measured_at <= $1 or measured_at > now()`,
				start); n[0] != "0" {
				t.Errorf("%s rows of measurements at the start or to come", n[0])
			}
		})
	}
}

// TestVolatilityOfLinksThen: a measurement takes the links, and the groups below,
// of its own time; another start begins anew.
func TestVolatilityOfLinksThen(t *testing.T) {
	w := newWorld(t)
	start, _ := time.Parse(time.DateOnly, monday(-1).String())
	const day = 24 * time.Hour
	for i, material := range []string{"A", "B", "C"} {
		w.now = start.Add(-30 * day)
		d := demandOf(uuid.UUID{1, byte(i)}, material)
		d.Series[0].Demands = []dcm.Demand{{PointInTime: monday(0), Demand: dcm.Decimal("1" + strings.Repeat("0", i))}}
		w.demand(d)
	}
	parent := dcm.CapacityGroup{ID: uuid.UUID{1}, Name: "g",
		DemandVolatility: &dcm.DemandVolatilityParameters{StartReferenceDateTime: dcm.Timestamp{Time: start},
			MeasurementInterval: "1"},
		LinkedDemandSeries: []dcm.LinkedDemandSeries{link("A", "")}, LinkedCapacityGroups: []uuid.UUID{{2}}}
	child := dcm.CapacityGroup{ID: uuid.UUID{2}, Name: "g",
		LinkedDemandSeries: []dcm.LinkedDemandSeries{link("B", "")}, LinkedCapacityGroups: []uuid.UUID{{1}}}
	w.now = start.Add(-20 * day)
	w.receive(parent)
	w.receive(child)
	w.now = start.Add(7*day + time.Hour) // after the first comparison
	child.LinkedDemandSeries = []dcm.LinkedDemandSeries{link("C", "")}
	w.receive(child)
	got := w.query(
		`select concat_ws(' ', trim_scale(latest), trim_scale(previous)) from planning.volatility where `+
			`measured_at = $1`, start.Add(7*day))
	if !slices.Equal(got, []string{"11 11"}) {
		t.Errorf("%q, want the links of then", got)
	}
	got = w.query(
		`select concat_ws(' ', trim_scale(latest), trim_scale(previous)) from planning.volatility where `+
			`measured_at > $1 and point_in_time = $2::date`, start.Add(7*day), monday(0).String())
	if len(got) > 0 {
		t.Errorf("%q of a week that was past at the measurement", got)
	}
	parent.DemandVolatility.StartReferenceDateTime = dcm.Timestamp{Time: start.Add(24 * time.Hour)}
	w.receive(parent)
	got = w.query(
		`select extract(epoch from measured_at - $1)::int8::text from planning.volatility where measured_at < $2 `+
			`group by measured_at order by measured_at`, start, start.Add(14*day))
	if want := []string{fmt.Sprint(7 * 86400), fmt.Sprint(8 * 86400)}; !slices.Equal(got, want) {
		t.Errorf(
			"measured %s s after the start, want %s: the one before the start was changed, and that of the new one",
			got, want)
	}
	if got := w.query(`select count(*)::text from planning.volatility where measured_at = $1`,
		start.Add(14*day)); got[0] != "0" {
		t.Errorf("%s rows of the start before", got[0])
	}
}

// TestVolatilityOfThresholdsThen: a measurement is judged by the thresholds of its
// own time, and takes a demand that was active then.
func TestVolatilityOfThresholdsThen(t *testing.T) {
	for _, none := range []bool{false, true} {
		w := newWorld(t)
		if none {
			w.store.KeepNoHistory()
		}
		start, _ := time.Parse(time.DateOnly, monday(-2).String())
		const day = 24 * time.Hour
		group := dcm.CapacityGroup{ID: uuid.UUID{1}, Name: "g",
			LinkedDemandSeries: []dcm.LinkedDemandSeries{link("M", "")},
			DemandVolatility: &dcm.DemandVolatilityParameters{StartReferenceDateTime: dcm.Timestamp{Time: start},
				MeasurementInterval: "1",
				AlertThresholds: []dcm.AlertThreshold{{SequenceNumber: "1", SubhorizonLength: "9",
					AbsolutePositiveDeviation: "5"}}}}
		demand := func(at time.Time, quantity dcm.Decimal, inactive bool) {
			w.now = at
			d := demandOf(uuid.UUID{2}, "M")
			d.Series[0].Demands, d.IsInactive = []dcm.Demand{{PointInTime: monday(4), Demand: quantity}}, inactive
			w.demand(d)
		}
		w.now = start.Add(-2 * day)
		w.receive(group)
		demand(start.Add(-day), "10", false)
		demand(start.Add(3*day), "20", false) // more by 10 at the first comparison
		w.now = start.Add(8 * day)
		group.DemandVolatility.AlertThresholds[0].AbsolutePositiveDeviation = "50"
		w.receive(group)
		demand(start.Add(10*day), "40", false) // more by 20 at the second
		w.now = start.Add(13 * day)
		group.Name = "h" // which changes nothing here
		w.receive(group)
		demand(start.Add(15*day), "40", true)
		got := w.query(
			`select concat_ws(' ', extract(day from measured_at - $1), latest, previous, alert) from `+
				`planning.volatility where measured_at < $2 order by measured_at`,
			start, start.Add(15*day))
		want := []string{"7 20 10 absolute positive", "14 40 20"}
		if none {
			want = []string{} // neither thresholds nor demands of then are known
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("no history %t: %s", none, diff)
		}
		if got := w.query(`select count(*)::text from dcm.measurement_history`); !none && got[0] != "1" {
			t.Errorf("%s earlier thresholds", got[0])
		}
		// two states of the demand, thresholds, activity
		if removed, err := w.store.RemoveHistory(context.Background(), start.Add(60*day)); err != nil || !none &&
			removed != 4 {
			t.Errorf("%d removed: %v", removed, err)
		}
	}
}

// TestPublishedJourneys takes the numbers of the published test set's two journeys.
// Its errors are mended as they are met: units that do not exist are left out; week
// n of the base journey is the n-th entry, one of which is a Wednesday; group beta
// has 19 values of actual capacity for 20 weeks, the one before the last is
// missing; beta and gamma are two series of one demand; the columns of the second
// journey's maximum and delta stand the wrong way round.
func TestPublishedJourneys(t *testing.T) {
	type table struct {
		Test string
		Rows json.RawMessage
	}
	tables := map[string][]map[string]string{}
	for _, name := range []string{"customer", "supplier"} {
		dir := os.Getenv("DCM_STANDARDS")
		if dir == "" {
			dir = "../../../shared/standards"
		}
		raw, err := os.ReadFile(dir + "/test-set/" + name + ".json")
		if err != nil {
			t.Skipf("the published test set is not at hand: %v", err)
		}
		var all []table
		if err := json.Unmarshal(raw, &all); err != nil {
			t.Fatal(err)
		}
		for _, s := range all {
			var rows []map[string]string
			if err := json.Unmarshal(s.Rows, &rows); err != nil {
				continue // a table of another form, which no journey takes
			}
			tables[s.Test] = append(tables[s.Test], rows...)
		}
	}
	split := func(s string) (values []string) {
		for _, v := range strings.Split(s, ",") {
			values = append(values, strings.TrimSpace(v))
		}
		return values
	}
	weekOf := func(s string) dcm.Date {
		at, err := time.Parse(time.DateOnly, s)
		if err != nil {
			t.Fatal(err)
		}
		d, _ := dcm.ParseDate(at.AddDate(0, 0, -(int(at.Weekday())+6)%7).Format(time.DateOnly))
		return d
	}
	find := func(test, name string) map[string]string {
		for _, r := range tables[test] {
			if r["v_tests"] == name {
				return r
			}
		}
		t.Fatalf("%s of %q is not there", name, test)
		return nil
	}
	series := func(r map[string]string) dcm.DemandSeries {
		s := dcm.DemandSeries{CustomerLocation: site, DemandCategoryCode: r["1_demandCategoryCode"]}
		demand := split(r["1_demand"])
		for i, at := range split(r["1_pointInTime"]) {
			s.Demands = append(s.Demands, dcm.Demand{PointInTime: weekOf(at), Demand: dcm.Decimal(demand[i])})
		}
		return s
	}
	group := func(r map[string]string, categories, actual, maximum, delta []string) dcm.CapacityGroup {
		g := dcm.CapacityGroup{ID: uuid.New(), Name: r["v_name"]}
		for _, c := range categories {
			l := link(split(r["1_materialNumberCustomer"])[0], "")
			l.DemandCategoryCode = c
			g.LinkedDemandSeries = append(g.LinkedDemandSeries, l)
		}
		for i, at := range split(r["v_pointInTime"]) {
			c := dcm.Capacity{PointInTime: weekOf(at), ActualCapacity: dcm.Decimal(actual[i]),
				MaximumCapacity: dcm.Decimal(maximum[i])}
			if delta != nil {
				c.DeltaProductionResult = dcm.Decimal(delta[i])
			}
			g.Capacities = append(g.Capacities, c)
		}
		return g
	}
	check := func(t *testing.T, w *world, test string, at func(week int) dcm.Date) {
		checked := 0
		for _, r := range tables[test] {
			for _, n := range split(r["week"]) {
				week, err := strconv.Atoi(n)
				if err != nil {
					t.Fatal(err)
				}
				got := w.query(
					`select concat_ws(' ', result, colour) from planning.group_week where point_in_time = $1::date`,
					at(week).String())
				if want := []string{r["result"] + " " + r["color"]}; !slices.Equal(got, want) {
					t.Errorf("week %d: %q, want %q: %s", week, got, want, r["case"])
				}
				checked++
			}
		}
		if checked < 14 { // 8 and 7 weeks, as the customer's and as the supplier's part has them
			t.Errorf("%d weeks checked", checked)
		}
	}
	t.Run("base", func(t *testing.T) {
		w := newWorld(t)
		const test = "Create WeekBasedMaterialDemand for base journey"
		beta, gamma := find(test, "MD_beta"), find(test, "MD_gamma")
		w.demand(dcm.MaterialDemand{ID: uuid.New(), MaterialNumberCustomer: beta["v_materialNumberCustomer"],
			MaterialDescriptionCustomer: "d",
			Series:                      []dcm.DemandSeries{series(beta), series(gamma)}})
		r := find("Create WeekBasedCapacityGroup for base journey", "beta")
		actual := split(r["v_actualCapacity"])
		if len(actual) == 19 {
			actual = slices.Insert(actual, 18, "690")
		}
		w.receive(group(r, split(r["1_demandCategory"]), actual, split(r["v_maximumCapacity"]), nil))
		entries := split(r["v_pointInTime"])
		check(t, w, "Calculation for base journey", func(week int) dcm.Date { return weekOf(entries[week-1]) })
	})
	t.Run("simulated delta production", func(t *testing.T) {
		w := newWorld(t)
		d := find("Create WeekBasedMaterialDemand for simulated delta production journey", "MD_alpha")
		w.demand(dcm.MaterialDemand{ID: uuid.New(), MaterialNumberCustomer: d["materialNumberCustomer"],
			MaterialDescriptionCustomer: "d", Series: []dcm.DemandSeries{series(d)}})
		r := find("Create WeekBasedCapacityGroup for simulated delta production journey", "CG_alpha")
		w.receive(group(r, []string{r["1_demandCategoryCode"]}, split(r["v_actualCapacity"]),
			split(r["v_deltaProductionResult"]), split(r["v_maximumCapacity"])))
		first := weekOf("2026-05-11") // calendar week 20
		check(t, w, "Calculation for simulated delta production journey",
			func(week int) dcm.Date { return first + dcm.Date(7*(week-20)) })
	})
}

// TestConditionsReachTheKeys holds the plan rather than the clock: a condition on group,
// supplier or customer reaches the tables' keys in every view.
func TestConditionsReachTheKeys(t *testing.T) {
	w := newWorld(t)
	if _, err := w.conn.Exec(context.Background(), "set enable_seqscan = off"); err != nil {
		t.Fatal(err)
	}
	for _, view := range []string{"group_week", "capacity_history", "group_history", "volatility"} {
		plan := strings.Join(
			w.query(fmt.Sprintf(
				`explain select * from planning.%s where supplier = '%s' and customer = '%s' and `+
					`capacity_group_id = '%s'`,
				view, supplier, customer, uuid.UUID{1})), "\n")
		if strings.Contains(plan, "Seq Scan") || !strings.Contains(plan, "capacity_group_pkey") {
			t.Errorf("%s:\n%s", view, plan)
		}
	}
	// Each link looks up its own series, not all of the supplier's.
	one := strings.Join(
		w.query(`explain select * from planning.group_week where supplier = 's' and customer = 'c' and `+
			`capacity_group_id = '00000000-0000-0000-0000-000000000001'`), "\n")
	if !regexp.MustCompile(
		`demand_series_pkey on demand_series t.*\n *Index Cond: .*material_number_customer`).MatchString(one) {
		t.Errorf("group_week:\n%s", one)
	}
	plan := strings.Join(
		w.query(`explain select * from planning.demand_history where supplier = 'BPNL00000000SUP1' and customer = `+
			`'BPNL00000000CUS1' and material_number_customer = 'M'`), "\n")
	if strings.Contains(plan, "Seq Scan") {
		t.Errorf("demand_history:\n%s", plan)
	}
}

func parsed(t *testing.T, number string) dcm.Decimal {
	t.Helper()
	d, err := dcm.ParseDecimal(number)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestNoStateOfAnotherSpelling: what is sent again in another order, with other
// digits or with other words is the state that is stored.
func TestNoStateOfAnotherSpelling(t *testing.T) {
	plain := func() dcm.CapacityGroup {
		return dcm.CapacityGroup{ID: uuid.UUID{1}, Name: "g", LinkedCapacityGroups: []uuid.UUID{{2}, {3}},
			LinkedDemandSeries: []dcm.LinkedDemandSeries{link("A", ""), link("B", "")},
			Capacities: []dcm.Capacity{{PointInTime: week(0), ActualCapacity: "1", MaximumCapacity: "2"},
				{PointInTime: week(1), ActualCapacity: "3", MaximumCapacity: "4"}}}
	}
	for _, c := range []struct {
		name   string
		change func(*dcm.CapacityGroup)
		states string
	}{
		{name: "weeks in another order", change: func(g *dcm.CapacityGroup) { slices.Reverse(g.Capacities) },
			states: "1"},
		{name: "linked groups in another order", change: func(g *dcm.CapacityGroup) {
			slices.Reverse(
				g.LinkedCapacityGroups)
		}, states: "1"},
		{name: "linked series in another order", change: func(g *dcm.CapacityGroup) {
			slices.Reverse(
				g.LinkedDemandSeries)
		}, states: "1"},
		{name: "1.00 for 1", change: func(g *dcm.CapacityGroup) {
			g.Capacities[0].ActualCapacity = parsed(t,
				"1.00")
		}, states: "1"},
		{name: "10e-1 for 1", change: func(g *dcm.CapacityGroup) {
			g.Capacities[0].ActualCapacity = parsed(t,
				"10e-1")
		}, states: "1"},
		{name: "another name", change: func(g *dcm.CapacityGroup) { g.Name = "h" }, states: "1"},
		{name: "another quantity", change: func(g *dcm.CapacityGroup) { g.Capacities[0].ActualCapacity = "1.001" },
			states: "2"},
		{name: "a quantity more", change: func(g *dcm.CapacityGroup) { g.Capacities[0].AgreedCapacity = "1" },
			states: "2"},
		{name: "another link", change: func(g *dcm.CapacityGroup) { g.LinkedDemandSeries = g.LinkedDemandSeries[:1] },
			states: "2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.receive(plain())
			g := plain()
			c.change(&g)
			w.receive(g)
			if got := w.query(
				`select count(distinct received_at)::text from planning.capacity_history`); got[0] != c.states {
				t.Errorf("%s states, want %s", got[0], c.states)
			}
		})
	}
}

// TestForgottenGroup: the last state of a group that is removed is kept like any
// other, unless no history is.
func TestForgottenGroup(t *testing.T) {
	for _, none := range []bool{false, true} {
		w := newWorld(t)
		if none {
			w.store.KeepNoHistory()
		}
		id := uuid.UUID{1}
		w.receive(dcm.CapacityGroup{ID: id, Name: "g", Capacities: []dcm.Capacity{{PointInTime: week(0),
			ActualCapacity: "1", MaximumCapacity: "2"}}})
		if at, err := w.store.ForgetCapacityGroup(context.Background(),
			store.Key{Supplier: supplier, Customer: customer, ID: id}); at == nil || err != nil {
			t.Fatal(at, err)
		}
		want := []string{"1 f"}
		if none {
			want = []string{}
		}
		got := w.query(`select concat_ws(' ', actual_capacity, superseded_at is null) from planning.capacity_history`)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("no history %t: %s", none, diff)
		}
	}
}

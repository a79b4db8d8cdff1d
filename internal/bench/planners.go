package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"time"

	"dcm-receiver/internal/planner"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// The planners' world: 10,000 groups of 100 suppliers and the demands of the two
// series that each links; every tenth group has two others below it. Weeks are
// 104 from the present one on. Every group measures volatility each week since
// four weeks ago, and every demand has changed once since then.
var plannersWorld = []string{
	`set dcm.history = on`,
	`create temp table plan as select s, 'BPNLPLAN' || lpad(s::text, 8, '0') as supplier from generate_series(1, 100) s`,
	`insert into dcm.material_demand (partner, direction, supplier, customer, material_demand_id, changed_at, changed_at_nanosecond, first_recorded_at, recorded_at,
		unit_of_measure_is_omitted, is_inactive, material_number_customer, material_description_customer, unit_of_measure)
	select supplier, 'sent', supplier, 'BPNL8888888888XX', gen_random_uuid(), now(), 0, now() - interval '60 days', now() - interval '60 days',
		false, false, 'M-' || m, 'measured', 'unit:piece'
	from plan, generate_series(0, 199) m`,
	`insert into dcm.demand_series (partner, direction, supplier, customer, material_number_customer, customer_location, demand_category_code, material_demand_id,
		changed_at, valid_from, point_in_time, demand)
	select d.partner, d.direction, d.supplier, d.customer, d.material_number_customer, 'BPNS8888888888XX', '0001', d.material_demand_id,
		d.recorded_at, d.recorded_at, w.weeks, w.demand
	from dcm.material_demand d
	cross join lateral (
		select array_agg(date_trunc('week', current_date)::date + 7 * n order by n) as weeks,
			array_agg((400 + hashtext(d.supplier || d.material_number_customer || n) % 90)::numeric order by n) as demand
		from generate_series(0, 103) n
	) w
	where d.supplier like 'BPNLPLAN%'`,
	`update dcm.demand_series set demand = demand[2:] || demand[1:1], valid_from = now() - interval '10 days', changed_at = now() - interval '10 days'
	where supplier like 'BPNLPLAN%'`,
	`insert into dcm.capacity_group (supplier, customer, capacity_group_id, changed_at, changed_at_nanosecond, first_received_at, received_at, content_hash,
		unit_of_measure_is_omitted, is_inactive, start_reference_date_time, measurement_interval, name, unit_of_measure, supplier_locations, linked_capacity_groups,
		point_in_time, actual_capacity, maximum_capacity, agreed_capacity, delta_production_result,
		material_number_customer, material_number_supplier, customer_location, demand_category_code, load_factor,
		sequence_number, subhorizon_length, relative_positive_deviation, relative_negative_deviation, absolute_positive_deviation, absolute_negative_deviation)
	select supplier, 'BPNL8888888888XX', md5(s || '-' || g)::uuid, now() - interval '60 days', 0, now() - interval '60 days', now(), '\x00',
		false, false, now() - interval '29 days', 1, 'Group ' || g, 'unit:piece', '{}',
		case when g % 10 = 0 then array[md5(s || '-' || g + 1)::uuid, md5(s || '-' || g + 2)::uuid] else '{}' end,
		w.weeks, w.actual, w.maximum, '{}', '{}',
		array['M-' || 2 * g, 'M-' || 2 * g + 1], array[null, null]::text[], array['BPNS8888888888XX', 'BPNS8888888888XX'], array['0001', '0001'],
		case when g % 3 = 0 then array[1.5, 0.75] else '{}' end,
		array[1, 2], array[13, 91], array[0.1, 0.2], array[0.1, 0.2], '{}', '{}'
	from plan, generate_series(0, 99) g
	cross join lateral (
		select array_agg(date_trunc('week', current_date)::date + 7 * n order by n) as weeks,
			array_agg((800 + hashtext(g || 'a' || n) % 100)::numeric order by n) as actual,
			array_agg((950 + hashtext(g || 'a' || n) % 100)::numeric order by n) as maximum
		from generate_series(0, 103) n
		where g is not null
	) w`,
	`vacuum analyze`,
}

// worst is the planners' first page without its search: 50 groups, most missing first.
const worst = `select g.supplier, g.customer, g.capacity_group_id, g.name, w.red_weeks, w.first_bottleneck, w.missing
	from planning.capacity_group g
	cross join lateral (
		select count(*) filter (where colour = 'red') as red_weeks, min(point_in_time) filter (where result = 'bottleneck') as first_bottleneck,
			sum(demand - maximum_capacity) filter (where demand > maximum_capacity) as missing
		from planning.group_week w
		where w.supplier = g.supplier and w.customer = g.customer and w.capacity_group_id = g.capacity_group_id and w.point_in_time < $1
	) w
	where g.supplier like 'BPNLPLAN%' -- there are others in this database
	order by w.missing desc nulls last limit 50`

// worstKept is the same by what is kept ready.
const worstKept = `select g.supplier, g.customer, g.capacity_group_id, g.name, w.red_weeks, w.first_bottleneck, w.missing
	from planning.capacity_group g
	join planning.group_overview w using (supplier, customer, capacity_group_id)
	where w.weeks = $1 and g.supplier like 'BPNLPLAN%'
	order by w.missing desc nulls last limit 50`

// overview measures how what planners are shown is kept ready: without the rests that
// serve makes, the sooner it is over.
func (b *bench) overview(ctx context.Context) error {
	// Not the receiver's turn meanwhile.
	if err := b.exec(ctx, "update dcm.overview_turn set begins_after = now() + interval '1 day', as_of = now()"); err != nil {
		return err
	}
	const make = "select count(dcm.make_overview(supplier, customer)) from dcm.overview_content where supplier like 'BPNLPLAN%'"
	fmt.Printf("\nKeeping the overview ready, for 10,000 groups of 100 suppliers:\n\n| step | ms | CPU, ms |\n|---|---|---|\n")
	for _, step := range []struct{ name, sql string }{
		{"all, the first time", make},
		{"all again, nothing is different", make},
		{"one supplier's 100 groups", strings.Replace(make, "%", "%23", 1)},
		{"looking for what changed", "select count(*), sum(content) from dcm.overview_content"},
	} {
		before, begin := cpu(b.server.PID(), true), time.Now()
		if err := b.exec(ctx, step.sql); err != nil {
			return err
		}
		fmt.Printf("| %s | %.1f | %.0f |\n", step.name, milliseconds(time.Since(begin)), milliseconds(cpu(b.server.PID(), true)-before))
	}
	return b.exec(ctx, "analyze dcm.overview, dcm.group_overview, dcm.capacity_total")
}

// planners measures what planners ask of 10,000 groups of 104 weeks.
func (b *bench) planners(ctx context.Context) error {
	for _, sql := range plannersWorld {
		if err := b.exec(ctx, sql); err != nil {
			return err
		}
	}
	if err := b.overview(ctx); err != nil {
		return err
	}
	monday := time.Now().UTC().AddDate(0, 0, -(int(time.Now().UTC().Weekday())+6)%7).Truncate(24 * time.Hour)
	const of, one = " where supplier = $1", " where supplier = $1 and customer = 'BPNL8888888888XX' and capacity_group_id = md5($2 || '-20')::uuid"
	supplier := func(n int) []any { return []any{fmt.Sprintf("BPNLPLAN%08d", n+1)} }
	group := func(n int) []any { return []any{fmt.Sprintf("BPNLPLAN%08d", n+1), fmt.Sprint(n + 1)} }
	until := func(weeks int) func(int) []any {
		return func(int) []any { return []any{monday.AddDate(0, 0, 7*weeks)} }
	}
	ofPlan := func(sql string) string {
		return strings.Replace(sql, "where ", "where supplier like 'BPNLPLAN%' and ", 1)
	}
	none := func(int) []any { return nil }
	fmt.Printf("\nWhat planners ask, of 10,000 groups of 104 weeks with two series each. Median of %d turns, with the lowest and the highest; all rows are fetched. CPU is of Postgres, its workers too.\n\n"+
		"| question | rows | ms | CPU, ms |\n|---|---|---|---|\n", b.repeat)
	type taken struct{ wall, cpu float64 }
	line := func(name string, ask func(turn int) (rows int64, err error)) error {
		var all []taken
		var n int64
		for turn := range b.repeat + 1 {
			before, begin := cpu(b.server.PID(), true), time.Now()
			var err error
			if n, err = ask(turn); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if turn > 0 { // the first prepares the statement
				all = append(all, taken{milliseconds(time.Since(begin)), milliseconds(cpu(b.server.PID(), true) - before)})
			}
		}
		fmt.Printf("| %s | %d | %s | %s |\n", name, n, spreadOf(all, "%.1f", func(t *taken) float64 { return t.wall }),
			strings.TrimSpace(spreadOf(all, "%.0f", func(t *taken) float64 { return t.cpu })))
		return nil
	}
	for _, q := range []struct {
		name, sql string
		args      func(turn int) []any
	}{
		{"one group, demand against capacity", "select * from planning.group_week" + one, group},
		{"one supplier's 100 groups", "select * from planning.group_week" + of, supplier},
		{"the worst 50 of all, 26 weeks", worst, until(26)},
		{"the worst 50 of all, 104 weeks", worst, until(104)},
		{"the worst 50 of all, 26 weeks, kept ready", worstKept, func(int) []any { return []any{26} }},
		{"the worst 50 of all, 104 weeks, kept ready", worstKept, func(int) []any { return []any{104} }},
		{"links that lead nowhere, all", "select * from planning.unmatched_link where supplier like 'BPNLPLAN%'", none},
		{"volatility of one group, four measurements", "select * from planning.volatility" + one, group},
		{"volatility of one supplier's 100 groups", "select * from planning.volatility" + of, supplier},
		{"demands of one supplier as of 20 days ago", "select * from planning.demand_history" + of +
			" and received_at <= now() - interval '20 days' and (superseded_at is null or superseded_at > now() - interval '20 days')", supplier},
		{"free capacity by week, for the next four, all", ofPlan(questions[0].sql), none},
		{"the same, kept ready", ofPlan(questions[1].sql), none},
	} {
		if err := line(q.name, func(turn int) (int64, error) {
			rows, err := b.db.Query(ctx, q.sql, q.args(turn)...)
			if err != nil {
				return 0, err
			}
			rows.Close()
			return rows.CommandTag().RowsAffected(), rows.Err()
		}); err != nil {
			return err
		}
	}
	if err := b.pages(line); err != nil {
		return err
	}
	_, err := b.db.Exec(ctx, "discard all", pgx.QueryExecModeSimpleProtocol)
	return err
}

// pages asks for the list of groups as a browser does.
func (b *bench) pages(line func(string, func(int) (int64, error)) error) error {
	config, err := pgxpool.ParseConfig(b.url)
	if err != nil {
		return err
	}
	pool, err := planner.Open(config)
	if err != nil {
		return err
	}
	defer pool.Close()
	pages, err := planner.New(planner.Config{Access: planner.Loopback{}}, pool, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	for _, p := range []struct{ name, path string }{
		{"the page of groups, 26 weeks", "/"},
		{"the page of groups, 104 weeks", "/?weeks=104"},
		{"the page of groups, of one supplier", "/?q=BPNLPLAN00000007"},
		{"the page of groups, that have a material", "/?q=M-14"},
	} {
		if err := line(p.name, func(int) (int64, error) {
			r := httptest.NewRequest("GET", p.path, nil)
			r.Host = "127.0.0.1"
			w := httptest.NewRecorder()
			pages.Handler().ServeHTTP(w, r)
			if w.Code != 200 {
				return 0, fmt.Errorf("status %d", w.Code)
			}
			return int64(bytes.Count(w.Body.Bytes(), []byte(`<th role="rowheader"`))), nil
		}); err != nil {
			return err
		}
	}
	return nil
}

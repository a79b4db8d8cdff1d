package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// questions are the questions of api/planners.md.
var questions = []struct{ name, sql string }{
	{"free capacity by week, for the next four", `select point_in_time as week, unit_of_measure, count(*) as groups, sum(actual_capacity) as planned, sum(flexible_capacity) as free
		from planning.capacity where not is_inactive and point_in_time >= (select date_trunc('week', current_date)::date) and point_in_time < (select date_trunc('week', current_date)::date + 28) group by week, unit_of_measure order by week`},
	{"the same, kept ready", `select point_in_time as week, unit_of_measure, sum(capacity_groups) as groups, sum(actual_capacity) as planned, sum(flexible_capacity) as free, min(as_of) as as_of
		from planning.capacity_total where point_in_time >= date_trunc('week', current_date)::date and point_in_time < date_trunc('week', current_date)::date + 28 group by week, unit_of_measure order by week`},
	{"the same of one supplier", `select point_in_time as week, unit_of_measure, count(*) as groups, sum(actual_capacity) as planned, sum(flexible_capacity) as free
		from planning.capacity where supplier = 'BPNLBENCH0000001' and not is_inactive and point_in_time >= (select date_trunc('week', current_date)::date) and point_in_time < (select date_trunc('week', current_date)::date + 28) group by week, unit_of_measure order by week`},
	{"groups not updated for 14 days", `select supplier, name, received_at::date as last_received, changed_at::date as last_changed
		from planning.capacity_group where received_at < now() - interval '14 days' and not is_inactive order by received_at`},
	{"refused messages of 7 days, and why", `select m.sender, m.received_at::timestamp(0), m.status, o.rule, e.pointer, e.detail
		from planning.message m left join planning.message_object o on o.sender = m.sender and o.message = m.id
		left join lateral jsonb_to_recordset(coalesce(o.errors, m.errors)) as e (pointer text, detail text) on true
		where m.status >= 400 and m.received_at > now() - interval '7 days' order by m.received_at desc`},
	{"who can produce a material", `select g.supplier, g.name, c.point_in_time as week, c.maximum_capacity, c.unit_of_measure, s.load_factors
		from planning.capacity_group g join planning.capacity c using (supplier, customer, capacity_group_id)
		join (select supplier, customer, capacity_group_id, string_agg(distinct coalesce(load_factor, 1)::text, ', ') as load_factors
			from planning.linked_demand_series where material_number_customer = 'MNR-188131.001' group by supplier, customer, capacity_group_id) s
		using (supplier, customer, capacity_group_id)
		where not g.is_inactive and c.point_in_time >= date_trunc('week', current_date)::date order by week, supplier, name`},
}

// grow measures with so many stored groups, one size after the other.
func (b *bench) grow(ctx context.Context, k *kinds, f *floor, r *receiver, sizes []int) error {
	const among = 10 * suppliers
	if err := b.exec(ctx, "create temp table key (n int, supplier text, id text)"); err != nil {
		return err
	}
	there := 0
	for _, size := range sizes {
		begin := time.Now()
		if err := b.fill(ctx, f, there, size, among); err != nil {
			return err
		}
		there = size
		fmt.Printf("\n## %d stored groups of %d suppliers (loaded in %.0f s)\n\n", size, among, time.Since(begin).Seconds())
		if err := b.sizes(ctx, "loaded"); err != nil {
			return err
		}
		// Changes meet groups all over the table; the floor's 4,000 rows stay
		// the same, so they show what else the machine did.
		if _, err := b.small(ctx, []kind{{"changed weeks", capacityGroups, "overwritten", k.changed(grownSet, size, among)}}, f, r); err != nil {
			return err
		}
		if err := b.ask(ctx); err != nil {
			return err
		}
		rounds := 5
		if size > 100_000 { // hours otherwise
			rounds = 1
		}
		if err := b.overwriteAll(ctx, among, rounds); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) exec(ctx context.Context, sql string) error {
	if _, err := b.db.Exec(ctx, sql); err != nil {
		return fmt.Errorf("%.60s…: %w", sql, err)
	}
	return nil
}

// fill stores groups, and a journal entry for each, of which one in 50 refused
// it.
func (b *bench) fill(ctx context.Context, f *floor, from, to, among int) error {
	// The rows that the receiver stored take turns, so that the new ones are as
	// compressible.
	values := strings.Join(f.columns, ", ")
	for column, value := range map[string]string{"supplier": "key.supplier", "capacity_group_id": "key.id::uuid", "received_at": "now() - key.n % 30 * interval '1 day'"} {
		values = regexp.MustCompile(`\b`+column+`\b`).ReplaceAllString(values, value)
	}
	values = regexp.MustCompile(`\bactual_capacity\b`).ReplaceAllString(values, "(select array_agg(c + key.n % 5000) from unnest(g.actual_capacity) c)") // no two alike
	values = regexp.MustCompile(`\b(first_received_at|customer|name)\b`).ReplaceAllString(values, "g.$1")
	const portion = 50_000
	for ; from < to; from += portion {
		var rows [][]any
		for n := from; n < min(to, from+portion); n++ {
			var id [36]byte
			copy(id[:], "------------------------------------")
			writeID(id[:], spread(grownSet<<32+uint64(n)), grownSet<<32+uint64(n))
			rows = append(rows, []any{n, supplierName(n % among), string(id[:])})
		}
		if err := b.exec(ctx, "truncate key"); err != nil {
			return err
		}
		if _, err := b.db.CopyFrom(ctx, pgx.Identifier{"key"}, []string{"n", "supplier", "id"}, pgx.CopyFromRows(rows)); err != nil {
			return fmt.Errorf("store keys: %w", err)
		}
		if err := b.exec(ctx, fmt.Sprintf(`insert into dcm.capacity_group (%s) select %s from key
			join (select row_number() over () - 1 as nr, * from (select * from dcm.capacity_group where supplier < '%s' limit 1000) s) g on g.nr = key.n %% 1000`,
			strings.Join(f.columns, ", "), values, supplierName(suppliers))); err != nil {
			return err
		}
		if err := b.exec(ctx, `insert into dcm.message (sender, id, received_at, endpoint, message_id, status, objects, bytes, duration, more_errors, capacity_group_id, rule, object_errors)
			select supplier, gen_random_uuid(), now() - n % 30 * interval '1 day', 'week-based-capacity-group', gen_random_uuid(), case when n % 50 = 0 then 400 else 200 end, 1, 10811, interval '2 ms', 0,
			array[id::uuid], array[case when n % 50 = 0 then 6 else 4 end::smallint],
			case when n % 50 = 0 then jsonb '{"0": {"errors": [{"pointer": "/content/informationObject/0/changedAt", "detail": "older than what was received before"}]}}' end
			from key`); err != nil {
			return err
		}
	}
	return b.exec(ctx, "vacuum analyze")
}

// overwriteAll overwrites every group in each round, a transaction for the groups
// of each supplier, as fast as one connection can: autovacuum has less time
// than in any week of a planner's life.
func (b *bench) overwriteAll(ctx context.Context, among, rounds int) error {
	var rotated []string
	for _, c := range []string{"point_in_time", "actual_capacity", "maximum_capacity", "agreed_capacity"} {
		rotated = append(rotated, fmt.Sprintf("%[1]s = %[1]s[2:] || %[1]s[1:1]", c)) // other values, so that all are written
	}
	for round := range rounds {
		begin := time.Now()
		for i := range among {
			if err := b.exec(ctx, fmt.Sprintf(`update dcm.capacity_group set received_at = now(), message_id = gen_random_uuid(), %s where supplier = '%s'`,
				strings.Join(rotated, ", "), supplierName(i))); err != nil {
				return err
			}
		}
		if err := b.sizes(ctx, fmt.Sprintf("all overwritten %d times, the last time in %.0f s", round+1, time.Since(begin).Seconds())); err != nil {
			return err
		}
	}
	return nil
}

// sizes prints what the table of groups takes, in MiB.
func (b *bench) sizes(ctx context.Context, when string) error {
	var line string
	// Statistics of a session reach the others with some delay.
	err := b.db.QueryRow(ctx, `with s as (select pg_stat_force_next_flush()), r as (select * from pg_class where oid = 'dcm.capacity_group'::regclass)
		select format('table %s, TOAST %s, index %s MiB; %s live rows, %s dead, %s updated so far, of them HOT %s; autovacuum ran %s times',
		pg_relation_size(r.oid) >> 20, pg_total_relation_size(reltoastrelid) >> 20, pg_indexes_size(r.oid) >> 20,
		n_live_tup, n_dead_tup, n_tup_upd, n_tup_hot_upd, autovacuum_count)
		from s, r join pg_stat_user_tables u on u.relid = r.oid`).Scan(&line)
	fmt.Printf("- %s: %s\n", when, line)
	return err
}

// ask prints how long planners wait, and why. What is kept ready is made first,
// without the rests that serve makes, and not in the receiver's turn.
func (b *bench) ask(ctx context.Context) error {
	for _, step := range []struct{ name, sql string }{
		{"", "update dcm.overview_turn set begins_after = now() + interval '1 day', as_of = now()"},
		{"the overview, of all", "select count(dcm.make_overview(supplier, customer)) from dcm.overview_content"},
		{"looking for what changed since", "select count(*), sum(content) from dcm.overview_content"},
		{"", "analyze dcm.overview, dcm.group_overview, dcm.capacity_total"},
	} {
		before, begin := cpu(b.server.PID(), true), time.Now()
		if err := b.exec(ctx, step.sql); err != nil {
			return err
		}
		if step.name != "" {
			fmt.Printf("- %s: %.2f s, CPU of Postgres %.2f s\n", step.name, time.Since(begin).Seconds(), milliseconds(cpu(b.server.PID(), true)-before)/1000)
		}
	}
	for _, q := range questions {
		rows, err := b.db.Query(ctx, "explain (analyze, costs off, timing off) "+q.sql)
		if err != nil {
			return fmt.Errorf("%s: %w", q.name, err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return fmt.Errorf("%s: %w", q.name, err)
		}
		fmt.Printf("\n%s:\n\n    %s\n", q.name, strings.Join(lines, "\n    "))
	}
	return nil
}

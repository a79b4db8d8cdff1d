package migrations_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"dcm-receiver/internal/privatepg/pgtest"
	"dcm-receiver/migrations"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// db is a database of a test, and its URL.
type db struct {
	*sql.DB
	url string
	t   *testing.T
}

// newDatabase is migrated to the newest version.
func newDatabase(t *testing.T) db {
	t.Helper()
	url := pgtest.New(t)
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	d := db{stdlib.OpenDB(*config), url, t}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func (d db) exec(sql string) {
	d.t.Helper()
	if _, err := d.ExecContext(d.t.Context(), sql); err != nil {
		d.t.Fatal(err)
	}
}

// up migrates.
func (d db) up() {
	d.t.Helper()
	if err := migrations.Up(d.t.Context(), d.url, slog.New(slog.DiscardHandler)); err != nil {
		d.t.Fatal(err)
	}
}

// lines are the rows of a query with one column of text.
func (d db) lines(sql string) []string {
	d.t.Helper()
	rows, err := d.QueryContext(d.t.Context(), sql)
	if err != nil {
		d.t.Fatal(err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			d.t.Fatal(err)
		}
		all = append(all, line)
	}
	if err := rows.Err(); err != nil {
		d.t.Fatal(err)
	}
	return all
}

// schema describes all that migrations make, apart from rows: columns in their order,
// constraints, indexes, triggers, functions, views, comments and rights.
func (d db) schema() []string {
	d.t.Helper()
	return d.lines(`
		with ours as (
			select c.oid, c.oid::regclass::text as name, c.relkind, c.relacl, c.reloptions
			from pg_class c
			where c.relnamespace::regnamespace::text in ('dcm', 'planning', 'outbox')
		)
		select format('schema %s %s %s', nspname, nspacl, obj_description(oid, 'pg_namespace'))
		from pg_namespace where nspname in ('dcm', 'planning', 'outbox')
		union all
		select format('relation %s %s %s %s %s', name, relkind, relacl, reloptions, obj_description(oid, 'pg_class'))
		from ours
		union all
		select format('column %s %s %s %s %s %s %s %s', name,
			row_number() over (partition by ours.oid order by attnum), attname, format_type(atttypid, atttypmod),
			attnotnull,
			attcompression, pg_get_expr(adbin, adrelid), col_description(ours.oid, attnum))
		from ours
		join pg_attribute on attrelid = ours.oid and attnum > 0 and not attisdropped
		left join pg_attrdef on adrelid = attrelid and adnum = attnum
		union all
		select format('constraint %s %s %s', name, conname, pg_get_constraintdef(c.oid))
		from ours join pg_constraint c on conrelid = ours.oid
		union all
		select format('index %s', pg_get_indexdef(oid)) from ours where relkind = 'i'
		union all
		select format('trigger %s', pg_get_triggerdef(t.oid))
		from ours join pg_trigger t on tgrelid = ours.oid and not tgisinternal
		union all
		select format('view %s %s', name, pg_get_viewdef(oid)) from ours where relkind = 'v'
		union all
		select format('function %s %s %s', pg_get_functiondef(oid), proacl, obj_description(oid, 'pg_proc'))
		from pg_proc where pronamespace::regnamespace::text in ('dcm', 'planning', 'outbox')
		order by 1`)
}

// upTo makes the database anew, as far as migration last.
func (d db) upTo(last int64) {
	d.t.Helper()
	d.exec("drop schema planning, outbox, dcm cascade; create schema dcm")
	provider, err := goose.NewProvider(goose.DialectPostgres, d.DB, os.DirFS("."),
		goose.WithTableName("dcm.schema_version"))
	if err != nil {
		d.t.Fatal(err)
	}
	if last == 0 {
		return // goose takes no 0
	}
	if _, err := provider.UpTo(d.t.Context(), last); err != nil {
		d.t.Fatal(err)
	}
}

// beforeSquash makes a database as the version before 0.1.0 leaves it: with the
// tables of its migration 26, which are those of the squashed ones, and with versions
// 1 to newest recorded.
func (d db) beforeSquash(newest int) {
	d.t.Helper()
	d.upTo(26)
	d.exec("delete from dcm.schema_version where version_id > 0")
	d.exec(fmt.Sprintf(`insert into dcm.schema_version (version_id, is_applied)
		select n, true from generate_series(1, %d) n`, newest))
}

func (d db) versions() []string {
	d.t.Helper()
	return d.lines(`select version_id::text from dcm.schema_version where is_applied and version_id > 0
		order by schema_version.version_id`)
}

// upward are the numbers from first to the newest migration.
func upward(first int) (all []string) {
	for n := first; n <= migrations.Version; n++ {
		all = append(all, fmt.Sprint(n))
	}
	return all
}

// TestNew: a database without tables runs the squashed migrations; so does one whose
// first migration was interrupted.
func TestNew(t *testing.T) {
	d := newDatabase(t)
	want := d.schema()
	for _, done := range []int64{0, 22, 24, 26} {
		d.upTo(done)
		d.up()
		if diff := cmp.Diff(want, d.schema()); diff != "" {
			t.Errorf("from migration %d on: another schema: %s", done, diff)
		}
		if diff := cmp.Diff(upward(22), d.versions()); diff != "" {
			t.Errorf("from migration %d on: %s", done, diff)
		}
	}
}

// TestUpgrade: a database of the version before 0.1.0 counts as having the squashed
// migrations. It keeps its rows, which read the same, and gets the schema of a new one.
func TestUpgrade(t *testing.T) {
	d := newDatabase(t)
	want := d.schema()
	d.beforeSquash(26)
	// Entries of the journal as its first versions made them, and what came with them.
	d.exec(`insert into dcm.message (
			sender, id, received_at, endpoint, message_id, status, objects, bytes, duration,
			more_errors, object_id, rule)
		select
			'BPNL6666666666YY', ('00000000-0000-7000-8000-00000000000' || n)::uuid, now(), 'e',
			case when n < 3 then '0157ba42-d2a8-4e28-8565-7b07830c1110'::uuid end, 200, 1, 1, interval '1 ms',
			0, '{}'::uuid[], '{}'::smallint[]
		from generate_series(1, 4) n
		union all
		select
			'BPNL6666666666YY', '00000000-0000-7000-8000-000000000009', now(), 'e', null, 400, 3, 1, interval '1 ms', 0,
			array_fill('0157ba42-d2a8-4e28-8565-7b07830c1110'::uuid, '{3}'), '{5,6,7}'`)
	d.exec(`insert into dcm.capacity_group (
			supplier, customer, capacity_group_id, changed_at, changed_at_nanosecond, first_received_at, received_at,
			content_hash, unit_of_measure_is_omitted, is_inactive, name, supplier_locations, linked_capacity_groups,
			point_in_time,
			actual_capacity, maximum_capacity, agreed_capacity, delta_production_result, material_number_customer,
			material_number_supplier, customer_location, demand_category_code, load_factor, sequence_number,
			subhorizon_length, relative_positive_deviation, relative_negative_deviation, absolute_positive_deviation,
			absolute_negative_deviation)
		select
			'BPNL6666666666YY', 'BPNL8888888888XX', gen_random_uuid(), now(), 0, now(), now(), '', true, false,
			'x', '{}', '{}', array_agg(date '2026-11-23' + 7 * n), array_agg(n), array_agg(2 * n),
			'{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}'
		from generate_series(1, 1000) n`)
	d.exec(`insert into dcm.requested_update (
			partner, message_key, requested_at, material_demands, requested_id, changed_at, changed_at_nanosecond)
		values ('BPNL6666666666YY', '0157ba42-d2a8-4e28-8565-7b07830c1110', now(), 1,
			'{be4d8470-2de6-43d2-b5f8-2e5d3eebf3fd,null}', '{2026-01-01,null}', '{7,null}')`)
	group := d.lines("select to_jsonb(g) from dcm.capacity_group g")[0]
	d.up()
	if diff := cmp.Diff(want, d.schema()); diff != "" {
		t.Errorf("another schema than a new database: %s", diff)
	}
	if diff := cmp.Diff(upward(1), d.versions()); diff != "" {
		t.Errorf("recorded versions: %s", diff)
	}
	for sql, want := range map[string]string{
		"select count(*) from planning.message":                 "5",
		"select count(*) from planning.message where is_repeat": "1",
		`select count(*) from planning.message_object where standard = 'CX-0048 v1.0.0 §3.2.7'
			and (rule, outcome) in ((5, 'created'), (6, 'ignored'), (7, 'overwritten'))`: "3",
		`select count(*) from planning.request_for_update
			where material_demand_id = 'be4d8470-2de6-43d2-b5f8-2e5d3eebf3fd'
			and changed_at = '2026-01-01' and changed_at_nanosecond = 7 and answer = 'waiting'`: "1",
		`select count(*) from planning.request_for_capacity_group
			where capacity_group_id is null and changed_at is null`: "1",
		"select sum(flexible_capacity)::int from planning.capacity":                             "500500",
		"select count(*) from dcm.capacity_group g where to_jsonb(g) @> '" + group + "'::jsonb": "1",
	} {
		if got := d.lines(sql); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %v, want %s", sql, got, want)
		}
	}
}

// TestTooOld: a database that the version before 0.1.0 has not finished is refused
// before anything is changed, at once, and the error names the version to go over.
func TestTooOld(t *testing.T) {
	d := newDatabase(t)
	for _, newest := range []int{1, 4, 21, 22, 25} {
		t.Run(fmt.Sprint(newest), func(t *testing.T) {
			d := db{d.DB, d.url, t}
			d.beforeSquash(newest)
			schema, versions := d.schema(), d.versions()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			// It would try again for ever where waiting may help.
			err := migrations.UpUntilDone(ctx, d.url, slog.New(slog.DiscardHandler))
			if !errors.Is(err, migrations.ErrTooOld) {
				t.Fatalf("the error is %v", err)
			}
			want := fmt.Sprintf(
				"the database is at migration %d, too old for this version: first migrate it with the version "+
					"before 0.1.0 (commit 0ef5ffd, whose newest migration is 26), then with this one", newest)
			if err.Error() != want {
				t.Errorf("the error is %q, want %q", err, want)
			}
			if diff := cmp.Diff(schema, d.schema()); diff != "" {
				t.Errorf("the schema has changed: %s", diff)
			}
			if diff := cmp.Diff(versions, d.versions()); diff != "" {
				t.Errorf("the recorded versions have changed: %s", diff)
			}
		})
	}
}

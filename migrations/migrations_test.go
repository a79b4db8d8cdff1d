package migrations_test

import (
	"context"
	"log/slog"
	"os"
	"testing"

	"dcm-receiver/internal/privatepg/pgtest"
	"dcm-receiver/migrations"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// TestUpgrade: what is stored at the first version reads the same at the newest.
func TestUpgrade(t *testing.T) {
	ctx := context.Background()
	url := pgtest.New(t)
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	db := stdlib.OpenDB(*config)
	defer db.Close()
	exec := func(sql string) {
		t.Helper()
		if _, err := db.ExecContext(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	exec("drop schema planning, outbox, dcm cascade; create schema dcm")
	first, err := goose.NewProvider(goose.DialectPostgres, db, os.DirFS("."), goose.WithTableName("dcm.schema_version"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.UpTo(ctx, 1); err != nil {
		t.Fatal(err)
	}
	exec(`insert into dcm.message (sender, id, received_at, endpoint, message_id, repeat, status, objects, bytes, duration, more_errors, capacity_group_id, rule)
		select 'BPNL6666666666YY', ('00000000-0000-7000-8000-00000000000' || n)::uuid, now(), 'e', case when n < 3 then '0157ba42-d2a8-4e28-8565-7b07830c1110'::uuid end, greatest(n - 1, 0) % 2, 200, 1, 1, '1 ms', 0, '{}', '{}'
		from generate_series(1, 4) n`)
	exec(`insert into dcm.capacity_group (supplier, customer, capacity_group_id, changed_at, changed_at_nanosecond, first_received_at, received_at, content_hash, unit_of_measure_is_omitted, is_inactive, name,
			supplier_locations, linked_capacity_groups, point_in_time, actual_capacity, maximum_capacity, agreed_capacity, delta_production_result, material_number_customer, material_number_supplier,
			customer_location, demand_category_code, load_factor, sequence_number, subhorizon_length, relative_positive_deviation, relative_negative_deviation, absolute_positive_deviation, absolute_negative_deviation)
		select 'BPNL6666666666YY', 'BPNL8888888888XX', gen_random_uuid(), now(), 0, now(), now(), '', true, false, 'x', '{}', '{}',
			array_agg(date '2026-11-23' + 7 * n), array_agg(n), array_agg(2 * n), '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}' from generate_series(1, 1000) n`)
	exec(`insert into dcm.message (sender, id, received_at, endpoint, repeat, status, objects, bytes, duration, more_errors, capacity_group_id, rule)
		values ('BPNL6666666666YY', '00000000-0000-7000-8000-000000000009', now(), 'e', 0, 400, 3, 1, '1 ms', 0, array_fill('0157ba42-d2a8-4e28-8565-7b07830c1110'::uuid, '{3}'), '{5,6,7}')`)
	exec(`insert into dcm.request_for_update (supplier, message_key, kind, asks_for_all, requested_id, changed_at, changed_at_nanosecond, requested_at)
		values ('BPNL6666666666YY', '0157ba42-d2a8-4e28-8565-7b07830c1110', 'WeekBasedCapacityGroup', true, '00000000-0000-0000-0000-000000000000', null, null, now()),
			('BPNL6666666666YY', '0157ba42-d2a8-4e28-8565-7b07830c1110', 'WeekBasedMaterialDemand', false, 'be4d8470-2de6-43d2-b5f8-2e5d3eebf3fd', '2026-01-01', 7, now())`)
	if err := migrations.Up(ctx, url, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	for sql, want := range map[string]int{
		"select count(*) from planning.message": 5,
		"select count(*) from planning.message_object where standard = 'CX-0048 v1.0.0 §3.2.7' and (rule, outcome) in ((5, 'created'), (6, 'ignored'), (7, 'overwritten'))":                                     3,
		"select count(*) from planning.request_for_update where material_demand_id = 'be4d8470-2de6-43d2-b5f8-2e5d3eebf3fd' and changed_at = '2026-01-01' and changed_at_nanosecond = 7 and answer = 'waiting'": 1,
		"select count(*) from planning.request_for_capacity_group where capacity_group_id is null and changed_at is null":                                                                                       1,
		"select count(*) from planning.message where is_repeat and id = '00000000-0000-7000-8000-000000000002'":                                                                                                 1,
		"select count(*) from planning.message where is_repeat":     1,
		"select sum(flexible_capacity)::int from planning.capacity": 500_500,
		"select max(version_id) from dcm.schema_version":            migrations.Version,
	} {
		var got int
		if err := db.QueryRowContext(ctx, sql).Scan(&got); err != nil || got != want {
			t.Errorf("%s: %d, want %d: %v", sql, got, want, err)
		}
	}
}

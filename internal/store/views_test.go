package store_test

import (
	"context"
	"strings"
	"testing"

	"dcm-receiver/internal/privatepg/pgtest"

	"github.com/jackc/pgx/v5"
)

// promised are the views that others build on, with the least of columns that each
// has. A column without a type is text.
var promised = []struct{ name, columns string }{
	{"planning.capacity_group",
		"supplier, customer, capacity_group_id uuid, name, unit_of_measure, unit_of_measure_is_omitted boolean, " +
			"is_inactive boolean," +
			" changed_at timestamptz, received_at timestamptz, first_received_at timestamptz, message_id uuid, " +
			"supplier_locations text[], linked_capacity_groups uuid[]," +
			" start_reference_date_time timestamptz, measurement_interval numeric"},
	{"planning.capacity",
		"supplier, customer, capacity_group_id uuid, point_in_time date, actual_capacity numeric, " +
			"maximum_capacity numeric, agreed_capacity numeric," +
			" delta_production_result numeric, flexible_capacity numeric"},
	{"planning.linked_demand_series",
		"supplier, customer, capacity_group_id uuid, material_number_customer, material_number_supplier, " +
			"customer_location," +
			" demand_category_code, load_factor numeric"},
	{"planning.alert_threshold",
		"supplier, customer, capacity_group_id uuid, sequence_number numeric, subhorizon_length numeric, " +
			"relative_positive_deviation numeric," +
			" relative_negative_deviation numeric, absolute_positive_deviation numeric, " +
			"absolute_negative_deviation numeric"},
	{"planning.request_for_update",
		"supplier, customer, material_demand_id uuid, changed_at timestamptz, requested_at timestamptz, " +
			"expected_response_by timestamptz," +
			" message_id uuid, answered_at timestamptz, answer"},
	{"planning.message",
		"received_at timestamptz, endpoint, sender, message_id uuid, is_repeat boolean, contract_agreement_id, " +
			"status smallint, objects integer," +
			" bytes bigint, duration interval, errors jsonb"},
	{"planning.message_object",
		"received_at timestamptz, sender, message_id uuid, index integer, object_id uuid, capacity_group_id uuid, " +
			"standard, rule smallint, outcome," +
			" errors jsonb, warnings jsonb"},
	{"planning.material_demand",
		"supplier, customer, material_demand_id uuid, material_number_customer, material_number_supplier, " +
			"material_description_customer," +
			" unit_of_measure, is_inactive boolean, changed_at timestamptz, direction, released_at timestamptz, " +
			"received_at timestamptz"},
	{"planning.demand",
		"supplier, customer, material_demand_id uuid, material_number_customer, customer_location, " +
			"demand_category_code, expected_supplier_location," +
			" point_in_time date, demand numeric, unit_of_measure, is_inactive boolean"},
	{"planning.delivery",
		"supplier, customer, object, object_id uuid, changed_at timestamptz, state, attempts integer, " +
			"last_attempt_at timestamptz," +
			" next_attempt_at timestamptz, delivered_at timestamptz, status smallint, reason, answers_message_id uuid"},
	{"planning.comment",
		"supplier, customer, comment_id uuid, object, object_id uuid, author, comment_type, comment_text, " +
			"reference_dates date[], posted_at timestamptz," +
			" changed_at timestamptz, direction"},
	{"planning.group_week",
		"supplier, customer, capacity_group_id uuid, point_in_time date, demand numeric, actual_capacity numeric, " +
			"maximum_capacity numeric," +
			" agreed_capacity numeric, result, colour, unit_of_measure, is_inactive boolean"},
	{"planning.unmatched_link",
		"supplier, customer, capacity_group_id uuid, material_number_customer, customer_location, " +
			"demand_category_code, missing"},
	{"planning.capacity_history",
		"supplier, customer, capacity_group_id uuid, changed_at timestamptz, received_at timestamptz, " +
			"superseded_at timestamptz," +
			" point_in_time date, actual_capacity numeric, maximum_capacity numeric, agreed_capacity numeric, " +
			"delta_production_result numeric"},
	{"planning.demand_history",
		"supplier, customer, material_demand_id uuid, material_number_customer, customer_location, " +
			"demand_category_code, changed_at timestamptz," +
			" received_at timestamptz, superseded_at timestamptz, point_in_time date, demand numeric"},
	{"planning.group_history",
		"supplier, customer, capacity_group_id uuid, detail, subject, value, received_at timestamptz, " +
			"superseded_at timestamptz"},
	{"planning.volatility",
		"supplier, customer, capacity_group_id uuid, point_in_time date, measured_at timestamptz, latest numeric, " +
			"previous numeric," +
			" absolute_deviation numeric, relative_deviation numeric, alert"},
	{"outbox.demand_line",
		"customer, supplier, material_number_customer, customer_location, demand_category_code, point_in_time " +
			"date, demand numeric," +
			" material_number_supplier, material_description_customer, material_global_asset_id uuid, " +
			"unit_of_measure, expected_supplier_location, is_inactive boolean"},
	{"outbox.comment", "supplier, customer, object_id uuid, comment_text"},
	{"outbox.request_for_update", "supplier, customer"},
	{"outbox.partner", "bpnl, dsp_url, did, protocol"},
}

// TestViewsHaveWhatIsPromised: names and types of columns that planners' and
// senders' tools use stay; more may come.
func TestViewsHaveWhatIsPromised(t *testing.T) {
	conn := connect(t, pgtest.New(t))
	rows, err := conn.Query(context.Background(), `
		select attrelid::regclass::text || '.' || attname || ' ' || replace(format_type(atttypid, null),
		'timestamp with time zone', 'timestamptz')
		from pg_attribute
		join pg_class c on c.oid = attrelid
		where relnamespace in ('planning'::regnamespace, 'outbox'::regnamespace) and attnum > 0 and not
		attisdropped and relkind in ('r', 'v')
			and (relkind = 'v' or relnamespace = 'outbox'::regnamespace)`)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, column := range all {
		there[column] = true
	}
	for _, view := range promised {
		for column := range strings.SplitSeq(view.columns, ",") {
			column = strings.TrimSpace(column)
			if !strings.Contains(column, " ") {
				column += " text"
			}
			if !there[view.name+"."+column] {
				t.Errorf("%s has no %s", view.name, column)
			}
		}
	}
	if _, err := conn.Exec(context.Background(),
		"select * from outbox.release(supplier => null, customer => null)"); err != nil {
		t.Errorf("outbox.release: %v", err)
	}
}

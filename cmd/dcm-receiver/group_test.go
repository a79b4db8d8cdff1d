package main_test

import (
	"context"
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"testing"

	"dcm-receiver/internal/privatepg/pgtest"

	"github.com/jackc/pgx/v5"
)

// TestGroupCommands: what an operator gets to see, and the exit statuses.
func TestGroupCommands(t *testing.T) {
	url := pgtest.New(t)
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	const supplier, customer, id = "BPNL6666666666YY", "BPNL8888888888XX", "0157ba42-d2a8-4e28-8565-7b07830c1110"
	if _, err := conn.Exec(context.Background(), `insert into dcm.capacity_group (supplier, customer,
		capacity_group_id, changed_at, changed_at_nanosecond, first_received_at, received_at, content_hash,
		unit_of_measure_is_omitted, is_inactive, name,
			supplier_locations, linked_capacity_groups, point_in_time, actual_capacity, maximum_capacity,
			agreed_capacity, delta_production_result, material_number_customer, material_number_supplier,
			customer_location, demand_category_code, load_factor, sequence_number, subhorizon_length,
			relative_positive_deviation, relative_negative_deviation, absolute_positive_deviation,
			absolute_negative_deviation)
		values ($1, $2, $3, '2126-11-25', 7, now(), now(), '', true, false, 'x', '{}', '{}', '{}', '{}', '{}', '{}',
		'{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}')`, supplier, customer, id); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		url    string
		args   []string
		status int
		said   string
	}{
		{"no database", "", []string{"unlock", supplier, customer, id}, 2, "DATABASE_URL is not set"},
		{"a database that is not there", "postgres://nobody@127.0.0.1:1/dcm?connect_timeout=2",
			[]string{"unlock", supplier, customer, id}, 3, "was not unlocked"},
		{"no BPNL", url, []string{"unlock", "BPNL1", customer, id}, 2, `SUPPLIER "BPNL1" is not a BPNL`},
		{"no UUID", url, []string{"unlock", supplier, customer, "1"}, 2, `ID "1" is not a UUID`},
		{"roles swapped", url, []string{"unlock", customer, supplier, id}, 1, "there is no capacity group"},
		{"unlock", url, []string{"unlock", supplier, customer, "urn:uuid:" + strings.ToUpper(id)}, 0,
			"its changedAt was 2126-11-25T00:00:00.000000007Z, the next message about it is taken, whatever its " +
				"changedAt"},
		{"unlock a demand", url, []string{"unlock", "--demand", supplier, customer, id}, 1,
			"there is no material demand"},
		{"forget", url, []string{"forget", "--json", supplier, customer, id}, 0, `"outcome":"forgotten"`},
		{"forget again", url, []string{"forget", "--json", supplier, customer, id}, 1, `"outcome":"unknown"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			command := exec.Command(binary, append([]string{"group"}, c.args...)...)
			command.Env = environment()
			if c.url != "" {
				command.Env = append(command.Env, "DATABASE_URL="+c.url)
			}
			out, err := command.CombinedOutput()
			status := 0
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				status = exit.ExitCode()
			}
			if status != c.status || !strings.Contains(string(out), c.said) {
				t.Errorf("exit status %d, want %d; %q in: %s", status, c.status, c.said, out)
			}
			if line, _, _ := strings.Cut(string(out), "\n"); strings.Contains(strings.Join(c.args, " "), "--json") &&
				!json.Valid([]byte(line)) {
				t.Errorf("no JSON: %s", line)
			}
		})
	}
}

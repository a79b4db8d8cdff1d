package receiver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/example"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// FuzzReceive sends bodies to the real handler on a real store: every answer is
// a documented one, and whatever is accepted comes back from the views equal in
// value to what another JSON reader reads in the body.
func FuzzReceive(f *testing.F) {
	fixture := newFixture(f, nil)
	conn, err := pgx.Connect(context.Background(), fixture.url)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = conn.Close(context.Background()) })
	f.Add(example.Message(example.Options{Groups: 1, Weeks: 2, Supplier: example.Supplier, Customer: example.Customer,
		Now: now}))
	f.Add(read(f, "testdata/week-based-capacity-group/quantities-are-exact/request.json"))
	f.Add(read(f, "testdata/week-based-capacity-group/list-same-id-twice-in-the-order-sent/request.json"))
	f.Add(read(f, "testdata/id-based-request-for-update/one-demand/request.json"))
	f.Fuzz(func(t *testing.T, body []byte) {
		fixture.log.Reset()
		if w := fixture.post(dcm.RequestForUpdateEndpoint.Path, body); !slices.Contains([]int{200, 400, 422}, w.Code) {
			t.Fatalf("request for update: %d %s\n%s", w.Code, w.Body, fixture.log)
		}
		w := fixture.post(dcm.CapacityGroupEndpoint.Path, body)
		if !slices.Contains([]int{200, 201, 400, 422}, w.Code) {
			t.Fatalf("%d %s\n%s", w.Code, w.Body, fixture.log)
		}
		if w.Code == 201 { // one new object
			comesBack(t, conn, body, w.Body.Bytes())
		}
	})
}

func comesBack(t *testing.T, conn *pgx.Conn, body, answer []byte) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var sent any // not a struct: that would take names in another case for the same
	if err := decoder.Decode(&sent); err != nil {
		t.Fatalf("answered 201, but: %v", err)
	}
	if envelope, ok := sent.(map[string]any); ok {
		sent = envelope["content"].(map[string]any)["informationObject"]
	}
	object := sent.([]any)[0].(map[string]any)
	var a struct {
		Results []struct{ CapacityGroupId uuid.UUID }
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		t.Fatal(err)
	}
	var name string
	var changedAt time.Time
	var nanosecond int
	if err := conn.QueryRow(context.Background(),
		`select name, changed_at, changed_at_nanosecond from planning.capacity_group where supplier = $1 and `+
			`capacity_group_id = $2`,
		example.Supplier, a.Results[0].CapacityGroupId).Scan(&name, &changedAt, &nanosecond); err != nil {
		t.Fatalf("answered 201, but: %v", err)
	}
	want, err := time.Parse(time.RFC3339Nano, object["changedAt"].(string))
	if name != object["name"] || err == nil && !changedAt.Add(time.Duration(nanosecond)).Equal(want) {
		t.Errorf("stored %q of %s+%d ns; sent %q of %s", name, changedAt, nanosecond, object["name"],
			object["changedAt"])
	}
	capacities, _ := object["capacities"].([]any)
	for _, c := range capacities {
		c := c.(map[string]any)
		stored := make([]*string, 4)
		if err := conn.QueryRow(context.Background(), `select actual_capacity::text, maximum_capacity::text,
			agreed_capacity::text, delta_production_result::text
			from planning.capacity where supplier = $1 and capacity_group_id = $2 and point_in_time = $3::text::date`,
			example.Supplier, a.Results[0].CapacityGroupId, c["pointInTime"]).Scan(&stored[0], &stored[1], &stored[2],
			&stored[3]); err != nil {
			t.Fatalf("week %s: %v", c["pointInTime"], err)
		}
		for i, property := range []string{"actualCapacity", "maximumCapacity", "agreedCapacity",
			"deltaProductionResult"} {
			number, _ := c[property].(json.Number)
			same(t, number, stored[i])
		}
	}
}

func same(t *testing.T, sent json.Number, stored *string) {
	t.Helper()
	if sent == "" || stored == nil {
		if sent != "" || stored != nil {
			t.Errorf("sent %q, stored %v", sent, stored)
		}
		return
	}
	if strings.ContainsAny(string(sent), "eE") && len(sent) > 20 {
		return // an exponent that would keep exact arithmetic busy for long
	}
	want, ok1 := new(big.Rat).SetString(string(sent))
	have, ok2 := new(big.Rat).SetString(*stored)
	if !ok1 || !ok2 || want.Cmp(have) != 0 {
		t.Errorf("sent %s, stored %s", sent, *stored)
	}
}

package payload_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"syscall"
	"testing"
	"time"

	"dcm-receiver/internal/example"
	"dcm-receiver/internal/payload"
)

// cpu is what the process has used so far, which a busy machine does not change as
// much as the time that passes.
func cpu(t *testing.T) time.Duration {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// TestCostOfNames: no list takes more than twenty times as long as a usual one of its
// size, whatever its names look like.
func TestCostOfNames(t *testing.T) {
	const size = 2 << 20
	fill := func(object string) []byte {
		n := size / len(object)
		return []byte("[" + strings.TrimSuffix(strings.Repeat(object+",", n), ",") + "]")
	}
	took := func(body []byte) time.Duration {
		least := time.Hour
		for range 3 {
			start := cpu(t)
			if _, err := payload.ReadCapacityGroups(body, checked); err != nil {
				t.Fatal(err)
			}
			least = min(least, cpu(t)-start)
		}
		return least
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, example.Message(example.Options{Groups: 200, Weeks: 104, Supplier: example.Supplier, Customer: example.Customer, Now: time.Now()})); err != nil {
		t.Fatal(err)
	}
	group := compact.Bytes()
	usual := took(group) * size / time.Duration(len(group))
	var alike strings.Builder // each nearly a name, up to its last letter
	for _, name := range []string{"capacityGroupIsInactivXY", "unitOfMeasureIsOmittXY", "capacityGroupXY", "demandVolatilityParameterXY", "linkedCapacityGroupXY"} {
		for _, end := range []string{"a", "b", "c", "d"} {
			alike.WriteString(`"` + name + end + `":0,`)
		}
	}
	week := `{"pointInTime":"2026-12-07","actual_capacity":1,"maximumCapacty":1,"agreedCapcity":2},`
	for name, object := range map[string]string{
		"unknown names":  "{" + strings.TrimSuffix(alike.String(), ",") + "}",
		"misspelt weeks": `{"capacities":[` + strings.TrimSuffix(strings.Repeat(week, 200), ",") + `]}`,
		"snake case":     `{"capacity_group_id":1,"changed_at":1,"unit_of_measure_is_omitted":1,"capacity_group_is_inactive":1,"linked_demand_series":[],"supplier_locations":[]}`,
		"long names":     `{"` + strings.Repeat("capacityGroupId", 1000) + `":1}`,
		"units":          `{"unitOfMeasure":"` + strings.Repeat("x", 64) + `"}`,
		"dates":          `{"capacities":[` + strings.TrimSuffix(strings.Repeat(`{"pointInTime":"07/12/2026"},`, 200), ",") + `]}`,
	} {
		if cost := took(fill(object)); cost > 20*usual {
			t.Errorf("%s: %v, a usual list of the size %v", name, cost, usual)
		} else {
			t.Logf("%s: %.1f times a usual list", name, float64(cost)/float64(usual))
		}
	}
}

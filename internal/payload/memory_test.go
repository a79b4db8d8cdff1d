package payload_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/payload"
)

// TestMemory: what was read of a body is never more than was estimated before,
// whatever stands in it, and a list of small objects is not estimated at the room
// of large ones.
func TestMemory(t *testing.T) {
	const size = 1 << 20
	list := func(before, item, after string) []byte {
		return []byte(before + strings.TrimSuffix(strings.Repeat(item+",", size/(len(item)+1)), ",") + after)
	}
	groups := keep(payload.ReadCapacityGroups)
	comments := keep(payload.ReadComments)
	requests := keep(payload.ReadRequestsForUpdate)
	const group = `{"capacityGroupId":"0157ba42-d2a8-4e28-8565-7b07830c1110","name":"\u0041",` +
		`"customer":"BPNL8888888888XX",` +
		`"supplier":"BPNL6666666666YY","changedAt":"2026-12-01T00:00:00Z","unitOfMeasureIsOmitted":true,` +
		`"capacityGroupIsInactive":false`
	const week = `{"pointInTime":"2026-12-07","actualCapacity":1e9,"maximumCapacity":1e39}`
	const link = `{"materialNumberCustomer":"a","customerLocation":"BPNS8888888888XX",` +
		`"demandCategory":{"demandCategoryCode":"0001"}}`
	padded := `{"capacities":[1],"x":"` + strings.Repeat("x", 176) + `"}`
	for _, c := range []struct {
		name     string
		read     func([]byte) (any, error)
		endpoint dcm.Endpoint
		body     []byte
		most     int64 // of the estimate, for a byte
	}{
		{"invalid groups", groups, dcm.CapacityGroupEndpoint, list("[", padded, "]"), 12},
		{"valid groups", groups, dcm.CapacityGroupEndpoint, list("[", group+`}`, "]"), 10},
		{"groups of one week", groups, dcm.CapacityGroupEndpoint, list("[", group+`,"capacities":[`+week+`]}`, "]"), 8},
		{"one group of many weeks", groups, dcm.CapacityGroupEndpoint, list("["+group+`,"capacities":[`, week, "]}]"),
			5},
		{"one group of many links", groups, dcm.CapacityGroupEndpoint,
			list("["+group+`,"linkedDemandSeries":[`, link, "]}]"), 5},
		{"one group of many numbers", groups, dcm.CapacityGroupEndpoint,
			list("["+group+`,"capacities":[`, "1", "]}]"), 20},
		{"brackets in strings", groups, dcm.CapacityGroupEndpoint, list(`[{"name":"`, `\"{[\\`, `"}]`), 40},
		{"empty objects", groups, dcm.CapacityGroupEndpoint, list("[", "{}", "]"), 60},
		{"in an envelope", groups, dcm.CapacityGroupEndpoint,
			list(`{"content":{"informationObject":[`, padded, "]}}"), 12},
		{"no JSON", groups, dcm.CapacityGroupEndpoint, list("]", "}", ""), 40},
		{"comments of dates", comments, dcm.CommentEndpoint,
			list(`[{"listOfReferenceDates":[`, `"2026-12-07"`, "]}]"), 5},
		{"requests for update", requests, dcm.RequestForUpdateEndpoint,
			list(`[{"weekBasedMaterialDemand":[`, `{"materialDemandId":"0157ba42-d2a8-4e28-8565-7b07830c1110"}`,
				"]}]"), 10},
	} {
		estimate := payload.Memory(c.body, c.endpoint)
		before := heap()
		m, err := c.read(c.body)
		if held := heap() - before; held > estimate {
			t.Errorf("%s: %d bytes are held, %d were estimated", c.name, held, estimate)
		}
		if err == nil != (c.name != "no JSON") {
			t.Errorf("%s: %v", c.name, err)
		}
		if estimate > c.most*int64(len(c.body))+1<<15 {
			t.Errorf("%s: %d bytes are estimated for a body of %d", c.name, estimate, len(c.body))
		}
		runtime.KeepAlive(m)
	}
}

// TestMemoryCountsObjects: an object more costs the same wherever it stands and
// however it is written, and what only looks like one costs nothing like it.
func TestMemoryCountsObjects(t *testing.T) {
	filler := strings.Repeat("x", 4000) // so that the number of objects is not bounded by the size
	estimate := func(format string, objects int) int64 {
		body := strings.ReplaceAll(fmt.Sprintf(format, strings.Repeat("{}, ", objects)+"{}"), "FILL", filler)
		return payload.Memory([]byte(body), dcm.CapacityGroupEndpoint)
	}
	for _, format := range []string{`[%s]`, " \n[%s]", `{"content":{"informationObject":[%s]}}`,
		`{"x":["FILL","]}\\"],"content":{"informationObject":[%s]}}`,
		`{"messageHeader":{"header":{"a\"":"{["}},"content":{"informationObject": [ %s ]}}`} {
		if more := estimate(format, 20) - estimate(format, 10); more < 10*1600 {
			t.Errorf("%s: ten objects are estimated at %d bytes", format, more)
		}
	}
	for _, format := range []string{`[{"a":[%s]}]`, `{"x":[%s]}`} {
		if more := estimate(format, 20) - estimate(format, 10); more > 10*500 {
			t.Errorf("%s: ten entries are estimated at %d bytes", format, more)
		}
	}
}

// heap is what is held at present.
func heap() int64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

func keep[T any](reader func([]byte, payload.Options) (*payload.Message[T], error)) func([]byte) (any, error) {
	return func(body []byte) (any, error) { return reader(body, checked) }
}

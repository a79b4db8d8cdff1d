package payload_test

import (
	"bytes"
	"encoding/json"
	"fmt"
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

// TestCost: no body of any endpoint takes much more than a usual list of its size,
// whatever its names and values look like. The least of some turns counts, in which
// all have theirs, and the bound is wide: it is there for what grows with the square.
func TestCost(t *testing.T) {
	const size, turns, most = 256 << 10, 2, 35
	var compact bytes.Buffer
	if err := json.Compact(&compact, example.Message(example.Options{Groups: 25, Weeks: 104,
		Supplier: example.Supplier, Customer: example.Customer, Now: time.Now()})); err != nil {
		t.Fatal(err)
	}
	groups := read(payload.ReadCapacityGroups)
	usual := &hostile{read: groups, body: compact.Bytes(), times: 20} // about as long as the others take
	all := []*hostile{usual}
	// fill is a list of one object again and again.
	fill := func(name string, read func([]byte) error, object string) {
		body := "[" + strings.TrimSuffix(strings.Repeat(object+",", size/len(object)), ",") + "]"
		all = append(all, &hostile{name: name, read: read, body: []byte(body)})
	}
	// one is an object that is as large by one member, which is a list.
	one := func(name string, read func([]byte) error, before, item string) {
		body := "[{" + before + ":[" + strings.TrimSuffix(strings.Repeat(item+",", size/len(item)), ",") + "]}]"
		all = append(all, &hostile{name: name, read: read, body: []byte(body)})
	}

	var alike strings.Builder // each nearly a name, up to its last letter
	for _, name := range []string{"capacityGroupIsInactivXY", "unitOfMeasureIsOmittXY", "capacityGroupXY",
		"demandVolatilityParameterXY", "linkedCapacityGroupXY"} {
		for _, end := range []string{"a", "b", "c", "d"} {
			alike.WriteString(`"` + name + end + `":0,`)
		}
	}
	week := `{"pointInTime":"2026-12-07","actual_capacity":1,"maximumCapacty":1,"agreedCapcity":2},`
	fill("groups: unknown names", groups, "{"+strings.TrimSuffix(alike.String(), ",")+"}")
	fill("groups: misspelt weeks", groups, `{"capacities":[`+strings.TrimSuffix(strings.Repeat(week, 200), ",")+`]}`)
	fill("groups: snake case", groups,
		`{"capacity_group_id":1,"changed_at":1,"unit_of_measure_is_omitted":1,"capacity_group_is_inactive":1,`+
			`"linked_demand_series":[],"supplier_locations":[]}`)
	fill("groups: long names", groups, `{"`+strings.Repeat("capacityGroupId", 1000)+`":1}`)
	fill("groups: units", groups, `{"unitOfMeasure":"`+strings.Repeat("x", 64)+`"}`)
	fill("groups: dates", groups, `{"capacities":[`+strings.TrimSuffix(strings.Repeat(`{"pointInTime":"07/12/2026"},`,
		200), ",")+`]}`)
	one("groups: the same week", groups, `"capacities"`,
		`{"pointInTime":"2026-12-07","actualCapacity":1,"maximumCapacity":1}`)
	one("groups: the same link", groups, `"linkedDemandSeries"`,
		`{"materialNumberCustomer":"a","customerLocation":"BPNS8888888888XX",`+
			`"demandCategory":{"demandCategoryCode":"0001"}}`)

	demands := read(payload.ReadMaterialDemands)
	fill("demands: nothing in them", demands, `{"x":"`+strings.Repeat("x", 200)+`"}`)
	fill("demands: snake case", demands,
		`{"material_demand_id":1,"changed_at":1,"material_number_customer":1,"material_description_customer":1,`+
			`"demand_series":[]}`)
	one("demands: the same series", demands, `"demandSeries"`,
		`{"customerLocation":"BPNS8888888888XX","demandCategory":{"demandCategoryCode":"0001"},"demands":[]}`)
	one("demands: the same week in one series", demands,
		`"demandSeries":[{"customerLocation":"BPNS8888888888XX"}],"x"`, `{"pointInTime":"2026-12-07","demand":1}`)
	all[len(all)-1].body = bytes.Replace(all[len(all)-1].body, []byte(`}],"x":[`), []byte(`,"demands":[`), 1)
	all[len(all)-1].body = append(bytes.TrimSuffix(all[len(all)-1].body, []byte("]}]")), "]}]}]"...)

	comments := read(payload.ReadComments)
	comment := `{"commentId":"0157ba42-d2a8-4e28-8565-7b07830c1110",` +
		`"objectId":"0157ba42-d2a8-4e28-8565-7b07830c1110",` +
		`"objectType":"urn:samm:io.catenax.week_based_capacity_group","supplier":"BPNL6666666666YY",` +
		`"customer":"BPNL8888888888XX"%s}`
	fill("comments: the least that is valid", comments, fmt.Sprintf(comment, ""))
	fill("comments: escaped text", comments, fmt.Sprintf(comment,
		`,"commentText":"`+strings.Repeat(`\ud83d\ude00`, 5000)+`"`))
	fill("comments: text too long", comments, fmt.Sprintf(comment, `,"commentText":"`+strings.Repeat("x", 5001)+`"`))
	fill("comments: authors", comments, fmt.Sprintf(comment, `,"author":"`+strings.Repeat("a@", 150)+`"`))
	fill("comments: snake case", comments,
		`{"comment_id":1,"object_id":1,"object_type":1,"comment_text":1,"posted_at":1,"changed_at":1,`+
			`"request_delete":1,"reference_dates":[1,2,3,4,5,6,7,8,9,10,11,12]}`)
	one("comments: the same reference date", comments, `"listOfReferenceDates"`, `"2026-12-07"`)

	requests := read(payload.ReadRequestsForUpdate)
	id := `{"materialDemandId":"0157ba42-d2a8-4e28-8565-7b07830c1110","changedAt":"2024-01-01T00:00:00Z"}`
	one("requests: one ID", requests, `"weekBasedMaterialDemand"`, id)
	one("requests: no ID", requests, `"weekBasedMaterialDemand"`, `{"materialDemandID":1}`)
	fill("requests: an entry each", requests, `{"weekBasedMaterialDemand":[`+id+`]}`)
	fill("requests: for everything", requests, `{}`)
	fill("requests: for nothing", requests, `{"week_based_material_demand":[]}`)

	for range turns {
		for _, h := range all {
			times := max(h.times, 1)
			start := cpu(t)
			for range times {
				if err := h.read(h.body); err != nil {
					t.Fatalf("%s: %v", h.name, err)
				}
			}
			if took := (cpu(t) - start) / time.Duration(times); h.least == 0 || took < h.least {
				h.least = took
			}
		}
	}
	for _, h := range all[1:] {
		times := float64(h.least) / float64(len(h.body)) / (float64(usual.least) / float64(len(usual.body)))
		if t.Logf("%s: %.1f times a usual list", h.name, times); times > most {
			t.Errorf("%s: %v for %d bytes, a usual list of %d bytes %v", h.name, h.least, len(h.body),
				len(usual.body), usual.least)
		}
	}
}

// hostile is a body, and the least CPU that it took to read it.
type hostile struct {
	name  string
	read  func([]byte) error
	body  []byte
	times int // how often it is read in one turn, if more than once: what takes a millisecond cannot be told alone
	least time.Duration
}

func read[T any](reader func([]byte, payload.Options) (*payload.Message[T], error)) func([]byte) error {
	return func(body []byte) error {
		_, err := reader(body, checked)
		return err
	}
}

package payload_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"dcm-receiver/internal/cx0048"
	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/example"
	"dcm-receiver/internal/payload"
	"dcm-receiver/schemas"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
)

// today is a Wednesday; the current week is 2026-11-23, the next 2026-11-30.
var today = dcm.DateOf(time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC))

// checked are the checks of CX-0048.
var checked = payload.Options{
	Weeks:       cx0048.Weeks,
	GroupWeeks:  func(weeks iter.Seq2[int, dcm.Date]) string { return cx0048.GroupWeeks(weeks, today) },
	DemandWeeks: func(weeks iter.Seq2[int, dcm.Date]) string { return cx0048.DemandWeeks(weeks, today) },
}

// published is the example of the data model as an object.
func published(t testing.TB) map[string]any {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "schemas", "testdata", "week-based-capacity-group-3.0.1.json"))
	if err != nil {
		t.Fatal(err)
	}
	var object map[string]any
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.UseNumber()
	if err := decoder.Decode(&object); err != nil {
		t.Fatal(err)
	}
	return object
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func readGroups(t testing.TB, body []byte) *payload.Message[dcm.CapacityGroup] {
	t.Helper()
	m, err := payload.ReadCapacityGroups(body, checked)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestPublishedExample(t *testing.T) {
	m := readGroups(t, marshal(t, []any{published(t)}))
	if m.Errors.Any() || len(m.Objects) != 1 || m.Objects[0].Errors.Any() {
		t.Fatalf("refused: %+v", m)
	}
	g := m.Objects[0].Value
	supplierNumber := "MNR-8101-ID146955.001"
	start, _ := dcm.ParseXSDDateTime("2024-01-10T12:00:00.320Z")
	changed, _ := dcm.ParseTimestamp("2023-03-10T12:27:11.320Z")
	id, _ := dcm.ParseID("0157ba42-d2a8-4e28-8565-7b07830c1110")
	linked, _ := dcm.ParseID("be4d8470-2de6-43d2-b5f8-2e5d3eebf3fd")
	week, _ := dcm.ParseDate("2022-08-01")
	want := dcm.CapacityGroup{
		ID: id, Supplier: "BPNL6666666666YY", Customer: "BPNL8888888888XX",
		Name:      "Spark Plugs on drilling machine for car model XYZ",
		ChangedAt: changed, UnitOfMeasure: "unit:piece", IsInactive: true,
		SupplierLocations: []string{"BPNS8888888888XX"}, LinkedCapacityGroups: append(g.LinkedCapacityGroups[:0:0],
			linked),
		LinkedDemandSeries: []dcm.LinkedDemandSeries{{
			MaterialNumberCustomer: "MNR-7307-AU340474.002", MaterialNumberSupplier: &supplierNumber,
			CustomerLocation: "BPNS8888888888XX", DemandCategoryCode: "0001", LoadFactor: "3.5",
		}},
		Capacities: []dcm.Capacity{{PointInTime: week, ActualCapacity: "1000", MaximumCapacity: "2000",
			AgreedCapacity: "1800", DeltaProductionResult: "400"}},
		DemandVolatility: &dcm.DemandVolatilityParameters{
			StartReferenceDateTime: start, MeasurementInterval: "4",
			AlertThresholds: []dcm.AlertThreshold{{
				SequenceNumber: "1", SubhorizonLength: "4", RelativePositiveDeviation: "0.2",
				RelativeNegativeDeviation: "0.3",
				AbsolutePositiveDeviation: "100", AbsoluteNegativeDeviation: "100",
			}},
		},
	}
	if diff := cmp.Diff(want, g); diff != "" {
		t.Error(diff)
	}
}

// TestNotJSON: what is refused with 422, and in which words (choice 16).
func TestNotJSON(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for name, c := range map[string]struct{ body, want string }{
		"empty":             {"", "the body is empty"},
		"white space":       {" \n", "the body is empty"},
		"cut off":           {`[{"capacityGroupId":"0157`, "it ends too early"},
		"cut off in list":   {`[{}`, "it ends too early"},
		"trailing data":     {`[] []`, "after the JSON text"},
		"trailing comma":    {`[1,]`, "at byte"},
		"single quotes":     {`['a']`, "at byte"},
		"NaN":               {`[NaN]`, "at byte"},
		"leading zero":      {`[01]`, "at byte"},
		"invalid UTF-8":     {"[\"\xff\"]", "invalid UTF-8"},
		"lone surrogate":    {`["\ud800"]`, "surrogate"},
		"name twice":        {`[{"a":1,"a":2}]`, "a name is twice in one object: /0/a"},
		"name twice hidden": {`[{"capacityGroupId":1,"capacity\u0047roupId":2}]`, "a name is twice"},
		"unknown and twice": {`{"x":{"y":{"a":1,"a":1}}}`, "a name is twice"},
		"too deep":          {deep(65), "nested deeper than 64"},
		"too deep unknown":  {`{"x":` + deep(64) + `}`, "nested deeper than 64"},
		"too deep known":    {`[{"capacities":` + deep(63) + `}]`, "nested deeper than 64"},
		"byte order mark":   {"\ufeff[]", "byte order mark"},
		"control character": {"[\"a\x01\"]", "at byte"},
	} {
		for _, read := range []func([]byte) error{
			func(b []byte) error {
				_, err := payload.ReadCapacityGroups(b, checked)
				return err
			},
			func(b []byte) error { _, err := payload.ReadRequestsForUpdate(b, payload.Options{}); return err },
		} {
			if err := read([]byte(c.body)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v; want %q", name, err, c.want)
			}
		}
	}
	for name, body := range map[string]string{"64 deep": deep(64), "64 deep unknown": `{"x":` + deep(63) + `}`,
		"pair": `["\ud83d\ude00"]`} {
		if _, err := payload.ReadCapacityGroups([]byte(body), checked); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestViolations: the checks that a schema cannot make, and how they and the
// schema's findings come together.
func TestViolations(t *testing.T) {
	week := func(date string) any {
		return map[string]any{"pointInTime": date, "actualCapacity": 1, "maximumCapacity": 2}
	}
	const id = "BE4D8470-2de6-43d2-b5f8-2e5d3eebf3fd"
	series := func(factor json.Number) any {
		return map[string]any{"materialNumberCustomer": "M", "customerLocation": "BPNS8888888888XX",
			"loadFactor":     factor,
			"demandCategory": map[string]any{"demandCategoryCode": "0001"}, "unknown": factor}
	}
	for name, c := range map[string]struct {
		set  map[string]any
		want []string // "pointer: beginning of detail"
	}{
		"valid": {},
		"a Tuesday": {map[string]any{"capacities": []any{week("2023-02-13"), week("2023-02-14")}},
			[]string{"/0/capacities/1/pointInTime: 2023-02-14 is a Tuesday; pointInTime must be a Monday"}},
		"week twice": {map[string]any{"capacities": []any{week("2023-02-13"), week("2023-02-20"),
			week("2023-02-13")}}, []string{"/0/capacities/2/pointInTime: week 2023-02-13 is there twice"}},
		"week twice in a row": {map[string]any{"capacities": []any{week("2023-02-20"), week("2023-02-20")}},
			[]string{"/0/capacities/1/pointInTime: week 2023-02-20 is there twice"}},
		"weeks backwards": {map[string]any{"capacities": []any{week("2023-02-20"), week("2023-02-13"),
			week("2023-02-06")}}, nil},
		"only current and next": {map[string]any{"capacities": []any{week("2026-11-23"), week("2026-11-30")}},
			[]string{"/0/capacities: there are only the current week (2026-11-23) and the next"}},
		"only current": {map[string]any{"capacities": []any{week("2026-11-23")}},
			[]string{"/0/capacities: there are only"}},
		"current and past":       {map[string]any{"capacities": []any{week("2026-11-23"), week("2026-11-16")}}, nil},
		"the one after the next": {map[string]any{"capacities": []any{week("2026-12-07")}}, nil},
		"no capacities":          {map[string]any{"capacities": nil}, []string{"/0/capacities: capacities is null"}},
		"capacities absent":      {map[string]any{"capacities": absent{}}, nil},
		"capacities empty":       {map[string]any{"capacities": []any{}}, []string{"/0/capacities: "}},
		"unit although omitted": {map[string]any{"unitOfMeasureIsOmitted": true},
			[]string{"/0/unitOfMeasure: unitOfMeasure is there although"}},
		"unit neither": {map[string]any{"unitOfMeasure": absent{}},
			[]string{"/0: unitOfMeasure is missing although"}},
		"unit omitted": {map[string]any{"unitOfMeasure": absent{}, "unitOfMeasureIsOmitted": true}, nil},
		"location twice": {map[string]any{"supplierLocations": []any{"BPNS8888888888XX", "BPNS8888888888YY",
			"BPNS8888888888XX"}}, []string{"/0/supplierLocations/2: this entry is there twice"}},
		"linked group twice": {map[string]any{"linkedCapacityGroups": []any{id,
			"urn:uuid:" + strings.ToLower(id)}}, []string{"/0/linkedCapacityGroups/1: this entry is there twice"}},
		"series twice": {map[string]any{"linkedDemandSeries": []any{series("1.5"), series("15e-1")}},
			[]string{"/0/linkedDemandSeries/1: this entry is there twice"}},
		"series twice, apart": {map[string]any{"linkedDemandSeries": []any{series("1.5"), series("1.6"),
			series("1.7"), series("1.5")}}, []string{"/0/linkedDemandSeries/3: this entry is there twice"}},
		"series differ": {map[string]any{"linkedDemandSeries": []any{series("1.5"), series("1.6")}}, nil},
		"everything at once": {map[string]any{"capacities": []any{week("2023-02-14"), week("2023-02-14"),
			map[string]any{}}, "supplier": absent{}, "unitOfMeasure": absent{}, "customer": "x"}, []string{
			`/0/capacities/2: actualCapacity is missing`, `/0/capacities/2: maximumCapacity is missing`,
			`/0/capacities/2: pointInTime is missing`,
			`/0/customer: customer is "x"`, `/0: supplier is missing`,
			`/0/capacities/0/pointInTime: 2023-02-14 is a Tuesday`,
			`/0/capacities/1/pointInTime: 2023-02-14 is a Tuesday`,
			`/0/capacities/1/pointInTime: week 2023-02-14 is there twice`, `/0: unitOfMeasure is missing although`,
		}},
		"series twice among many": {map[string]any{"linkedDemandSeries": []any{series("1"), series("2"), series("3"),
			series("4"), series("5"), series("6"), series("7"), series("8"),
			series("9"), series("10"),
			series("9.0")}}, []string{"/0/linkedDemandSeries/10: this entry is there twice"}},
		"threshold twice": {map[string]any{"demandVolatilityParameters": map[string]any{
			"startReferenceDateTime": "2027-01-01T00:00:00Z", "measurementInterval": 1,
			"rollingHorizonAlertThresholds": []any{
				map[string]any{"sequenceNumber": 1, "subhorizonLength": 4},
				map[string]any{"subhorizonLength": json.Number("4.0"), "sequenceNumber": 1}}}},
			[]string{"/0/demandVolatilityParameters/rollingHorizonAlertThresholds/1: this entry is there twice"}},
		"interval of 1000 weeks": {map[string]any{"demandVolatilityParameters": map[string]any{
			"startReferenceDateTime": "2027-01-01T00:00:00Z", "measurementInterval": 1000}},
			[]string{"/0/demandVolatilityParameters/measurementInterval: measurementInterval is 1000"}},
		"10^18": {map[string]any{"capacities": []any{map[string]any{"pointInTime": "2023-02-13",
			"actualCapacity": 1, "maximumCapacity": json.Number("1e18")}}}, nil},
		"beyond 10^18": {map[string]any{"capacities": []any{map[string]any{"pointInTime": "2023-02-13",
			"actualCapacity": 1, "maximumCapacity": json.Number(
				"1000000000000000000.5")}}}, []string{"/0/capacities/0/maximumCapacity: maximumCapacity is " +
			"1000000000000000000.5"}},
		"not an object":   {nil, nil},
		"NUL in a string": {map[string]any{"name": "a\x00b"}, []string{"/0/name: "}},
		"too many digits": {map[string]any{"capacities": []any{map[string]any{"pointInTime": "2023-02-13",
			"actualCapacity": 1, "maximumCapacity": 2, "deltaProductionResult": json.Number(
				"1e10000000")}}}, []string{"/0/capacities/0/deltaProductionResult: "}},
		"null name":       {map[string]any{"name": nil}, []string{"/0/name: name is null"}},
		"unknown ignored": {map[string]any{"x": "a\x00b", "y": json.Number("1e10000000"), "z": nil}, nil},
	} {
		object := published(t)
		for property, value := range c.set {
			if _, remove := value.(absent); remove {
				delete(object, property)
			} else {
				object[property] = value
			}
		}
		body := marshal(t, []any{object})
		if name == "not an object" {
			body, c.want = []byte(`[5]`), []string{"/0: "}
		}
		errors := readGroups(t, body).Objects[0].Errors
		got := fmt.Sprintf("%d violations:", len(errors.List))
		ok := len(errors.List) == len(c.want)
		for _, v := range errors.List {
			line := v.Pointer + ": " + v.Detail
			got += "\n  " + line
			found := false
			for _, want := range c.want {
				found = found || strings.HasPrefix(line, want)
			}
			ok = ok && found
		}
		if !ok {
			t.Errorf("%s: got %s\nwant %q", name, got, c.want)
		}
	}
}

type absent struct{}

// TestEnvelope: envelope and bare list, and what is wrong with a message as a
// whole.
func TestEnvelope(t *testing.T) {
	object := string(marshal(t, published(t)))
	header := `{"header":{"messageId":"0157ba42-d2a8-4e28-8565-7b07830c1111","context":"c",` +
		`"sentDateTime":"2023-03-10T24:00:00","senderBpn":"BPNL6666666666YY","receiverBpn":"BPNL8888888888XX",` +
		`"version":"3.0.0"}}`
	for name, c := range map[string]struct {
		body, want string // want is the first error's pointer and the beginning of its detail
		objects    int
	}{
		"list": {`[` + object + `,` + object + `]`, "", 2},
		"envelope": {`{"messageHeader":` + header + `,"content":{"informationObject":[` + object + `]}}`,
			"", 1},
		"header last": {`{"content":{"informationObject":[` + object + `]},"messageHeader":` + header + `}`,
			"", 1},
		"no header":      {`{"content":{"informationObject":[` + object + `]}}`, "", 1},
		"unknown beside": {`{"x":[{}],"content":{"y":1,"informationObject":[` + object + `]}}`, "", 1},
		"no content":     {`{"messageHeader":` + header + `}`, ": there is no WeekBasedCapacityGroup", 0},
		"content empty":  {`{"content":{}}`, "/content: there is no WeekBasedCapacityGroup", 0},
		"no object": {`{"content":{"informationObject":[]}}`,
			"/content/informationObject: there is no WeekBasedCapacityGroup", 0},
		"empty list":    {`[]`, ": there is no WeekBasedCapacityGroup", 0},
		"single object": {object, `: the body is an object with "capacities", `, 0},
		"number":        {`42`, ": the body must be a list", 0},
		"content null":  {`{"content":null}`, "/content: content must be an object", 0},
		"object, not list": {`{"content":{"informationObject":` + object + `}}`,
			"/content/informationObject: informationObject must be a list", 0},
		"header null": {`{"messageHeader":null,"content":{"informationObject":[` + object + `]}}`,
			"/messageHeader: messageHeader is null", 1},
		"header without header": {`{"messageHeader":{},"content":{"informationObject":[` + object + `]}}`,
			"/messageHeader: header is missing", 1},
		"related message": {`{"messageHeader":` + strings.Replace(header, `"context"`,
			`"relatedMessageId":"`+strings.Repeat("a", 8)+`-2de6-43d2-b5f8-2e5d3eebf3fd","context"`, 1) +
			`,"content":{"informationObject":[` + object + `]}}`, "", 1},
		"bad related message": {`{"messageHeader":` + strings.Replace(header, `"context"`,
			`"relatedMessageId":"no UUID","context"`, 1) + `,"content":{"informationObject":[` + object +
			`]}}`, `/messageHeader/header/relatedMessageId: relatedMessageId is "no UUID"`, 1},
		"bad sender": {`{"messageHeader":` + strings.Replace(header, "BPNL6666666666YY",
			"BPNS6666666666YY", 1) + `,"content":{"informationObject":[` + object +
			`]}}`, `/messageHeader/header/senderBpn: senderBpn is "BPNS6666666666YY"`, 1},
	} {
		m := readGroups(t, []byte(c.body))
		got := ""
		if m.Errors.Any() {
			got = m.Errors.List[0].Pointer + ": " + m.Errors.List[0].Detail
		}
		if len(m.Objects) != c.objects || !strings.HasPrefix(got, c.want) || (c.want == "") != (got == "") {
			t.Errorf("%s: %d objects, %q; want %d, %q", name, len(m.Objects), got, c.objects, c.want)
		}
	}
}

// TestHeaderFields: each field of the header is missed, or refused in another form.
func TestHeaderFields(t *testing.T) {
	whole := func() map[string]any {
		return map[string]any{"messageId": "0157ba42-d2a8-4e28-8565-7b07830c1111", "context": "c",
			"sentDateTime": "2023-03-10T24:00:00", "senderBpn": "BPNL6666666666YY",
			"receiverBpn": "BPNL8888888888XX", "expectedResponseBy": "2023-03-12T00:00:00",
			"relatedMessageId": "0157ba42-d2a8-4e28-8565-7b07830c1112", "version": "3.0.0"}
	}
	first := func(header map[string]any) string {
		m := readGroups(t, marshal(t, map[string]any{"messageHeader": map[string]any{"header": header},
			"content": map[string]any{"informationObject": []any{published(t)}}}))
		if !m.Errors.Any() {
			return ""
		}
		return m.Errors.List[0].Pointer + ": " + m.Errors.List[0].Detail
	}
	if got := first(whole()); got != "" {
		t.Fatalf("a whole header: %s", got)
	}
	for _, c := range []struct {
		name, wrong string
		optional    bool
	}{
		{name: "messageId", wrong: "0157ba42"},
		{name: "context", wrong: "a\x00"},
		{name: "sentDateTime", wrong: "10.03.2023"},
		{name: "senderBpn", wrong: "BPNS6666666666YY"},
		{name: "receiverBpn", wrong: "BPNL888"},
		{name: "expectedResponseBy", wrong: "soon", optional: true},
		{name: "relatedMessageId", wrong: "urn:uuid:", optional: true},
		{name: "version", wrong: "3"},
	} {
		header := whole()
		header[c.name] = c.wrong
		if got, want := first(header), "/messageHeader/header/"+c.name+": "+c.name+" is "; !strings.HasPrefix(got,
			want) {
			t.Errorf("%s = %q: %q, want %q…", c.name, c.wrong, got, want)
		}
		delete(header, c.name)
		want := "/messageHeader/header: " + c.name + " is missing"
		if c.optional {
			want = ""
		}
		if got := first(header); got != want {
			t.Errorf("without %s: %q, want %q", c.name, got, want)
		}
	}
}

func TestRequestForUpdate(t *testing.T) {
	const id = "0157ba42-d2a8-4e28-8565-7b07830c1111"
	for name, c := range map[string]struct {
		body string
		want []string // kind, ID or "all"
		bad  string
	}{
		"no content": {`{}`, []string{"WeekBasedMaterialDemand all", "WeekBasedCapacityGroup all"}, ""},
		"no object": {`{"content":{"informationObject":[]}}`,
			[]string{"WeekBasedMaterialDemand all", "WeekBasedCapacityGroup all"}, ""},
		"empty list":  {`[]`, []string{"WeekBasedMaterialDemand all", "WeekBasedCapacityGroup all"}, ""},
		"empty entry": {`[{}]`, []string{"WeekBasedMaterialDemand all", "WeekBasedCapacityGroup all"}, ""},
		"all demands": {`[{"weekBasedMaterialDemand":[]}]`, []string{"WeekBasedMaterialDemand all"}, ""},
		"all groups":  {`[{"weekBasedCapacityGroup":[]}]`, []string{"WeekBasedCapacityGroup all"}, ""},
		"one demand": {`[{"weekBasedMaterialDemand":[{"materialDemandId":"` + id + `"}]}]`,
			[]string{"WeekBasedMaterialDemand " + id}, ""},
		"newer only": {`[{"weekBasedMaterialDemand":[{"materialDemandId":"` + id +
			`","changedAt":"2024-01-01T00:00:00"}]}]`, []string{"WeekBasedMaterialDemand " + id + " 2024-01-01"}, ""},
		"nil UUID": {`[{"weekBasedMaterialDemand":[{"materialDemandId":"00000000-0000-0000-0000-000000000000"}]}]`,
			[]string{"WeekBasedMaterialDemand 00000000-0000-0000-0000-000000000000"}, ""},
		"no ID": {`[{"weekBasedMaterialDemand":[{}]}]`, nil,
			"/0/weekBasedMaterialDemand/0: materialDemandId is missing"},
		"bad changedAt": {`[{"weekBasedMaterialDemand":[{"materialDemandId":"` + id +
			`","changedAt":"2024-02-30T00:00:00"}]}]`, nil, "/0/weekBasedMaterialDemand/0/changedAt: "},
		"not a list": {`{"content":{"informationObject":[{"weekBasedMaterialDemand":{}}]}}`, nil,
			"/content/informationObject/0/weekBasedMaterialDemand: "},
		"entry no object": {`[1]`, nil, "/0: "},
	} {
		m, err := payload.ReadRequestsForUpdate([]byte(c.body), payload.Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if c.bad != "" {
			if !m.Errors.Any() || !strings.HasPrefix(m.Errors.List[0].Pointer+": "+m.Errors.List[0].Detail, c.bad) {
				t.Errorf("%s: %+v; want %q", name, m.Errors, c.bad)
			}
			continue
		}
		var got []string
		for _, r := range m.Objects {
			line := r.Value.Object + " all"
			if r.ID != nil {
				line = r.Value.Object + " " + r.ID.String()
			}
			if r.Value.ChangedAt != nil {
				line += " " + r.Value.ChangedAt.Format(time.DateOnly)
			}
			got = append(got, line)
		}
		if diff := cmp.Diff(c.want, got); diff != "" || m.Errors.Any() {
			t.Errorf("%s: %s %+v", name, diff, m.Errors)
		}
	}
}

// TestErrorsAreBounded: at most 100 errors an object are listed, the rest is
// counted; and a message of nothing but errors stays readable.
func TestErrorsAreBounded(t *testing.T) {
	weeks := strings.TrimSuffix(strings.Repeat(`{"pointInTime":"2023-02-14","actualCapacity":1,"maximumCapacity":1},`,
		150), ",")
	g := readGroups(t, []byte(`[{"capacities":[`+weeks+`]}]`)).Objects[0]
	// 150 Tuesdays, 149 of them twice, 7 required properties missing.
	if len(g.Errors.List) != 100 || g.Errors.More != 150+149+7-100 {
		t.Errorf("%d listed, %d more", len(g.Errors.List), g.Errors.More)
	}
	listed := 0
	m := readGroups(t, []byte(`[`+strings.TrimSuffix(strings.Repeat(`{}`+strings.Repeat(" ", 200)+`,`, 20_000),
		",")+`]`))
	for i := range m.Objects {
		listed += len(m.Objects[i].Errors.List)
		if !m.Objects[i].Errors.Any() {
			t.Fatalf("object %d has no error", i)
		}
	}
	if listed > 31_000 {
		t.Errorf("%d errors are listed for one message", listed)
	}
	if m = readGroups(t, []byte(`[`+strings.Repeat(`{},`, 99)+`{}]`)); m.Errors.Any() || len(m.Objects) != 100 {
		t.Errorf("%d objects, errors %+v; want all 100 judged", len(m.Objects), m.Errors)
	}
	if m = readGroups(t, []byte(`[`+strings.Repeat(`{},`, 100)+`{}]`)); !m.Errors.Any() || len(m.Objects) != 100 {
		t.Errorf("%d objects, errors %+v; want the message refused", len(m.Objects), m.Errors)
	}
}

// TestHostileBodiesCostNoMoreThanTheirSize measures memory, which does not
// depend on the machine.
func TestHostileBodiesCostNoMoreThanTheirSize(t *testing.T) {
	const size = 1 << 20
	fill := func(before, repeated, after string) []byte {
		n := (size - len(before) - len(after)) / len(repeated)
		return []byte(before + strings.TrimSuffix(strings.Repeat(repeated, n), ",") + after)
	}
	for name, body := range map[string][]byte{
		"objects in capacities": fill(`[{"capacities":[`, `{},`, `]}]`),
		"numbers in capacities": fill(`[{"capacities":[`, `1,`, `]}]`),
		"weeks twice": fill(`[{"capacities":[`,
			`{"pointInTime":"2023-02-13","actualCapacity":1,"maximumCapacity":1},`, `]}]`),
		"unknown properties": fill(`[{"x":[`, `{},`, `]}]`),
		"list as name":       fill(`[{"name":[`, `[],`, `]}]`),
		"long name":          fill(`[{"name":"`, `a`, `"}]`),
		"escapes":            fill(`[{"name":"`, `\u0061`, `"}]`),
		"linked groups":      fill(`[{"linkedCapacityGroups":[`, `"0157ba42-d2a8-4e28-8565-7b07830c1110",`, `]}]`),
		"objects":            fill(`[`, `{},`, `]`),
		"numbers":            fill(`[`, `1,`, `]`),
		"requests":           fill(`[`, `{},`, `]`),
		"empty requests":     fill(`[{"weekBasedMaterialDemand":[`, `{},`, `]}]`),
		"white space":        fill(`[`, ` `, `]`),
		"long number":        fill(`[{"capacities":[{"actualCapacity":1`, `0`, `}]}]`),
	} {
		read := func() {
			if strings.Contains(name, "requests") {
				_, _ = payload.ReadRequestsForUpdate(body, payload.Options{})
			} else {
				_, _ = payload.ReadCapacityGroups(body, checked)
			}
		}
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		read()
		runtime.ReadMemStats(&after)
		// Most of it is garbage at once; what is held at a time is far less.
		if times := float64(after.TotalAlloc-before.TotalAlloc) / size; times > 40 {
			t.Errorf("%s: %.1f times its size was allocated", name, times)
		} else {
			t.Logf("%s: %.1f times its size was allocated", name, times)
		}
	}
}

// FuzzRead: nothing panics, and what the one pass accepts the schema accepts
// too, and the other way round.
func FuzzRead(f *testing.F) {
	object := marshal(f, published(f))
	f.Add([]byte(`[` + string(object) + `]`))
	f.Add(example.Message(example.Options{Groups: 1, Weeks: 3, Supplier: example.Supplier, Customer: example.Customer,
		Now: time.Unix(1795392000, 0)}))
	f.Add([]byte(
		`[{"weekBasedMaterialDemand":[{"materialDemandId":"0157ba42-d2a8-4e28-8565-7b07830c1111",` +
			`"changedAt":"2024-01-01T24:00:00"}]}]`))
	f.Add([]byte(
		`{"content":{"informationObject":[{"capacities":[{"pointInTime":"2023-02-13","actualCapacity":-0.0,` +
			`"maximumCapacity":1e18}]}]}}`))
	// Capacities that are spelled alike, and others after them.
	alike := `"capacities":[{"pointInTime":"2026-12-07","actualCapacity":1,"maximumCapacity":2},` +
		`{"pointInTime":"2026-12-14","actualCapacity":30,"maximumCapacity":4.5}`
	valid := regexp.MustCompile(`"capacities":\[[^]]*`)
	for _, other := range []string{
		`{"pointInTime":"2026-12-21","actualCapacity":5,"maximumCapacity":6,"agreedCapacity":7},` +
			`{"pointInTime":"2026-12-28","actualCapacity":8,"maximumCapacity":9}`,
		`{"maximumCapacity":6,"actualCapacity":5,"pointInTime":"2026-12-21"}`,
		`{"pointInTime":"2026-12-21","actualCapacity":5,"maximumCapacity":6,"other":[]},` +
			`{"pointInTime":"2026-12-28","actualCapacity":5,"maximumCapacity":6,"other":[]}`,
		`{"pointInTime" : "2026-12-21", "actualCapacity": 5, "maximumCapacity": 6 }`,
		`{"pointInTime":"2026-12-21","actualCapacity":-1,"maximumCapacity":6}`,
		`{"pointInTime":"2026-12-22","actualCapacity":1e3,"maximumCapacity":"6"}`,
		`{"pointInTime":"2026-12-21","actualCapacity":5,"maximumCapacity":6,"actualCapacity":5}`,
		`{"pointInTime":"2026-12-21","actualCapacity":05,"maximumCapacity":6}`,
		`{"pointInTime":"2026-12-21","actualCapacity":5,"maximumCapacity":6`,
		`{"pointInTime":"2026-12-21","actualCapacity":5,"maximumCapacity":{"pointInTime":[[`,
		`{}`,
	} {
		f.Add(append(append([]byte{'['}, valid.ReplaceAllLiteral(object, []byte(alike+","+other))...), ']'))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		holdStrict(t, body)
		if m, err := payload.ReadCapacityGroups(body, checked); err == nil {
			holdPlaces(t, body, m.Errors)
			for i := range m.Objects {
				holdEqual(t, &m.Objects[i])
				holdPlaces(t, body, m.Objects[i].Errors)
			}
		}
		if m, err := payload.ReadRequestsForUpdate(body, payload.Options{}); err == nil {
			holdPlaces(t, body, m.Errors)
		}
	})
}

// isJSON is what package jsontext says: one JSON text in the strict sense, not
// nested deeper than 64.
func isJSON(body []byte) bool {
	d := jsontext.NewDecoder(bytes.NewReader(body))
	for {
		if _, err := d.ReadToken(); err != nil || d.StackDepth() > 64 {
			return false
		}
		if d.StackDepth() == 0 {
			_, err := d.ReadToken()
			return err == io.EOF
		}
	}
}

// holdStrict: our reading takes what package jsontext takes, and nothing else.
func holdStrict(t *testing.T, body []byte) {
	t.Helper()
	want := isJSON(body)
	_, err := payload.ReadCapacityGroups(body, checked)
	_, errOther := payload.ReadRequestsForUpdate(body, payload.Options{})
	if (err == nil) != want || (errOther == nil) != want {
		t.Fatalf("is it JSON? %t, but read: %v, %v\n%q", want, err, errOther, body)
	}
	if err != nil && strings.Contains(err.Error(), "could not be read") {
		t.Fatalf("%v\n%q", err, body)
	}
}

// TestEveryByte changes each byte of a text that has everything JSON has.
func TestEveryByte(t *testing.T) {
	text := []byte(
		`[{"name":"a\"\\\/\b\u00e9\ud83d\udE00é😀","a":-1.5e+10,"b":[0, 1E-2 ,{}],"c":null,"d":true,"e":false}, ` +
			`{"x" : {"y":[[],{"z":""}]}}]` + "\r\n\t ")
	random := rand.New(rand.NewPCG(1, 1))
	for i := range text {
		holdStrict(t, text[:i])
		holdStrict(t, slices.Delete(slices.Clone(text), i, i+1))
		for c := range 256 {
			changed := slices.Clone(text)
			changed[i] = byte(c)
			holdStrict(t, changed)
			holdStrict(t, slices.Insert(slices.Clone(text), i, byte(c)))
			changed[random.IntN(len(text))] = text[random.IntN(len(text))]
			holdStrict(t, changed)
		}
	}
}

// FuzzJSON: our reading is as strict as package jsontext, and a string means the
// same to both.
func FuzzJSON(f *testing.F) {
	for _, text := range []string{`"a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00é😀\u0000"`, `{"a":1,"\u0061":2}`,
		`[0,-0.5,1e9,1E+9,[],{},true,false,null]`, "\ufeff1", `"\ud83dx"`, "\"\xed\xa0\x80\"",
		strings.Repeat("[", 64) + strings.Repeat("]", 64), `{` + strings.Repeat(`"a":1,`, 20) + `"b":2}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		holdStrict(t, text)
		body := slices.Concat(
			[]byte(`[{"capacityGroupId":"0157ba42-d2a8-4e28-8565-7b07830c1110","customer":"BPNL8888888888XX",`+
				`"supplier":"BPNL6666666666YY",`+
				`"changedAt":"2026-12-01T00:00:00Z","unitOfMeasureIsOmitted":true,"capacityGroupIsInactive":false,`+
				`"name":`), text, []byte(`}]`))
		holdStrict(t, body)
		var want string
		if m, err := payload.ReadCapacityGroups(body, checked); err != nil || json.Unmarshal(text, &want) != nil ||
			want == "" || len(m.Objects) != 1 {
			return
		}
		g := readGroups(t, body).Objects[0]
		if g.Errors.Any() != strings.Contains(want, "\x00") || !g.Errors.Any() && g.Value.Name != want {
			t.Fatalf("%s is read as %q, want %q; errors: %v", text, g.Value.Name, want, g.Errors)
		}
	})
}

// holdPlaces follows each pointer: it leads to something in the body.
func holdPlaces(t *testing.T, body []byte, errors dcm.Violations) {
	t.Helper()
	for _, v := range errors.List {
		var place any
		if err := json.Unmarshal(body, &place); err != nil {
			return // a number beyond float64
		}
		for _, step := range strings.Split(v.Pointer, "/")[1:] {
			switch at := place.(type) {
			case map[string]any:
				var there bool
				if place, there = at[step]; !there {
					t.Fatalf("%s leads nowhere in %s", v.Pointer, body)
				}
			case []any:
				index, err := strconv.Atoi(step)
				if err != nil || index >= len(at) {
					t.Fatalf("%s leads nowhere in %s", v.Pointer, body)
				}
				place = at[index]
			default:
				t.Fatalf("%s leads nowhere in %s", v.Pointer, body)
			}
		}
		if v.Detail == "" {
			t.Fatalf("%s: no words", v.Pointer)
		}
	}
}

// TestMutations changes one place of the published example, and two places at
// once, in every way that a careless sender might; the schema is the judge.
func TestMutations(t *testing.T) {
	values := []any{nil, "", "x", "\x00", -1, 0, json.Number("1.5"), json.Number("1e400"), json.Number("1e2000"),
		true, []any{}, map[string]any{}, []any{nil}, "2023-02-13", "2023-02-30",
		"2023-03-10T12:27:11.320Z", "2024-01-10T24:00:00", "BPNL8888888888XX", "0157ba42-d2a8-4e28-8565-7b07830c1110",
		absent{}}
	places := placesOf(nil, published(t))
	checked := 0
	check := func(change ...func(object map[string]any)) {
		object := published(t)
		for _, c := range change {
			c(object)
		}
		body := marshal(t, []any{object})
		m := readGroups(t, body)
		holdEqual(t, &m.Objects[0])
		holdPlaces(t, body, m.Objects[0].Errors)
		checked++
	}
	random := rand.New(rand.NewPCG(1, 1))
	for _, place := range places {
		for _, value := range values {
			one := func(object map[string]any) { set(object, place, value) }
			check(one)
			other, another := places[random.IntN(len(places))], values[random.IntN(len(values))]
			check(one, func(object map[string]any) { set(object, other, another) })
		}
	}
	if checked < 1500 {
		t.Errorf("only %d mutations", checked)
	}
}

// placesOf lists the paths to every value below v.
func placesOf(path []any, v any) (places [][]any) {
	step := func(key, value any) {
		below := append(path[:len(path):len(path)], key)
		places = append(append(places, below), placesOf(below, value)...)
	}
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			step(name, v[name])
		}
	case []any:
		for i := range v {
			step(i, v[i])
		}
	}
	return places
}

// set replaces the value at a path, where it is still there.
func set(v any, path []any, value any) {
	for i, key := range path {
		last := i == len(path)-1
		switch at := v.(type) {
		case map[string]any:
			name, ok := key.(string)
			switch {
			case !ok:
				return
			case last && value == any(absent{}):
				delete(at, name)
			case last:
				at[name] = value
			default:
				v = at[name]
			}
		case []any:
			index, ok := key.(int)
			switch {
			case !ok || index >= len(at):
				return
			case last && value != any(absent{}):
				at[index] = value
			default:
				v = at[index]
			}
		default:
			return
		}
	}
}

// holdSchema compares the one pass with the schema: an object is without schema
// violations for both or for neither.
func holdSchema[T any](t *testing.T, schema *schemas.Schema, o *payload.Object[T]) {
	t.Helper()
	found := map[dcm.Violation]bool{}
	schema.Check(o.Raw, math.MaxInt, func(v dcm.Violation) bool {
		v.Pointer = o.Pointer + v.Pointer
		found[v] = true
		return true
	})
	for _, v := range o.Errors.List {
		if strings.Contains(v.Detail, "could not be read") {
			t.Fatalf("the schema accepts what the one pass does not: %s", o.Raw)
		}
		delete(found, v)
	}
	if len(found) > 0 && o.Errors.More == 0 {
		t.Fatalf("the one pass accepts what the schema refuses: %s: %v", o.Raw, found)
	}
}

// holdEqual holds a group to the schema. The capacities of one that is taken are those
// that another reader finds.
func holdEqual(t *testing.T, g *payload.Object[dcm.CapacityGroup]) {
	t.Helper()
	holdSchema(t, schemas.CapacityGroup, g)
	if g.Errors.Any() {
		return
	}
	var other struct {
		Capacities []struct {
			PointInTime           string         `json:"pointInTime"`
			ActualCapacity        jsontext.Value `json:"actualCapacity"`
			MaximumCapacity       jsontext.Value `json:"maximumCapacity"`
			AgreedCapacity        jsontext.Value `json:"agreedCapacity"`
			DeltaProductionResult jsontext.Value `json:"deltaProductionResult"`
		} `json:"capacities"`
	}
	if err := jsonv2.Unmarshal(g.Raw, &other); err != nil {
		t.Fatal(err)
	}
	decimal := func(v jsontext.Value) (d dcm.Decimal) {
		if v != nil {
			d, _ = dcm.ParseDecimal(string(v))
		}
		return d
	}
	for i, c := range other.Capacities {
		day, _ := dcm.ParseDate(c.PointInTime)
		want := dcm.Capacity{PointInTime: day, ActualCapacity: decimal(c.ActualCapacity),
			MaximumCapacity: decimal(c.MaximumCapacity),
			AgreedCapacity:  decimal(c.AgreedCapacity), DeltaProductionResult: decimal(c.DeltaProductionResult)}
		if i >= len(g.Value.Capacities) || g.Value.Capacities[i] != want {
			t.Fatalf("capacity %d of %s was read as %+v", i, g.Raw, g.Value.Capacities)
		}
	}
	if len(g.Value.Capacities) != len(other.Capacities) {
		t.Fatalf("%s was read as %+v", g.Raw, g.Value.Capacities)
	}
}

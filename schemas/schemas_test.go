package schemas

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v5"

	"dcm-receiver/internal/dcm"
)

// The documents that the tests change: each has every property there is.
var (
	group   = string(must(os.ReadFile("testdata/week-based-capacity-group-3.0.1.json")))
	header  = string(must(os.ReadFile("testdata/message-header.json")))
	request = string(must(os.ReadFile("testdata/id-based-request-for-update.json")))
	demand  = string(must(os.ReadFile("testdata/week-based-material-demand.json")))
	comment = string(must(os.ReadFile("testdata/id-based-comment.json")))
)

// documents has a full document for each schema.
var documents = []struct {
	file   string
	schema *Schema
	full   string
}{
	{"week-based-capacity-group.json", CapacityGroup, group},
	{"message-header.json", MessageHeader, header},
	{"id-based-request-for-update.json", RequestForUpdate, request},
	{"week-based-material-demand.json", MaterialDemand, demand},
	{"id-based-comment.json", Comment, comment},
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func check(s *Schema, raw string) []dcm.Violation {
	var all []dcm.Violation
	s.Check([]byte(raw), math.MaxInt, func(v dcm.Violation) bool { all = append(all, v); return true })
	return all
}

func decode(raw string) any {
	var v any
	d := json.NewDecoder(strings.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		panic(err)
	}
	return v
}

// with is document with the value at pointer replaced by raw, or taken out if
// raw is "".
func with(document, pointer, raw string) string {
	var replace func(v any, path []string) any
	replace = func(v any, path []string) any {
		if len(path) == 0 {
			return json.RawMessage(raw)
		}
		switch v := v.(type) {
		case map[string]any:
			if len(path) == 1 && raw == "" {
				delete(v, path[0])
			} else {
				v[path[0]] = replace(v[path[0]], path[1:])
			}
		case []any:
			i := must(strconv.Atoi(path[0]))
			v[i] = replace(v[i], path[1:])
		default:
			panic("no such place: " + pointer)
		}
		return v
	}
	var path []string
	if pointer != "" {
		path = strings.Split(pointer[1:], "/")
	}
	return string(must(json.Marshal(replace(decode(document), path))))
}

func TestFullDocumentsAreValid(t *testing.T) {
	for _, d := range documents {
		if diff := cmp.Diff([]dcm.Violation(nil), check(d.schema, d.full)); diff != "" {
			t.Errorf("%s: %s", d.file, diff)
		}
	}
}

// TestSentences is the catalogue of what partners read.
func TestSentences(t *testing.T) {
	units := strings.Join(dcm.UnitsOfMeasure, ", ")
	for _, c := range []struct {
		schema             *Schema
		document           string
		place, value       string // what is changed in the document; value "" takes it out
		pointer, sentences string // sentences "" means valid
	}{
		// What is missing, or null.
		{CapacityGroup, group, "/supplier", ``, "", `supplier is missing`},
		{CapacityGroup, group, "/unitOfMeasureIsOmitted", ``, "", `unitOfMeasureIsOmitted is missing`},
		{CapacityGroup, group, "/capacities/0/pointInTime", ``, "/capacities/0", `pointInTime is missing`},
		{CapacityGroup, group, "/linkedDemandSeries/0/demandCategory", `{}`, "/linkedDemandSeries/0/demandCategory",
			`demandCategoryCode is missing`},
		{CapacityGroup, group, "/capacities", ``, "", ``},
		{CapacityGroup, group, "/capacities", `[]`, "/capacities",
			`capacities is an empty list; it must have an entry, or be left out`},
		{CapacityGroup, group, "/supplierLocations", `[]`, "", ``},
		{CapacityGroup, group, "/name", `null`, "/name",
			`name is null; it must be a string, a text without NUL characters`},
		{CapacityGroup, group, "/capacities", `null`, "/capacities",
			`capacities is null; leave it out or send a list of weeks with their capacities`},
		{CapacityGroup, group, "/capacities/0/agreedCapacity", `null`, "/capacities/0/agreedCapacity",
			`agreedCapacity is null; leave it out or send a number from 0 to 1000000000000000000`},
		{MessageHeader, header, "/header", ``, "", `header is missing`},
		{MessageHeader, header, "/header/version", ``, "/header", `version is missing`},
		{RequestForUpdate, request, "/weekBasedMaterialDemand/0/materialDemandId", ``, "/weekBasedMaterialDemand/0",
			`materialDemandId is missing`},
		{RequestForUpdate, request, "", `{}`, "", ``},
		{RequestForUpdate, request, "/weekBasedMaterialDemand", `[]`, "", ``},

		// Another type.
		{CapacityGroup, group, "", `"group"`, "",
			`the capacity group is the string "group"; it must be an object that is one WeekBasedCapacityGroup`},
		{MessageHeader, header, "", `[]`, "",
			`messageHeader is a list; it must be an object with the message header as its "header"`},
		{RequestForUpdate, request, "", `null`, "",
			`the request is null; it must be an object with weekBasedMaterialDemand, weekBasedCapacityGroup, both ` +
				`or neither`},
		{CapacityGroup, group, "/capacities/0/actualCapacity", `"12"`, "/capacities/0/actualCapacity",
			`actualCapacity is the string "12"; it must be a number without quotation marks`},
		{CapacityGroup, group, "/capacities/0/actualCapacity", `true`, "/capacities/0/actualCapacity",
			`actualCapacity is true; it must be a number from 0 to 1000000000000000000`},
		{CapacityGroup, group, "/capacityGroupIsInactive", `"false"`, "/capacityGroupIsInactive",
			`capacityGroupIsInactive is the string "false"; it must be true or false without quotation marks`},
		{CapacityGroup, group, "/capacityGroupIsInactive", `0`, "/capacityGroupIsInactive",
			`capacityGroupIsInactive is the number 0; it must be true or false`},
		{CapacityGroup, group, "/name", `1.50`, "/name",
			`name is the number 1.50; it must be a string, a text without NUL characters`},
		{CapacityGroup, group, "/customer", `{"bpnl": "BPNL8888888888XX"}`, "/customer",
			`customer is an object; it must be a string, a BPNL: "BPNL" followed by 12 letters or digits`},
		{CapacityGroup, group, "/supplierLocations", `"BPNS8888888888XX"`, "/supplierLocations",
			`supplierLocations is the string "BPNS8888888888XX"; it must be a list of BPNS, in square brackets ` +
				`even if there is only one`},
		{CapacityGroup, group, "/supplierLocations/0", `["BPNS8888888888XX"]`, "/supplierLocations/0",
			`an entry of supplierLocations is a list; it must be a string, a BPNS: "BPNS" followed by 12 letters ` +
				`or digits`},
		{CapacityGroup, group, "/capacities/0", `1000`, "/capacities/0",
			`an entry of capacities is the number 1000; it must be an object with pointInTime, actualCapacity and ` +
				`maximumCapacity`},
		{CapacityGroup, group, "/linkedDemandSeries/0/demandCategory", `"0001"`,
			"/linkedDemandSeries/0/demandCategory",
			`demandCategory is the string "0001"; it must be an object with demandCategoryCode: ` +
				`{"demandCategoryCode": "0001"}`},
		{CapacityGroup, group, "/linkedDemandSeries/0/demandCategory/demandCategoryCode", `1`,
			"/linkedDemandSeries/0/demandCategory/demandCategoryCode",
			`demandCategoryCode is the number 1; it must be a string, one of 0001, A1S1, SR99, PI01, OS01, OI01, ` +
				`ED01, PO01 (did you mean "0001"?)`},

		// BPNs, IDs, codes, texts.
		{CapacityGroup, group, "/customer", `"BPNL123"`, "/customer",
			`customer is "BPNL123"; it must be a BPNL: "BPNL" followed by 12 letters or digits`},
		{CapacityGroup, group, "/customer", `"BPNS8888888888XX"`, "/customer",
			`customer is "BPNS8888888888XX"; it must be a BPNL: "BPNL" followed by 12 letters or digits`},
		{CapacityGroup, group, "/customer", `"BPNL8888888888XX\n"`, "/customer",
			`customer is "BPNL8888888888XX\n"; it must be a BPNL: "BPNL" followed by 12 letters or digits; there ` +
				`is white space around it`},
		{CapacityGroup, group, "/customer", `"BPNL\u0038888888888xx"`, "", ``},
		{CapacityGroup, group, "/capacityGroupId", `"urn:uuid:0157BA42-D2A8-4E28-8565-7B07830C1110"`, "", ``},
		{CapacityGroup, group, "/capacityGroupId", `"0157ba42d2a84e2885657b07830c1110"`, "/capacityGroupId",
			`capacityGroupId is "0157ba42d2a84e2885657b07830c1110"; it must be a UUID such as ` +
				`0157ba42-d2a8-4e28-8565-7b07830c1110, with or without "urn:uuid:" in front`},
		{CapacityGroup, group, "/unitOfMeasure", `"unit:pieces"`, "/unitOfMeasure",
			`unitOfMeasure is "unit:pieces"; did you mean unit:piece?`},
		{CapacityGroup, group, "/unitOfMeasure", `"pcs"`, "/unitOfMeasure",
			`unitOfMeasure is "pcs"; did you mean unit:piece?`},
		{CapacityGroup, group, "/unitOfMeasure", `"Unit:KiloGram"`, "/unitOfMeasure",
			`unitOfMeasure is "Unit:KiloGram"; did you mean unit:kilogram?`},
		{CapacityGroup, group, "/unitOfMeasure", `"barrel"`, "/unitOfMeasure",
			`unitOfMeasure is "barrel"; it must be one of ` + units},
		{CapacityGroup, group, "/name", `""`, "", ``},
		{CapacityGroup, group, "/name", `"a\u0000b"`, "/name",
			`name is "a\x00b"; it must be a text without NUL characters`},
		{CapacityGroup, group, "/supplier", `"` + strings.Repeat("ß", 40) + `"`, "/supplier",
			`supplier is "` + strings.Repeat("ß", 30) +
				`"…; it must be a BPNL: "BPNL" followed by 12 letters or digits`},
		{CapacityGroup, group, "/supplier", `"a` + strings.Repeat("ß", 40) + `"`, "/supplier",
			`supplier is "a` + strings.Repeat("ß", 29) +
				`"…; it must be a BPNL: "BPNL" followed by 12 letters or digits`},
		{CapacityGroup, group, "/supplier", `"\u001b[2J\u202e"`, "/supplier",
			`supplier is "\x1b[2J\u202e"; it must be a BPNL: "BPNL" followed by 12 letters or digits`},
		{MessageHeader, header, "/header/version", `"3.0.0-beta.1"`, "", ``},
		{MessageHeader, header, "/header/version", `"3.0"`, "/header/version",
			`version is "3.0"; it must be a version such as 3.0.0`},
		{MessageHeader, header, "/header/version", `"03.0.0"`, "/header/version",
			`version is "03.0.0"; it must be a version such as 3.0.0`},
		{MessageHeader, header, "/header/version", `"3\u00000\u00000"`, "/header/version",
			`version is "3\x000\x000"; it must be a version such as 3.0.0`},

		// Numbers.
		{CapacityGroup, group, "/capacities/0/actualCapacity", `-5`, "/capacities/0/actualCapacity",
			`actualCapacity is -5; it must not be negative`},
		{CapacityGroup, group, "/capacities/0/actualCapacity", `-0.0`, "", ``},
		{CapacityGroup, group, "/capacities/0/actualCapacity", `-1e-30`, "/capacities/0/actualCapacity",
			`actualCapacity is -1e-30; it must not be negative`},
		{CapacityGroup, group, "/capacities/0/deltaProductionResult", `-5`, "", ``},
		{CapacityGroup, group, "/capacities/0/deltaProductionResult", `1e30`, "", ``},
		{CapacityGroup, group, "/capacities/0/maximumCapacity", `999999999999999999.999`, "", ``},
		{CapacityGroup, group, "/capacities/0/maximumCapacity", `1E+18`, "", ``},
		{CapacityGroup, group, "/capacities/0/maximumCapacity", `1000000000000000000.001`,
			"/capacities/0/maximumCapacity",
			`maximumCapacity is 1000000000000000000.001; it must be at most 1000000000000000000`},
		{CapacityGroup, group, "/capacities/0/maximumCapacity", `1e10000000`, "/capacities/0/maximumCapacity",
			`maximumCapacity is 1e10000000; it must not need more than 40 digits when written out`},
		{CapacityGroup, group, "/capacities/0/deltaProductionResult", `0e99999999999999999999`, "", ``},
		{CapacityGroup, group, "/linkedDemandSeries/0/loadFactor", `-1e-99999999999999999999`,
			"/linkedDemandSeries/0/loadFactor",
			`loadFactor is -1e-99999999999999999999; it must not need more than 40 digits when written out`},
		{CapacityGroup, group, "/linkedDemandSeries/0/loadFactor", strings.Repeat("9", 40), "", ``},
		{CapacityGroup, group, "/linkedDemandSeries/0/loadFactor", strings.Repeat("9", 1001),
			"/linkedDemandSeries/0/loadFactor", `loadFactor is ` + strings.Repeat("9", 60) +
				`…; it must not need more than 40 digits when written out`},
		{CapacityGroup, group, "/name", `1e10000000`, "/name",
			`name is the number 1e10000000; it must be a string, a text without NUL characters`},
		{CapacityGroup, group, "/demandVolatilityParameters/measurementInterval", `0`,
			"/demandVolatilityParameters/measurementInterval", `measurementInterval is 0; it must be at least 1`},
		{CapacityGroup, group, "/demandVolatilityParameters/measurementInterval", `1000`,
			"/demandVolatilityParameters/measurementInterval", `measurementInterval is 1000; it must be at most 999`},
		{CapacityGroup, group, "/demandVolatilityParameters/measurementInterval", `1.5`,
			"/demandVolatilityParameters/measurementInterval",
			`measurementInterval is 1.5; it must be a whole number from 1 to 999`},
		{CapacityGroup, group, "/demandVolatilityParameters/measurementInterval", `40e-1`, "", ``},
		{CapacityGroup, group, "/demandVolatilityParameters/rollingHorizonAlertThresholds/0/subhorizonLength", `4.0`,
			"", ``},
		{CapacityGroup, group, "/demandVolatilityParameters/rollingHorizonAlertThresholds/0/subhorizonLength", `4.6`,
			"/demandVolatilityParameters/rollingHorizonAlertThresholds/0/subhorizonLength",
			`subhorizonLength is 4.6; it must be a whole number from 1 to 999`},
		{CapacityGroup, group, "/demandVolatilityParameters/rollingHorizonAlertThresholds/0/sequenceNumber", `1000`,
			"/demandVolatilityParameters/rollingHorizonAlertThresholds/0/sequenceNumber",
			`sequenceNumber is 1000; it must be at most 999`},
		{CapacityGroup, group,
			"/demandVolatilityParameters/rollingHorizonAlertThresholds/0/relativeNegativeDeviation", `1.01`,
			"/demandVolatilityParameters/rollingHorizonAlertThresholds/0/relativeNegativeDeviation",
			`relativeNegativeDeviation is 1.01; it must be at most 1`},
		{CapacityGroup, group,
			"/demandVolatilityParameters/rollingHorizonAlertThresholds/0/relativeNegativeDeviation", `-0.3`,
			"/demandVolatilityParameters/rollingHorizonAlertThresholds/0/relativeNegativeDeviation",
			`relativeNegativeDeviation is -0.3; it must not be negative`},
		{CapacityGroup, group,
			"/demandVolatilityParameters/rollingHorizonAlertThresholds/0/relativePositiveDeviation", `-1.01`, "", ``},

		// Dates and times.
		{CapacityGroup, group, "/capacities/0/pointInTime", `"2024-02-29"`, "", ``},
		{CapacityGroup, group, "/capacities/0/pointInTime", `"2023-02-30"`, "/capacities/0/pointInTime",
			`pointInTime is "2023-02-30"; it must be a date YYYY-MM-DD that exists`},
		{CapacityGroup, group, "/capacities/0/pointInTime", `"0000-01-03"`, "/capacities/0/pointInTime",
			`pointInTime is "0000-01-03"; it must be a date YYYY-MM-DD that exists`},
		{CapacityGroup, group, "/capacities/0/pointInTime", `"13.02.2023"`, "/capacities/0/pointInTime",
			`pointInTime is "13.02.2023"; it must be a date YYYY-MM-DD that exists; did you mean 2023-02-13?`},
		{CapacityGroup, group, "/capacities/0/pointInTime", `"13/02/2023"`, "/capacities/0/pointInTime",
			`pointInTime is "13/02/2023"; it must be a date YYYY-MM-DD that exists; did you mean 2023-02-13?`},
		{CapacityGroup, group, "/capacities/0/pointInTime", `"03/04/2023"`, "/capacities/0/pointInTime",
			`pointInTime is "03/04/2023"; it must be a date YYYY-MM-DD that exists; did you mean 2023-03-04 or ` +
				`2023-04-03?`},
		{CapacityGroup, group, "/capacities/0/pointInTime", `"44970"`, "/capacities/0/pointInTime",
			`pointInTime is "44970"; it must be a date YYYY-MM-DD that exists; did you mean 2023-02-13?`},
		{CapacityGroup, group, "/capacities/0/pointInTime", `"2023-W07"`, "/capacities/0/pointInTime",
			`pointInTime is "2023-W07"; it must be a date YYYY-MM-DD that exists; did you mean 2023-02-13?`},
		{CapacityGroup, group, "/capacities/0/pointInTime", `"20230213"`, "/capacities/0/pointInTime",
			`pointInTime is "20230213"; it must be a date YYYY-MM-DD that exists; did you mean 2023-02-13?`},
		{CapacityGroup, group, "/capacities/0/pointInTime", `"2023-02-13T00:00:00Z"`, "/capacities/0/pointInTime",
			`pointInTime is "2023-02-13T00:00:00Z"; it must be a date YYYY-MM-DD that exists; did you mean ` +
				`2023-02-13?`},
		{CapacityGroup, group, "/capacities/0/pointInTime", `"2023-2-3"`, "/capacities/0/pointInTime",
			`pointInTime is "2023-2-3"; it must be a date YYYY-MM-DD that exists; did you mean 2023-02-03?`},
		{CapacityGroup, group, "/capacities/0/pointInTime", `"31.02.2023"`, "/capacities/0/pointInTime",
			`pointInTime is "31.02.2023"; it must be a date YYYY-MM-DD that exists`},
		{CapacityGroup, group, "/capacities/0/pointInTime", `"soon"`, "/capacities/0/pointInTime",
			`pointInTime is "soon"; it must be a date YYYY-MM-DD that exists`},
		{CapacityGroup, group, "/capacities/0/pointInTime", `44970`, "/capacities/0/pointInTime",
			`pointInTime is the number 44970; it must be a string, a date YYYY-MM-DD that exists (spreadsheets ` +
				`count days so; did you mean "2023-02-13"?)`},
		{CapacityGroup, group, "/changedAt", `"2023-03-10T12:27:11.123456789+05:30"`, "", ``},
		{CapacityGroup, group, "/changedAt", `"2023-03-10T12:27:11"`, "/changedAt",
			`changedAt is "2023-03-10T12:27:11"; it must be a time with its zone (RFC 3339) that exists, such as ` +
				`2023-03-10T12:27:11.320Z`},
		{CapacityGroup, group, "/demandVolatilityParameters/startReferenceDateTime", `"2024-01-10T24:00:00"`, "", ``},
		{CapacityGroup, group, "/changedAt", `"9999-12-31T00:00:00Z"`, "/changedAt",
			`changedAt is "9999-12-31T00:00:00Z"; it must be from 0001-01-02 on and before 9999-12-31 (UTC), so ` +
				`that its year has four digits in every time zone`},
		{CapacityGroup, group, "/changedAt", `"9999-12-30T23:59:59Z"`, "", ``},
		{MessageHeader, header, "/header/sentDateTime", `"2023-02-30T12:00:00Z"`, "/header/sentDateTime",
			`sentDateTime is "2023-02-30T12:00:00Z"; it must be a time YYYY-MM-DDThh:mm:ss that exists, with or ` +
				`without fraction and zone, such as 2023-03-10T12:27:11.320Z`},
		{MessageHeader, header, "/header/expectedResponseBy", `"2023-02-28T24:00:01"`, "/header/expectedResponseBy",
			`expectedResponseBy is "2023-02-28T24:00:01"; it must be a time YYYY-MM-DDThh:mm:ss that exists, with ` +
				`or without fraction and zone, such as 2023-03-10T12:27:11.320Z`},
		{MessageHeader, header, "/header/expectedResponseBy", `"10000-01-01T00:00:00"`, "/header/expectedResponseBy",
			`expectedResponseBy is "10000-01-01T00:00:00"; it must be a time YYYY-MM-DDThh:mm:ss that exists, ` +
				`with or without fraction and zone, such as 2023-03-10T12:27:11.320Z`},
		{RequestForUpdate, request, "/weekBasedMaterialDemand/0/changedAt", `"2023-03-10"`,
			"/weekBasedMaterialDemand/0/changedAt",
			`changedAt is "2023-03-10"; it must be a time YYYY-MM-DDThh:mm:ss that exists, with or without ` +
				`fraction and zone, such as 2023-03-10T12:27:11.320Z`},

		// Names that were probably meant.
		{CapacityGroup, strings.Replace(group, `"supplier"`, `"suplier"`, 1), "/name", `"n"`, "",
			`supplier is missing; did you mean it by "suplier"?`},
		{CapacityGroup,
			`{"capacity_group_id": 1, "name": "n", "customer": "BPNL8888888888XX", "supplier": "BPNL8888888888XX",` +
				` "changed_at": 1, "unit_of_measure_is_omitted": 1, "capacity_group_is_inactive": 1}`, "/name", `"n"`,
			"",
			`names are written in snake_case (capacity_group_id, changed_at, unit_of_measure_is_omitted, …); they ` +
				`must be in camelCase: capacityGroupId, changedAt, unitOfMeasureIsOmitted, capacityGroupIsInactive`},

		// What is unknown is ignored.
		{CapacityGroup, group, "/another", `{"x": [1e10000000, "\u0000", null]}`, "", ``},
		{CapacityGroup, group, "/capacities/0/another", `"\u0000"`, "", ``},
	} {
		raw := with(c.document, c.place, c.value)
		var want []dcm.Violation
		if c.sentences != "" {
			want = []dcm.Violation{{Pointer: c.pointer, Detail: c.sentences}}
		}
		if diff := cmp.Diff(want, check(c.schema, raw)); diff != "" {
			t.Errorf("%s = %.60s:\n%s", c.place, c.value, diff)
		}
	}
}

func TestAllViolationsInOrder(t *testing.T) {
	const raw = `{
		"supplier": 1,
		"capac\u0069ties": [{"actualCapacity": -1}, 5, {"pointInTime": "x", "actualCapacity": 1, "maximumCapacity": 1}],
		"customer": "BPNL8888888888XX"
	}`
	want := []string{
		"/supplier", "/capacities/0/actualCapacity", "/capacities/0", "/capacities/0", "/capacities/1",
		"/capacities/2/pointInTime",
		"", "", "", "", "",
	}
	var got []string
	for _, v := range check(CapacityGroup, raw) {
		got = append(got, v.Pointer)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for stop := 1; stop <= len(want); stop++ {
		n := 0
		CapacityGroup.Check([]byte(raw), math.MaxInt, func(dcm.Violation) bool { n++; return n < stop })
		if n != stop {
			t.Errorf("asked to stop at %d, reported %d", stop, n)
		}
	}
}

func TestNoJSON(t *testing.T) {
	for _, raw := range []string{``, `{`, `{"name"`, `{"name":}`, `{"name":"`, `{"capacities":[`, `{"capacities":[}`,
		`{"x":[1`, `{"name":[1`, `{"name":"a",}`, `]`, `{"name":"\ud800"}`} {
		if len(check(CapacityGroup, raw)) == 0 {
			t.Errorf("%q is valid", raw)
		}
	}
}

// places lists every place of a full document, with its node.
func places(n *node, pointer string, visit func(pointer string, n *node)) {
	visit(pointer, n)
	for name, member := range n.members {
		places(member, pointer+"/"+name, visit)
	}
	if n.entry != nil {
		places(n.entry, pointer+"/0", visit)
	}
}

func TestEveryRequiredPropertyIsMissed(t *testing.T) {
	n := 0
	for _, d := range documents {
		places(d.schema.root, "", func(pointer string, at *node) {
			for _, name := range at.required {
				n++
				got := check(d.schema, with(d.full, pointer+"/"+name, ""))
				if diff := cmp.Diff([]dcm.Violation{{Pointer: pointer, Detail: name + " is missing"}},
					got); diff != "" {
					t.Errorf("%s%s/%s: %s", d.file, pointer, name, diff)
				}
			}
		})
	}
	if n != 47 {
		t.Errorf("%d required properties, want 47", n)
	}
}

func TestEveryOtherTypeIsRefused(t *testing.T) {
	for _, d := range documents {
		places(d.schema.root, "", func(pointer string, at *node) {
			for _, c := range []struct{ kind, value, found string }{
				{"null", `null`, "null"},
				{"boolean", `true`, "true"},
				{"string", `"text"`, `the string "text"`},
				{"number", `7`, "the number 7"},
				{"object", `{"x":1}`, "an object"},
				{"array", `[[]]`, "a list"},
			} {
				if slices.Contains(at.self.Types, c.kind) || c.kind == "number" &&
					slices.Contains(at.self.Types, "integer") {
					continue
				}
				if at.private && c.kind == "number" {
					c.found = "a number"
				}
				got := check(d.schema, with(d.full, pointer, c.value))
				if len(got) != 1 || got[0].Pointer != pointer ||
					!strings.HasPrefix(got[0].Detail, at.name+" is "+c.found+"; ") {
					t.Errorf("%s%s = %s: %v", d.file, pointer, c.value, got)
				}
			}
		})
	}
}

// TestSchemaFiles holds the files to what the walk and the readers of their
// documentation rely on.
func TestSchemaFiles(t *testing.T) {
	// Keywords that the walk heeds, or that need no heeding.
	known := strings.Fields(
		"$schema $id $ref $defs $comment title description examples type properties required items minItems " +
			"uniqueItems enum pattern minimum maximum maxLength writeOnly")
	meta := must(jsonschema.Compile("https://json-schema.org/draft/2020-12/schema")) // the library has it
	files := must(fs.Glob(FS, "*.json"))
	if len(files) != 10 {
		t.Errorf("%d files, want 10", len(files))
	}
	for _, file := range files {
		document := decode(string(must(FS.ReadFile(file))))
		if err := meta.Validate(document); err != nil {
			t.Errorf("%s: %#v", file, err)
		}
		if _, err := compile(file); err != nil {
			t.Error(err)
		}
		var visit func(place string, schema map[string]any)
		visit = func(place string, schema map[string]any) {
			ref, _ := schema["$ref"].(string)
			if schema["title"] == nil && ref == "" || schema["description"] == nil && !strings.HasSuffix(ref, ".json") {
				t.Errorf("%s: no title or no description", place)
			}
			for keyword, value := range schema {
				if ref != "" && !slices.Contains([]string{"$ref", "title", "description", "examples"}, keyword) {
					t.Errorf("%s: the walk does not look for %s beside $ref", place, keyword)
				}
				if !slices.Contains(known, keyword) && !strings.HasSuffix(file, "-message.json") {
					t.Errorf("%s: the walk does not know the keyword %s", place, keyword)
				}
				switch keyword {
				case "properties", "$defs":
					for name, sub := range value.(map[string]any) {
						if strings.ContainsAny(name, "~/") {
							t.Errorf("%s: the walk does not escape %s", place, name)
						}
						visit(place+"/"+name, sub.(map[string]any))
					}
				case "items":
					visit(place+"/items", value.(map[string]any))
				case "oneOf":
					for i, sub := range value.([]any) {
						visit(fmt.Sprint(place, "/oneOf/", i), sub.(map[string]any))
					}
				case "pattern":
					if p := value.(string); p[0] != '^' || p[len(p)-1] != '$' {
						t.Errorf("%s: the pattern has no ends", place)
					}
				}
			}
		}
		visit(file, document.(map[string]any))
	}
}

// TestPrivateValuesAreNotQuoted: an author, or a text.
func TestPrivateValuesAreNotQuoted(t *testing.T) {
	for _, c := range []struct{ pointer, value string }{
		{"/author", `"Jane Secret"`}, {"/author", `"secret@"`}, {"/author", `"secret\u0000@example.com"`},
		{"/commentText", `"secret\u0000"`},
		{"/commentText", `"` + strings.Repeat("secret ", 1000) + `"`}, {"/author", `4711`}, {"/commentText", `4711`},
	} {
		got := check(Comment, with(comment, c.pointer, c.value))
		if text := strings.ToLower(fmt.Sprint(got)); len(got) != 1 || strings.Contains(text, "secret") ||
			strings.Contains(text, "4711") {
			t.Errorf("%s %.30s: %v", c.pointer, c.value, got)
		}
	}
	for _, valid := range []string{`"` + strings.Repeat("ä", 5000) + `"`,
		`"` + strings.Repeat("\U0001f600", 5000) + `"`, `""`} {
		if got := check(Comment, with(comment, "/commentText", valid)); len(got) > 0 {
			t.Errorf("%.20s: %v", valid, got)
		}
	}
	if got := check(Comment, with(comment, "/commentText", `"`+strings.Repeat("ä", 5001)+`"`)); len(got) != 1 {
		t.Errorf("5001 characters: %v", got)
	}
}

func TestMessages(t *testing.T) {
	for _, c := range []struct {
		file, raw string
		valid     bool
	}{
		{"week-based-capacity-group-message.json", `{"messageHeader":` + header +
			`,"content":{"informationObject":[` + group + `]}}`, true},
		{"week-based-capacity-group-message.json", `{"content":{"informationObject":[` + group + `]}}`, true},
		{"week-based-capacity-group-message.json", `[` + group + `]`, true},
		{"week-based-capacity-group-message.json", `[` + with(group, "/name", "5") + `]`, false},
		{"week-based-capacity-group-message.json", `[]`, false},
		{"week-based-capacity-group-message.json", `{}`, false},
		{"week-based-capacity-group-message.json", `{"messageHeader":{},"content":{"informationObject":[` + group +
			`]}}`, false},
		{"week-based-material-demand-message.json", `{"messageHeader":` + header +
			`,"content":{"informationObject":[` + demand + `]}}`, true},
		{"week-based-material-demand-message.json", `[` + demand + `]`, true},
		{"week-based-material-demand-message.json", `[` + with(demand, "/demandSeries/0/demands/0/demand", "-1") +
			`]`, false},
		{"id-based-request-for-update-message.json", `{"messageHeader":` + header +
			`,"content":{"informationObject":[` + request + `]}}`, true},
		{"id-based-request-for-update-message.json", `{"messageHeader":` + header + `}`, true},
		{"id-based-request-for-update-message.json", `{"content":{"informationObject":[]}}`, true},
		{"id-based-request-for-update-message.json", `[]`, true},
		{"id-based-request-for-update-message.json", `[{"weekBasedMaterialDemand":[{}]}]`, false},
		{"id-based-request-for-update-message.json", `7`, false},
	} {
		err := must(compile(c.file)).Validate(decode(c.raw))
		if (err == nil) != c.valid {
			t.Errorf("%s: %.80s: %v", c.file, c.raw, err)
		}
	}
}

// TestSameWords: the codes are in the schemas for readers, and in package dcm
// for its fast reading.
func TestSameWords(t *testing.T) {
	for _, c := range []struct {
		n    *node
		want []string
	}{
		{CapacityGroup.root.members["unitOfMeasure"], dcm.UnitsOfMeasure},
		{CapacityGroup.root.members["linkedDemandSeries"].entry.members["demandCategory"].members["demandCategoryCode"],
			dcm.DemandCategoryCodes},
	} {
		var got []string
		for _, v := range c.n.self.Enum {
			got = append(got, v.(string))
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", c.n.name, diff)
		}
	}
}

// plain is the library alone, but for uniqueItems.
func plain(file string) *jsonschema.Schema {
	var strip func(s *jsonschema.Schema)
	strip = func(s *jsonschema.Schema) {
		if s == nil {
			return
		}
		s.UniqueItems = false
		strip(s.Ref)
		strip(s.Items2020)
		for _, sub := range s.Properties {
			strip(sub)
		}
	}
	s := must(compile(file))
	strip(s)
	return s
}

func compact(raw string) string {
	var b bytes.Buffer
	if err := json.Compact(&b, []byte(raw)); err != nil {
		panic(err)
	}
	return b.String()
}

// TestOtherValidators holds the schemas to what validators of the published
// dialect know by themselves: Ajv, as it comes, refuses a schema with a keyword
// that it does not know, or with any format.
func TestOtherValidators(t *testing.T) {
	files, err := filepath.Glob("*.json")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d schemas found: %v", len(files), err)
	}
	keywords := []string{
		"$schema", "$id", "$ref", "$defs", "$comment", "title", "description", "examples", "default", "deprecated",
		"readOnly", "writeOnly", "type", "enum", "const",
		"properties", "required", "additionalProperties", "minProperties", "items", "minItems", "maxItems",
		"uniqueItems", "contains", "prefixItems",
		"pattern", "minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
		"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentRequired", "maxProperties", "propertyNames",
	}
	seen := 0
	var walk func(file string, v any)
	walk = func(file string, v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(file, e)
			}
		case map[string]any:
			for k, e := range v {
				switch {
				case !slices.Contains(keywords, k):
					t.Errorf("%s: no validator knows the keyword %q", file, k)
				case k == "properties" || k == "$defs":
					for _, s := range e.(map[string]any) { // names, not keywords
						walk(file, s)
					}
				case k == "examples" || k == "const" || k == "default" || k == "enum":
				default:
					walk(file, e)
				}
				seen++
			}
		}
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var schema any
		if err := json.Unmarshal(text, &schema); err != nil {
			t.Fatal(err)
		}
		walk(file, schema)
	}
	if seen < 100 {
		t.Errorf("only %d keywords looked at", seen)
	}
}

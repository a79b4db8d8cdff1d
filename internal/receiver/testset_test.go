package receiver_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/example"
	"dcm-receiver/internal/receiver"
	"dcm-receiver/internal/standard"

	"github.com/google/uuid"
)

// erratum is a row of the published test set that is not followed, by "table:
// property = value".
type erratum struct {
	why   string
	only  string            // the standard that it is of; "": both
	adapt map[string]string // with these values beside it, a valid row passes
}

// errata of the published test set. Each must still occur: what is refused without
// a reason, or passes although it is here, fails the test.
var errata = map[string]erratum{
	"valid WeekBasedMaterialDemand: materialGlobalAssetId = urn:e2a72ce8-45b6-4d5a-8854-2d6e0299d337": {
		why: "no UUID by the model's pattern, which knows the prefix urn:uuid: alone; listed the wrong way round"},
	"valid WeekBasedMaterialDemand: a row whose columns are not those of the table": {
		why: "the row was cut in two at a separator within its text"},
	"valid WeekBasedCapacityGroup: actualCapacity = 10000": {
		why: "above the default maximum, 2000", only: "cx-0128", adapt: map[string]string{"maximumCapacity": "10000"}},
	"valid WeekBasedCapacityGroup: actualCapacity = 999999999999.999": {
		why: "above the default maximum, 2000", only: "cx-0128",
		adapt: map[string]string{"maximumCapacity": "999999999999.999"}},
	"valid WeekBasedCapacityGroup: maximumCapacity = 0": {
		why: "below the default actual capacity, 1000", only: "cx-0128",
		adapt: map[string]string{"actualCapacity": "0"}},
	"valid WeekBasedCapacityGroup: maximumCapacity = 4.4": {
		why: "below the default actual capacity, 1000", only: "cx-0128",
		adapt: map[string]string{"actualCapacity": "4.4"}},
	"invalid WeekBasedMaterialDemand: demandCategoryCode = Default": {
		why: "misspelt: it stands for the default value, which is valid"},
	"invalid WeekBasedCapacityGroup: demandCategoryCode = Default": {
		why: "misspelt: it stands for the default value, which is valid"},
	"invalid WeekBasedCapacityGroup: capacityGroupId = d01bfdc9-b599-4d2a-8817-6174c3095381": {
		why: "a valid UUID of version 4; listed the wrong way round"},
	"invalid WeekBasedCapacityGroup: linkedCapacityGroups = d01bfdc9-b599-4d2a-8817-6174c3095381": {
		why: "a valid UUID of version 4; listed the wrong way round"},
	"invalid WeekBasedCapacityGroup: relativePositiveDeviation = 2": {
		why: "a demand can more than double; the row's columns are those of another property"},
	"invalid WeekBasedCapacityGroup: loadFactor = -1": {why: "the model has no minimum; CX-0128 " +
		"alone says more", only: "cx-0048"},
	"invalid WeekBasedCapacityGroup: relativePositiveDeviation = -0.1": {why: "the model has no minimum; CX-0128 " +
		"alone says more", only: "cx-0048"},
	"invalid WeekBasedCapacityGroup: absolutePositiveDeviation = -1.1": {why: "the model has no minimum; CX-0128 " +
		"alone says more", only: "cx-0048"},
	"invalid WeekBasedCapacityGroup: absoluteNegativeDeviation = -100": {why: "the model has no minimum; CX-0128 " +
		"alone says more", only: "cx-0048"},
}

// publishedTable is a table of the published test set, for one object.
type publishedTable struct {
	Test     string
	Steps    []string
	Rows     []map[string]any
	defaults map[string]string // by property
}

// publishedTables are those of valid and invalid values; the test is skipped where
// they are not at hand.
func publishedTables(t *testing.T) (tables []publishedTable) {
	dir := os.Getenv("DCM_STANDARDS")
	if dir == "" {
		dir = "../../../shared/standards"
	}
	step := regexp.MustCompile(`the value for the property "(\w+)"\s+is <v_\w+>\s+with a default value of "(.*)"`)
	seen := map[string]bool{}
	for _, name := range []string{"customer", "supplier"} {
		raw, err := os.ReadFile(dir + "/test-set/" + name + ".json")
		if err != nil {
			t.Skipf("the published test set is not at hand: %v", err)
		}
		var all []struct {
			publishedTable
			Rows json.RawMessage
		}
		if err := json.Unmarshal(raw, &all); err != nil {
			t.Fatal(err)
		}
		for _, one := range all {
			table := one.publishedTable
			table.Test = strings.TrimPrefix(table.Test, "Create ")
			if !strings.HasPrefix(table.Test, "valid ") && !strings.HasPrefix(table.Test, "invalid ") ||
				seen[table.Test] {
				continue
			}
			seen[table.Test] = true
			if err := json.Unmarshal(one.Rows, &table.Rows); err != nil {
				t.Fatalf("%s: %v", table.Test, err)
			}
			table.defaults = map[string]string{}
			for _, s := range table.Steps {
				if m := step.FindStringSubmatch(s); m != nil {
					table.defaults[m[1]] = m[2]
				}
			}
			tables = append(tables, table)
		}
	}
	return tables
}

// published is an object of the test set: its values by property, as texts.
type published struct {
	values     map[string]string
	links      string // which of the two a group has: series, groups or both
	now        time.Time
	sender, us string
}

// put adds a property that is not omitted: as a number or a boolean where it is one
// and the property too.
func (p *published) put(object map[string]any, property string) {
	value, is := p.values[property]
	if !is || value == "{{OMITTED}}" {
		return
	}
	text := map[string]bool{"name": true, "materialNumberCustomer": true, "materialNumberSupplier": true,
		"materialDescriptionCustomer": true, "demandCategoryCode": true}
	var raw json.RawMessage
	if !text[property] && json.Unmarshal([]byte(value), &raw) == nil {
		object[property] = raw
		return
	}
	object[property] = value
}

// object is one object of the model's kind.
func (p *published) object(kind string) map[string]any {
	part := func(properties ...string) map[string]any {
		object := map[string]any{}
		for _, property := range properties {
			p.put(object, property)
		}
		return object
	}
	series := part("materialNumberCustomer", "materialNumberSupplier", "customerLocation", "expectedSupplierLocation",
		"loadFactor")
	series["demandCategory"] = part("demandCategoryCode")
	switch kind {
	case "WeekBasedMaterialDemand":
		delete(series, "materialNumberCustomer")
		delete(series, "materialNumberSupplier")
		series["demands"] = []any{part("pointInTime", "demand")}
		object := part("materialDemandId", "changedAt", "customer", "supplier", "materialDemandIsInactive",
			"unitOfMeasure", "unitOfMeasureIsOmitted",
			"materialGlobalAssetId", "materialNumberCustomer", "materialNumberSupplier", "materialDescriptionCustomer")
		object["demandSeries"] = []any{series}
		return object
	case "WeekBasedCapacityGroup":
		object := part("name", "capacityGroupId", "changedAt", "customer", "supplier", "capacityGroupIsInactive",
			"unitOfMeasure", "unitOfMeasureIsOmitted")
		object["supplierLocations"] = []any{p.values["supplierLocations"]}
		if p.links != "series" {
			object["linkedCapacityGroups"] = []any{p.values["linkedCapacityGroups"]}
		}
		if p.links != "groups" {
			object["linkedDemandSeries"] = []any{series}
		}
		object["capacities"] = []any{part("actualCapacity", "agreedCapacity", "maximumCapacity",
			"deltaProductionResult", "pointInTime")}
		volatility := part("startReferenceDateTime", "measurementInterval")
		volatility["rollingHorizonAlertThresholds"] = []any{part("sequenceNumber", "subhorizonLength",
			"relativePositiveDeviation", "relativeNegativeDeviation", "absolutePositiveDeviation",
			"absoluteNegativeDeviation")}
		object["demandVolatilityParameters"] = volatility
		return object
	}
	return part("weekBasedMaterialDemand", "weekBasedCapacityGroup") // IdBasedRequestForUpdate
}

// post sends the object in an envelope.
func (p *published) post(f *fixture, kind string) *httptest.ResponseRecorder {
	var endpoint dcm.Endpoint
	for _, e := range dcm.Endpoints {
		if e.Object == kind {
			endpoint = e
		}
	}
	body, err := json.Marshal(map[string]any{
		"messageHeader": map[string]any{"header": map[string]any{"messageId": uuid.NewString(),
			"context": standard.Latest().Models[endpoint.Path] + ".x.x", "sentDateTime": p.now.Format(time.RFC3339),
			"senderBpn": p.sender, "receiverBpn": p.us, "version": "3.0.0"}},
		"content": map[string]any{"informationObject": []any{p.object(kind)}},
	})
	if err != nil {
		f.t.Fatal(err)
	}
	r := request(endpoint.Path, strings.NewReader(string(body)))
	r.Header.Set("Edc-Bpn", p.sender)
	return f.do(r)
}

// TestPublishedTestSet sends every row of the published tables of valid and invalid
// values, by both standards: valid ones pass, invalid ones are refused by rule 1
// for the property that they are about, but for the errata.
func TestPublishedTestSet(t *testing.T) {
	tables := publishedTables(t)
	// Before all starts of measurement in the tables, so that rule 5 has no say; and
	// the group is sent with either of its links, because the tables' has both (rule 4).
	early := time.Date(1999, 12, 1, 8, 0, 0, 0, time.UTC)
	occurred, rows := map[string]bool{}, map[string]int{}
	for _, by := range standard.All() {
		links := []string{"both"}
		if by.Name == "cx-0128" {
			links = []string{"series", "groups"}
		}
		f := newFixture(t, func(c *receiver.Config) {
			c.Standard, c.Now = by, func() time.Time { return early }
		})
		sent := 0
		for _, table := range tables {
			validity, kind, _ := strings.Cut(table.Test, " ")
			for _, row := range table.Rows {
				rows[table.Test]++
				var changed []string // properties that the row is about
				p := published{values: maps.Clone(table.defaults), now: early, us: example.Customer}
				name := table.Test + ":"
				for _, column := range slices.Sorted(maps.Keys(row)) {
					value, is := row[column].(string)
					property, isProperty := strings.CutPrefix(column, "v_")
					if !is || !isProperty || value == "" || value == "(Default)" {
						continue
					}
					changed = append(changed, property)
					name += " " + property + " = " + value
					if value != "Default" {
						p.values[property] = value
					}
				}
				if row["_malformed"] != nil {
					name += " a row whose columns are not those of the table"
				}
				e, isErratum := errata[name]
				isErratum = isErratum && (e.only == "" || e.only == by.Name)
				if isErratum {
					occurred[name] = true
				}
				if row["_malformed"] != nil {
					if !isErratum {
						t.Errorf("%s", name)
					}
					continue
				}
				for _, p.links = range links {
					if kind != "WeekBasedCapacityGroup" && p.links == "groups" {
						continue
					}
					if p.links == "groups" && validity == "invalid" &&
						slices.ContainsFunc(changed, func(property string) bool {
							return slices.Contains([]string{"materialNumberCustomer", "customerLocation",
								"demandCategoryCode", "loadFactor"}, property)
						}) || p.links == "series" && slices.Contains(changed, "linkedCapacityGroups") {
						continue // what the row is about is not sent
					}
					post := func(with map[string]string) *httptest.ResponseRecorder {
						sent++
						p := p
						p.sender = fmt.Sprintf("BPNL%012d", sent) // each in a relationship of its own
						p.values = maps.Clone(p.values)
						maps.Copy(p.values, with)
						variables := map[string]string{"{{TS_NOW}}": early.Format(time.RFC3339),
							"{{BPNS_SUP1}}": "BPNS6666666666YY", "{{BPNS_CUS1}}": "BPNS8888888888XX",
							"{{BPNL_SUP}}": p.sender, "{{BPNL_CUS}}": example.Customer}
						if kind == "WeekBasedMaterialDemand" {
							p.us = example.Supplier
							variables["{{BPNL_SUP}}"], variables["{{BPNL_CUS}}"] = example.Supplier, p.sender
						}
						for property, value := range p.values {
							if v, is := variables[value]; is {
								p.values[property] = v
							}
						}
						return p.post(f, kind)
					}
					want := map[string]int{"valid": 201, "invalid": 400}[validity]
					if kind == "IdBasedRequestForUpdate" && validity == "valid" {
						want = 200
					}
					other := map[string]int{"valid": 400, "invalid": 201}[validity]
					w := post(nil)
					switch {
					case isErratum && w.Code != other:
						t.Errorf("%s, %s: %s is in errata (%s), but its answer is %d", by.Name, p.links, name,
							e.why, w.Code)
					case isErratum && e.adapt != nil:
						if w := post(e.adapt); w.Code != want {
							t.Errorf("%s, %s: %s, adapted: %d %s", by.Name, p.links, name, w.Code, w.Body)
						}
					case isErratum:
					case w.Code != want:
						t.Errorf("%s, %s: %s: %d %s", by.Name, p.links, name, w.Code, w.Body)
					case validity == "invalid" && !slices.ContainsFunc(changed, func(property string) bool {
						return regexp.MustCompile(`"pointer":"[^"]*/` + property + `[/"]`).MatchString(w.Body.String())
					}):
						t.Errorf("%s: %s is refused for something else: %s", by.Name, name, w.Body)
					case validity == "invalid" && kind != "IdBasedRequestForUpdate" &&
						!slices.Equal(rulesOf(w), []int{1}):
						t.Errorf("%s: %s is refused by rules %v", by.Name, name, rulesOf(w))
					}
				}
			}
		}
	}
	for name, e := range errata {
		if !occurred[name] {
			t.Errorf("%s (%s): no table has this row any more", name, e.why)
		}
	}
	for _, table := range []string{"valid WeekBasedCapacityGroup", "invalid WeekBasedCapacityGroup",
		"valid WeekBasedMaterialDemand", "invalid WeekBasedMaterialDemand",
		"valid IdBasedRequestForUpdate", "invalid IdBasedRequestForUpdate"} {
		if rows[table] < 4 { // twice two
			t.Errorf("%s: %d rows", table, rows[table])
		}
	}
}

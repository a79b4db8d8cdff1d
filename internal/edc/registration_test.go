package edc

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"dcm-receiver/internal/dcm"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the JSON under deploy/edc and testdata/objects.txt anew")

// TestPublishedJSON: Register sends the JSON that stands under deploy/edc for those who
// register by other means, and for other connectors and standards that of
// testdata/objects.txt, an object a line.
func TestPublishedJSON(t *testing.T) {
	var lines strings.Builder
	for _, form := range []struct {
		name   string
		change func(*Registration)
	}{
		{"0.12", func(r *Registration) { r.Version = "0.12.2" }},
		{"0.10", func(*Registration) {}},
		{"0.11", func(r *Registration) {
			r.Version, r.Type, r.PerSupplier = "0.11.0", "ProxyHttpData", true
			r.Partners = []string{supplierID}
		}},
		{"0.13", func(r *Registration) {
			r.Version, r.Type = "0.13.0", "ProxyHttpData"
			r.Partners = []string{supplierID, "BPNL00000000OTHR"}
		}},
		{"cx-0128", func(r *Registration) {
			r.Version, r.Type, r.Partners = "0.13.0", "ProxyHttpData", []string{supplierID}
			r.Roles, r.Comments, r.Capable = []dcm.Role{dcm.CustomerRole, dcm.SupplierRole}, true, Capabilities
		}},
	} {
		r := sample()
		r.Key = "THE-API-KEY"
		form.change(&r)
		if err := r.Validate(); err != nil {
			t.Fatal(err)
		}
		objects := map[string]string{}
		for _, o := range r.Objects() {
			name := strings.ReplaceAll(singular[o.Collection], " ", "-") + "-" + strings.TrimPrefix(o.ID, "dcm-") +
				".json"
			objects[name] = string(o.JSON())
		}
		if form.name == "0.12" {
			comparePublished(t, filepath.Join("..", "..", "deploy", "edc"), objects)
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(objects)) {
			var line bytes.Buffer
			if err := json.Compact(&line, []byte(objects[name])); err != nil {
				t.Fatal(err)
			}
			lines.WriteString(form.name + "/" + name + " " + line.String() + "\n")
		}
	}
	comparePublished(t, "testdata", map[string]string{"objects.txt": lines.String()})
}

// comparePublished compares files with those of the same kind in a folder.
func comparePublished(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	got := map[string]string{}
	for name, data := range want {
		if *update {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		files, err := filepath.Glob(filepath.Join(dir, "*"+filepath.Ext(name)))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			got[filepath.Base(f)] = string(data)
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s is not what Register sends (run this test with -update):\n%s", dir, d)
	}
}

func TestRegistrationValidate(t *testing.T) {
	for want, change := range map[string]func(*Registration){
		"":                            func(*Registration) {},
		"setting Backend":             func(r *Registration) { r.Backend = "dcm-receiver:8080" },
		"without a query":             func(r *Registration) { r.Backend += "?x=1" },
		"set setting Key":             func(r *Registration) { r.Key = "" },
		"not both":                    func(r *Registration) { r.KeyAlias = "k" },
		`setting Version is "0.5.3"`:  func(r *Registration) { r.Version = "0.5.3" },
		`setting Version is "latest"`: func(r *Registration) { r.Version = "latest" },
		"setting Type":                func(r *Registration) { r.Type = "HttpProxy" },
		"before 0.13 does not say who is sending": func(r *Registration) {
			r.Type, r.Version = "ProxyHttpData",
				"0.12.1"
		},
		"setting PerSupplier needs setting Partners": func(r *Registration) { r.PerSupplier = true },
		`"BPNS00000000SUPP" is no BPNL`: func(r *Registration) {
			r.Partners = []string{"BPNS00000000SUPP"}
		},
		"setting Capable": func(r *Registration) { r.Capable = []string{"magic"} },
		"setting Usage":   func(r *Registration) { r.Usage = "" },
		"setting Prefix":  func(r *Registration) { r.Prefix = "a b" },
	} {
		r := sample()
		change(&r)
		err := r.Validate()
		if want == "" {
			if err != nil {
				t.Error(err)
			}
		} else if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	for _, v := range []string{"0.7.3", "0.10", "0.11.2", "0.13.0-rc3"} {
		r := sample()
		r.Version = v
		if err := r.Validate(); err != nil {
			t.Errorf("%s: %v", v, err)
		}
	}
}

// One policy in the spellings that connectors use: as sent, as 0.10 gives it
// back, and with a context given by address and parts that carry types.
func TestSpellings(t *testing.T) {
	spellings := []string{
		`{"@context":["http://www.w3.org/ns/odrl.jsonld",{"@vocab":"https://w3id.org/edc/v0.0.1/ns/",
			"cx-policy":"https://w3id.org/catenax/policy/"}],
		  "policy":{"@type":"Set","permission":[{"action":"use","constraint":[{"and":[
		    {"leftOperand":"cx-policy:Membership","operator":"eq","rightOperand":"active"},
		    {"leftOperand":"cx-policy:UsagePurpose","operator":"eq","rightOperand":"cx.dcm.base:1"}]}]}]}}`,
		`{"@context":{"@vocab":"https://w3id.org/edc/v0.0.1/ns/","odrl":"http://www.w3.org/ns/odrl/2/",
			"cx-policy":"https://w3id.org/catenax/policy/"},"createdAt":1,
		  "policy":{"@id":"c8bc","@type":"odrl:Set","odrl:prohibition":[],"odrl:obligation":[],
		"odrl:permission":{"odrl:action":{"@id":"odrl:use"},"odrl:constraint":{"odrl:and":[
		    {"odrl:leftOperand":{"@id":"cx-policy:UsagePurpose"},"odrl:operator":{"@id":"odrl:eq"},
		"odrl:rightOperand":"cx.dcm.base:1"},
		    {"odrl:leftOperand":{"@id":"cx-policy:Membership"},"odrl:operator":{"@id":"odrl:eq"},
		"odrl:rightOperand":{"@value":"active"}}]}}}}`,
		`{"@context":["https://w3id.org/dspace/2025/1/odrl-profile.jsonld",{"edc":"https://w3id.org/edc/v0.0.1/ns/",
			"p":"https://w3id.org/catenax/policy/"}],
		  "edc:policy":{"@type":"Set","permission":[{"@type":"Permission","action":"use","constraint":{"and":[
		    {"@type":"Constraint","leftOperand":"p:Membership","operator":"eq","rightOperand":["active"]},
		    {"leftOperand":"p:UsagePurpose","operator":{"@id":"http://www.w3.org/ns/odrl/2/eq"},
		"rightOperand":"cx.dcm.base:1"}]}}]}}`,
	}
	decode := func(s string) any {
		var v any
		if err := json.Unmarshal([]byte(s), &v); err != nil {
			t.Fatal(err)
		}
		return terms{}.expand(v)
	}
	want := decode(spellings[0])
	for i, s := range spellings {
		if d := differences("", decode(s), want, false); len(d) > 0 {
			t.Errorf("spelling %d: %s", i, d)
		}
	}
	for name, other := range map[string]string{
		"another rule": strings.Replace(spellings[1], `"odrl:prohibition":[]`,
			`"odrl:prohibition":[{"odrl:action":{"@id":"odrl:use"}}]`, 1),
		"another operator": strings.Replace(spellings[1], `odrl:eq`, `odrl:neq`, 1),
		"another namespace": strings.Replace(spellings[0], `https://w3id.org/catenax/policy/`,
			`https://w3id.org/catenax/2025/9/policy/`, 1),
		"one condition": strings.Replace(spellings[0],
			`{"leftOperand":"cx-policy:Membership","operator":"eq","rightOperand":"active"},`, "", 1),
	} {
		if d := differences("", decode(other), want, false); len(d) != 1 {
			t.Errorf("%s: %d differences %q", name, len(d), d)
		}
	}
}

// Which endpoints are offered follows from roles and standard (CX-0048 §2.2.5,
// §3.2.5; CX-0128 §4.1.2.5 to §4.4.2.5, §4.6).
func TestKinds(t *testing.T) {
	customer, supplier := dcm.CustomerRole, dcm.SupplierRole
	for _, c := range []struct {
		name     string
		roles    []dcm.Role
		comments bool
		capable  []string
		want     string
	}{
		{"customer", []dcm.Role{customer}, false, nil, "DcmWeekBasedCapacityGroup DcmIdBasedRequestForUpdate"},
		{"no role named", nil, false, nil, "DcmWeekBasedCapacityGroup DcmIdBasedRequestForUpdate"},
		{"supplier", []dcm.Role{supplier}, false, nil, "DcmWeekBasedMaterialDemand DcmIdBasedRequestForUpdate"},
		{"both", []dcm.Role{customer, supplier}, false, nil,
			"DcmWeekBasedCapacityGroup DcmWeekBasedMaterialDemand DcmIdBasedRequestForUpdate"},
		{"customer of cx-0128", []dcm.Role{customer}, true, []string{"load-factor"},
			"DcmWeekBasedCapacityGroup DcmIdBasedRequestForUpdate DcmIdBasedComment DcmLoadFactor"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, o := range (Registration{Roles: c.roles, Comments: c.comments, Capable: c.capable,
				Usage: "framework"}).Objects() {
				if o.Collection != assets {
					continue
				}
				properties := o.Body["properties"].(map[string]any)
				kind, _ := properties[dctNS+"type"].(map[string]any)["@id"].(string)
				got = append(got, strings.TrimPrefix(kind, taxonomy))
				if properties[commonVersion] != "2.0" {
					t.Errorf("%s has version %v", kind, properties[commonVersion])
				}
			}
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("offered %s, want %s", s, c.want)
			}
		})
	}
}

// TestOffersOfCX0128: each version of the connector gets the same assets, whose IDs
// stay those that earlier versions of this program gave; each capability can be left
// out automatically; and behind every asset stands a contract definition with the policies
// of CX-0128 §6.
func TestOffersOfCX0128(t *testing.T) {
	endpoints := []string{"capacity-group", "comment", "material-demand", "messages", "request-for-update"}
	for _, c := range []struct {
		version     string
		perSupplier bool
		capable     []string
	}{
		{"0.10.0", false, Capabilities}, {"0.11.2", true, Capabilities}, {"0.12.1", false, Capabilities},
		{"0.13.0", false, Capabilities},
		{"0.13.0", false, nil}, {"0.13.0", false, []string{"load-factor"}},
		{"0.10.0", false, []string{"delta-production"}}, {"0.12.1", false,
			[]string{"demand-volatility", "load-factor"}},
	} {
		t.Run(c.version+" "+strings.Join(c.capable, " "), func(t *testing.T) {
			r := sample()
			r.Version, r.PerSupplier, r.Partners = c.version, c.perSupplier, []string{supplierID, "BPNL00000000OTHR"}
			r.Roles, r.Comments, r.Capable = []dcm.Role{dcm.CustomerRole, dcm.SupplierRole}, true, c.capable
			if err := r.Validate(); err != nil {
				t.Fatal(err)
			}
			objects := map[string]Object{}
			var ids []string
			for _, o := range r.Objects() {
				objects[o.Collection+" "+o.ID] = o
				if o.Collection != assets {
					continue
				}
				ids = append(ids, o.ID)
				address := o.Body["dataAddress"].(map[string]any)
				isMark := slices.ContainsFunc(c.capable, func(name string) bool { return strings.Contains(o.ID, name) })
				if _, hasKey := address["authCode"]; hasKey == isMark {
					t.Errorf("%s: a key: %t, a mark without a function: %t", o.ID, hasKey, isMark)
				}
			}
			var want []string
			for _, kind := range slices.Concat(endpoints, c.capable) {
				if !c.perSupplier {
					want = append(want, r.Prefix+"-"+kind)
					continue
				}
				for _, partner := range r.Partners {
					want = append(want, r.Prefix+"-"+kind+"-"+partner)
				}
			}
			slices.Sort(want)
			slices.Sort(ids)
			if d := cmp.Diff(want, ids); d != "" {
				t.Error(d)
			}
			offered := map[string]bool{}
			for _, o := range objects {
				if o.Collection != contractDefinitions {
					continue
				}
				selected := o.Body["assetsSelector"].([]any)[0].(criterion)
				offered[selected.OperandRight.(string)] = true
				usage := string(objects[policies+" "+o.Body["contractPolicyId"].(string)].JSON())
				for _, words := range []string{`"DataExchangeGovernance:1.0"`, `FrameworkAgreement"`,
					`"cx.dcm.base:1"`, `UsagePurpose"`, `"and"`} {
					if !strings.Contains(usage, words) {
						t.Errorf("%s: the usage policy lacks %s: %s", o.ID, words, usage)
					}
				}
				if isAnyOf := strings.Contains(usage, `"isAnyOf"`); isAnyOf != (r.minor() >= 11) {
					t.Errorf("%s: isAnyOf, which connectors know from 0.11 on: %t", o.ID, isAnyOf)
				}
				access := string(objects[policies+" "+o.Body["accessPolicyId"].(string)].JSON())
				operators := regexp.MustCompile(`"operator": "(\w+)"`).FindAllStringSubmatch(access, -1)
				if !strings.Contains(access, `BusinessPartnerNumber"`) || !strings.Contains(access, "BPNL00000000") ||
					len(operators) == 0 ||
					slices.ContainsFunc(operators,
						func(o []string) bool {
							return o[1] != map[bool]string{true: "isAnyOf",
								false: "eq"}[r.minor() >= 11]
						}) {
					t.Errorf("%s: the access policy admits others than the partners: %s", o.ID, access)
				}
			}
			for _, id := range ids {
				if !offered[id] {
					t.Errorf("%s is not offered", id)
				}
			}
		})
	}
}

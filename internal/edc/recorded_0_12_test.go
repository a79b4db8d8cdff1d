package edc

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What a tractusx-edc 0.12.1 answered is in testdata/0.12.1; a pair of that
// version is not at hand to record whole conversations with.
func recorded(t *testing.T, name string) map[string]any {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "0.12.1", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// registeredAt012 is the registration that the recorded objects are of.
func registeredAt012() Registration {
	r := sample()
	r.Version, r.Type, r.PerSupplier, r.Partners = "0.12.1", "ProxyHttpData", true, []string{supplierID}
	r.Backend, r.Key = "http://127.0.0.1:19395", "k1k1k1k1k1k1k1k1"
	return r
}

// A second registration at 0.12 changes nothing: its own spelling of what we
// sent is no drift, another condition is one.
func TestNoDriftAt012(t *testing.T) {
	for name, object := range map[string]string{
		"asset-get":                   "asset dcm-capacity-group-BPNL00000000SUPP",
		"policydefinition-access-get": "policy dcm-access-BPNL00000000SUPP",
		"policydefinition-get":        "policy dcm-usage",
		"contractdefinition-get":      "contract definition dcm-capacity-group-BPNL00000000SUPP",
	} {
		for _, o := range registeredAt012().Objects() {
			if o.String() != object {
				continue
			}
			var want map[string]any
			if err := json.Unmarshal(o.JSON(), &want); err != nil {
				t.Fatal(err)
			}
			if d := differences("", terms{}.expand(recorded(t, name)), terms{}.expand(want), false); len(d) > 0 {
				t.Errorf("%s: %q", name, d)
			}
		}
		if !slices.ContainsFunc(registeredAt012().Objects(), func(o Object) bool { return o.String() == object }) {
			t.Errorf("%s is not registered", object)
		}
	}
	r := registeredAt012()
	r.Usage = "use"
	usage := r.policy("usage", r.usage())
	var want map[string]any
	if err := json.Unmarshal(usage.JSON(), &want); err != nil {
		t.Fatal(err)
	}
	if d := differences("", terms{}.expand(recorded(t, "policydefinition-get")), terms{}.expand(want),
		false); len(d) != 1 {
		t.Errorf("another policy is not seen: %q", d)
	}
}

// From 0.11 on each BPNL has an access policy and contract definitions of its
// own, which show one shared asset; before, one policy names them all.
func TestSeveralPartners(t *testing.T) {
	for _, version := range []string{"0.10.0", "0.11.0", "0.12.1", "0.13.0"} {
		r := sample()
		r.Version, r.Messages = version, false
		r.Partners = []string{supplierID, "BPNL00000000OTHR", supplierID}
		named := map[string]int{}
		for _, o := range r.Objects() {
			named[o.Collection]++
			bpnls := strings.Count(string(o.JSON()), `"BPNL`)
			if o.Collection == policies && bpnls > 1 && version != "0.10.0" {
				t.Errorf("%s: %s names %d BPNLs", version, o, bpnls)
			}
		}
		want := map[string]int{assets: 2, policies: 3, contractDefinitions: 4}
		if version == "0.10.0" {
			want = map[string]int{assets: 2, policies: 2, contractDefinitions: 2}
		}
		if d := cmp.Diff(want, named); d != "" {
			t.Errorf("%s: %s", version, d)
		}
	}
}

// The catalogue of either protocol leads to one asset, and its offer goes back
// in the words in which it came.
func TestCatalogueOf012(t *testing.T) {
	for _, c := range []struct{ catalogue, protocol, party, assigner, target string }{
		{"catalog-dsp08", "dataspace-protocol-http", customerID, "odrl:assigner", "odrl:target"},
		{"catalog-dsp2025", "dataspace-protocol-http:2025-1", "did:lab:" + customerID, "assigner", "target"},
	} {
		t.Run(c.catalogue, func(t *testing.T) {
			var negotiation map[string]any
			mux := http.NewServeMux()
			answer := func(w http.ResponseWriter, v any) { _ = json.NewEncoder(w).Encode(v) }
			mux.HandleFunc("POST /v3/catalog/request", func(w http.ResponseWriter, r *http.Request) {
				var asked struct {
					QuerySpec struct {
						FilterExpression []struct{ OperandRight string }
					}
				}
				_ = json.NewDecoder(r.Body).Decode(&asked)
				catalogue := recorded(t, c.catalogue)
				for k, v := range catalogue { // the connector filters; the recording holds everything
					if k != "dataset" && k != "dcat:dataset" {
						continue
					}
					catalogue[k] = slices.DeleteFunc(v.([]any), func(d any) bool {
						data, _ := json.Marshal(d)
						return !strings.Contains(string(data), asked.QuerySpec.FilterExpression[0].OperandRight)
					})
				}
				answer(w, catalogue)
			})
			mux.HandleFunc("POST /v3/contractnegotiations", func(w http.ResponseWriter, r *http.Request) {
				_ = json.NewDecoder(r.Body).Decode(&negotiation)
				answer(w, map[string]any{"@id": "n"})
			})
			mux.HandleFunc("GET /v3/contractnegotiations/n", func(w http.ResponseWriter, r *http.Request) {
				answer(w, map[string]any{"state": "FINALIZED", "contractAgreementId": "a"})
			})
			mux.HandleFunc("POST /v3/transferprocesses", func(w http.ResponseWriter,
				r *http.Request) {
				answer(w, map[string]any{"@id": "t"})
			})
			mux.HandleFunc("GET /v3/transferprocesses/t", func(w http.ResponseWriter,
				r *http.Request) {
				answer(w, map[string]any{"state": "STARTED"})
			})
			server := httptest.NewServer(mux)
			defer server.Close()
			m, err := NewManagement(server.URL, "k", nil)
			if err != nil {
				t.Fatal(err)
			}
			partner := Partner{BPNL: c.party, Address: "http://127.0.0.1:19302/dsp", Protocol: c.protocol}
			if c.protocol == DSP2025 {
				partner.DID = c.party
			}
			consumer := &Consumer{Management: m, pause: time.Nanosecond}
			found, err := consumer.ready(t.Context(), partner, CapacityGroup, Session{})
			if err != nil {
				t.Fatal(err)
			}
			if found.Asset != "dcm-capacity-group-"+supplierID || found.Agreement != "a" || found.Transfer != "t" {
				t.Errorf("%+v", found)
			}
			policy, _ := negotiation["policy"].(map[string]any)
			if got := list(policy[c.target]); len(got) != 1 ||
				!strings.Contains(text(got[0]), "dcm-capacity-group-"+supplierID) {
				t.Errorf("target: %v", policy)
			}
			if got := list(policy[c.assigner]); len(got) != 1 || !strings.Contains(text(got[0]), c.party) {
				t.Errorf("assigner: %v", policy)
			}
			read := terms{}.with(negotiation["@context"])
			want := `"use if FrameworkAgreement eq DataExchangeGovernance:1.0 and Membership eq active and ` +
				`UsagePurpose isAnyOf cx.dcm.base:1"`
			if got := rules(read.expand(policy)); got != want {
				t.Errorf("the offer that goes back says %s", got)
			}
		})
	}
}

package edc

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"dcm-receiver/internal/dcm"

	"github.com/google/go-cmp/cmp"
)

// sample is the registration of the tests and of the JSON under deploy/edc.
func sample() Registration {
	return Registration{
		Prefix: "dcm", Version: "0.10.0", Backend: "https://dcm-receiver.example.com", Key: "the-api-key",
		Type: "HttpData", Header: SenderHeader, Usage: "framework", Messages: true,
	}
}

func summaries(changes []Change) string {
	var out []string
	for _, c := range changes {
		out = append(out, c.Summary())
	}
	return strings.Join(out, "\n")
}

func TestRegister(t *testing.T) {
	c := converse(t, "register", customer)
	m := c.management()
	ctx := context.Background()
	r := sample()
	step := func(what string, apply bool, want string) {
		t.Helper()
		got, err := Register(ctx, m, r, apply)
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if d := cmp.Diff(strings.TrimSpace(want), summaries(got)); d != "" {
			t.Errorf("%s (-want +got):\n%s", what, d)
		}
	}
	fails := func(what, want string) {
		t.Helper()
		if _, err := Register(ctx, m, r, true); err == nil || err.Error() != want {
			t.Errorf("%s: got %v\nwant %s", what, err, want)
		}
	}
	all := `
create asset dcm-capacity-group
create asset dcm-request-for-update
create asset dcm-messages
create policy dcm-access
create policy dcm-usage
create contract definition dcm-capacity-group
create contract definition dcm-request-for-update
create contract definition dcm-messages`
	step("check on an empty connector", false, all)
	step("apply", true, all)
	step("again", true, "")

	r.Partners = []string{supplierID, "BPNL00000000OTHR"}
	step("partners", true, `
update policy dcm-access
    policy: "use if Membership eq active", wanted "use if BusinessPartnerNumber eq BPNL00000000OTHR or `+
		`BusinessPartnerNumber eq BPNL00000000SUPP"`)
	r.Partners = []string{"BPNL00000000OTHR", supplierID, supplierID}
	step("the same partners in another order", true, "")

	r.Key, r.Messages = "another-key", false
	step("key, and no messages", true, `
update asset dcm-capacity-group
    dataAddress/authCode: another value than wanted (not shown, it may be a key)
update asset dcm-request-for-update
    dataAddress/authCode: another value than wanted (not shown, it may be a key)
withdraw contract definition dcm-messages`)
	r.Key, r.KeyAlias = "", "dcm-receiver-key"
	step("key by its name in the vault", true, `
update asset dcm-capacity-group
    dataAddress/authCode: another value than wanted (not shown, it may be a key)
    dataAddress/secretName: nothing, wanted dcm-receiver-key
update asset dcm-request-for-update
    dataAddress/authCode: another value than wanted (not shown, it may be a key)
    dataAddress/secretName: nothing, wanted dcm-receiver-key`)
	r.Usage = "use"
	step("plain use", true, `
update policy dcm-usage
    policy: "use if FrameworkAgreement eq DataExchangeGovernance:1.0 and Membership eq active and UsagePurpose `+
		`eq cx.dcm.base:1", wanted "use"`)
	r.Backend += "/dcm/"
	step("another address, check only", false, `
update asset dcm-capacity-group
    dataAddress/baseUrl: https://dcm-receiver.example.com/week-based-capacity-group, wanted `+
		`https://dcm-receiver.example.com/dcm/week-based-capacity-group
update asset dcm-request-for-update
    dataAddress/baseUrl: https://dcm-receiver.example.com/id-based-request-for-update, wanted `+
		`https://dcm-receiver.example.com/dcm/id-based-request-for-update`)
	r.Backend = sample().Backend

	r.Type, r.PerSupplier = "ProxyHttpData", true
	step("an asset for each supplier", true, `
create asset dcm-capacity-group-BPNL00000000OTHR
create asset dcm-request-for-update-BPNL00000000OTHR
create asset dcm-capacity-group-BPNL00000000SUPP
create asset dcm-request-for-update-BPNL00000000SUPP
create policy dcm-access-BPNL00000000OTHR
create policy dcm-access-BPNL00000000SUPP
withdraw contract definition dcm-capacity-group
withdraw contract definition dcm-request-for-update
create contract definition dcm-capacity-group-BPNL00000000OTHR
create contract definition dcm-request-for-update-BPNL00000000OTHR
create contract definition dcm-capacity-group-BPNL00000000SUPP
create contract definition dcm-request-for-update-BPNL00000000SUPP`)
	step("again", true, "")

	// what others have on the connector
	foreign := func(method, path string, body map[string]any) {
		t.Helper()
		if body != nil {
			body["@context"] = edcContext
		}
		if err := m.call(ctx, method, path, body, nil); err != nil {
			t.Fatal(err)
		}
	}
	asset := func(id string) map[string]any {
		return map[string]any{"@id": id, "properties": map[string]any{dcmProperty: dcm.CapacityGroupEndpoint.Property},
			"dataAddress": map[string]any{"@type": "DataAddress", "type": "HttpData",
				"baseUrl": "https://old.example.com"}}
	}
	definition := func(id string, selector ...criterion) map[string]any {
		return map[string]any{"@id": id, "@type": "ContractDefinition", "accessPolicyId": "dcm-usage",
			"contractPolicyId": "dcm-usage", "assetsSelector": selector}
	}
	foreign("POST", "/assets", asset("old-asset"))
	step("another asset of the kind that nobody sees", true, "")
	foreign("POST", "/contractdefinitions", definition("old-offer",
		criterion{edcNS + "id", "=", "old-asset", "Criterion"}))
	fails("another asset of the kind",
		"asset old-asset, offered by contract definition old-offer, is a WeekBasedCapacityGroup endpoint too, and "+
			"a supplier may see only one (CX-0048 §3.2.5): remove that contract definition, or, if other "+
			"suppliers than ours see it, add the asset to setting Tolerated")
	r.Tolerated = []string{"old-asset"}
	step("tolerated", true, "")
	foreign("POST", "/contractdefinitions", definition("everything"))
	fails("an offer of all assets, the ones kept without an offer too",
		"asset dcm-capacity-group, offered by contract definition everything, is a WeekBasedCapacityGroup "+
			"endpoint too, and a supplier may see only one (CX-0048 §3.2.5): remove that contract definition, or, "+
			"if other suppliers than ours see it, add the asset to setting Tolerated")
	foreign("DELETE", "/contractdefinitions/everything", nil)
	ours := "dcm-capacity-group-" + supplierID
	foreign("POST", "/contractdefinitions", definition("another-offer",
		criterion{edcNS + "id", "=", ours, "Criterion"}))
	fails("another offer of ours",
		"contract definition another-offer, which this receiver did not make, also offers our asset "+ours+
			", to whomever its own policies admit: narrow its assetsSelector or remove it")
	foreign("DELETE", "/contractdefinitions/another-offer", nil)

	r = sample()
	r.Prefix, r.Messages = "x", false
	foreign("POST", "/assets", asset("x-request-for-update"))
	fails("an ID that is taken",
		`asset x-request-for-update exists on your connector and was not made by this receiver: set setting `+
			`Prefix to another name than "x", or remove the other one`)

	m.Key = "wrong"
	fails("wrong key",
		"your connector at "+c.URL+"/management does not take the key (401): set setting Key to its API key")
	m.Key, m.URL = labKey, c.URL+"/management/v3"
	fails("wrong path",
		"there is no Management API v3 at "+c.URL+"/management/v3/v3 (404 for /assets/x-capacity-group): setting "+
			"URL must end before /v3 (often in /management), and the connector must be a tractusx-edc of version "+
			"0.7 or later")
}

func TestRegisterConnectorDown(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	m, err := NewManagement(server.URL, "key", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Register(context.Background(), m, sample(), true)
	if err == nil || !strings.Contains(err.Error(), "cannot be reached") ||
		!strings.Contains(err.Error(), "setting URL") {
		t.Errorf("got %v", err)
	}
}

func TestRegisterRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		want   string
	}{
		"login page": {302, "", "redirects to /login"},
		"no JSON":    {200, "<html>hello</html>", "must be the Management API of your connector"},
		"failing": {500, `[{"message":"no database"}]`,
			"failed at GET /v3/assets/dcm-capacity-group (500): no database"},
		"proxy's page": {503, "<html><style>x</style><title>503</title><h1>Service\nUnavailable</h1></html>",
			"(503): Service Unavailable; its log"},
		"silent":    {400, "", "it gives no reason"},
		"forbidden": {403, "", "does not take the key (403)"},
		"other API": {405, "", "there is no Management API v3"},
		// of the POST, in the end
		"missing object": {404, `[{"message":"not found"}]`, "there is no Management API v3"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if name == "missing object" && r.Method == "POST" {
					http.NotFound(w, r)
					return
				}
				w.Header().Set("Location", "/login")
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body))
			}))
			defer server.Close()
			m, err := NewManagement(server.URL, "key", nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Register(context.Background(), m, sample(), true)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want %q in it, on one line", err, c.want)
			}
		})
	}
}

func TestManagementURL(t *testing.T) {
	for _, bad := range []string{"", "connector", "ftp://connector", "http://"} {
		if _, err := NewManagement(bad, "", nil); err == nil || !strings.Contains(err.Error(), "setting URL") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for _, good := range []string{"https://c/management", "https://c/management/", "https://c/management/v3",
		"https://c/management/v3/"} {
		if m, err := NewManagement(good, "", nil); err != nil || m.URL != "https://c/management" {
			t.Errorf("%q: %v, %v", good, m, err)
		}
	}
}

func TestKeep(t *testing.T) {
	// a connector that comes up late, and then holds everything but keeps nothing
	tries := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.Method == "GET" && strings.HasSuffix(r.URL.Path, "/assets/dcm-capacity-group") && tries < 2:
			tries++
			http.Error(w, `[{"message":"starting"}]`, http.StatusServiceUnavailable)
		case r.Method == "GET":
			http.Error(w, `[{"message":"not found"}]`, http.StatusNotFound)
		default:
			_, _ = w.Write([]byte("[]"))
		}
	}))
	defer server.Close()
	m, err := NewManagement(server.URL, "key", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var seen []string
	keep(ctx, m, sample(), func(s State) {
		seen = append(seen, s.Name)
		if (s.Err != nil) != (s.Name == "failed") {
			t.Errorf("%s with error %v", s.Name, s.Err)
		}
		if len(seen) == 5 {
			cancel()
		}
	}, time.Millisecond, 2*time.Millisecond)
	if d := cmp.Diff([]string{"pending", "failed", "failed", "registered", "registered"}, seen); d != "" {
		t.Error(d)
	}
}

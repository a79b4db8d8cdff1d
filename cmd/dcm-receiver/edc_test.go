package main_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/edc/edctest"
)

// TestConnectorCommands: what they offer, and their exit statuses.
func TestConnectorCommands(t *testing.T) {
	locked := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter,
		r *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer locked.Close()
	failing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter,
		r *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
	}))
	defer failing.Close()
	const backend = "DCM_EDC_BACKEND_URL=http://receiver:8080"
	for _, c := range []struct {
		name     string
		settings []string
		args     []string
		status   int
		said     []string
		not      []string
	}{
		{"no address of ours", nil, []string{"register"}, 2, []string{"DCM_EDC_BACKEND_URL is not set"}, nil},
		{"keys of nothing", []string{backend, "DCM_API_KEYS=, "}, []string{"register", "--dry-run"}, 2,
			[]string{"DCM_API_KEYS", "lists nothing"}, nil},
		{"partners of nothing", []string{backend, "DCM_API_KEYS=k", "DCM_PARTNERS= "},
			[]string{"register", "--dry-run"}, 2, []string{"DCM_PARTNERS", "lists nothing"}, nil},
		{"a file without keys", []string{backend, "DCM_API_KEYS_FILE=/dev/null"}, []string{"register", "--dry-run"},
			2, []string{"DCM_API_KEYS_FILE", "has no key"}, nil},
		{"partners that are none", []string{backend, "DCM_API_KEYS=k", "DCM_PARTNERS=BPNL1"},
			[]string{"register", "--dry-run"}, 2, []string{"DCM_PARTNERS", "BPNL1"}, nil},
		{"a list given twice", []string{backend, "DCM_API_KEYS=k"},
			[]string{"register", "--dry-run", "--partners=BPNL00000000SUP1", "--partners=BPNL00000000SUP2"}, 0,
			[]string{"BPNL00000000SUP1", "BPNL00000000SUP2"}, nil},
		{"a file that is not there", []string{"DCM_EDC_MANAGEMENT_URL=" + locked.URL,
			"DCM_EDC_CUSTOMER=BPNL8888888888XX", "DCM_EDC_CUSTOMER_URL=http://x"},
			[]string{"send", "nowhere.json"}, 2, []string{"nowhere.json"}, nil},
		{"a second file that is not there", []string{"DCM_EDC_MANAGEMENT_URL=" + locked.URL,
			"DCM_EDC_CUSTOMER=BPNL8888888888XX", "DCM_EDC_CUSTOMER_URL=http://x"},
			[]string{"send", "/dev/null", "nowhere.json"}, 2, []string{"nowhere.json"}, []string{"catalogue"}},
		{"a partner that is none", []string{"DCM_EDC_MANAGEMENT_URL=" + locked.URL, "DCM_EDC_CUSTOMER=ACME",
			"DCM_EDC_CUSTOMER_URL=http://x"},
			[]string{"send", "-"}, 2, []string{`DCM_EDC_CUSTOMER: "ACME"`}, nil},
		{"an address that is none", []string{"DCM_EDC_MANAGEMENT_URL=" + locked.URL,
			"DCM_EDC_CUSTOMER=BPNL8888888888XX", "DCM_EDC_CUSTOMER_URL=x"},
			[]string{"send", "-"}, 2, []string{"DCM_EDC_CUSTOMER_URL"}, nil},
		{"a protocol that is none", []string{"DCM_EDC_MANAGEMENT_URL=" + locked.URL,
			"DCM_EDC_CUSTOMER=BPNL8888888888XX", "DCM_EDC_CUSTOMER_URL=http://x"},
			[]string{"send", "--protocol", "http", "-"}, 2, []string{"DCM_EDC_PROTOCOL"}, nil},
		{"no connector named", []string{backend, "DCM_API_KEYS=k"}, []string{"register"}, 2,
			[]string{"DCM_EDC_MANAGEMENT_URL is not set"}, nil},
		{"connector down", []string{backend, "DCM_API_KEYS=k", "DCM_EDC_MANAGEMENT_URL=http://127.0.0.1:1"},
			[]string{"register"}, 3, []string{"cannot be reached"}, nil},
		{"connector failing", []string{backend, "DCM_API_KEYS=k", "DCM_EDC_MANAGEMENT_URL=" + failing.URL},
			[]string{"register", "--check"}, 3, []string{"your connector failed"}, nil},
		{"wrong key", []string{backend, "DCM_API_KEYS=k", "DCM_EDC_MANAGEMENT_URL=" + locked.URL},
			[]string{"register"}, 2, []string{"set DCM_EDC_MANAGEMENT_KEY"}, nil},
		{"an endpoint that is none", []string{"DCM_EDC_MANAGEMENT_URL=" + locked.URL,
			"DCM_EDC_CUSTOMER=BPNL8888888888XX", "DCM_EDC_CUSTOMER_URL=http://x"},
			[]string{"send", "--endpoint", "x", "-"}, 2, []string{"id-based-comment"}, nil},
		{"no time", []string{"DCM_EDC_MANAGEMENT_URL=" + locked.URL, "DCM_EDC_CUSTOMER=BPNL8888888888XX",
			"DCM_EDC_CUSTOMER_URL=http://x", "DCM_EDC_TIMEOUT=0"},
			[]string{"send", "-"}, 2, []string{"DCM_EDC_TIMEOUT: 0s leaves no time"}, nil},
		{"customer of cx-0048", []string{backend, "DCM_API_KEYS=k"}, []string{"register", "--dry-run"}, 0,
			[]string{"#DcmWeekBasedCapacityGroup", "#DcmIdBasedRequestForUpdate"},
			[]string{"#DcmWeekBasedMaterialDemand", "#DcmIdBasedComment", "#DcmLoadFactor"}},
		{"supplier of cx-0048", []string{backend, "DCM_API_KEYS=k", "DCM_SUPPLIER_BPNLS=BPNL6666666666YY"},
			[]string{"register", "--dry-run"}, 0,
			[]string{"#DcmWeekBasedMaterialDemand", "weekbasedmaterialdemand-endpoint",
				"#DcmIdBasedRequestForUpdate"}, []string{"#DcmWeekBasedCapacityGroup"}},
		{"customer of cx-0128", []string{backend, "DCM_API_KEYS=k", "DCM_STANDARD=cx-0128",
			"DCM_EDC_CAPABILITIES=load-factor"}, []string{"register", "--dry-run"}, 0,
			[]string{"#DcmIdBasedComment", "#DcmLoadFactor", "http://receiver:8080/id-based-comment"},
			[]string{"#DcmDeltaProduction"}},
		{"every capability, in both roles", []string{backend, "DCM_API_KEYS=k", "DCM_STANDARD=cx-0128",
			"DCM_CUSTOMER_BPNLS=BPNL8888888888XX", "DCM_SUPPLIER_BPNLS=BPNL8888888888XX"}, []string{"register",
			"--dry-run"}, 0,
			[]string{"#DcmWeekBasedCapacityGroup", "#DcmWeekBasedMaterialDemand", "#DcmIdBasedRequestForUpdate",
				"#DcmIdBasedComment", "#DcmLoadFactor", "#DcmDeltaProduction", "#DcmDemandVolatility"}, nil},
		{"no capability", []string{backend, "DCM_API_KEYS=k", "DCM_STANDARD=cx-0128", "DCM_EDC_CAPABILITIES=none"},
			[]string{"register", "--dry-run"}, 0,
			[]string{"#DcmIdBasedComment"}, []string{"#DcmLoadFactor", "#DcmDeltaProduction", "#DcmDemandVolatility"}},
		{"a capability that is none", []string{backend, "DCM_API_KEYS=k", "DCM_STANDARD=cx-0128",
			"DCM_EDC_CAPABILITIES=magic"}, []string{"register", "--dry-run"}, 2,
			[]string{`DCM_EDC_CAPABILITIES: "magic"`}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			command := exec.Command(binary, append([]string{"edc"}, c.args...)...)
			command.Env = append(environment(), c.settings...)
			out, err := command.CombinedOutput()
			status := 0
			if exit, ok := errors.AsType[*exec.ExitError](err); ok {
				status = exit.ExitCode()
			}
			if status != c.status {
				t.Errorf("exit status %d, want %d: %s", status, c.status, out)
			}
			for _, s := range c.said {
				if !strings.Contains(string(out), s) {
					t.Errorf("%q is not in: %s", s, out)
				}
			}
			for _, s := range c.not {
				if strings.Contains(string(out), s) {
					t.Errorf("%q is in: %s", s, out)
				}
			}
		})
	}
}

// TestSendSeesPages: a page in place of the receiver's answer is no success.
func TestSendSeesPages(t *testing.T) {
	partner := &edctest.Partner{BPNL: "BPNL8888888888XX", Sender: "BPNL6666666666YY",
		Offers: []edctest.Offer{edctest.OfferOf(dcm.CapacityGroupEndpoint)}}
	connector := edctest.New(t, partner)
	connector.Instead(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/public" {
			return false
		}
		_, _ = w.Write([]byte("<!DOCTYPE html><title>Sign in</title><p>a\x1b[2J"))
		return true
	})
	env := environment("DCM_EDC_MANAGEMENT_URL="+connector.URL, "DCM_EDC_MANAGEMENT_KEY="+edctest.Key,
		"DCM_EDC_CUSTOMER="+partner.BPNL,
		"DCM_EDC_CUSTOMER_URL="+connector.Address(partner), "DCM_EDC_CACHE_DIR="+t.TempDir())
	status, out := runs(t, env, "[]", "edc", "send", "--json", "-")
	if status != 1 || !strings.Contains(out, `"accepted":false`) ||
		!strings.Contains(out, "a login page or gateway answered") {
		t.Errorf("%d %s", status, out)
	}
	status, out = runs(t, env, "[]", "edc", "send", "-")
	if status != 1 || !strings.Contains(out, "a login page or gateway answered") || strings.Contains(out, "\x1b") {
		t.Errorf("%d %q", status, out)
	}
}

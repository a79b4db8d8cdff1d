package edc

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// The tests of Register and Supplier talk to a server that gives real answers:
// those of two tractusx-edc 0.10.0 connectors, recorded into testdata. The
// server takes only what was sent then, in the same order. To record anew,
// start the lab afresh (CUSTOMER_BPN=BPNL00000000CUST
// SUPPLIER_BPN=BPNL00000000SUPP deploy/edc/lab/up.sh) and run these tests with
// DCM_EDC_RECORD=1.
var recording = os.Getenv("DCM_EDC_RECORD") != ""

const (
	labKey     = "lab-management-key"
	labServer  = "http://127.0.0.1:19100" // stands for the test's server in what is recorded
	customer   = "http://127.0.0.1:19101"
	supplier   = "http://127.0.0.1:19201"
	publicAPI  = "http://127.0.0.1:19104"
	customerID = "BPNL00000000CUST"
	supplierID = "BPNL00000000SUPP"
)

type exchange struct {
	Method  string          `json:"method"`
	Path    string          `json:"path"`
	Key     string          `json:"key,omitempty"` // where it is not the right one
	Request json.RawMessage `json:"request,omitempty"`
	Status  int             `json:"status"`
	Type    string          `json:"type,omitempty"`
	Answer  string          `json:"answer,omitempty"`
}

type conversation struct {
	t         *testing.T
	file      string
	upstream  string // of /management; /public is the customer's data plane
	URL       string
	exchanges []exchange
	next      int
}

// withdrawAll: only one asset of a kind may be offered, and what is recorded
// must not depend on what was recorded before.
func withdrawAll(t *testing.T) {
	t.Helper()
	m, err := NewManagement(customer+"/management", labKey, nil)
	if err != nil {
		t.Fatal(err)
	}
	all, err := m.query(context.Background(), contractDefinitions, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		if err := m.call(context.Background(), "DELETE", "/contractdefinitions/"+text(d["@id"]), nil, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// converse starts the server; in the end all that was recorded must have been said.
func converse(t *testing.T, name, upstream string) *conversation {
	c := &conversation{t: t, file: filepath.Join("testdata", name+".json"), upstream: upstream}
	server := httptest.NewServer(c)
	c.URL = server.URL
	if recording {
		withdrawAll(t)
	} else {
		data, err := os.ReadFile(c.file)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, &c.exchanges); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		server.Close()
		if recording {
			data, err := json.MarshalIndent(c.exchanges, "", " ")
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(c.file, append(data, '\n'), 0o644); err != nil {
				t.Fatal(err)
			}
		} else if c.next != len(c.exchanges) && !t.Failed() {
			t.Errorf("%d of %d recorded exchanges took place", c.next, len(c.exchanges))
		}
	})
	return c
}

func (c *conversation) management() *Management {
	m, err := NewManagement(c.URL+"/management", labKey, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return m
}

func (c *conversation) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		c.t.Error(err)
	}
	e := exchange{Method: r.Method, Path: r.URL.RequestURI()}
	if k := r.Header.Get("X-Api-Key"); k != labKey && strings.HasPrefix(e.Path, "/management") {
		e.Key = k
	}
	if len(body) > 0 {
		e.Request = body
	}
	if recording && c.upstream != "" {
		e = c.record(e, r.Header)
		c.exchanges = append(c.exchanges, e)
	} else {
		if c.next >= len(c.exchanges) {
			c.t.Errorf("not recorded: %s %s", e.Method, e.Path)
			w.WriteHeader(http.StatusTeapot)
			return
		}
		was := c.exchanges[c.next]
		c.next++
		if was.Method != e.Method || was.Path != e.Path || was.Key != e.Key || !sameJSON(was.Request, e.Request) {
			c.t.Errorf("said %s %s (key %q) %s\nrecorded %s %s (key %q) %s", e.Method, e.Path, e.Key, e.Request,
				was.Method, was.Path, was.Key, was.Request)
		}
		if strings.HasPrefix(e.Path, "/public") && r.Header.Get("Authorization") != "a-token" {
			c.t.Errorf("the data plane was shown the token %q", r.Header.Get("Authorization"))
		}
		e = was
	}
	if e.Type != "" {
		w.Header().Set("Content-Type", e.Type)
	}
	w.WriteHeader(e.Status)
	_, _ = io.WriteString(w, strings.ReplaceAll(e.Answer, labServer, c.URL))
}

var tokens = regexp.MustCompile(`("(?:authorization|tx-auth:refreshToken)":)"[^"]*"`)

// lastToken is the one that the record must not hold.
var lastToken string

func (c *conversation) record(e exchange, h http.Header) exchange {
	upstream := c.upstream
	if strings.HasPrefix(e.Path, "/public") {
		upstream = publicAPI
	}
	req, err := http.NewRequest(e.Method, upstream+e.Path, bytes.NewReader(e.Request))
	if err != nil {
		c.t.Fatal(err)
	}
	for _, k := range []string{"X-Api-Key", "Content-Type"} {
		if v := h.Get(k); v != "" { // the data plane refuses an empty Content-Type
			req.Header.Set(k, v)
		}
	}
	req.Header.Set("Authorization", lastToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if m := regexp.MustCompile(`"authorization":"([^"]*)"`).FindSubmatch(data); m != nil {
		lastToken = string(m[1])
	}
	e.Status, e.Type = resp.StatusCode, resp.Header.Get("Content-Type")
	e.Answer = strings.ReplaceAll(tokens.ReplaceAllString(string(data), `$1"a-token"`), publicAPI, labServer)
	return e
}

func sameJSON(a, b []byte) bool {
	var x, y any
	if len(a) == 0 || len(b) == 0 {
		return len(a) == len(b)
	}
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return bytes.Equal(a, b)
	}
	return reflect.DeepEqual(x, y)
}

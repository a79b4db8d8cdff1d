package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"dcm-receiver/api"
	"dcm-receiver/internal/privatepg/pgtest"
	"dcm-receiver/internal/receiver"
	"dcm-receiver/internal/standard"
	"dcm-receiver/internal/store"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/google/go-cmp/cmp"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const (
	supplier  = "BPNL6666666666YY"
	stranger  = "BPNL7777777777ZZ"
	customer  = "BPNL8888888888XX"
	key       = "the-key"
	groups    = "/week-based-capacity-group"
	demands   = "/week-based-material-demand"
	comments  = "/id-based-comment"
	requests  = "/id-based-request-for-update"
	messages  = "/messages"
	byID      = "/messages/{id}"
	unfetched = "/messages/0157ba42-d2a8-4e28-8565-7b07830c1110" // no message has this ID
)

// load reads the description with the schemas that it refers to, as published,
// and checks it with all its examples.
func load(t *testing.T) *openapi3.T {
	t.Helper()
	loader := openapi3.NewLoader()
	loader.IsExternalRefsAllowed = true
	doc, err := loader.LoadFromFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(loader.Context); err != nil {
		t.Fatal(err)
	}
	return doc
}

// call is one request and what the description says of its answer.
type call struct {
	name    string
	method  string
	path    string // in the description
	target  string // "" is path
	headers map[string]string
	of      string // name of the call whose answer says what to GET
	body    any    // JSON, or a string as it is; nil is none
	status  int
	example string // name of an example of the answer, which it must be equal to
	server  string // "" is the usual one
}

// now is when the examples of the description were sent.
var now = time.Date(2026, time.January, 12, 6, 0, 1, 500_000_000, time.UTC)

// TestAnswersAreAsDescribed sends requests to a receiver and compares the
// answers with the description: schemas (without any undocumented member),
// headers and examples. Every answer that is described must come up.
func TestAnswersAreAsDescribed(t *testing.T) {
	doc := load(t)
	for _, schema := range doc.Components.Schemas {
		no := false
		if len(schema.Value.Properties) > 0 {
			schema.Value.AdditionalProperties = openapi3.AdditionalProperties{Has: &no}
		}
	}
	servers := serve(t)
	missing := described(doc)

	envelope := func(change func(message, group map[string]any)) any {
		m := example(t, doc, groups, "envelope").(map[string]any)
		change(m, m["content"].(map[string]any)["informationObject"].([]any)[0].(map[string]any))
		return m
	}
	demand := func(change func(demand map[string]any)) any {
		m := example(t, doc, demands, "demand").(map[string]any)
		change(m["content"].(map[string]any)["informationObject"].([]any)[0].(map[string]any))
		return m
	}
	comment := func(property string, value any) any {
		m := example(t, doc, comments, "comment").(map[string]any)
		m["content"].(map[string]any)["informationObject"].([]any)[0].(map[string]any)[property] = value
		return m
	}
	list := func(change func(group map[string]any)) []any {
		l := example(t, doc, groups, "list").([]any)
		change(l[0].(map[string]any))
		return l
	}
	asIs := func(message, group map[string]any) {}
	both := append([]any{envelope(asIs).(map[string]any)["content"].(map[string]any)["informationObject"].([]any)[0]},
		example(t, doc, groups, "list").([]any)...)
	tooLarge := strings.Repeat(" ", receiver.MaxBody+1)

	calls := []call{
		{name: "new", path: groups, body: envelope(asIs), status: 201, example: "created"},
		{name: "again", path: groups, body: envelope(asIs), status: 200, example: "identical"},
		{name: "list of two", path: groups, body: both, status: 200, example: "listOfTwo"},
		{name: "Tuesday", path: groups, body: envelope(func(_, g map[string]any) {
			g["capacities"].([]any)[1].(map[string]any)["pointInTime"] = "2026-03-10"
		}), status: 400, example: "tuesday"},
		{name: "another supplier", path: groups, body: list(func(g map[string]any) { g["supplier"] = stranger }),
			status: 400, example: "otherSupplier"},
		{name: "older", path: groups, body: envelope(func(_,
			g map[string]any) {
			g["changedAt"] = "2025-12-31T00:00:00Z"
		}), status: 400, example: "older"},
		{name: "another receiver", path: groups, body: envelope(func(m, _ map[string]any) {
			m["messageHeader"].(map[string]any)["header"].(map[string]any)["receiverBpn"] = stranger
		}), status: 400, example: "otherReceiver"},
		{name: "many errors", path: groups, body: list(func(g map[string]any) { g["capacities"] = make([]int, 150) }),
			status: 400},
		{name: "new demand", path: demands, body: demand(func(map[string]any) {}), status: 201, example: "newDemand"},
		{name: "demand again", path: demands, body: demand(func(map[string]any) {}), status: 200},
		{name: "another ID", path: demands, body: demand(func(d map[string]any) {
			d["materialDemandId"] = "0157ba42-d2a8-4e28-8565-7b07830c1121"
		}), status: 400, example: "anotherID"},
		{name: "new comment", path: comments, body: comment("commentText", "The second line starts a week later."),
			server: "cx-0128", status: 201, example: "newComment"},
		{name: "comment again", path: comments, body: comment("requestDelete", true), server: "cx-0128", status: 200},
		{name: "comment with a Sunday", path: comments, body: comment("listOfReferenceDates", []string{"2026-03-01"}),
			server: "cx-0128", status: 400},
		{name: "comment on nothing", path: comments, body: comment("objectId",
			"0157ba42-d2a8-4e28-8565-7b07830c1199"), server: "cx-0128", status: 403},
		{name: "request", path: requests, body: example(t, doc, requests, "oneDemand"), status: 200,
			example: "recorded"},
		{name: "last of all", method: "GET", path: messages, target: messages + "?limit=1", status: 200,
			example: "onePage"},
		{name: "by its instance", method: "GET", path: byID, of: "another supplier", status: 200, example: "refused"},
		{name: "request for everything", path: requests, body: example(t, doc, requests, "everything"), status: 200},
		{name: "request with no ID", path: requests,
			body:   []any{map[string]any{"weekBasedMaterialDemand": []any{map[string]any{"materialDemandId": "17"}}}},
			status: 400, example: "notAnID"},
		{name: "latest", method: "GET", path: messages, target: messages + "?refused=true&limit=3", status: 200},
		{name: "by messageId", method: "GET", path: byID, target: messages + "/6e1d7a1c-6f4b-4d3b-9a55-1f2f9b1f6a05",
			status: 200},
		{name: "unknown message", method: "GET", path: byID, target: unfetched, status: 404, example: "unknown"},
		{name: "query", method: "GET", path: messages, target: messages + "?limit=101", status: 400, example: "limit"},
	}
	for _, path := range []string{groups, demands, requests, comments, messages, byID} {
		server := ""
		if path == comments {
			server = "cx-0128"
		}
		method, target, wrong := "POST", path, "PUT"
		if strings.HasPrefix(path, messages) {
			method, target, wrong = "GET", strings.Replace(path, byID, unfetched, 1), "DELETE"
		}
		put := "" // the example of 405 is one of a POST endpoint
		if method == "POST" {
			put = "put"
			calls = append(calls,
				call{name: "text", path: path, headers: map[string]string{"Content-Type": "text/plain"}, body: "[]",
					server: server, status: 415, example: "contentType"},
				call{name: "zipped", path: path, headers: map[string]string{"Content-Encoding": "gzip"}, body: "[]",
					server: server, status: 415, example: "contentEncoding"},
				call{name: "cut off", path: path, body: `[{"a":1`, server: server, status: 422, example: "cutOff"},
				call{name: "too large", path: path, body: tooLarge, server: server, status: 413, example: "tooLarge"},
				call{name: "store down", path: path, body: envelope(asIs), server: server + "down", status: 503,
					example: "store"})
		} else {
			calls = append(calls, call{name: "store down", method: method, path: path, target: target, server: "down",
				status: 503})
		}
		calls = append(calls,
			call{name: "wrong method", method: wrong, path: path, target: target, server: server, status: 405,
				example: put},
			call{name: "no key", method: method, path: path, target: target,
				headers: map[string]string{"X-Api-Key": "wrong"}, server: server, status: 401, example: "noKey"},
			call{name: "no sender", method: method, path: path, target: target,
				headers: map[string]string{"Edc-Bpn": "BPNS6666666666YY"}, server: server, status: 401,
				example: "noSender"},
			call{name: "stranger", method: method, path: path, target: target,
				headers: map[string]string{"Edc-Bpn": stranger}, server: server, status: 403, example: "notAllowed"})
	}
	instances, called := map[string]string{}, 0
	for _, c := range calls {
		t.Run(c.name+" at "+path.Base(c.path), func(t *testing.T) {
			if c.of != "" {
				c.target = instances[c.of]
			}
			called++
			instances[c.name] = check(t, doc, servers[c.server], c)
			delete(missing, operationOf(c.path)+" "+c.path+" "+strconv.Itoa(c.status))
		})
	}
	if called < len(calls) {
		return // -run chose some of them
	}
	for answer := range missing {
		t.Errorf("%s is described, but no request of this test leads to it", answer)
	}

	// The answer to a refused message can be fetched.
	var page struct{ Messages []struct{ Instance string } }
	_, _, body := send(t, servers[""], call{method: "GET", path: messages, target: messages + "?refused=true"})
	if err := json.Unmarshal(body, &page); err != nil {
		t.Fatal(err)
	}
	for _, m := range page.Messages {
		check(t, doc, servers[""], call{method: "GET", path: byID, target: m.Instance, status: 200})
	}
}

// serve starts the receivers that the calls go to.
func serve(t *testing.T) map[string]string {
	servers := map[string]string{}
	up, down := pgtest.New(t), "postgres://127.0.0.1:1/dcm"
	for name, url := range map[string]string{"": up, "down": down, "cx-0128": up, "cx-0128down": down} {
		by, known := standard.Of(strings.TrimSuffix(name, "down"))
		if !known {
			by = standard.Default()
		}
		s, err := store.Open(url, 2, 20*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		rc := receiver.New(receiver.Config{
			Standard: by, CustomerBPNLs: []string{customer}, SupplierBPNLs: []string{customer},
			Partners: []string{supplier}, APIKeys: []string{key}, SenderHeader: "Edc-Bpn",
			UnparsableStatus: 422, RequestTimeout: 20 * time.Second, MaxInFlight: 8, MaxBuffered: 1 << 27,
			Now: func() time.Time { return now },
		}, s, slog.New(slog.DiscardHandler))
		server := httptest.NewServer(rc.Partner())
		t.Cleanup(server.Close)
		servers[name] = server.URL
	}
	return servers
}

// described has every operation and status of the description.
func described(doc *openapi3.T) map[string]bool {
	all := map[string]bool{}
	for path, item := range doc.Paths.Map() {
		for method, operation := range item.Operations() {
			for status := range operation.Responses.Map() {
				all[method+" "+path+" "+status] = true
			}
		}
	}
	return all
}

// operationOf is the method under which a path is described; the answer to
// another method is described there too.
func operationOf(path string) string {
	if strings.HasPrefix(path, messages) {
		return "GET"
	}
	return "POST"
}

// example is an example of a request's body, decoded anew.
func example(t *testing.T, doc *openapi3.T, path, name string) (value any) {
	t.Helper()
	raw, err := json.Marshal(
		doc.Paths.Value(path).Post.RequestBody.Value.Content["application/json"].Examples[name].Value.Value)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &value); err != nil {
		t.Fatal(err)
	}
	return value
}

func send(t *testing.T, server string, c call) (*http.Request, *http.Response, []byte) {
	t.Helper()
	body, isText := []byte(nil), false
	if c.body != nil {
		var text string
		if text, isText = c.body.(string); isText {
			body = []byte(text)
		} else {
			body, _ = json.Marshal(c.body)
		}
	}
	method, target := c.method, c.target
	if method == "" {
		method = "POST"
	}
	if target == "" {
		target = c.path
	}
	r, err := http.NewRequest(method, server+target, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Api-Key", key)
	r.Header.Set("Edc-Bpn", supplier)
	r.Header.Set("Content-Type", "application/json")
	for name, value := range c.headers {
		r.Header.Set(name, value)
	}
	w, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Body.Close()
	answer, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r, w, answer
}

// check returns where the answer can be fetched.
func check(t *testing.T, doc *openapi3.T, server string, c call) (instance string) {
	t.Helper()
	r, w, body := send(t, server, c)
	if w.StatusCode != c.status {
		t.Fatalf("status %d, expected %d: %s", w.StatusCode, c.status, body)
	}
	item := doc.Paths.Value(c.path)
	operation := item.GetOperation(operationOf(c.path))
	err := openapi3filter.ValidateResponse(context.Background(), (&openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{
			Request: r, PathParams: map[string]string{},
			Route: &routers.Route{Spec: doc, Path: c.path, PathItem: item, Method: operationOf(c.path),
				Operation: operation},
		},
		Status: w.StatusCode, Header: w.Header,
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	}).SetBodyBytes(body))
	if err != nil {
		t.Errorf("not as described: %v\n%s", err, body)
	}
	var found struct{ Instance string }
	if err := json.Unmarshal(body, &found); err != nil {
		t.Fatal(err)
	}
	if c.example == "" {
		return found.Instance
	}
	response := operation.Responses.Value(strconv.Itoa(c.status)).Value
	documented, ok := response.Content.Get(w.Header.Get("Content-Type")).Examples[c.example]
	if !ok {
		t.Fatalf("there is no example %q", c.example)
	}
	want, err := json.Marshal(documented.Value.Value)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(normal(t, want), normal(t, body)); diff != "" {
		t.Errorf("the answer differs from the example (-example +answer):\n%s", diff)
	}
	return found.Instance
}

// ours matches IDs that the receiver makes (UUID version 7).
var ours = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`)

// normal is a decoded document without what differs from run to run.
func normal(t *testing.T, body []byte) (value any) {
	t.Helper()
	if err := json.Unmarshal(ours.ReplaceAll(body, []byte("ID")), &value); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return value
}

// TestSchemasAreServedBeside checks that what the description refers to is
// there when both come from the operations listener.
func TestSchemasAreServedBeside(t *testing.T) {
	s, err := store.Open("postgres://127.0.0.1:1/dcm", 1, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	server := httptest.NewServer(receiver.New(receiver.Config{}, s, slog.New(slog.DiscardHandler)).Operations())
	defer server.Close()
	w, err := http.Get(server.URL + "/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Body.Close()
	served, err := io.ReadAll(w.Body)
	if err != nil || !bytes.Equal(served, api.OpenAPI) {
		t.Fatalf("GET /openapi.yaml: %d, %v", w.StatusCode, err)
	}
	references := regexp.MustCompile(`\$ref: \.\.(/schemas/\S+\.json)`).FindAllSubmatch(served, -1)
	if len(references) != 4 {
		t.Fatalf("%d references to schemas, expected 4", len(references))
	}
	for _, reference := range references {
		if err := resolves(server.URL, string(reference[1]), map[string]bool{}); err != nil {
			t.Error(err)
		}
	}
}

// resolves follows references between the files of a folder.
func resolves(server, file string, seen map[string]bool) error {
	if seen[file] {
		return nil
	}
	seen[file] = true
	w, err := http.Get(server + file)
	if err != nil {
		return err
	}
	defer w.Body.Close()
	content, err := io.ReadAll(w.Body)
	if err != nil || w.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %d, %v", file, w.StatusCode, err)
	}
	for _, reference := range regexp.MustCompile(`"\$ref": "([^"#]+\.json)`).FindAllSubmatch(content, -1) {
		if err := resolves(server, path.Join(path.Dir(file), string(reference[1])), seen); err != nil {
			return err
		}
	}
	return nil
}

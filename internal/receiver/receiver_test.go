package receiver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/example"
	"dcm-receiver/internal/privatepg/pgtest"
	"dcm-receiver/internal/receiver"
	"dcm-receiver/internal/standard"
	"dcm-receiver/internal/store"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// now is a Wednesday; the current week is 2026-11-23, the next 2026-11-30.
var now = time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)

// fixture is the real handler on a real, migrated database.
type fixture struct {
	*receiver.Receiver
	t          testing.TB
	url        string // of the database
	partner    http.Handler
	operations http.Handler
	log        *bytes.Buffer
	store      *store.Store
}

func newFixture(t testing.TB, change func(*receiver.Config)) *fixture {
	t.Helper()
	return onDatabase(t, pgtest.New(t), change)
}

func onDatabase(t testing.TB, url string, change func(*receiver.Config)) *fixture {
	t.Helper()
	config := receiver.Config{
		Standard: standard.Default(), CustomerBPNLs: []string{example.Customer, "BPNL8888888888YY"},
		SupplierBPNLs: []string{example.Supplier}, SenderHeader: "Edc-Bpn", UnparsableStatus: 422,
		RequestTimeout: 20 * time.Second, MaxInFlight: 256, MaxBuffered: 128 << 20,
		Now: func() time.Time { return now },
	}
	if change != nil {
		change(&config)
	}
	s, err := store.Open(url, 8, config.RequestTimeout)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	log := &bytes.Buffer{}
	rc := receiver.New(config, s, slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	return &fixture{rc, t, url, rc.Partner(), rc.Operations(), log, s}
}

// request is a POST as a data plane sends it.
func request(endpoint string, body io.Reader) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/"+endpoint, body)
	r.Header.Set("Content-Type", "application/json;charset=UTF-8")
	r.Header.Set("Edc-Bpn", example.Supplier)
	if endpoint == dcm.MaterialDemandEndpoint.Path {
		r.Header.Set("Edc-Bpn", example.Customer)
	}
	r.ContentLength = -1 // chunked, as always
	return r
}

func (f *fixture) do(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	f.partner.ServeHTTP(w, r)
	return w
}

func (f *fixture) post(endpoint string, body []byte) *httptest.ResponseRecorder {
	return f.do(request(endpoint, bytes.NewReader(body)))
}

// query reads one column of text through the planners' eyes.
func (f *fixture) query(sql string, args ...any) []string {
	f.t.Helper()
	conn, err := pgx.Connect(context.Background(), f.url)
	if err != nil {
		f.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	rows, err := conn.Query(context.Background(), sql, args...)
	if err != nil {
		f.t.Fatal(err)
	}
	values, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		f.t.Fatal(err)
	}
	return values
}

var update = flag.Bool("update", false, "write the answers of the cases as they are now")

// TestCases POSTs what lies in testdata/<endpoint>/<case>, or in
// testdata/<standard>/<endpoint>/<case> for another than CX-0048: first each
// before-*.json, then request.json, and compares the answer to the last, and
// what planners see then, with expected.json. `go test -run TestCases -update`
// writes these anew.
func TestCases(t *testing.T) {
	requests, err := filepath.Glob("testdata/*/*/request.json")
	if err != nil || len(requests) < 20 {
		t.Fatalf("%d cases found: %v", len(requests), err)
	}
	byCX0128, err := filepath.Glob("testdata/cx-0128/*/*/request.json")
	if err != nil || len(byCX0128) < 10 {
		t.Fatalf("%d cases of CX-0128 found: %v", len(byCX0128), err)
	}
	requests = append(requests, byCX0128...)
	for _, path := range requests {
		dir := filepath.Dir(path)
		endpoint := filepath.Base(filepath.Dir(dir))
		by, known := standard.Of(filepath.Base(filepath.Dir(filepath.Dir(dir))))
		if !known {
			by = standard.Default()
		}
		t.Run(by.Name+"/"+endpoint+"/"+filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, func(c *receiver.Config) { c.Standard = by })
			if endpoint == dcm.CommentEndpoint.Path { // there is a group to comment on
				if w := f.post(dcm.CapacityGroupEndpoint.Path, read(t,
					filepath.Join(filepath.Dir(dir), "group.json"))); w.Code != 201 {
					t.Fatal(w.Code, w.Body)
				}
			}
			before, _ := filepath.Glob(filepath.Join(dir, "before-*.json"))
			for _, earlier := range before {
				if w := f.post(endpoint, read(t, earlier)); w.Code >= 300 {
					t.Fatalf("%s: %d %s", earlier, w.Code, w.Body)
				}
			}
			w := f.post(endpoint, read(t, path))
			got := map[string]any{}
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatalf("the answer is not JSON: %v", err)
			}
			if !regexp.MustCompile(`^/messages/[0-9a-f-]{36}$`).MatchString(got["instance"].(string)) {
				t.Errorf("instance is %v", got["instance"])
			}
			delete(got, "instance") // differs each time
			have := indent(t, map[string]any{"status": w.Code, "contentType": w.Header().Get("Content-Type"),
				"answer": got, "stored": f.stored(endpoint)})
			expected := filepath.Join(dir, "expected.json")
			if *update {
				if err := os.WriteFile(expected, have, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(read(t, expected)), string(have)); diff != "" {
				t.Error(diff)
			}
			f.checkJournal(w.Code, got)
		})
	}
}

// stored is what planners see of what the endpoint stores.
func (f *fixture) stored(endpoint string) map[string]any {
	if endpoint == dcm.MaterialDemandEndpoint.Path {
		return map[string]any{
			"demands": f.query(
				`select concat_ws(' ', direction, supplier, customer, material_demand_id, ` +
					`material_number_customer, unit_of_measure, to_char(changed_at at time zone 'UTC', ` +
					`'YYYY-MM-DD"T"HH24:MI:SS.US') || lpad(changed_at_nanosecond::text, 3, '0')) from ` +
					`planning.material_demand order by 1`),
			"weeks": f.query(
				`select concat_ws(' ', material_demand_id, material_number_customer, customer_location, ` +
					`demand_category_code, point_in_time, demand) from planning.demand order by 1`),
		}
	}
	if endpoint == dcm.CommentEndpoint.Path {
		return map[string]any{"comments": f.query(`select concat_ws(' | ', supplier, customer, comment_id, object,
			object_id, author, comment_type, comment_text, reference_dates::text,
			posted_at at time zone 'UTC', changed_at at time zone 'UTC', direction, simulation_id) from
			planning.comment order by 1`)}
	}
	return map[string]any{
		"groups": f.query(
			`select concat_ws(' ', supplier, customer, capacity_group_id, to_char(changed_at at time zone 'UTC', ` +
				`'YYYY-MM-DD"T"HH24:MI:SS.US') || lpad(changed_at_nanosecond::text, 3, '0')) from ` +
				`planning.capacity_group order by 1`),
		"weeks": f.query(
			`select concat_ws(' ', point_in_time, actual_capacity, maximum_capacity, agreed_capacity, ` +
				`delta_production_result) from planning.capacity order by capacity_group_id, point_in_time`),
		"requests": f.query(`select concat_ws(' ', coalesce(material_demand_id::text, 'all'), 'changed after ' ||
			(changed_at at time zone 'UTC'), 'answer by ' || (expected_response_by at time zone 'UTC'))
			from planning.request_for_update
			union all select concat_ws(' ', 'capacity group', coalesce(capacity_group_id::text, 'all'),
			'changed after ' || (changed_at at time zone 'UTC')) from planning.request_for_capacity_group order by 1`),
	}
}

// checkJournal holds the last journal entry equal to the answer.
func (f *fixture) checkJournal(status int, answer map[string]any) {
	f.t.Helper()
	want := map[string]any{"status": float64(status), "results": answer["results"]}
	if status == 422 || answer["results"] == nil {
		want["results"] = []any{}
	}
	text := f.query(`select json_build_object('status', m.status, 'results', coalesce((
		select json_agg(json_strip_nulls(json_build_object('index', o.index, case m.endpoint when
		'week-based-material-demand' then 'materialDemandId' when 'id-based-comment' then 'commentId' else
		'capacityGroupId' end, o.object_id, 'rule', o.rule, 'outcome', o.outcome, 'errors', o.errors, 'warnings',
		o.warnings)) order by o.index)
		from planning.message_object o where o.message = m.id), '[]'))::text from planning.message m order by m.id
		desc limit 1`)
	var got map[string]any
	if err := json.Unmarshal([]byte(text[0]), &got); err != nil {
		f.t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		f.t.Errorf("answer and journal differ: %s", diff)
	}
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func indent(t testing.TB, v any) []byte {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestOrderOfRefusals walks the front door: each request has one thing wrong
// and, where it can, everything that is checked later too.
func TestOrderOfRefusals(t *testing.T) {
	f := newFixture(t, func(c *receiver.Config) {
		c.APIKeys = []string{"new-key", "old-key"}
		c.Partners = []string{example.Supplier}
	})
	notJSON := "nonsense"
	counted := map[int]int{} // by status
	for _, c := range []struct {
		name            string
		change          func(*http.Request)
		body            string
		status          int
		problem         string
		header, journal string
	}{
		{"unknown path", func(r *http.Request) { r.URL.Path = "/capacity"; r.Method = "PUT" }, notJSON, 404,
			"unknown-path", "", ""},
		{"trailing slash", func(r *http.Request) { r.URL.Path += "/" }, notJSON, 404, "unknown-path", "", ""},
		{"GET", func(r *http.Request) { r.Method = "GET"; r.Header.Del("X-Api-Key") }, notJSON, 405,
			"method-not-allowed", "Allow: POST", ""},
		{"PUT", func(r *http.Request) { r.Method = "PUT" }, notJSON, 405, "method-not-allowed", "Allow: POST", ""},
		{"no key", func(r *http.Request) { r.Header.Del("X-Api-Key"); r.Header.Del("Edc-Bpn") }, notJSON, 401,
			"no-key", "Www-Authenticate: ApiKey header=\"X-Api-Key\"", ""},
		{"wrong key", func(r *http.Request) { r.Header.Set("X-Api-Key", "new-ke") }, notJSON, 401, "no-key", "", ""},
		{"two keys", func(r *http.Request) { r.Header.Add("X-Api-Key", "old-key") }, notJSON, 401, "no-key", "", ""},
		{"no sender", func(r *http.Request) { r.Header.Del("Edc-Bpn"); r.Header.Set("Content-Type", "text/plain") },
			notJSON, 401, "no-sender", "", ""},
		{"bad sender", func(r *http.Request) { r.Header.Set("Edc-Bpn", "BPNL1") }, notJSON, 401, "no-sender", "", ""},
		{"two senders", func(r *http.Request) { r.Header.Add("Edc-Bpn", "BPNL7777777777ZZ") }, notJSON, 401,
			"no-sender", "", ""},
		{"not a partner", func(r *http.Request) {
			r.Header.Set("Edc-Bpn", "BPNL7777777777ZZ")
			r.Header.Set("Content-Type", "text/plain")
		}, notJSON, 403, "partner-not-allowed", "", ""},
		{"content type", func(r *http.Request) {
			r.Header.Set("Content-Type", "application/xml")
			r.ContentLength = receiver.MaxBody + 1
		}, notJSON, 415, "content-type", "", ""},
		{"broken content type", func(r *http.Request) { r.Header.Set("Content-Type", ";") }, notJSON, 415,
			"content-type", "", ""},
		{"gzip", func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }, notJSON, 415, "content-encoding",
			"", ""},
		{"identity", func(r *http.Request) { r.Header["Content-Encoding"] = []string{"identity"} }, notJSON, 415,
			"content-encoding", "", ""},
		{"identity, then gzip", func(r *http.Request) { r.Header["Content-Encoding"] = []string{"identity", "gzip"} },
			notJSON, 415, "content-encoding", "", ""},
		{"nothing, then gzip", func(r *http.Request) { r.Header["Content-Encoding"] = []string{"", "gzip"} }, notJSON,
			415, "content-encoding", "", ""},
		{"announced too large", func(r *http.Request) { r.ContentLength = 15<<20 + 1 }, notJSON, 413, "too-large", "",
			"413"},
		{"too large", func(*http.Request) {}, strings.Repeat(" ", 15<<20+1), 413, "too-large", "", "413"},
		{"not JSON", func(*http.Request) {}, notJSON, 422, "not-json", "", "422"},
		{"just small enough", func(r *http.Request) { r.Header.Set("X-Api-Key", "old-key") },
			"[]" + strings.Repeat(" ", 15<<20-2), 400, "refused", "", "400"},
		{"no content type", func(r *http.Request) { r.Header.Del("Content-Type") }, "[]", 400, "refused", "", "400"},
		{"charset", func(r *http.Request) { r.Header.Set("Content-Type", `APPLICATION/JSON; Charset="utf-8"`) }, "[]",
			400, "refused", "", "400"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := request(dcm.CapacityGroupEndpoint.Path, strings.NewReader(c.body))
			r.Header.Set("X-Api-Key", "new-key")
			c.change(r)
			before := len(f.query(`select status::text from planning.message`))
			w := f.do(r)
			counted[w.Code]++
			var problem struct {
				Type, Title, Detail string
				Status              int
			}
			if err := json.Unmarshal(w.Body.Bytes(), &problem); err != nil {
				t.Fatal(err)
			}
			if w.Code != c.status || problem.Status != c.status ||
				problem.Type != "urn:dcm-receiver:problem:"+c.problem || problem.Title == "" || problem.Detail == "" {
				t.Errorf("%d %+v; want %d %s", w.Code, problem, c.status, c.problem)
			}
			if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
				t.Errorf("content type %s", got)
			}
			if name, value, _ := strings.Cut(c.header, ": "); w.Header().Get(name) != value {
				t.Errorf("%s: %q, want %q", name, w.Header().Get(name), value)
			}
			journal := f.query(`select status::text from planning.message order by id`)[before:]
			if strings.Join(journal, " ") != c.journal {
				t.Errorf("journal has %q, want %q", journal, c.journal)
			}
		})
	}
	if log := f.log.String(); strings.Contains(log, "new-ke") || strings.Contains(log, "old-key") ||
		strings.Contains(log, notJSON) {
		t.Error("a key or a value of the payload is in the log")
	}
	metrics := f.metrics()
	for status, n := range counted { // of those that were run
		endpoint := dcm.CapacityGroupEndpoint.Path
		if status == 404 {
			endpoint = "other"
		}
		if line := fmt.Sprintf(`dcm_messages_total{endpoint="%s",status="%d"} %d`, endpoint, status,
			n); !strings.Contains(metrics, line+"\n") {
			t.Errorf("metrics lack %s", line)
		}
	}
}

func (f *fixture) metrics() string {
	w := httptest.NewRecorder()
	f.operations.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

func TestUnparsableStatus(t *testing.T) {
	f := newFixture(t, func(c *receiver.Config) { c.UnparsableStatus = 400 })
	w := f.post(dcm.CapacityGroupEndpoint.Path, []byte("{"))
	if w.Code != 400 || !strings.Contains(w.Body.String(), `"status":400`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestOneIDInSeveralRelationships: an ID means one group for each supplier and
// customer (CX-0048 §3.2.3).
func TestOneIDInSeveralRelationships(t *testing.T) {
	f := newFixture(t, nil)
	send := func(supplier, customer string, seconds int) int {
		r := request(dcm.CapacityGroupEndpoint.Path, bytes.NewReader(example.Message(example.Options{
			Groups: 1, Weeks: 3, Seed: 1, Supplier: supplier, Customer: customer,
			Now: now.Add(time.Duration(seconds) * time.Second)})))
		r.Header.Set("Edc-Bpn", supplier)
		return f.do(r).Code
	}
	const otherSupplier, otherCustomer = "BPNL7777777777ZZ", "BPNL8888888888YY"
	for _, c := range []struct {
		supplier, customer string
		seconds, want      int
	}{
		{example.Supplier, example.Customer, 0, 201},
		{otherSupplier, example.Customer, -10, 201},
		{example.Supplier, otherCustomer, -10, 201},
		{example.Supplier, example.Customer, -5, 400},
		{otherSupplier, example.Customer, -5, 200},
		{example.Supplier, otherCustomer, -5, 200},
	} {
		if got := send(c.supplier, c.customer, c.seconds); got != c.want {
			t.Errorf("%s for %s, %+d s: %d, want %d", c.supplier, c.customer, c.seconds, got, c.want)
		}
	}
	if got := f.query(
		`select count(distinct capacity_group_id) || ' of ' || count(*) from ` +
			`planning.capacity_group`); got[0] != "1 of 3" {
		t.Errorf("IDs: %s, want 1 of 3", got[0])
	}
}

// TestNULNeverReachesTheStore, which cannot keep it: wherever a body has one,
// the answer is the one that its place asks for.
func TestNULNeverReachesTheStore(t *testing.T) {
	f := newFixture(t, nil)
	group := string(read(t, "testdata/week-based-capacity-group/rule-5-bare-list/request.json"))
	for body, want := range map[string]int{
		`{"a\u0000":1,"a\u0000":2}`: 422,
		`["\u0000",`:                422,
		"[\"\x00\"]":                422,
		`{"messageHeader":{"header":{"messageId":"\u0000"}},"content":{"informationObject":` + group + `}}`: 400,
		`{"\u0000":"\u0000","content":{"informationObject":` + group + `}}`:                                 201,
		strings.Replace(group, `"Spark plugs"`, `"Spark\u0000plugs"`, 1):                                    400,
		strings.Replace(group, `"unit:piece"`, `"unit:\u0000"`, 1):                                          400,
		strings.Replace(group, `"2026-12-07"`, `"\u0000"`, 1):                                               400,
		strings.Replace(group, `"name"`, `"na\u0000me"`, 1):                                                 400,
	} {
		if w := f.post(dcm.CapacityGroupEndpoint.Path, []byte(body)); w.Code != want {
			t.Errorf("%.100s: %d %s; want %d", body, w.Code, w.Body, want)
		}
		if w := f.post(dcm.RequestForUpdateEndpoint.Path, []byte(body)); w.Code != 200 && w.Code != 400 &&
			w.Code != 422 {
			t.Errorf("request for update %.100s: %d %s", body, w.Code, w.Body)
		}
	}
}

// TestMessages: a sender can fetch the answers to its own messages, and no
// others.
func TestMessages(t *testing.T) {
	f := newFixture(t, nil)
	message := example.Message(example.Options{Groups: 1, Weeks: 3, Supplier: example.Supplier,
		Customer: example.Customer, Now: now})
	get := func(path, sender string) (int, map[string]any) {
		r := httptest.NewRequest("GET", path, nil)
		r.Header.Set("Edc-Bpn", sender)
		w := f.do(r)
		var body map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
			t.Fatal(err)
		}
		return w.Code, body
	}
	answer := func(w *httptest.ResponseRecorder) (a map[string]any) {
		if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
			t.Fatal(err)
		}
		return a
	}
	created := answer(f.post(dcm.CapacityGroupEndpoint.Path, message))
	unreadable := answer(f.post(dcm.CapacityGroupEndpoint.Path, []byte("{")))
	again := answer(f.post(dcm.CapacityGroupEndpoint.Path, message))
	spelt := answer(f.post(dcm.RequestForUpdateEndpoint.Path,
		[]byte(`{"messageHeader":{"header":{"messageId":"urn:uuid:0157BA42-D2A8-4E28-8565-7B07830C1110"}}}`)))
	for name, want := range map[string]map[string]any{"created": created, "unreadable": unreadable, "again": again,
		"header refused": spelt} {
		status, shown := get(want["instance"].(string), example.Supplier)
		if diff := cmp.Diff(any(want), shown["answer"]); status != 200 || diff != "" {
			t.Errorf("%s: %d, %s", name, status, diff)
		}
	}
	if status, shown := get("/messages/0157ba42-d2a8-4e28-8565-7b07830c1110", example.Supplier); status != 200 ||
		shown["status"] != 400.0 || shown["messageId"] != "urn:uuid:0157BA42-D2A8-4E28-8565-7B07830C1110" {
		t.Errorf("by the sender's own ID: %d %v", status, shown)
	}
	if status, shown := get("/messages/"+created["messageId"].(string), example.Supplier); status != 200 ||
		shown["status"] != 200.0 {
		t.Errorf("of repeats the latest: %d %v", status, shown)
	}
	for _, path := range []string{created["instance"].(string), "/messages/" + created["messageId"].(string)} {
		if status, _ := get(path, "BPNL7777777777ZZ"); status != 404 {
			t.Errorf("%s is shown to another sender: %d", path, status)
		}
	}
	if status, _ := get("/messages/nonsense", example.Supplier); status != 404 {
		t.Errorf("nonsense: %d", status)
	}

	statuses := func(path, sender string) (list string, next string) {
		status, page := get(path, sender)
		if status != 200 {
			t.Fatalf("%s: %d %v", path, status, page)
		}
		for _, m := range page["messages"].([]any) {
			list += " " + string(indent(t, m.(map[string]any)["status"])[:3])
		}
		next, _ = page["next"].(string)
		return list, next
	}
	if list, next := statuses("/messages", example.Supplier); list != " 400 200 422 201" || next != "" {
		t.Errorf("all: %s, next %q", list, next)
	}
	if list, _ := statuses("/messages?refused=true", example.Supplier); list != " 400 422" {
		t.Errorf("refused: %s", list)
	}
	list, next := statuses("/messages?limit=3", example.Supplier)
	rest, end := statuses(next, example.Supplier)
	if list+rest != " 400 200 422 201" || end != "" {
		t.Errorf("in pages: %s, then %s, then %q", list, rest, end)
	}
	if list, _ := statuses("/messages", "BPNL7777777777ZZ"); list != "" {
		t.Errorf("another sender sees%s", list)
	}
	for _, query := range []string{"limit=0", "limit=101", "limit=x", "refused=perhaps", "before=x", "%zz"} {
		if status, _ := get("/messages?"+query, example.Supplier); status != 400 {
			t.Errorf("%s: %d", query, status)
		}
	}
	// A list leaves large answers out; they are there by themselves.
	large := bytes.Repeat([]byte(`{"name":5,"supplier":6,"customer":7},`), 90)
	instance := answer(f.post(dcm.CapacityGroupEndpoint.Path,
		[]byte(`[`+string(large[:len(large)-1])+`]`)))["instance"].(string)
	_, page := get("/messages?limit=1", example.Supplier)
	_, shown := get(instance, example.Supplier)
	if first := page["messages"].([]any)[0].(map[string]any); first["instance"] != instance || shown["answer"] == nil {
		t.Errorf("%v, %v", first["instance"], shown["answer"])
	}
}

// TestOperations: health and description.
func TestOperations(t *testing.T) {
	f := newFixture(t, nil)
	get := func(path string) (int, string) {
		w := httptest.NewRecorder()
		f.operations.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		return w.Code, w.Body.String()
	}
	for path, want := range map[string]string{
		"/livez": "ok", "/readyz": "ok", "/openapi.yaml": "openapi: 3.1", "/schemas/common.json": `"$defs"`,
		"/metrics": "dcm_ready 1",
	} {
		if status, body := get(path); status != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %.100s", path, status, body)
		}
	}
	f.Stop()
	if status, body := get("/readyz"); status != 503 || !strings.Contains(body, "stopping") {
		t.Errorf("stopping: %d %s", status, body)
	}
	if status, _ := get("/livez"); status != 200 {
		t.Errorf("alive while stopping: %d", status)
	}

}

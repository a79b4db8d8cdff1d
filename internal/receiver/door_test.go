package receiver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/example"
	"dcm-receiver/internal/receiver"
	"dcm-receiver/migrations"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// TestEveryMethodIsRefusedInWords, those too that no router knows.
func TestEveryMethodIsRefusedInWords(t *testing.T) {
	f := newFixture(t, func(c *receiver.Config) { c.APIKeys = []string{"key"} })
	for _, c := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"PROPFIND", "/week-based-capacity-group", 405, "POST"},
		{"post", "/week-based-capacity-group", 405, "POST"},
		{"get", "/id-based-request-for-update", 405, "POST"},
		{"OPTIONS", "/week-based-capacity-group", 405, "POST"},
		{"OPTIONS", "*", 404, ""},
		{"TRACE", "/messages", 405, "GET"},
		{"get", "/messages", 405, "GET"},
		{"PROPFIND", "/messages/", 405, "GET"},
		{"PROPFIND", "/messages/0157ba42-d2a8-4e28-8565-7b07830c1110", 405, "GET"},
		{"PROPFIND", "/nowhere", 404, ""},
		{"GET", "/messages/a/b", 404, ""},
		{"GET", "/", 404, ""},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Method, r.URL.Path, r.RequestURI = c.method, c.path, c.path
			w := f.do(r)
			var problem struct{ Type, Detail string }
			if err := json.Unmarshal(w.Body.Bytes(), &problem); err != nil {
				t.Fatalf("%d %q: %v", w.Code, w.Body, err)
			}
			if w.Code != c.status || w.Header().Get("Allow") != c.allow || problem.Type == "" || problem.Detail == "" {
				t.Errorf("%d, Allow %q, %+v; want %d, %q", w.Code, w.Header().Get("Allow"), problem, c.status, c.allow)
			}
		})
	}
}

// TestAMessageIsFound under every spelling of its ID, and under our ID even where
// the sender used that as a messageId of its own later.
func TestAMessageIsFound(t *testing.T) {
	f := newFixture(t, nil)
	messageID := uuid.New()
	send := func(id fmt.Stringer) (instance string) {
		var answer struct{ Instance string }
		w := f.post(dcm.RequestForUpdateEndpoint.Path, fmt.Appendf(nil,
			`{"messageHeader":{"header":{"messageId":%q}}}`, id))
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		return answer.Instance
	}
	get := func(path string) (found struct{ ID, MessageID, Instance string }) {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("Edc-Bpn", example.Supplier)
		if err := json.Unmarshal(f.do(r).Body.Bytes(), &found); err != nil {
			t.Fatal(err)
		}
		return found
	}
	instance := send(messageID)
	ours := uuid.MustParse(strings.TrimPrefix(instance, "/messages/"))
	for _, id := range []string{
		ours.String(), strings.ToUpper(ours.String()), ours.URN(), strings.ReplaceAll(ours.URN(), ":", "%3A"),
		strings.ReplaceAll(ours.URN(), ":", "%3a"),
		messageID.String(), strings.ReplaceAll(messageID.URN(), ":", "%3A"),
	} {
		if found := get("/messages/" + id); found.Instance != instance {
			t.Errorf("/messages/%s is %+v, want %s", id, found, instance)
		}
	}
	send(ours)
	if found := get(instance); found.MessageID != messageID.String() {
		t.Errorf("%s is now the message whose messageId equals it: %+v", instance, found)
	}
	var list struct{ Messages []struct{ Instance string } }
	r := httptest.NewRequest(http.MethodGet, "/messages/", nil)
	r.Header.Set("Edc-Bpn", example.Supplier)
	if err := json.Unmarshal(f.do(r).Body.Bytes(), &list); err != nil || len(list.Messages) != 2 {
		t.Errorf("GET /messages/ lists %+v: %v", list, err)
	}
}

// TestReadyMeansAMessageCanBeStored: for everything that a database can lack, the
// messages get 503 exactly where /readyz does, and it says what is missing.
func TestReadyMeansAMessageCanBeStored(t *testing.T) {
	for _, c := range []struct {
		name    string
		prepare []string
		ready   string // "" if it is; else a part of what /readyz says
		sender  string // a part of what the sender is told
	}{
		{"all is well", nil, "", ""},
		{"a newer schema that this program can work with", []string{fmt.Sprintf(
			"insert into dcm.schema_version (version_id, is_applied) values (%d, true)",
			migrations.Version+1)}, "", ""},
		{"a newer schema that it cannot work with", []string{
			"insert into dcm.schema_version (version_id, is_applied) values (99, true)",
			"update dcm.compatibility set oldest_program = 99",
			"alter table dcm.message rename column status to code",
		}, "migration 99", "not set up completely"},
		{"an older schema", []string{
			"delete from dcm.schema_version where version_id > 24",
			"alter table dcm.message drop column problem cascade",
		}, "at migration 24", "not set up completely"},
		{"no right to insert groups", []string{"revoke insert on dcm.capacity_group from app"},
			"INSERT on dcm.capacity_group for app", "not set up completely"},
		{"no right to update groups", []string{"revoke update on dcm.capacity_group from app"},
			"UPDATE on dcm.capacity_group for app", "not set up completely"},
		{"no right to the journal", []string{"revoke insert on dcm.message from app"},
			"INSERT on dcm.message for app", "not set up completely"},
		{"no right to the history", []string{"revoke insert on dcm.capacity_group_history from app"},
			"INSERT on dcm.capacity_group_history for app", "not set up completely"},
		{"no right to the schema", []string{"revoke usage on schema dcm from app"}, "a right is missing",
			"not set up completely"},
		{"read-only", []string{"alter role app set default_transaction_read_only = on"}, "read-only",
			"nothing of the message was stored"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t, nil)
			app := "app_" + strings.ReplaceAll(uuid.NewString(), "-", "") // roles belong to the whole server
			admin, err := pgx.Connect(context.Background(), f.url)
			if err != nil {
				t.Fatal(err)
			}
			run := func(sql string) {
				t.Helper()
				if _, err := admin.Exec(context.Background(), sql); err != nil {
					t.Fatalf("%s: %v", sql, err)
				}
			}
			run("create role " + app + " login")
			t.Cleanup(func() {
				run("drop owned by " + app)
				run("drop role " + app)
				_ = admin.Close(context.Background())
			})
			run("grant usage on schema dcm to " + app)
			run("grant select, insert, update, delete on all tables in schema dcm to " + app)
			for _, sql := range c.prepare {
				run(strings.ReplaceAll(strings.ReplaceAll(sql, "from app", "from "+app), "role app", "role "+app))
			}
			config, err := pgx.ParseConfig(f.url)
			if err != nil {
				t.Fatal(err)
			}
			url := fmt.Sprintf("host=%s port=%d user=%s dbname=%s sslmode=disable", config.Host, config.Port, app,
				config.Database)
			f = onDatabase(t, url, func(c *receiver.Config) { c.RequestTimeout = 5 * time.Second })
			message := example.Message(example.Options{Groups: 1, Weeks: 3, Supplier: example.Supplier,
				Customer: example.Customer, Now: now})
			first := f.post(dcm.CapacityGroupEndpoint.Path, message)
			changed := example.Message(example.Options{Groups: 1, Weeks: 3, Supplier: example.Supplier,
				Customer: example.Customer, Now: now.Add(time.Hour)})
			newer := f.post(dcm.CapacityGroupEndpoint.Path, bytes.Replace(changed, []byte(`"maximumCapacity": `),
				[]byte(`"maximumCapacity": 1`), 1))
			stored := first.Code == 201 && newer.Code == 200
			w := httptest.NewRecorder()
			f.operations.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
			if (w.Code == 200) != stored {
				t.Errorf("/readyz says %d %s; messages got %d, %d", w.Code, w.Body, first.Code, newer.Code)
			}
			if want := strings.ReplaceAll(c.ready, "app", app); w.Code == 200 && want != "" ||
				!strings.Contains(w.Body.String(), want) {
				t.Errorf("/readyz says %d %s, not %q", w.Code, w.Body, want)
			}
			if c.sender != "" {
				refused := first
				if first.Code == 201 {
					refused = newer
				}
				if refused.Code != 503 || !strings.Contains(refused.Body.String(), c.sender) ||
					refused.Header().Get("Retry-After") == "" {
					t.Errorf("the sender is told %d %s", refused.Code, refused.Body)
				}
			}
			if strings.Contains(c.ready, " for app") && !strings.Contains(f.log.String(),
				strings.TrimSuffix(strings.SplitAfter(c.ready, "dcm.")[1], " for app")) {
				t.Errorf("the log does not name the table: %s", f.log)
			}
		})
	}
}

// TestBytesHeldAtOnce: a body that needs more than its sender's share of the bytes
// gets 503 with Retry-After, and nothing of it is stored.
func TestBytesHeldAtOnce(t *testing.T) {
	f := newFixture(t, func(c *receiver.Config) { c.MaxBuffered = 32 << 10 })
	small := example.Message(example.Options{Groups: 1, Weeks: 4, Seed: 1, Supplier: example.Supplier,
		Customer: example.Customer, Now: now})
	if w := f.post(dcm.CapacityGroupEndpoint.Path, small); w.Code != http.StatusCreated {
		t.Errorf("%d bytes: %d %s", len(small), w.Code, w.Body)
	}
	large := example.Message(example.Options{Groups: 10, Weeks: 104, Seed: 2, Supplier: example.Supplier,
		Customer: example.Customer, Now: now})
	w := f.post(dcm.CapacityGroupEndpoint.Path, large)
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d bytes: %d %s", len(large), w.Code, w.Body)
	}
	if n := f.query("select count(*)::text from planning.capacity_group"); n[0] != "1" {
		t.Errorf("%s groups are stored, want 1", n[0])
	}
}

// TestMessagesAtOnce: a message beyond those that may be judged at once is answered
// 503 at once, and taken when there is room again.
func TestMessagesAtOnce(t *testing.T) {
	f := newFixture(t, func(c *receiver.Config) { c.MaxInFlight = 1 })
	message := func(seed uint64) []byte {
		return example.Message(example.Options{Groups: 1, Weeks: 4, Seed: seed, Supplier: example.Supplier,
			Customer: example.Customer, Now: now})
	}
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, f.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "begin; lock table dcm.message in access exclusive mode"); err != nil {
		t.Fatal(err)
	}
	first := make(chan int)
	go func() { first <- f.post(dcm.CapacityGroupEndpoint.Path, message(1)).Code }()
	for tries := 0; !strings.Contains(f.metrics(), "dcm_requests_in_flight 1\n"); tries++ {
		if tries == 200 {
			t.Fatal("the first message is not at work")
		}
		time.Sleep(10 * time.Millisecond)
	}
	w := f.post(dcm.CapacityGroupEndpoint.Path, message(2))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("beside it: %d %s", w.Code, w.Body)
	}
	if _, err := conn.Exec(ctx, "rollback"); err != nil {
		t.Fatal(err)
	}
	if code := <-first; code != http.StatusCreated {
		t.Errorf("the first: %d", code)
	}
	if w := f.post(dcm.CapacityGroupEndpoint.Path, message(2)); w.Code != http.StatusCreated {
		t.Errorf("after it: %d %s", w.Code, w.Body)
	}
}

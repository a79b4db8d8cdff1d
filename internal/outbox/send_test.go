package outbox_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/edc"
	"dcm-receiver/internal/edc/edctest"
	"dcm-receiver/internal/outbox"
	"dcm-receiver/internal/payload"
	"dcm-receiver/internal/privatepg/pgtest"
	"dcm-receiver/internal/standard"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"
)

// receiver is a partner's: it refuses a list in which an object is of material BAD.
type receiver struct {
	t *testing.T

	mu       sync.Mutex
	status   int
	messages []*payload.Message[dcm.MaterialDemand]
	arrived  map[string]string // last demand by material
	bodies   []string
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bodies = append(r.bodies, string(body))
	if r.status != 0 {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(r.status)
		return
	}
	if !strings.Contains(req.URL.Path, "demand") {
		return
	}
	latest := standard.Latest()
	m, err := payload.ReadMaterialDemands(body, payload.Options{HeaderRequired: true,
		Model: latest.Context(dcm.MaterialDemandEndpoint, "")})
	if err != nil || m.Errors.Any() {
		r.t.Errorf("not valid: %v %v %s", err, m, body)
		return
	}
	for _, o := range m.Objects {
		if o.Errors.Any() {
			r.t.Errorf("not valid: %v", o.Errors)
		}
		if o.Value.MaterialNumberCustomer == "BAD" {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(400)
			_, _ = w.Write([]byte(`{"results": [{"errors": [{"pointer": "/x", "detail": "we do not make this"}]}]}`))
			return
		}
	}
	r.messages = append(r.messages, m)
	for _, o := range m.Objects {
		demands := o.Value.Series[0].Demands
		r.arrived[o.Value.MaterialNumberCustomer] = string(demands[len(demands)-1].Demand)
	}
}

func (r *receiver) last() map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := map[string]string{}
	for k, v := range r.arrived {
		c[k] = v
	}
	return c
}

type world struct {
	t         *testing.T
	db        *pgxpool.Pool
	partner   *edctest.Partner
	receiver  *receiver
	connector *edctest.Connector
}

const them, us = "BPNL6666666666YY", "BPNL8888888888XX"

func newWorld(t *testing.T) *world {
	w := &world{t: t, receiver: &receiver{t: t, arrived: map[string]string{}}}
	w.partner = &edctest.Partner{BPNL: them, Backend: w.receiver, Sender: us, Proxy: true,
		Offers: []edctest.Offer{edctest.OfferOf(dcm.MaterialDemandEndpoint),
			edctest.OfferOf(dcm.RequestForUpdateEndpoint), edctest.OfferOf(dcm.CommentEndpoint)}}
	w.connector = edctest.New(t, w.partner)
	db, err := pgxpool.New(context.Background(), pgtest.New(t)+modeOf(t))
	if err != nil {
		t.Fatal(err)
	}
	w.db = db
	t.Cleanup(db.Close)
	w.exec("insert into outbox.partner (bpnl, dsp_url) values ($1, $2)", them, w.connector.Address(w.partner))
	return w
}

// modeOf is what makes a URL one of the mode that a test's name has.
func modeOf(t *testing.T) string {
	for _, mode := range modes {
		if strings.Contains(t.Name(), "/"+mode) {
			return "&default_query_exec_mode=" + mode
		}
	}
	return ""
}

var modes = []string{"exec", "simple_protocol", "cache_describe"}

// TestModes: what the tests of sending show holds in the modes for poolers of connections, too.
func TestModes(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			for name, test := range map[string]func(*testing.T){"TestSend": TestSend, "TestSendLater": TestSendLater,
				"TestReplicas": TestReplicas,
				"TestAnswers":  TestAnswers, "TestRequest": TestRequest, "TestComments": TestComments,
				"TestGone": TestGone, "TestHalves": TestHalves,
				"TestAskedMeanwhile": TestAskedMeanwhile, "TestLateness": TestLateness,
				"TestWayNotStored": TestWayNotStored, "TestOutcomeNotStored": TestOutcomeNotStored} {
				t.Run(name, test)
			}
		})
	}
}

func (w *world) exec(sql string, arguments ...any) {
	w.t.Helper()
	if _, err := w.db.Exec(context.Background(), sql, arguments...); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
}

func (w *world) release(material string, demand int) {
	w.t.Helper()
	w.exec(`insert into outbox.demand_line (supplier, customer, material_number_customer, customer_location,
		point_in_time, demand, unit_of_measure)
		values ($1, $2, $3, 'BPNS8888888888XX', date_trunc('week', now())::date + 28, $4, 'unit:piece')
		on conflict (supplier, customer, material_number_customer, customer_location, demand_category_code,
		point_in_time) do update set demand = excluded.demand`,
		them, us, material, demand)
	w.exec("select outbox.release()")
}

// start runs a replica; it ends with the test, or when stop is called.
func (w *world) start() (stop func()) {
	m, err := edc.NewManagement(w.connector.URL, edctest.Key, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	s := &outbox.Sender{DB: w.db, Consumer: &edc.Consumer{Management: m}, Log: slog.New(slog.DiscardHandler),
		Parallel: 8}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { s.Run(ctx); close(done) }()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	w.t.Cleanup(stop)
	return stop
}

func (w *world) states() (list []string) {
	w.t.Helper()
	rows, err := w.db.Query(context.Background(), `select coalesce(m.material_number_customer, d.object) || ' ' ||
		d.state || coalesce(' ' || d.status, '')
		from planning.delivery d left join planning.material_demand m on m.material_demand_id = d.object_id order by 1`)
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			w.t.Fatal(err)
		}
		list = append(list, s)
	}
	return list
}

func (w *world) eventually(what string, is func() bool) {
	w.t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("not in 20 s: %s; %v", what, w.states())
		}
	}
}

func (w *world) reach(want ...string) {
	w.t.Helper()
	w.eventually(fmt.Sprint(want), func() bool { return slices.Equal(w.states(), want) })
}

// TestSend: what is released arrives; one bad object holds no one up; its reason is kept.
func TestSend(t *testing.T) {
	w := newWorld(t)
	for _, m := range []string{"A", "B", "BAD", "C"} {
		w.release(m, 1)
	}
	w.start()
	w.reach("A delivered 200", "B delivered 200", "BAD refused 400", "C delivered 200")
	var reason string
	if err := w.db.QueryRow(context.Background(),
		"select reason from planning.delivery where state = 'refused'").Scan(&reason); err != nil ||
		!strings.Contains(reason, "/x: we do not make this") {
		t.Errorf("%q %v", reason, err)
	}
	w.release("A", 2)
	w.reach("A delivered 200", "A delivered 200", "B delivered 200", "BAD refused 400", "C delivered 200")
	if d := cmp.Diff(map[string]string{"A": "2", "B": "1", "C": "1"}, w.receiver.last()); d != "" {
		t.Error(d)
	}
	if _, negotiations, transfers := w.partner.Counts(); negotiations != 1 || transfers != 1 {
		t.Errorf("%d negotiations, %d transfers: not kept warm", negotiations, transfers)
	}
}

// TestSendLater: what may pass is tried again, and only the newest state goes.
func TestSendLater(t *testing.T) {
	w := newWorld(t)
	w.partner.Down(true)
	w.release("A", 1)
	w.start()
	w.eventually("an attempt", func() bool {
		var n int
		return w.db.QueryRow(context.Background(),
			"select count(*) from planning.delivery where attempts > 0 and state = 'waiting' and reason is not "+
				"null").Scan(&n) == nil && n == 1
	})
	w.release("A", 2)
	w.receiver.status = 503
	w.partner.Down(false)
	w.eventually("a 503", func() bool {
		w.receiver.mu.Lock()
		defer w.receiver.mu.Unlock()
		return len(
			w.receiver.bodies) > 0
	})
	w.receiver.mu.Lock()
	w.receiver.status = 0
	w.receiver.mu.Unlock()
	w.reach("A delivered 200", "A superseded")
	if got := w.receiver.last()["A"]; got != "2" || len(w.receiver.messages) != 1 {
		t.Errorf("%s arrived, in %d messages", got, len(w.receiver.messages))
	}
}

// TestReplicas: each object is sent by one of several; what a killed one had begun goes on.
func TestReplicas(t *testing.T) {
	w := newWorld(t)
	for n := range 5 {
		w.release(fmt.Sprint("M", n), 1)
	}
	// A replica was killed while it sent: its claim has run out.
	w.exec("update dcm.delivery set state = 'sending', attempts = 1")
	w.exec("insert into dcm.sending values ($1, gen_random_uuid(), now() + interval '2 s')", them)
	for range 3 {
		w.start()
	}
	w.reach("M0 delivered 200", "M1 delivered 200", "M2 delivered 200", "M3 delivered 200", "M4 delivered 200")
	if n := len(w.receiver.messages); n != 1 {
		t.Errorf("%d messages, want one", n)
	}
}

// TestAnswers: a request is answered by what is newer, once, and says so.
func TestAnswers(t *testing.T) {
	w := newWorld(t)
	w.release("A", 1)
	w.release("B", 1)
	stop := w.start()
	w.reach("A delivered 200", "B delivered 200")
	stop()
	const first, second = "0157ba42-d2a8-4e28-8565-7b07830c1110", "0157ba42-d2a8-4e28-8565-7b07830c1111"
	ask := func(id string) {
		w.exec(`insert into dcm.requested_update (partner, message_key, message_id, requested_at, material_demands,
			requested_id, changed_at, changed_at_nanosecond)
			select $1, $2, $2, now(), 3, array[a.material_demand_id, b.material_demand_id, gen_random_uuid()],
			array[a.changed_at - interval '1 s', b.changed_at, null], array[0, 0, null]::smallint[]
			from dcm.material_demand a, dcm.material_demand b where a.material_number_customer = 'A' and
			b.material_number_customer = 'B'`, them, id)
	}
	ask(first)
	ask(second) // the same again
	w.start()
	w.eventually("answers", func() bool {
		var n int
		return w.db.QueryRow(context.Background(),
			"select count(*) from planning.request_for_update where answered_at is not null").Scan(&n) == nil && n == 6
	})
	w.reach("A delivered 200", "B delivered 200")
	var answers string
	if err := w.db.QueryRow(context.Background(),
		"select string_agg(distinct answer, ', ') from planning.request_for_update").Scan(&answers); err != nil ||
		answers != "nothing newer, sent, unknown" {
		t.Errorf("%s %v", answers, err)
	}
	w.receiver.mu.Lock()
	defer w.receiver.mu.Unlock()
	m := w.receiver.messages
	if len(m) != 2 || len(m[1].Objects) != 1 || m[1].Header.RelatedMessageID == nil ||
		!slices.Contains([]string{first, second}, m[1].Header.RelatedMessageID.String()) {
		t.Errorf("%d messages, the last: %+v", len(m), m[len(m)-1])
	}
}

// TestRequest: a row asks a supplier for a group.
func TestRequest(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.exec("insert into outbox.request_for_update (supplier, customer, capacity_group_id, changed_at) values ($1, "+
		"$2, '0157ba42-d2a8-4e28-8565-7b07830c1110', '2026-11-01Z')", them, us)
	w.exec("insert into outbox.request_for_update (supplier, customer) values ($1, $2)", them, us)
	w.reach("IdBasedRequestForUpdate delivered 200", "IdBasedRequestForUpdate delivered 200")
	slices.SortFunc(w.receiver.bodies, func(a, b string) int { return len(b) - len(a) })
	latest := standard.Latest()
	for i, want := range []string{`[{"capacityGroupId":"0157ba42-d2a8-4e28-8565-7b07830c1110",` +
		`"changedAt":"2026-11-01T00:00:00.000000Z"}]`, "[]"} {
		m, err := payload.ReadRequestsForUpdate([]byte(w.receiver.bodies[i]),
			payload.Options{HeaderRequired: true, Model: latest.Context(dcm.RequestForUpdateEndpoint, "")})
		if err != nil || m.Errors.Any() {
			t.Errorf("%v %+v", err, m)
		}
		var body struct {
			Content struct {
				InformationObject []struct{ WeekBasedCapacityGroup json.RawMessage }
			}
		}
		if err := json.Unmarshal([]byte(w.receiver.bodies[i]), &body); err != nil ||
			strings.ReplaceAll(string(body.Content.InformationObject[0].WeekBasedCapacityGroup), " ", "") != want {
			t.Errorf("%s, want %s: %v", w.receiver.bodies[i], want, err)
		}
	}
}

// TestComments: a row is sent, again when it is changed, and taken back.
func TestComments(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.exec("insert into outbox.comment (supplier, customer, object_id, comment_text, reference_dates) values ($1, "+
		"$2, gen_random_uuid(), 'Why?', '{2026-11-30}')", them, us)
	w.reach("IdBasedComment delivered 200")
	w.exec("update outbox.comment set comment_text = 'Why not?'")
	w.reach("IdBasedComment delivered 200", "IdBasedComment delivered 200")
	w.exec("update outbox.comment set request_delete = true")
	w.reach("IdBasedComment delivered 200", "IdBasedComment delivered 200", "IdBasedComment delivered 200")
	for i, want := range []string{"Why?", "Why not?", ""} {
		m, err := payload.ReadComments([]byte(w.receiver.bodies[i]),
			payload.Options{HeaderRequired: true, Model: standard.Latest().Models[dcm.CommentEndpoint.Path]})
		if err != nil || m.Errors.Any() || m.Objects[0].Errors.Any() {
			t.Fatalf("%v %+v", err, m)
		}
		c := m.Objects[0].Value
		if said := c.CommentText; c.RequestDelete != (want == "") || (said == nil) != (want == "") || said != nil &&
			*said != want {
			t.Errorf("%+v, want %q", c, want)
		}
	}
	var n int
	if err := w.db.QueryRow(context.Background(), "select count(*) from planning.comment").Scan(&n); err != nil ||
		n != 0 {
		t.Errorf("%d comments are left: %v", n, err)
	}
	if _, err := w.db.Exec(context.Background(), "delete from outbox.comment"); err == nil ||
		!strings.Contains(err.Error(), "request_delete") {
		t.Error(err)
	}
}

package outbox_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/edc"
	"dcm-receiver/internal/edc/edctest"
	"dcm-receiver/internal/outbox"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
)

// sender is a replica that is not started yet.
func (w *world) sender() *outbox.Sender {
	m, err := edc.NewManagement(w.connector.URL, edctest.Key, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return &outbox.Sender{DB: w.db, Consumer: &edc.Consumer{Management: m}, Log: slog.New(slog.DiscardHandler),
		Parallel: 512}
}

// run runs a replica; it ends with the test, or when stop is called.
func (w *world) run(s *outbox.Sender) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { s.Run(ctx); close(done) }()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	w.t.Cleanup(stop)
	return stop
}

func (w *world) text(sql string, arguments ...any) (s string) {
	w.t.Helper()
	if err := w.db.QueryRow(context.Background(), sql, arguments...).Scan(&s); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
	return s
}

// TestLease: a claim is renewed while a message takes longer than it lasts; one
// that another replica has taken stops what this one does.
func TestLease(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.release("A", 1)
	w.partner.Delay(1500 * time.Millisecond)
	for range 2 {
		s := w.sender()
		s.Lease = 500 * time.Millisecond
		w.run(s)
	}
	w.reach("A delivered 200")
	if posts, _, _ := w.partner.Counts(); posts != 1 {
		t.Errorf("sent %d times, want once", posts)
	}
	w.partner.Delay(time.Hour)
	w.release("A", 2)
	w.eventually("a message on its way", func() bool { posts, _, _ := w.partner.Counts(); return posts == 2 })
	owner := w.text(
		"update dcm.sending set owner = gen_random_uuid(), until = now() + interval '2 s' returning owner::text")
	w.partner.Delay(0)
	w.reach("A delivered 200", "A delivered 200")
	if got := w.text("select coalesce(max(owner::text), 'none') from dcm.sending"); got == owner {
		t.Error("the claim of a replica that is gone was renewed by another")
	}
	if got := w.receiver.last()["A"]; got != "2" {
		t.Errorf("%s arrived last, want 2", got)
	}
}

// TestAskedFirst: with as many partners hanging as are sent to at once, one that
// asks has its answer.
func TestAskedFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.release("A", 1)
	w.hang(20)
	w.exec("update dcm.delivery set queued_at = now() + interval '1 h' where partner = $1", them) // the last in line
	s := w.sender()
	s.Parallel = 8
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go s.Run(ctx) // it does not wait for those that hang
	w.eventually("as many as there may be on their way", func() bool {
		return w.text("select count(*)::text from planning.delivery where state = 'sending'") == "7"
	})
	w.ask(them)
	w.eventually("an answer", func() bool {
		return w.text("select state from planning.delivery where supplier = $1", them) == "delivered"
	})
}

// hang adds partners who take a message and never answer, each with a demand released.
func (w *world) hang(n int) {
	partners := []*edctest.Partner{w.partner}
	for n := range n {
		p := &edctest.Partner{BPNL: fmt.Sprintf("BPNL%012d", n), Sender: us, Proxy: true,
			Offers:  []edctest.Offer{edctest.OfferOf(dcm.MaterialDemandEndpoint)},
			Backend: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
		p.Delay(time.Hour)
		partners = append(partners, p)
	}
	w.connector = edctest.New(w.t, partners...)
	for _, p := range partners {
		w.exec(`insert into outbox.partner (bpnl, dsp_url, protocol) values ($1, $2, 'dataspace-protocol-http')
			on conflict (bpnl) do update set dsp_url = excluded.dsp_url, protocol =
			excluded.protocol`, p.BPNL, w.connector.Address(p))
	}
	w.exec(`insert into outbox.demand_line (supplier, customer, material_number_customer, customer_location,
		point_in_time, demand)
		select bpnl, $1, 'M', 'BPNS8888888888XX', date_trunc('week', now())::date + 28, 1 from outbox.partner where
		bpnl <> $2`, us, them)
	w.exec("select outbox.release()")
}

// ask has partners ask for all.
func (w *world) ask(pattern string) {
	w.exec(`insert into dcm.requested_update (partner, message_key, message_id, requested_at, material_demands,
		requested_id, changed_at, changed_at_nanosecond)
		select bpnl, gen_random_uuid(), gen_random_uuid(), now(), 1, array[null::uuid], array[null::timestamptz],
		array[null::smallint] from outbox.partner where bpnl like $1`, pattern)
}

// TestAskersThatHang: partners who ask and then give no answer delay no one, though
// they are more than are sent to at once: neither the first time nor from then on.
func TestAskersThatHang(t *testing.T) {
	t.Parallel()
	for name, tried := range map[string]bool{"the first time": false, "again": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			hanging, most := 14, 14
			if tried {
				hanging, most = 40, 4 // half of those at once
			}
			w.hang(hanging)
			w.ask("BPNL0000%")
			if tried {
				w.exec("update dcm.delivery set attempts = 1")
			}
			s := w.sender()
			s.Parallel, s.Patience = 8, 300*time.Millisecond
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			go s.Run(ctx) // it does not wait for those that hang
			sending := func() string {
				return w.text(
					"select count(*)::text from planning.delivery where state = 'sending'")
			}
			w.eventually("as many as there may be on their way", func() bool { return sending() == fmt.Sprint(most) })
			w.release("A", 1)
			w.ask(them)
			w.eventually("an answer", func() bool {
				return w.text("select coalesce(max(state), '') from planning.delivery where supplier = $1",
					them) == "delivered"
			})
			if n := sending(); n != fmt.Sprint(most) {
				t.Errorf("%s on their way, want %d", n, most)
			}
		})
	}
}

// TestNoConnection: where messages have taken all connections, a partner is claimed
// and the claim is renewed all the same.
func TestNoConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	config := w.db.Config()
	config.MaxConns = 1
	small, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(small.Close)
	taken, err := small.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	give := sync.OnceFunc(taken.Release)
	t.Cleanup(give)
	s := w.sender()
	s.DB, s.Control, s.Lease = small, w.db, 500*time.Millisecond
	w.run(s)
	w.release("A", 1)
	w.eventually("a claim", func() bool { return w.text("select count(*)::text from dcm.sending") == "1" })
	owner := w.text("select owner::text from dcm.sending")
	time.Sleep(2 * s.Lease)
	if got := w.text("select owner::text || (until > now()) from dcm.sending"); got != owner+"true" {
		t.Errorf("the claim is %s after two leases, want %strue", got, owner)
	}
	give()
	w.reach("A delivered 200")
}

// TestGone: what was removed before it was sent, and a partner that is none of
// ours, hold up nothing else.
func TestGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const other = "BPNL7777777777ZZ"
	w.exec("insert into outbox.request_for_update (supplier, customer) values ($1, $2)", them, us)
	w.exec("delete from outbox.request_for_update")
	w.release("A", 1)
	w.exec("insert into outbox.request_for_update (supplier, customer) values ($1, $2)", other, us)
	w.run(w.sender())
	w.reach("A delivered 200", "IdBasedRequestForUpdate superseded", "IdBasedRequestForUpdate waiting")
	w.eventually("the reason", func() bool {
		var n int
		return w.db.QueryRow(context.Background(),
			"select count(*) from planning.delivery where supplier = $1 and reason like '%partner add "+
				"BPNL7777777777ZZ%'", other).Scan(&n) == nil && n == 1
	})
	// Entered, it is tried at once.
	w.exec("update dcm.delivery set next_attempt_at = now() + interval '1 h' where state = 'waiting'")
	w.exec("insert into outbox.partner (bpnl, dsp_url) values ($1, $2)", other, w.connector.Address(w.partner))
	w.eventually("another attempt", func() bool {
		return w.text("select state || attempts from planning.delivery where supplier = $1", other) > "waiting1"
	})
}

// TestHalves: of many objects one is refused, with the reason that the partner
// keeps for fetching: through HttpData none comes with the answer.
func TestHalves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var mu sync.Mutex
	answers, fetched := map[string]string{}, 0
	w.partner.Proxy = false
	w.partner.Offers = append(w.partner.Offers, edctest.Offer{Asset: "messages", Type: "urn:dcm-receiver:messages",
		Version: "1.0", Path: "/messages"})
	receiver := w.partner.Backend
	w.partner.Backend = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if id, ok := strings.CutPrefix(r.URL.Path, "/messages/"); ok {
			fetched++
			rw.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(rw, answers[id])
			return
		}
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), `"BAD"`) {
			answers[edc.MessageID(
				body)] = `{"id": "1", "status": 400, "answer": {"results": [{"index": 0, "errors": [{"pointer": ` +
				`"/content/informationObject/0", "detail": "we do not make this"}]}]}}`
			rw.WriteHeader(http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		receiver.ServeHTTP(rw, r)
	})
	want := []string{"BAD refused 400"}
	w.exec(`insert into outbox.demand_line (supplier, customer, material_number_customer, customer_location,
		point_in_time, demand)
		select $1, $2, case n when 77 then 'BAD' else 'M' || n end, 'BPNS8888888888XX', date_trunc('week',
		now())::date + 28, n from generate_series(1, 200) n`, them, us)
	w.exec("select outbox.release()")
	for n := 1; n <= 200; n++ {
		if n != 77 {
			want = append(want, fmt.Sprintf("M%d delivered 200", n))
		}
	}
	slices.Sort(want)
	w.run(w.sender())
	w.eventually("all sent", func() bool { s := w.states(); slices.Sort(s); return slices.Equal(s, want) })
	if got, want := w.text("select reason from planning.delivery where state = 'refused'"),
		": /content/informationObject/0: we do not make this"; !strings.HasSuffix(got, want) {
		t.Errorf("reason %q, want it to end in %q", got, want)
	}
	if posts, _, _ := w.partner.Counts(); posts > 25 || fetched != 1 {
		t.Errorf("%d requests, %d of them for reasons", posts, fetched)
	}
}

// TestDenied: a partner that does not let us in is tried for a day, then it is a refusal.
func TestDenied(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.receiver.status = http.StatusForbidden
	w.release("A", 1)
	w.run(w.sender())
	w.eventually("an attempt", func() bool {
		return w.text(
			"select state || coalesce(reason, '') from planning.delivery") == "waitingthe partner's receiver, or "+
			"a gateway before it, does not let you in (403 Forbidden): ask the partner to allow your BPNL and "+
			"to check the key that its connector shows"
	})
	w.exec("update dcm.delivery set queued_at = now() - interval '25 h'")
	w.release("B", 1) // has its day before it
	w.exec("update dcm.delivery set next_attempt_at = null")
	w.reach("A refused 403", "B waiting 403")
	if got := w.text("select reason from planning.delivery where state = 'refused'"); !strings.Contains(got,
		"tried for 24 h") {
		t.Error(got)
	}
}

// TestHangingPartners: a hundred of them hold up no one.
func TestHangingPartners(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var partners []*edctest.Partner
	for n := range 101 {
		p := &edctest.Partner{BPNL: fmt.Sprintf("BPNL%012d", n), Sender: us, Proxy: true,
			Offers:  []edctest.Offer{edctest.OfferOf(dcm.MaterialDemandEndpoint)},
			Backend: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
		if n < 100 {
			p.Delay(time.Hour)
		}
		partners = append(partners, p)
	}
	w.connector = edctest.New(t, partners...)
	for _, p := range partners {
		w.exec("insert into outbox.partner (bpnl, dsp_url, protocol) values ($1, $2, 'dataspace-protocol-http')",
			p.BPNL, w.connector.Address(p))
	}
	// The good one is the last in line.
	w.exec(`insert into outbox.demand_line (supplier, customer, material_number_customer, customer_location,
		point_in_time, demand)
		select bpnl, $1, 'M', 'BPNS8888888888XX', date_trunc('week', now())::date + 28, 1 from outbox.partner where
		bpnl <> $2`, us, them)
	w.exec("select outbox.release()")
	w.exec("update dcm.delivery set queued_at = now() where partner = $1", partners[100].BPNL)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go w.sender().Run(ctx) // it does not wait for those that hang
	begin := time.Now()
	w.eventually("delivery by the good one", func() bool {
		return w.text("select state from planning.delivery where supplier = $1", partners[100].BPNL) == "delivered"
	})
	t.Logf("delivered after %s", time.Since(begin).Round(time.Millisecond))
	w.eventually("all others on their way", func() bool {
		return w.text("select count(*)::text from planning.delivery where state = 'sending'") == "100"
	})
	if n := w.text("select count(*)::text from planning.delivery where state = 'delivered'"); n != "1" {
		t.Errorf("%s delivered", n)
	}
}

// TestAskedMeanwhile: what is asked for while it is on its way goes again, as the answer.
func TestAskedMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.partner.Delay(time.Second)
	w.release("A", 1)
	w.run(w.sender())
	w.eventually("a message on its way", func() bool { posts, _, _ := w.partner.Counts(); return posts == 1 })
	const id = "0157ba42-d2a8-4e28-8565-7b07830c1110"
	w.exec(`insert into dcm.requested_update (partner, message_key, message_id, requested_at, material_demands,
		requested_id, changed_at, changed_at_nanosecond)
		values ($1, $2, $2, now(), 1, array[null::uuid], '{}', '{}')`, them, id)
	w.eventually("the answer", func() bool {
		return w.text(
			"select answer from planning.request_for_update") == "sent"
	})
	w.receiver.mu.Lock()
	defer w.receiver.mu.Unlock()
	if n := len(w.receiver.bodies); n != 2 || strings.Contains(w.receiver.bodies[0], id) ||
		!strings.Contains(w.receiver.bodies[1], `"relatedMessageId":"`+id) {
		t.Errorf("%d messages: %s", n, w.receiver.bodies)
	}
}

// TestAskedWhilePostponed: a partner that asks is there, so what waited for the next
// attempt goes at once.
func TestAskedWhilePostponed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.release("A", 1)
	w.exec("update dcm.delivery set attempts = 9, next_attempt_at = now() + interval '1 h'")
	w.exec(`insert into dcm.requested_update (partner, message_key, message_id, requested_at, material_demands,
		requested_id, changed_at, changed_at_nanosecond)
		select $1, k, k, now(), 1, array[null::uuid], '{}', '{}' from gen_random_uuid() k`, them)
	w.run(w.sender())
	w.reach("A delivered 200")
}

// TestLateness: a request waits until its answer has arrived; a refused one does
// not wait any more.
func TestLateness(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	registry := prometheus.NewRegistry()
	metrics := outbox.NewMetrics(registry.MustRegister)
	replica := func() *outbox.Sender {
		s := w.sender()
		s.Metrics = metrics
		return s
	}
	values := func() map[string]float64 {
		t.Helper()
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { replica().Watch(ctx); close(done) }()
		time.Sleep(100 * time.Millisecond) // it measures at once, then every 15 s
		cancel()
		<-done
		got := map[string]float64{}
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.Metric {
				name := strings.TrimPrefix(f.GetName(), "dcm_outbox_")
				for _, l := range m.Label {
					name += " " + l.GetValue()
				}
				switch {
				case m.Histogram != nil:
					got[name] = float64(m.Histogram.GetSampleCount())
				case strings.HasSuffix(f.GetName(), "seconds"):
					got[name] = min(1, float64(int(m.Gauge.GetValue()/100))) // whether it is long
				default:
					got[name] = m.Gauge.GetValue()
				}
			}
		}
		return got
	}
	check := func(when string, want map[string]float64) {
		t.Helper()
		wrong := ""
		for begin := time.Now(); time.Since(begin) < 10*time.Second; { // a busy machine measures later
			got := values()
			wrong = ""
			for name, v := range want {
				if got[name] != v {
					wrong += fmt.Sprintf("; %s is %v, want %v", name, got[name], v)
				}
			}
			if wrong == "" {
				return
			}
		}
		t.Errorf("%s%s", when, wrong)
	}
	answers := func() string {
		return w.text(
			"select coalesce(string_agg(coalesce(material_demand_id::text, 'all') || ' ' || answer || ' ' || " +
				"(answered_at is not null), ', ' order by requested_at), 'none') from planning.request_for_update")
	}
	w.release("A", 1)
	w.release("B", 1)
	stop := w.run(replica())
	w.reach("A delivered 200", "B delivered 200")
	stop()
	a := w.text("select material_demand_id::text from dcm.material_demand where material_number_customer = 'A'")
	w.exec(`insert into dcm.requested_update (partner, message_key, message_id, requested_at, material_demands,
		requested_id, changed_at, changed_at_nanosecond)
		select $1, k, k, now() - age, 1, array[id], '{}', '{}' from (values
			(gen_random_uuid(), interval '25 h', null::uuid), (gen_random_uuid(), interval '11 s', $2::uuid)) v (k,
			age, id)`, them, a)
	check("asked", map[string]float64{"late_answers 10s": 1, "late_answers 5m": 1, "late_answers 24h": 1,
		"oldest_unanswered_request_seconds": 1, "answer_seconds one": 0})
	if d := cmp.Diff("all waiting false, "+a+" waiting false", answers()); d != "" {
		t.Error(d)
	}
	w.receiver.mu.Lock()
	w.receiver.status = 503
	w.receiver.mu.Unlock()
	stop = w.run(replica())
	w.eventually("a 503",
		func() bool { return w.text("select count(*)::text from planning.delivery where status = 503") == "2" })
	check("not taken", map[string]float64{"late_answers 24h": 1, "waiting_objects": 2})
	if d := cmp.Diff("all waiting false, "+a+" waiting false", answers()); d != "" {
		t.Error(d)
	}
	w.receiver.mu.Lock()
	w.receiver.status = 0
	w.receiver.mu.Unlock()
	w.eventually("answers", func() bool { return answers() == "all sent true, "+a+" sent true" })
	check("answered", map[string]float64{"late_answers 10s": 0, "late_answers 5m": 0, "late_answers 24h": 0,
		"oldest_unanswered_request_seconds": 0, "answer_seconds one": 1, "answer_seconds several": 1})
	stop()
	w.receiver.mu.Lock()
	w.receiver.status = 400
	w.receiver.mu.Unlock()
	w.exec(`insert into dcm.requested_update (partner, message_key, message_id, requested_at, material_demands,
		requested_id, changed_at, changed_at_nanosecond)
		select $1, k, k, now() + interval '1 s', 1, array[$2::uuid], '{}', '{}' from gen_random_uuid() k`, them, a)
	w.run(replica())
	w.eventually("the refusal", func() bool { return strings.HasSuffix(answers(), a+" refused true") })
	check("refused", map[string]float64{"oldest_unanswered_request_seconds": 0, "waiting_objects": 0,
		"refused_objects": 1, "answer_seconds one": 1})
}

// TestALargeRequest: a request for update that names tens of thousands of demands
// is answered soon, whatever the planner knows of the tables: none waits for its square.
func TestALargeRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const named, known = 20_000, 2000
	w.exec(`insert into dcm.material_demand (partner, direction, supplier, customer, material_demand_id, changed_at,
		changed_at_nanosecond, first_recorded_at,
			recorded_at, content_hash, is_inactive, unit_of_measure_is_omitted, material_number_customer,
			material_description_customer)
		select $1, 'sent', $1, $2, ('00000000-0000-0000-0000-' || lpad(i::text, 12, '0'))::uuid, now(), 0, now(),
		now(), '\x00', false, true, i::text, 'x'
		from generate_series(1, $3::int) as i`, them, us, known)
	for _, asked := range []any{us, nil} {
		w.exec(`insert into dcm.requested_update (partner, message_key, requested_at, asked, material_demands,
			requested_id, changed_at, changed_at_nanosecond)
			select $1, gen_random_uuid(), now() - interval '1 minute', $2, $3,
			array_agg(('00000000-0000-0000-0000-' || lpad(i::text, 12, '0'))::uuid),
				array_agg(case when i % 2 = 0 then now() + interval '1 hour' end), array_agg(case when i % 2 = 0
				then 0::smallint end)
			from generate_series(1, $3::int) as i`, them, asked, named)
	}
	step := func(name string) {
		t.Helper()
		sql, err := os.ReadFile("sql/" + name + ".sql")
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		w.exec(strings.ReplaceAll(string(sql), "$1", "''"))
		if took := time.Since(begin); took > 20*time.Second {
			t.Errorf("%s takes %v", name, took)
		}
	}
	step("answer_requests")
	// All but one have arrived; others that no one has asked for wait.
	last := fmt.Sprintf("00000000-0000-0000-0000-%012d", known-1)
	w.exec("update dcm.delivery set state = 'delivered', delivered_at = now() where object_id <> $1::uuid", last)
	w.exec(`insert into dcm.delivery (partner, object, object_id, changed_at, supplier, customer, queued_at)
		select partner, object, gen_random_uuid(), changed_at, supplier, customer, now() from dcm.delivery where
		state = 'delivered'`)
	step("answers_arrived")
	if n := w.text("select count(*)::text from dcm.requested_update where arrived_at is not null"); n != "0" {
		t.Errorf("%s requests are over, though something waits", n)
	}
	w.exec("update dcm.delivery set state = 'refused' where delivered_at is null")
	step("answers_arrived")
	got := w.text(`select string_agg(answer || ' ' || n, ', ' order by answer) from (
		select a.answer, count(*) as n from dcm.requested_update r, unnest(r.answer) as a (answer) where
		r.arrived_at is not null group by 1) as s`)
	if want := "nothing newer 2000, refused 2, sent 1998, unknown 36000"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

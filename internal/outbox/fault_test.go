package outbox_test

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/edc"
	"dcm-receiver/internal/edc/edctest"
	"dcm-receiver/internal/outbox"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
)

// TestWayNotStored: a way that the database does not take is kept in memory; the message
// that went that way is delivered, and the next one needs no contract of its own.
func TestWayNotStored(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec("alter table dcm.way add constraint none check (way->>'Agreement' = '') not valid")
	w.run(w.sender())
	w.release("A", 1)
	w.reach("A delivered 200")
	w.release("B", 1)
	w.reach("A delivered 200", "B delivered 200")
	if posts, negotiations, transfers := w.partner.Counts(); posts != 2 || negotiations != 1 || transfers != 1 {
		t.Errorf("%d messages, %d negotiations, %d transfers; want 2, 1, 1", posts, negotiations, transfers)
	}
}

// TestOutcomeNotStored: where the database does not take what became of a message, that
// is tried again with back-off, and the message is not sent again.
func TestOutcomeNotStored(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ breaks, mends string }{
		"one statement": {"alter table dcm.delivery add constraint none check (state <> 'delivered') not valid",
			"alter table dcm.delivery drop constraint none"},
		"the table": {"alter table dcm.delivery rename to gone", "alter table dcm.gone rename to delivery"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			log := &lines{}
			s := w.sender()
			s.Log = slog.New(slog.NewTextHandler(log, nil))
			receiver := w.partner.Backend
			breaks := sync.OnceFunc(func() { w.exec(c.breaks) })
			w.partner.Backend = http.HandlerFunc(func(rw http.ResponseWriter,
				r *http.Request) {
				breaks()
				receiver.ServeHTTP(rw, r)
			})
			w.run(s)
			w.release("A", 1)
			w.eventually("a failure", func() bool { return log.count("failed here") > 0 })
			if name == "one statement" {
				w.eventually("three failures", func() bool { return log.count("failed here") >= 3 })
				if n := w.text(
					"select attempts::text || ' ' || (next_attempt_at is not null) || ' ' || reason from " +
						"dcm.delivery"); !strings.HasPrefix(n,
					"1 true sending failed here") {
					t.Errorf("attempts %s", n)
				}
			}
			w.exec(c.mends)
			w.exec("update dcm.delivery set next_attempt_at = null")
			w.reach("A delivered 200")
			if posts, negotiations, _ := w.partner.Counts(); posts != 1 || negotiations != 1 {
				t.Errorf("%d messages and %d negotiations, want one", posts, negotiations)
			}
		})
	}
}

// lines is a log that tests look into.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), s)
}

// unusable are connectors of our own that cannot be used, with the setting that the reason names.
func unusable(t *testing.T) map[string]struct{ url, key, names string } {
	serve := func(h http.HandlerFunc) string {
		s := httptest.NewServer(h)
		t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
		return s.URL + "/management"
	}
	status := func(code int, body string) string {
		return serve(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "https://login.example.com/")
			w.WriteHeader(code)
			_, _ = io.WriteString(w, body)
		})
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	untrusted := httptest.NewTLSServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	t.Cleanup(untrusted.Close)
	const url, key = "DCM_EDC_MANAGEMENT_URL", "DCM_EDC_MANAGEMENT_KEY"
	return map[string]struct{ url, key, names string }{
		"refused": {"http://127.0.0.1:1/management", edctest.Key, url},
		"hangs":   {"http://" + silent.Addr().String() + "/management", edctest.Key, url},
		"broken off": {serve(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }),
			edctest.Key, url},
		"other protocol":  {"https://" + silent.Addr().String() + "/management", edctest.Key, url},
		"untrusted":       {untrusted.URL + "/management", edctest.Key, url},
		"unknown key":     {status(401, `[{"message":"Request could not be authenticated"}]`), "other", key},
		"forbidden":       {status(403, ""), "other", key},
		"a redirect":      {status(302, ""), edctest.Key, url},
		"fails":           {status(500, `[{"message":"database gone"}]`), edctest.Key, url},
		"a gateway":       {status(502, "<html>Bad Gateway</html>"), edctest.Key, url},
		"none there":      {status(404, "<html>Not Found</html>"), edctest.Key, url},
		"a login's page":  {status(200, "<html>Sign in</html>"), edctest.Key, url},
		"another version": {status(405, ""), edctest.Key, url},
	}
}

// with is a replica that uses another connector, and connections of its own.
func (w *world) with(url, key string) *outbox.Sender {
	m, err := edc.NewManagement(url, key, managementNames)
	if err != nil {
		w.t.Fatal(err)
	}
	db, err := pgxpool.NewWithConfig(w.t.Context(), w.db.Config())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(db.Close)
	s := w.sender()
	s.DB, s.Consumer = db, &edc.Consumer{Management: m}
	return s
}

// TestConnectorUnusable: a replica whose own connector cannot be used says so, claims
// nothing, and books no attempt.
func TestConnectorUnusable(t *testing.T) {
	t.Parallel()
	for name, c := range unusable(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			log := &lines{}
			var mu sync.Mutex
			note := ""
			registry := prometheus.NewRegistry()
			s := w.with(c.url, c.key)
			s.Log, s.Metrics = slog.New(slog.NewTextHandler(log, nil)), outbox.NewMetrics(registry.MustRegister)
			s.Note = func(state string) { mu.Lock(); defer mu.Unlock(); note = state }
			w.release("A", 1)
			w.run(s)
			w.eventually("the reason", func() bool {
				return strings.Contains(w.text("select coalesce(max(reason), '') from planning.delivery"), c.names)
			})
			if got := w.text(
				"select state || attempts || (next_attempt_at is null) || (last_attempt_at is null) from " +
					"planning.delivery"); got != "waiting0truetrue" {
				t.Error(got)
			}
			if n := w.text("select count(*)::text from dcm.sending"); n != "0" {
				t.Errorf("%s partners are claimed", n)
			}
			mu.Lock()
			defer mu.Unlock()
			if !strings.Contains(note, "sends nothing") || !strings.Contains(note, c.names) {
				t.Errorf("note %q", note)
			}
			if n := log.count("cannot be used; this replica"); n != 1 {
				t.Errorf("said %d times in the log", n)
			}
			if got := gauge(t, registry, "dcm_outbox_connector_unusable"); got != 1 {
				t.Errorf("the metric is %v", got)
			}
		})
	}
}

func gauge(t *testing.T, registry *prometheus.Registry, name string) float64 {
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.Metric[0].Gauge.GetValue()
		}
	}
	t.Fatal("there is no " + name)
	return 0
}

// TestUnusableBesideUsable: beside replicas that cannot use their own connector, one that
// can serves all partners, with one attempt each.
func TestUnusableBesideUsable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var partners []*edctest.Partner
	for n := range 12 {
		partners = append(partners, &edctest.Partner{BPNL: fmt.Sprintf("BPNL%012d", n), Sender: us, Proxy: true,
			Offers:  []edctest.Offer{edctest.OfferOf(dcm.MaterialDemandEndpoint)},
			Backend: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})})
	}
	w.connector = edctest.New(t, partners...)
	for _, p := range partners {
		w.exec("insert into outbox.partner (bpnl, dsp_url, protocol) values ($1, $2, 'dataspace-protocol-http')",
			p.BPNL, w.connector.Address(p))
	}
	all := unusable(t)
	for _, name := range []string{"refused", "hangs", "unknown key", "fails"} {
		w.run(w.with(all[name].url, all[name].key))
	}
	w.run(w.with(w.connector.URL, edctest.Key))
	for round := range 3 {
		w.exec(`insert into outbox.demand_line (supplier, customer, material_number_customer, customer_location,
			point_in_time, demand)
			select bpnl, $1, $3::text, 'BPNS8888888888XX', date_trunc('week', now())::date + 28, 1 from
			outbox.partner where bpnl <> $2`, us, them, fmt.Sprint(round))
		w.exec("select outbox.release()")
		w.ask("BPNL0000%")
		begin := time.Now()
		w.eventually("all answered", func() bool {
			return w.text(
				"select count(*)::text from dcm.requested_update where arrived_at is not null") == fmt.Sprint(
				12*(round+1))
		})
		t.Logf("answered after %s", time.Since(begin).Round(time.Millisecond))
	}
	// twice: asked for on its way
	if got := w.text(
		"select count(*) || ' ' || count(reason) from planning.delivery where attempts > 2 or reason is not " +
			"null"); got != "0 0" {
		t.Errorf("%s were tried in vain, or have a reason", got)
	}
}

// TestConnectorComesBack: what waited is sent within seconds, though the connector took
// no key, or hung, in the middle of it.
func TestConnectorComesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var mu sync.Mutex
	broken := 0
	front := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		mu.Lock()
		status := broken
		mu.Unlock()
		if status != 0 {
			rw.WriteHeader(status)
			return
		}
		r.RequestURI, r.URL.Scheme, r.URL.Host = "", "http",
			strings.TrimPrefix(strings.TrimSuffix(w.connector.URL, "/management"), "http://")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			rw.WriteHeader(502)
			return
		}
		defer answer.Body.Close()
		rw.WriteHeader(answer.StatusCode)
		_, _ = io.Copy(rw, answer.Body)
	}))
	t.Cleanup(front.Close)
	w.run(w.with(front.URL+"/management", edctest.Key))
	for i, status := range []int{401, 503} {
		w.release("A", 2*i)
		w.eventually("delivery", func() bool { return w.receiver.last()["A"] == fmt.Sprint(2*i) })
		mu.Lock()
		broken = status
		mu.Unlock()
		w.release("A", 2*i+1)
		w.eventually("the reason", func() bool {
			return strings.Contains(
				w.text("select coalesce(max(reason), '') from planning.delivery where state = 'waiting'"),
				"DCM_EDC_MANAGEMENT_")
		})
		if got := w.text(
			"select attempts || ' ' || (next_attempt_at is null) from planning.delivery where state = " +
				"'waiting'"); got != "0 true" {
			t.Errorf("attempts: %s", got)
		}
		mu.Lock()
		broken = 0
		mu.Unlock()
		w.eventually("delivery", func() bool { return w.receiver.last()["A"] == fmt.Sprint(2*i+1) })
	}
}

// managementNames are the variables that serve names.
var managementNames = edc.Names{"URL": "DCM_EDC_MANAGEMENT_URL", "Key": "DCM_EDC_MANAGEMENT_KEY"}

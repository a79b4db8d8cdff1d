//go:build linux && torture

package torture

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"dcm-receiver/internal/cx0048"
	"dcm-receiver/internal/privatepg/pgtest"
)

// world is what a round happens in.
type world struct {
	t         testing.TB
	random    *rand.Rand
	name      string
	server    *pgtest.Server // that is written to
	link      *proxy         // to server
	receivers []*dcmReceiver
	url       string    // where clients send
	disk      string    // a small file system that server lives on; "" if there is none
	pair      *pair     // of which server is the primary; nil where it is alone
	outgoing  *outgoing // of senders; nil where none are
	history   *history
	figures   *figures
	restarted bool // a receiver was, so that its metrics do not tell everything
	begin     resources
	rolling   [][2]time.Time // when rolling restarts began and ended
}

// figures are what is printed in the end.
type figures struct {
	messages, answered, acknowledged, objects int
	faults                                    map[string]int
	longest                                   time.Duration // from the end of a fault to the first message taken
	longestAfter                              string
	lost, unexplained, untrue                 int
	unsure                                    int // answered 503 that does not say whether anything was stored
	foreign                                   int64
	rounds                                    int
	rolling, rollingUnanswered                int // requests during rolling restarts

	// Of what goes out.
	releases, states     int // acknowledged, and the states of demands in them
	arrived              int // states that partners took or refused, repeats too
	deliveries, refusals int
	questions            int           // requests for update answered 200
	longestSending       time.Duration // from the end of all faults to the end of all sending
}

// wrong is how much was found that may not be.
func (f *figures) wrong() int { return f.lost + f.unexplained + f.untrue }

func (f *figures) String() string {
	faults, total := "", 0
	for _, kind := range sorted(f.faults) {
		faults += fmt.Sprintf("\n%6d  %s", f.faults[kind], kind)
		total += f.faults[kind]
	}
	return fmt.Sprintf(
		"%d messages sent with %d objects; %d answered, and %d by the load balancer; %d acknowledged\n%d faults:%s\n"+
			"%d requests came during rolling restarts, %d of them got no answer of a receiver\n"+
			"lost %d, unexplained %d, untrue %d (503, nothing stored; but it was); %d times 503 did not "+
			"know\nlongest outage after the end of a fault: %s (%s)",
		f.messages, f.objects, f.answered, f.foreign, f.acknowledged, total, faults, f.rolling, f.rollingUnanswered,
		f.lost, f.unexplained, f.untrue, f.unsure, f.longest.Round(time.Millisecond), f.longestAfter) +
		fmt.Sprintf(
			"\nwent out: %d releases with %d states, %d arrivals, %d states delivered, %d refused, %d requests "+
				"for update answered; all was sent at most %s after the last fault",
			f.releases, f.states, f.arrived, f.deliveries, f.refusals, f.questions,
			f.longestSending.Round(time.Millisecond))
}

const (
	connections    = 8 // to the database, of each receiver
	requestTimeout = 4 * time.Second
	patience       = time.Minute // for what has to happen, however busy the machine is
)

// newWorld starts a Postgres server behind a link, on a small file system where
// it is to run out of space.
func newWorld(t testing.TB, s scenario, random *rand.Rand, f *figures) *world {
	w := &world{t: t, name: s.name, random: random, figures: f, link: newProxy(t), history: newHistory(s.name, random)}
	if slices.ContainsFunc(s.faults, func(f fault) bool { return f.name == diskFull }) {
		w.disk = smallDisk(t)
	}
	w.server = pgtest.NewServer(t, settings)
	w.link.lead("unix", socketOf(w.server.URL("dcm")))
	return w
}

var settings = map[string]string{"max_connections": "60", "max_wal_size": "128MB", "min_wal_size": "32MB",
	"shared_buffers": "32MB", "log_min_messages": "fatal"}

// socketOf is the path of the Unix socket in a URL of a private server.
func socketOf(url string) string {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		panic(err) // it comes from the server
	}
	return filepath.Join(config.Host, fmt.Sprintf(".s.PGSQL.%d", config.Port))
}

// smallDisk mounts a small file system and has servers of the test live there.
func smallDisk(t testing.TB) string {
	dir, err := os.MkdirTemp("", "dcm-torture-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(dir) })
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=600m,mode=0755"); err != nil {
		t.Logf("no small file system, so no test without space on it: %v (needs root)", err)
		return ""
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	t.Setenv("TMPDIR", dir)
	return dir
}

func databaseURL(links ...*proxy) string {
	var addresses []string
	for _, l := range links {
		addresses = append(addresses, l.address())
	}
	return "postgres://dcm@" + strings.Join(addresses, ",") +
		"/dcm?sslmode=disable&connect_timeout=2&target_session_attrs=read-write"
}

func (w *world) startReceiver(binary, url string, env ...string) *dcmReceiver {
	r := startReceiver(w.t, binary, url, append([]string{
		"DCM_PARTNERS=" + strings.Join(w.history.suppliers, ","),
		fmt.Sprintf("DCM_DATABASE_CONNECTIONS=%d", connections),
		"DCM_REQUEST_TIMEOUT=" + requestTimeout.String(), "DCM_MAX_IN_FLIGHT=64"}, env...)...)
	w.receivers = append(w.receivers, r)
	return r
}

// admin runs statements on the server, past the link.
func (w *world) admin(statements ...string) {
	w.t.Helper()
	if err := execute(w.server.URL("dcm"), statements...); err != nil {
		w.t.Fatal(err)
	}
}

func execute(url string, statements ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return nil
}

// ask reads one number from the server.
func (w *world) ask(sql string) (n int) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, w.server.URL("dcm"))
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close(ctx)
	if err := conn.QueryRow(ctx, sql).Scan(&n); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
	return n
}

// pause is a random time up to most.
func (w *world) pause(most time.Duration) { time.Sleep(time.Duration(w.random.Int64N(int64(most)))) }

// round lets clients send while faults happen, and judges what came of it.
func (w *world) round(duration time.Duration, faults []fault) findings {
	w.t.Helper()
	probe := w.history.newClient(w.url, w.history.suppliers[0], w.random)
	w.serviceReturns(probe, "start") // so that everything is there once before it is counted
	w.begin = w.receivers[0].resources()
	ctx, stop := context.WithTimeout(context.Background(), duration)
	defer stop()
	var clients sync.WaitGroup
	for i := range 8 {
		c := w.history.newClient(w.url, w.history.suppliers[i%len(w.history.suppliers)],
			rand.New(rand.NewPCG(w.random.Uint64(), 0)))
		clients.Go(func() { c.run(ctx) })
	}
	if w.disk == "" {
		faults = slices.DeleteFunc(slices.Clone(faults), func(f fault) bool { return f.name == diskFull })
	}
	for w.pause(800 * time.Millisecond); ctx.Err() == nil; w.pause(800 * time.Millisecond) {
		f := faults[w.random.IntN(len(faults))]
		w.awaitServer() // it may still recover from the last one
		f.happen(w)
		w.figures.faults[f.name]++
		w.serviceReturns(probe, f.name)
	}
	clients.Wait()
	probe.http.CloseIdleConnections()
	w.settle()
	f, err := w.history.judge(w.server.URL("dcm"))
	if err != nil {
		w.t.Fatal(err)
	}
	f.unexplained = slices.Concat(f.unexplained, w.checkMetrics(), w.checkFetched())
	w.count(f)
	w.checkResources()
	return f
}

// serviceReturns waits until a message is taken again.
func (w *world) serviceReturns(probe *client, after string) {
	w.t.Helper()
	begin := time.Now()
	taken := within(patience, func() bool {
		probe.mu.Lock()
		m := probe.forUpdate(&message{supplier: probe.supplier, id: newID(probe.random)})
		probe.mu.Unlock()
		return probe.send(m) == nil
	})
	if !taken {
		w.t.Fatalf("after %q no message was taken for %s", after, patience)
	}
	if outage := time.Since(begin); after != "start" && outage > w.figures.longest {
		w.figures.longest, w.figures.longestAfter = outage, after
	}
}

// settle waits until no transaction of a receiver is under way: one whose
// answer was lost may still be committed.
func (w *world) settle() {
	w.t.Helper()
	const busy = `select count(*) from pg_stat_activity where application_name = 'dcm-receiver' and state <> 'idle'`
	if !within(patience, func() bool { return w.ask(busy) == 0 }) {
		w.t.Fatal("the receivers' transactions do not end")
	}
	time.Sleep(300 * time.Millisecond) // what the link still holds
	if !within(patience, func() bool { return w.ask(busy) == 0 }) {
		w.t.Fatal("the receivers' transactions do not end")
	}
}

func (w *world) count(f findings) {
	w.figures.rounds++
	for _, a := range w.history.attempts {
		if a.during(w.rolling) {
			w.figures.rolling++
			if a.status == 0 {
				w.figures.rollingUnanswered++
			}
		}
		w.figures.messages++
		w.figures.objects += len(a.objects)
		if a.status != 0 {
			w.figures.answered++
		}
		if a.status == http.StatusServiceUnavailable && !a.nothingStored {
			w.figures.unsure++
		}
		if a.acknowledged() {
			w.figures.acknowledged++
		}
	}
	for _, n := range w.history.foreign {
		w.figures.foreign += n
	}
	w.figures.lost += len(f.lost)
	w.figures.unexplained += len(f.unexplained)
	w.figures.untrue += len(f.untrue)
}

// checkMetrics compares what the receiver counted with what the clients saw.
func (w *world) checkMetrics() (wrong []string) {
	w.t.Helper()
	if w.restarted || len(w.receivers) > 1 {
		return nil // a killed process takes its counters along
	}
	seen, unseen := map[string]float64{}, 0.0
	for _, a := range w.history.attempts {
		endpoint := a.endpoint
		if a.status == http.StatusNotFound {
			endpoint = "other"
		}
		if a.status == 0 {
			unseen++
			continue
		}
		seen[fmt.Sprintf("dcm_messages_total{endpoint=%q,status=\"%d\"}", endpoint, a.status)]++
		for _, rule := range a.rules {
			outcome := "ignored"
			switch rule {
			case 4, 7:
				outcome = "overwritten"
			case 5:
				outcome = "created"
			}
			seen[fmt.Sprintf("dcm_objects_total{endpoint=%q,outcome=%q,rule=\"%d\",standard=%q}", endpoint, outcome,
				rule, cx0048.CapacityGroups.Standard)]++
		}
	}
	m := w.receivers[0].metrics()
	for _, name := range sorted(seen) {
		if m[name] < seen[name] || unseen == 0 && m[name] > seen[name] {
			wrong = append(wrong, fmt.Sprintf("%s is %.0f, the clients saw %.0f (and %.0f times nothing)", name,
				m[name], seen[name], unseen))
		}
	}
	return wrong
}

var decidedBy = regexp.MustCompile(`"rule":(\d)`)

// checkFetched compares some answers with what GET says of them afterwards.
func (w *world) checkFetched() (wrong []string) {
	for range 20 {
		a := w.history.attempts[w.random.IntN(len(w.history.attempts))]
		if !a.acknowledged() {
			continue
		}
		r := newRequest(context.Background(), w.url+"/messages/"+a.instance.String(), a.supplier, "")
		r.Method = http.MethodGet
		resp, err := operations.Do(r)
		if err != nil {
			wrong = append(wrong, err.Error())
			continue
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		var fetched struct{ Status int }
		err = json.Unmarshal(body, &fetched)
		var rules []int
		for _, match := range decidedBy.FindAllSubmatch(body, -1) {
			rules = append(rules, int(match[1][0]-'0'))
		}
		if err != nil || resp.StatusCode != http.StatusOK || fetched.Status != a.status ||
			!slices.Equal(rules, a.rules) {
			wrong = append(wrong, fmt.Sprintf("%s was answered %d %v, but GET /messages/%s says %d %.200s",
				a.agreement, a.status, a.rules, a.instance, resp.StatusCode, body))
		}
	}
	return wrong
}

// checkResources waits until every receiver is as it was in the beginning.
func (w *world) checkResources() {
	w.t.Helper()
	for _, r := range w.receivers {
		var err error
		if !within(20*time.Second, func() bool {
			err = r.resources().beyond(w.begin,
				connections)
			return err == nil
		}) {
			w.t.Errorf("%s: after the faults %v", w.name, err)
		}
	}
	const held = `select count(*) from pg_stat_activity where application_name = 'dcm-receiver'`
	if most := connections * len(w.receivers); !within(20*time.Second, func() bool { return w.ask(held) <= most }) {
		w.t.Errorf("%s: the receivers hold %d connections to the server, more than %d", w.name, w.ask(held), most)
	}
}

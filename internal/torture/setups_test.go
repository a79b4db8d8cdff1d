//go:build linux && torture

package torture

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"dcm-receiver/internal/privatepg/pgtest"
)

// scenario is a set-up and what happens to it.
type scenario struct {
	name   string
	setUp  func(w *world, binary string)
	faults []fault
	round  func(w *world, duration time.Duration, faults []fault) findings // nil: messages come in
}

var scenarios = []scenario{
	{"one receiver, a bad store", oneReceiver, storeFaults, nil},
	{"a bad receiver, a bad store", oneReceiver, slices.Concat(receiverFaults, storeFaults), nil},
	{"three replicas behind HAProxy", threeReplicas, slices.Concat(replicaFaults, replicaFaults, receiverFaults,
		named("server killed", "server restarted", "link reset", "link half-open")), nil},
	{"failover to a synchronous standby", primaryAndStandby,
		slices.Concat(failovers, failovers, named("server killed", "server restarted", "session crashed",
			"sessions terminated", "link reset", "link cut")), nil},
	{"PgBouncer in transaction mode", behindPgBouncer, named("server killed", "server restarted",
		"server stopped at once", "server read-only", "session crashed", "sessions terminated", "tables locked",
		"link reset", "link cut", "link slow", "link half-open, then cut"), nil},
	{"demands go out", senders, slices.Concat(senderFaults, senderFaults, failovers,
		named("server killed", "server restarted", "session crashed", "sessions terminated", "link reset", "link cut",
			"link half-open")), (*world).sendRound},
}

// named picks faults of the store.
func named(names ...string) (faults []fault) {
	for _, f := range storeFaults {
		if slices.Contains(names, f.name) {
			faults = append(faults, f)
		}
	}
	if len(faults) != len(names) {
		panic("a fault is misspelt")
	}
	return faults
}

func oneReceiver(w *world, binary string) {
	w.url = "http://" + w.startReceiver(binary, databaseURL(w.link)).partner
}

// find is the path of a program that a set-up needs; without it the scenario is
// skipped.
func (w *world) find(program string) string {
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin") {
		if path, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
			return path
		}
	}
	w.t.Skipf("%s is not installed (Debian: apt-get install %[1]s), so nothing was tried behind it", program)
	return ""
}

// write makes a configuration file that every user can read.
func (w *world) write(name, content string) string {
	dir, err := os.MkdirTemp("/tmp", "dcm-torture-")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		w.t.Fatal(err)
	}
	return file
}

func threeReplicas(w *world, binary string) {
	haproxy, front := w.find("haproxy"), freeAddress(w.t)
	config := `
defaults
    mode http
    timeout connect 2s
    timeout client 30s
    timeout server 30s
    option redispatch
listen receivers
    bind ` + front + `
    balance roundrobin
    option httpchk GET /readyz
    default-server check inter 200ms fall 1 rise 1 pool-purge-delay 1s
`
	for i := range 3 {
		r := w.startReceiver(binary, databaseURL(w.link), "DCM_SHUTDOWN_DELAY=500ms")
		host, port, _ := net.SplitHostPort(r.operat)
		config += fmt.Sprintf("    server receiver%d %s addr %s port %s\n", i, r.partner, host, port)
	}
	run(w.t, exec.Command(haproxy, "-db", "-q", "-f", w.write("haproxy.cfg", config)))
	w.url = "http://" + front
}

var replicaFaults = []fault{
	{"rolling restart", func(w *world) {
		w.restarted = true
		begin := time.Now()
		for _, r := range w.receivers {
			r.stop(w.t)
			r.start()
			r.waitReady()
			time.Sleep(500 * time.Millisecond) // until HAProxy has seen it too
		}
		w.rolling = append(w.rolling, [2]time.Time{begin, time.Now()})
	}},
	{"all receivers killed", func(w *world) {
		w.restarted = true
		for _, r := range w.receivers {
			r.kill()
		}
		for _, r := range w.receivers {
			r.start()
		}
	}},
}

// pair is a primary and its synchronous standby, each behind a link of its own.
type pair struct {
	links       [2]*proxy
	primary     int
	replication *proxy
	standby     *pgtest.Server // nil after a failover
}

func primaryAndStandby(w *world, binary string) {
	p := &pair{links: [2]*proxy{w.link, newProxy(w.t)}, replication: newProxy(w.t)}
	w.pair = p
	w.addStandby()
	w.url = "http://" + w.startReceiver(binary, databaseURL(p.links[:]...)).partner
}

// addStandby makes a new standby beside the primary, and has commits wait for
// it.
func (w *world) addStandby() {
	w.t.Helper()
	p := w.pair
	p.replication.lead("unix", socketOf(w.server.URL("dcm")))
	host, port, _ := net.SplitHostPort(p.replication.address())
	p.standby = pgtest.NewStandby(w.t, w.server, fmt.Sprintf("host=%s port=%s user=dcm application_name=standby",
		host, port), settings)
	other := p.links[1-p.primary]
	other.lead("unix", socketOf(p.standby.URL("dcm")))
	other.set(func() { other.refusing = false })
	w.admin("alter system set synchronous_standby_names = '*'", "select pg_reload_conf()")
	if !within(patience, func() bool {
		return w.ask("select count(*) from pg_stat_replication where sync_state = 'sync' and state = 'streaming'") == 1
	}) {
		w.t.Fatal("the standby does not follow")
	}
	time.Sleep(time.Second) // the setting reaches the sessions one by one
}

// failOver makes the standby the primary, by what happens before and after.
func (w *world) failOver(before, after func(p *pair, old *pgtest.Server)) {
	w.t.Helper()
	p, old := w.pair, w.server
	if p.standby == nil {
		w.addStandby()
	}
	before(p, old)
	if err := execute(p.standby.URL("postgres"), "select pg_promote(true, 60)"); err != nil {
		w.t.Fatal(err)
	}
	after(p, old)
	p.replication.reset()
	p.replication.set(func() { p.replication.silent, p.replication.refusing = false, false })
	w.server, p.standby = p.standby, nil
	gone := p.links[p.primary]
	gone.set(func() { gone.refusing, gone.silent = true, false })
	gone.reset()
	old.Remove()
	p.primary = 1 - p.primary
	w.link = p.links[p.primary]
}

// behind fails over to a standby that is behind. Sessions that wait for the
// standby are ended before: their commits are then there, for others too, but
// not on the standby, so they may not be acknowledged.
func behind(endSessions string) func(*world) {
	return func(w *world) {
		w.failOver(func(p *pair, old *pgtest.Server) {
			p.replication.set(func() { p.replication.silent = true })
			for range 3 {
				time.Sleep(200 * time.Millisecond)
				w.admin(endSessions)
			}
			time.Sleep(300 * time.Millisecond)
			old.Kill()
			p.replication.reset()
		}, func(*pair, *pgtest.Server) {})
	}
}

func kill(_ *pair, old *pgtest.Server) { old.Kill() }

var failovers = []fault{
	{"failover after a crash", func(w *world) { w.failOver(kill, func(*pair, *pgtest.Server) {}) }},
	{"failover after isolation", func(w *world) {
		w.failOver(func(p *pair, _ *pgtest.Server) {
			p.replication.set(func() { p.replication.silent = true })
			w.link.set(func() { w.link.silent = true })
			w.pause(2 * time.Second)
		}, kill)
	}},
	// What the old primary commits now is on no standby, so it may not be
	// acknowledged.
	{"failover, the old primary still there", func(w *world) {
		w.failOver(func(p *pair, _ *pgtest.Server) {
			p.replication.set(func() { p.replication.refusing = true })
			p.replication.reset()
		}, func(p *pair, old *pgtest.Server) { w.pause(time.Second); old.Kill() })
	}},
	{"failover, the standby behind, sessions terminated", behind(terminate)},
	{"failover, the standby behind, statements cancelled",
		behind(strings.Replace(terminate, "terminate", "cancel", 1))},
	{"standby stalled", func(w *world) {
		if w.pair.standby == nil {
			w.addStandby()
		}
		link := w.pair.replication
		link.set(func() { link.silent = true })
		w.pause(6 * time.Second)
		link.set(func() { link.silent = false })
	}},
}

func behindPgBouncer(w *world, binary string) {
	pgbouncer := w.find("pgbouncer")
	// Migrations hold a lock for a session, so they go past PgBouncer.
	migrate := exec.Command(binary, "migrate")
	migrate.Env = []string{"DATABASE_URL=" + databaseURL(w.link)}
	if out, err := migrate.CombinedOutput(); err != nil {
		w.t.Fatalf("%v: %s", err, out)
	}
	host, port, _ := net.SplitHostPort(w.link.address())
	front := freeAddress(w.t)
	frontHost, frontPort, _ := net.SplitHostPort(front)
	file := w.write("pgbouncer.ini", fmt.Sprintf(`[databases]
dcm = host=%s port=%s user=dcm
[pgbouncer]
listen_addr = %s
listen_port = %s
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 6
server_login_retry = 1
ignore_startup_parameters = statement_timeout,idle_in_transaction_session_timeout
`, host, port, frontHost, frontPort))
	w.admin("alter role dcm set statement_timeout = '4s'",
		"alter role dcm set idle_in_transaction_session_timeout = '4s'")
	cmd := exec.Command(pgbouncer, "-q", file)
	if os.Getuid() == 0 { // which PgBouncer refuses
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential(w, "postgres", "nobody")}
	}
	run(w.t, cmd)
	url := strings.Replace(databaseURL(w.link), w.link.address(), front, 1) + "&default_query_exec_mode=exec"
	w.url = "http://" + w.startReceiver(binary, url, "DCM_MIGRATE=false").partner
}

// credential is of the first of the users that there is.
func credential(w *world, names ...string) *syscall.Credential {
	for _, name := range names {
		if u, err := user.Lookup(name); err == nil {
			uid, _ := strconv.Atoi(u.Uid) // numbers on Linux
			gid, _ := strconv.Atoi(u.Gid)
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		}
	}
	w.t.Skipf("no user %v", names)
	return nil
}

//go:build linux && torture

package torture

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// fault is something that goes wrong, and ends.
type fault struct {
	name   string
	happen func(*world)
}

const diskFull = "disk full"

// storeFaults happen to the server and on the way to it.
var storeFaults = []fault{
	{"server killed", func(w *world) {
		w.server.Kill()
		w.pause(2 * time.Second)
		w.server.Start()
	}},
	{"server stopped at once", func(w *world) {
		_ = syscall.Kill(w.server.PID(), syscall.SIGQUIT) // an immediate shutdown
		<-w.server.Exited()
		w.restartServer()
	}},
	{"server restarted", func(w *world) {
		_ = w.server.Stop()
		w.server.Start()
	}},
	{"session crashed", func(w *world) {
		if pids := w.sessions(); len(pids) > 0 {
			pid := pids[w.random.IntN(len(pids))]
			_ = syscall.Kill(pid, syscall.SIGKILL) // the server restarts all sessions
			within(patience, func() bool { return syscall.Kill(pid, 0) != nil })
		}
		w.awaitServer()
	}},
	{"sessions terminated", func(w *world) { w.admin(terminate) }},
	{"server read-only", func(w *world) {
		w.admin("alter system set default_transaction_read_only = on", "select pg_reload_conf()")
		w.pause(2 * time.Second)
		w.admin("set default_transaction_read_only = off", "alter system reset default_transaction_read_only",
			"select pg_reload_conf()")
	}},
	{"connections used up", func(w *world) {
		var others []*pgx.Conn
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
			conn, err := pgx.Connect(ctx, w.server.URL("dcm"))
			if err != nil {
				time.Sleep(20 * time.Millisecond)
				continue
			}
			others = append(others, conn)
			_, _ = conn.Exec(ctx, terminate) // and takes its place
		}
		for _, conn := range others {
			_ = conn.Close(ctx)
		}
	}},
	{"tables locked", func(w *world) {
		tables := []string{"dcm.capacity_group", "dcm.message", "dcm.capacity_group, dcm.message, dcm.requested_update"}
		_ = execute(w.server.URL("dcm"), "set statement_timeout = 0", "begin",
			"lock table "+tables[w.random.IntN(len(tables))],
			fmt.Sprintf("select pg_sleep(%f)", 1+5*w.random.Float64())) // it may lose against a deadlock
	}},
	{"sessions frozen", func(w *world) {
		pids := w.sessions()
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGSTOP)
		}
		w.pause(6 * time.Second)
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGCONT)
		}
	}},
	{diskFull, func(w *world) {
		filler := filepath.Join(w.disk, "filler")
		f, err := os.Create(filler)
		if err != nil {
			return // full already
		}
		for size := int64(256 << 20); size >= 4096; { // what is left, to the last page
			info, _ := f.Stat()
			if syscall.Fallocate(int(f.Fd()), 0, info.Size(), size) != nil {
				size /= 2
			}
		}
		w.pause(3 * time.Second)
		_ = f.Close()
		_ = os.Remove(filler)
		w.awaitServer() // without space for its log, Postgres gives up
	}},
	{"link cut", func(w *world) {
		w.link.set(func() { w.link.refusing = true })
		w.link.reset()
		w.pause(2 * time.Second)
		w.link.set(func() { w.link.refusing = false })
	}},
	{"link reset", func(w *world) { w.link.reset() }},
	{"link slow", func(w *world) {
		w.link.set(func() { w.link.delay = time.Duration(10+w.random.IntN(300)) * time.Millisecond })
		w.pause(4 * time.Second)
		w.link.set(func() { w.link.delay = 0 })
	}},
	{"link half-open", func(w *world) {
		w.link.set(func() { w.link.silent = true })
		w.pause(8 * time.Second)
		w.link.set(func() { w.link.silent = false })
	}},
	{"link half-open, then cut", func(w *world) {
		w.link.set(func() { w.link.silent = true })
		w.pause(3 * time.Second)
		w.link.reset()
		w.link.set(func() { w.link.silent = false })
	}},
	{"answer of the server cut off", func(w *world) {
		for range 20 {
			w.link.set(func() { w.link.cutAfter = 1 + w.random.IntN(400) })
			w.pause(100 * time.Millisecond)
		}
		w.link.set(func() { w.link.cutAfter = 0 })
	}},
}

// receiverFaults happen to the receivers themselves.
var receiverFaults = []fault{
	{"receiver killed", func(w *world) {
		r := w.anyReceiver()
		r.kill()
		r.start()
	}},
	{"receiver stopped", func(w *world) {
		r := w.anyReceiver()
		r.stop(w.t)
		r.start()
	}},
	{"receiver and server killed", func(w *world) {
		r := w.anyReceiver()
		w.server.Kill()
		r.kill()
		r.start()
		w.server.Start()
	}},
}

func (w *world) anyReceiver() *dcmReceiver {
	w.restarted = true
	return w.receivers[w.random.IntN(len(w.receivers))]
}

const terminate = `select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'dcm-receiver%'`

// sessions are the processes of the server that serve receivers.
func (w *world) sessions() (pids []int) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, w.server.URL("dcm"))
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close(ctx)
	rows, _ := conn.Query(ctx, "select pid from pg_stat_activity where application_name like 'dcm-receiver%'")
	if pids, err = pgx.CollectRows(rows, pgx.RowTo[int]); err != nil {
		w.t.Fatal(err)
	}
	return pids
}

// restartServer starts a server that has ended, as an init system does.
func (w *world) restartServer() {
	_ = w.server.Stop() // gives the folder free
	w.server.Start()
}

// awaitServer waits for a server that recovers, or starts it if it has ended.
func (w *world) awaitServer() {
	w.t.Helper()
	answers := within(patience, func() bool {
		select {
		case <-w.server.Exited():
			w.restartServer()
		default:
		}
		return execute(w.server.URL("dcm"), "select 1") == nil
	})
	if !answers {
		log, _ := os.ReadFile(w.server.LogFile())
		w.t.Fatalf("the server does not recover\n%s", log[strings.LastIndexByte(string(log[:max(0, len(log)-2000)]),
			'\n')+1:])
	}
}

// Command bench is what `make bench` runs: the receiver beside the least that
// the same Postgres could do it for, on a machine's own disk, in one run.
//
// A private Postgres with full durability and the real program run as processes
// of their own; this one makes the load. Floor and receiver take turns, so that
// what else the machine does meets both, and ratios are taken turn by turn. It
// judges nothing but attacks on request (-check): figures of another machine, or of
// a busy one, are others.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"dcm-receiver/internal/privatepg"

	"github.com/jackc/pgx/v5"
)

// bench is one run.
type bench struct {
	repeat      int
	time        time.Duration // of each turn
	connections []int
	only        *regexp.Regexp
	attacks     *regexp.Regexp
	attackTime  time.Duration
	check       bool // bounds of the attacks decide how it ends
	short       bool // fewer of the largest messages
	binary      string

	dir    string
	server *privatepg.Server
	url    string
	db     *pgx.Conn
}

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	if len(os.Args) == 4 && os.Args[1] == attackCommand {
		if err := attackMain(ctx, os.Args[2], os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, "bench: attack:", err)
			os.Exit(1)
		}
		return
	}
	b := &bench{}
	attacks := flag.String("attacks", "", "of fairness, only the attacks that match this regular expression")
	flag.DurationVar(&b.attackTime, "attack-time", 8*time.Second, "of fairness, how long each attack takes")
	flag.BoolVar(&b.check, "check", false, "of fairness, exit with 1 where an attack leaves its bounds")
	flag.BoolVar(&b.short, "short", false, "of the largest messages, a third of the combinations")
	connections := flag.String("connections", "1,8,32,128", "connections of the small messages")
	only := flag.String("only", "", "measure only what matches this regular expression: "+
		"a kind of small message, lists, half load, fairness, memory, ready")
	dir := flag.String("dir", "/var/tmp", "where the database is made, on a disk")
	flag.IntVar(&b.repeat, "repeat", 5, "how often each figure is taken")
	flag.DurationVar(&b.time, "time", 2*time.Second, "how long each figure of small messages is taken")
	flag.StringVar(&b.binary, "binary", "bin/dcm-receiver", "the program, as make build leaves it")
	flag.Parse()
	b.connections = numbers(*connections)
	b.only, b.attacks = regexp.MustCompile(*only), regexp.MustCompile(*attacks)
	if err := b.run(ctx, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func numbers(list string) (all []int) {
	for _, s := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' }) {
		all = append(all, number(s))
	}
	return all
}

func (b *bench) run(ctx context.Context, parent string) (err error) {
	if b.dir, err = os.MkdirTemp(parent, "dcm-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	var fs syscall.Statfs_t
	const tmpfs = 0x01021994
	if syscall.Statfs(b.dir, &fs) == nil && int64(fs.Type) == tmpfs {
		fmt.Fprintf(os.Stderr, "bench: %s is in memory, not on a disk: what is durable will look cheap\n", parent)
	}
	// As `make run` starts it, but with room for the floor's 128 connections.
	b.server, err = privatepg.Start(ctx, privatepg.Options{Dir: filepath.Join(b.dir, "db"),
		Settings: map[string]string{"max_connections": "200"},
		Log:      slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		return err
	}
	defer func() { _ = b.server.Stop() }()
	b.url = b.server.URL("dcm")
	if b.db, err = pgx.Connect(ctx, b.url); err != nil {
		return err
	}
	defer func() { _ = b.db.Close(context.WithoutCancel(ctx)) }()
	fmt.Printf("Machine: %s\n", machine(ctx, b))
	k := newKinds()
	r, err := startReceiver(b.binary, b.url, b.dir)
	if err != nil {
		return err
	}
	defer func() { r.stop() }()
	if err := k.prepare(r.partner); err != nil {
		return err
	}
	f, err := b.newFloor(ctx)
	if err != nil {
		return err
	}
	if err := b.small(ctx, k.all(), f, r); err != nil {
		return err
	}
	for _, part := range []struct {
		names string
		run   func() error
	}{
		{"half load", func() error { return b.halfLoad(ctx, k, r) }},
		{"fairness", func() error { return b.fairness(ctx, k) }},
		{"memory", func() error { return b.largest(ctx, k) }},
		{"lists", func() error { return b.lists(ctx, k, f, r) }},
		{"ready", func() error { return b.ready(ctx) }},
	} {
		isPart := part.names == "memory" && b.only.String() == "fairness" // the largest messages belong to it
		if !b.only.MatchString(part.names) && !isPart {
			continue
		}
		if err := part.run(); err != nil {
			return err
		}
	}
	return nil
}

// sample is one turn.
type sample struct {
	rate, floor, constants         float64 // a second
	ratio, ratioOfConstants        float64
	p50, p99                       float64 // ms
	receiver, postgres, floorsCost float64 // CPU seconds per 1,000
	wal, floorsWAL, allocations    float64 // per message
}

// turn measures one kind of small message, and its floor before it.
func (b *bench) turn(ctx context.Context, k kind, connections int, f *floor, r *receiver) (s sample, err error) {
	if k.floor != "" {
		start := cpu(b.server.PID(), true)
		few, _, err := f.run(ctx, b.url, k.floor, connections, 0)
		if err != nil {
			return s, err
		}
		before, wal := cpu(b.server.PID(), true), b.wal(ctx)
		connecting := before - start // the receiver's connections are there already
		rows, rate, err := f.run(ctx, b.url, k.floor, connections, b.time)
		if err != nil {
			return s, err
		}
		s.floor = rate
		s.floorsCost = (cpu(b.server.PID(), true) - before - connecting).Seconds() / (rows - few) * 1000
		s.floorsWAL = (b.wal(ctx) - wal) / rows
		if _, s.constants, err = f.run(ctx, b.url, k.floor+constants, connections, b.time); err != nil {
			return s, err
		}
	}
	postgres, self, wal, allocations := cpu(b.server.PID(), true), cpu(r.pid(), false), b.wal(ctx), r.allocations()
	o := load{addresses: []string{r.partner}, kind: k, connections: connections, time: b.time}.run()
	n := float64(o.messages)
	s.receiver = (cpu(r.pid(), false) - self).Seconds() / n * 1000
	s.postgres = (cpu(b.server.PID(), true) - postgres).Seconds() / n * 1000
	s.wal = (b.wal(ctx) - wal) / n
	s.allocations = (r.allocations() - allocations) / n
	s.rate = n / o.took.Seconds()
	s.p50, s.p99 = milliseconds(o.quantile(0.5)), milliseconds(o.quantile(0.99))
	if s.floor > 0 {
		s.ratio, s.ratioOfConstants = s.rate/s.floor, s.rate/s.constants
	}
	if o.failed > 0 {
		return s, fmt.Errorf("%s: %d failed, the first: %s", k.name, o.failed, o.failure)
	}
	if o.busy > 0 {
		fmt.Fprintf(os.Stderr, "bench: %s at %d connections: %d of %d were answered 503\n", k.name, connections,
			o.busy, o.messages)
	}
	return s, ctx.Err()
}

func (b *bench) wal(ctx context.Context) (bytes float64) {
	_ = b.db.QueryRow(ctx, "select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')").Scan(&bytes)
	return bytes
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// small measures messages of one group.
func (b *bench) small(ctx context.Context, kinds []kind, f *floor, r *receiver) error {
	kinds = slices.DeleteFunc(kinds, func(k kind) bool { return !b.only.MatchString(k.name) })
	if len(kinds) == 0 {
		return nil
	}
	results := map[string][]sample{}
	for range b.repeat {
		for _, c := range b.connections {
			for _, k := range kinds {
				s, err := b.turn(ctx, k, c, f, r)
				if err != nil {
					return err
				}
				name := fmt.Sprint(k.name, c)
				results[name] = append(results[name], s)
			}
		}
	}
	fmt.Printf(`
Messages of one group of 104 weeks (%.1f kB), from %d suppliers where not said otherwise; requests for update `+
		`for one ID. Median of %d turns of %s, with the lowest and the highest. CPU and WAL are of receiver and `+
		`Postgres processes together with what they do for themselves meanwhile.

| message | connections | floor, rows/s | floor of constants | messages/s | ratio | ratio to constants | p50, `+
		`ms | p99, ms | CPU s per 1,000: receiver | Postgres | Postgres for the floor | WAL, bytes | for the floor | `+
		`allocations |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|
`, float64(len(newMessage(1, 0, false, time.Now().Truncate(time.Second).Add(123456789)).body))/1000, suppliers,
		b.repeat, b.time)
	for _, k := range kinds {
		for _, c := range b.connections {
			all := results[fmt.Sprint(k.name, c)]
			cell := func(format string, of func(*sample) float64) string { return spreadOf(all, format, of) }
			fmt.Printf("| %s | %d | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", k.name, c,
				cell("%.0f", func(s *sample) float64 { return s.floor }),
				cell("%.0f", func(s *sample) float64 { return s.constants }),
				cell("%.0f", func(s *sample) float64 { return s.rate }),
				cell("%.2f", func(s *sample) float64 { return s.ratio }),
				cell("%.2f", func(s *sample) float64 { return s.ratioOfConstants }),
				cell("%.1f", func(s *sample) float64 { return s.p50 }),
				cell("%.1f", func(s *sample) float64 { return s.p99 }),
				cell("%.2f", func(s *sample) float64 { return s.receiver }),
				cell("%.2f", func(s *sample) float64 { return s.postgres }),
				cell("%.2f", func(s *sample) float64 { return s.floorsCost }),
				cell("%.0f", func(s *sample) float64 { return s.wal }),
				cell("%.0f", func(s *sample) float64 { return s.floorsWAL }),
				cell("%.0f", func(s *sample) float64 { return s.allocations }))
		}
	}
	return nil
}

// spreadOf is the median with the lowest and the highest; empty if there is none.
func spreadOf[T any](all []T, format string, of func(*T) float64) string {
	values := make([]float64, len(all))
	for i := range all {
		values[i] = of(&all[i])
	}
	if slices.Sort(values); len(values) == 0 || values[len(values)-1] == 0 {
		return ""
	}
	median := fmt.Sprintf(format, values[len(values)/2])
	if len(values) == 1 {
		return median
	}
	return fmt.Sprintf("%s ("+format+"–"+format+")", median, values[0], values[len(values)-1])
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// attacker is the partner that does its worst.
const attacker = "BPNLBENCH000BAD1"

// attack is one way of doing so, over some connections at once.
type attack struct {
	name        string
	connections int
	prepare     func(address string) error // what is there before; may be nil
	run         func(ctx context.Context, address string, o *struck)
	accepted    bool // what it sends may be stored, which takes room
}

// struck counts what came of an attack.
type struck struct{ requests, busy atomic.Int64 }

// attackCommand is the first argument of this program when it is started again,
// as the attacker.
const attackCommand = "attack"

// attackMain is the attacker: NAME ADDRESS runs that attack until its standard
// input ends, and prints how many requests there were and how many were answered
// 503.
func attackMain(ctx context.Context, name, address string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, a := range attacks(newKinds()) {
		if a.name != name {
			continue
		}
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			cancel()
		}()
		var all sync.WaitGroup
		var o struck
		for range a.connections {
			all.Go(func() {
				for ctx.Err() == nil {
					a.run(ctx, address, &o)
				}
			})
		}
		all.Wait()
		fmt.Println(o.requests.Load(), o.busy.Load())
		return nil
	}
	return fmt.Errorf("there is no attack %q", name)
}

// startAttack runs an attack in a process of its own, which gets the time of the
// processors that no one else wants: a real attacker has a machine of its own. end
// ends it and says what it did.
func startAttack(name, address string) (end func() (requests, busy int64, err error), err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	cmd := exec.Command("nice", "-n", "10", self, attackCommand, name, address)
	cmd.Stderr = os.Stderr
	var out bytes.Buffer
	cmd.Stdout = &out
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("start the attacker: %w", err)
	}
	return func() (requests, busy int64, err error) {
		_ = in.Close()
		if err = cmd.Wait(); err == nil {
			_, err = fmt.Sscan(out.String(), &requests, &busy)
		}
		if err != nil {
			err = fmt.Errorf("end the attacker: %w", err)
		}
		return requests, busy, err
	}, nil
}

// fairness measures what one partner's worst costs another that sends 50 small
// messages a second, at the limits of the chart. The attacks are bounded in
// connections and time, and reach only the receiver that this program started. With
// -check each attack has to stay within bounds (see misses).
func (b *bench) fairness(ctx context.Context, k *kinds) error {
	others := kind{path: capacityGroups, next: k.changed(changedSet, stored, suppliers)}
	fmt.Printf(`
One partner does its worst for %.0f s, from a process of low priority; another sends %d small messages a `+
		`second. The receiver has GOMEMLIMIT=400MiB and is started anew for each attack. A p99 is within the aim at 3 `+
		`times of that alone plus 50 ms.

| attack | connections | requests a second | of them 503 | CPU ms a request not answered 503: receiver | `+
		`Postgres | other's p50, ms | alone | other's p99, ms | alone | within the aim | `+
		`other's 503 | other's failures `+
		`| peak memory, MiB | database grew, MiB |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|
`, b.attackTime.Seconds(), othersRate)
	var missed []string
	for _, a := range attacks(k) {
		if !b.attacks.MatchString(a.name) {
			continue
		}
		s, err := b.strike(ctx, a, others, b.attackTime)
		if err == nil && s.requests == 0 { // on a busy machine the attacker, of low priority, gets little of a core
			s, err = b.strike(ctx, a, others, 10*b.attackTime)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", a.name, err)
		}
		fmt.Println(s.row(a))
		if misses := s.misses(a); len(misses) > 0 {
			missed = append(missed, a.name+": "+strings.Join(misses, ", "))
		}
	}
	if b.check && len(missed) > 0 {
		return fmt.Errorf("one partner's worst costs another too much:\n%s", strings.Join(missed, "\n"))
	}
	return ctx.Err()
}

// othersRate is how many messages a second the other partner sends.
const othersRate = 50

// strikeResult is what came of an attack.
type strikeResult struct {
	seconds            float64 // of the attack, that were measured
	requests, busy     int64   // of the attacker, in a second more
	receiver, postgres time.Duration
	alone, beside      *outcome
	peak               int   // bytes; 0: the process has ended
	grown              int64 // bytes of the database
}

func (b *bench) strike(ctx context.Context, a attack, kind kind, during time.Duration) (s strikeResult, err error) {
	r, err := startReceiver(b.binary, b.url, b.dir, "GOMEMLIMIT=400MiB")
	if err != nil {
		return s, err
	}
	defer r.stop()
	if a.prepare != nil {
		if err := a.prepare(r.partner); err != nil {
			return s, err
		}
	}
	others := load{addresses: []string{r.partner}, kind: kind, connections: 8, rate: othersRate, time: during / 3}
	s.alone = others.run()
	size, err := b.databaseSize(ctx)
	if err != nil {
		return s, err
	}
	end, err := startAttack(a.name, r.partner)
	if err != nil {
		return s, err
	}
	time.Sleep(time.Second) // until the attack has what it can get
	others.time, s.seconds = during, during.Seconds()
	self, postgres := cpu(r.pid(), false), cpu(b.server.PID(), true)
	s.beside = others.run()
	s.receiver, s.postgres = cpu(r.pid(), false)-self, cpu(b.server.PID(), true)-postgres
	if s.requests, s.busy, err = end(); err != nil {
		return s, err
	}
	s.peak = peak(r.pid())
	after, err := b.databaseSize(ctx)
	s.grown = after - size
	return s, err
}

func percentile(o *outcome, q float64) float64 {
	if len(o.latencies) == 0 {
		return -1
	}
	return milliseconds(o.quantile(q))
}

func (s strikeResult) row(a attack) string {
	memory := fmt.Sprintf("%.0f", float64(s.peak)/(1<<20))
	if s.peak == 0 {
		memory = "the process has ended"
	}
	within := "no"
	if percentile(s.beside, 0.99) <= 3*percentile(s.alone, 0.99)+50 {
		within = "yes"
	}
	each := func(used time.Duration) string {
		if s.requests == s.busy {
			return ""
		}
		return fmt.Sprintf("%.2f", milliseconds(used)*(s.seconds+1)/s.seconds/float64(s.requests-s.busy))
	}
	return fmt.Sprintf(
		"| %s | %d | %.0f | %d | %s | %s | %.1f | %.1f | %.1f | %.1f | %s | %d of %d | %d | %s | %.1f |", a.name,
		a.connections,
		float64(s.requests)/(s.seconds+1), s.busy, each(s.receiver), each(s.postgres),
		percentile(s.beside, 0.5), percentile(s.alone, 0.5), percentile(s.beside, 0.99), percentile(s.alone, 0.99),
		within,
		s.beside.busy, s.beside.messages, s.beside.failed, memory, float64(s.grown)/(1<<20))
}

// misses are the bounds that an attack has broken. They leave room for a machine of
// two cores that others use too, where messages wait for a core and not only for
// their turn; what is aimed at stands in the table.
func (s strikeResult) misses(a attack) (all []string) {
	miss := func(is bool, format string, values ...any) {
		if is {
			all = append(all, fmt.Sprintf(format, values...))
		}
	}
	const mostGrowth = 32 << 20 // by an attack from which nothing is accepted
	miss(s.beside.busy > 0, "%d of the other's %d messages were answered 503", s.beside.busy, s.beside.messages)
	miss(s.beside.failed > 0, "%d of the other's messages failed, the first: %s", s.beside.failed, s.beside.failure)
	miss(float64(s.beside.messages) < othersRate*s.seconds/2, "only %d of the other's messages were answered",
		s.beside.messages)
	most := max(20*percentile(s.alone, 0.99), 2000)
	miss(percentile(s.beside, 0.99) > most, "the other's p99 is %.0f ms, more than %.0f", percentile(s.beside, 0.99),
		most)
	miss(s.peak == 0, "the receiver has ended")
	miss(s.peak > mostMemory, "%d MiB of memory", s.peak>>20)
	miss(!a.accepted && s.grown > mostGrowth, "the database grew by %d MiB", s.grown>>20)
	miss(s.requests == 0, "no request of the attacker arrived")
	return all
}

// databaseSize is what all tables and indexes take, in bytes, without what is kept
// ready for planners: that is made anew each minute, of groups that earlier attacks
// had accepted.
func (b *bench) databaseSize(ctx context.Context) (size int64, err error) {
	if err := b.db.QueryRow(ctx, `
		select pg_database_size(current_database()) - coalesce(sum(pg_total_relation_size(t)), 0)::bigint
		from (values
			(to_regclass('dcm.overview')), (to_regclass('dcm.group_overview')), (to_regclass('dcm.capacity_total'))
		) overview (t)
		where t is not null`).Scan(&size); err != nil {
		return 0, fmt.Errorf("read the size of the database: %w", err)
	}
	return size, nil
}

// attacks are the ways in which receivers were brought down, each through one
// partner.
func attacks(k *kinds) []attack {
	list := func(groups int) func() []byte { // another valid list each time
		m := newMessage(groups, 1, true, k.base)
		return func() []byte { return m.fill(nil, attacker, rand.Uint64(), k.base) }
	}
	always := func(body []byte) func() []byte { return func() []byte { return body } }
	below, large, small := list(115), list(1650), list(1)
	// 60,000 objects, of each of which the answer says what is wrong.
	invalid := []byte("[" +
		strings.Repeat(`{"capacityGroupId":"0157ba42-d2a8-4e28-8565-7b07830c1110","x":"`+strings.Repeat("x",
			140)+`"},`, 60_000) + "{}]")
	grown := bytes.ReplaceAll(newMessage(800, 1, true, k.base).body, []byte(`"actualCapacity":`),
		[]byte(`"actualCapacity":1e-998,"deltaProductionResult":1e-998,"was":`))
	grown = bytes.ReplaceAll(grown, []byte("BPNLSUPPLIER0000"), []byte(attacker))
	version := []byte(`{"messageHeader":{"header":{"version":"` + strings.Repeat("1.", 7<<20) +
		`"}},"content":{"informationObject":[]}}`)
	var ids strings.Builder
	for range 36_000 {
		var id [36]byte
		copy(id[:], strings.Repeat("-", 36))
		writeID(id[:], rand.Uint64(), rand.Uint64())
		fmt.Fprintf(&ids, `,{"materialDemandId":"%s","changedAt":"2024-01-01T00:00:00Z"}`, id[:])
	}
	update := []byte(`[{"weekBasedMaterialDemand":[` + ids.String()[1:] + `]}]`)
	some := bytes.Repeat([]byte(" "), 3<<20)
	missing := 20 // large answers, that all attacks which fetch them share
	storeInvalid := func(address string) error {
		for ; missing > 0; missing-- {
			if _, err := ask(context.Background(), address, http.MethodPost, capacityGroups, invalid); err != nil {
				return err
			}
		}
		return nil
	}
	return []attack{
		{name: "bodies of 15 MiB that stall after 3 MiB", connections: 116, run: stall(len(some)*5, some)},
		{name: "lists of 0.9 MiB", connections: 64, accepted: true, run: flood(http.MethodPost, capacityGroups, below)},
		{name: "lists of 13 MiB", connections: 8, accepted: true, run: flood(http.MethodPost, capacityGroups, large)},
		{name: "small messages", connections: 64, accepted: true, run: flood(http.MethodPost, capacityGroups, small)},
		{name: "numbers of 6 bytes that mean 1,000", connections: 4,
			run: flood(http.MethodPost, capacityGroups, always(grown))},
		{name: "a version of 14 MiB", connections: 4, run: flood(http.MethodPost, capacityGroups, always(version))},
		{name: "lists of 60,000 invalid objects", connections: 8,
			run: flood(http.MethodPost, capacityGroups, always(invalid))},
		{name: "the same, answers not read", connections: 40, run: stall(len(invalid), invalid)},
		{name: "large answers fetched again", connections: 16, prepare: storeInvalid,
			run: flood(http.MethodGet, "/messages?limit=100&refused=true", always(nil))},
		{name: "single large answers fetched again", connections: 16, prepare: storeInvalid,
			run: flood(http.MethodGet, "last", always(nil))},
		{name: "single large answers, not read", connections: 60, prepare: storeInvalid, run: unread},
		{name: "requests for update of 3.6 MiB", connections: 8,
			run: flood(http.MethodPost, requestForUpdate, always(update))},
		{name: "empty bodies", connections: 32, run: flood(http.MethodPost, capacityGroups, always(nil))},
	}
}

// begin sends the head of a request.
func begin(conn net.Conn, method, path string, length int) error {
	_, err := fmt.Fprintf(conn,
		"%s %s HTTP/1.1\r\nHost: bench\r\nEdc-Bpn: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
		method, path, attacker, length)
	return err
}

// dial connects; what is under way ends with ctx.
func dial(ctx context.Context, address string) (net.Conn, func(), error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	return conn, func() { stop(); _ = conn.Close() }, nil
}

// ask sends one request, and returns where its answer can be fetched again.
func ask(ctx context.Context, address, method, path string, body []byte) (instance string, err error) {
	conn, done, err := dial(ctx, address)
	if err != nil {
		return "", err
	}
	defer done()
	if err := begin(conn, method, path, len(body)); err != nil {
		return "", err
	}
	if _, err := conn.Write(body); err != nil {
		return "", err
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(answer.Body)
	if _, after, ok := bytes.Cut(text, []byte(`"instance":"`)); ok {
		end := bytes.IndexByte(after, '"')
		instance = string(after[:end])
	}
	return instance, err
}

// flood sends the next request as soon as the last one is answered. The path "last"
// is where a refused message's answer is.
func flood(method, path string, body func() []byte) func(context.Context, string, *struck) {
	return func(ctx context.Context, address string, o *struck) {
		conn, done, err := dial(ctx, address)
		if err != nil {
			pause(ctx)
			return
		}
		defer done()
		path := path
		if path == "last" {
			if path, err = ask(ctx, address, http.MethodGet, "/messages?limit=1&refused=true", nil); err != nil ||
				path == "" {
				pause(ctx)
				return
			}
		}
		in := bufio.NewReader(conn)
		for ctx.Err() == nil {
			b := body()
			if begin(conn, method, path, len(b)) != nil {
				return
			}
			if _, err := conn.Write(b); err != nil {
				return
			}
			answer, err := http.ReadResponse(in, nil)
			if err != nil {
				return
			}
			if _, err := io.Copy(io.Discard, answer.Body); err != nil {
				return
			}
			o.requests.Add(1)
			if answer.StatusCode == http.StatusServiceUnavailable {
				o.busy.Add(1)
				pause(ctx)
			}
			if answer.Close {
				return
			}
		}
	}
}

// pause keeps an attacker that is refused from using up this machine's cores, which
// the others' messages are measured on.
func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(50 * time.Millisecond):
	}
}

// stall sends a part of a body, or all of it, and then neither writes nor reads.
func stall(length int, part []byte) func(context.Context, string, *struck) {
	return func(ctx context.Context, address string, o *struck) {
		conn, done, err := dial(ctx, address)
		if err != nil {
			pause(ctx)
			return
		}
		defer done()
		_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
		_ = begin(conn, http.MethodPost, capacityGroups, length)
		_, _ = conn.Write(part)
		o.requests.Add(1)
		hold(ctx)
	}
}

// unread asks for an answer and does not read it.
func unread(ctx context.Context, address string, o *struck) {
	path, err := ask(ctx, address, http.MethodGet, "/messages?limit=1&refused=true", nil)
	if err != nil || path == "" {
		pause(ctx)
		return
	}
	conn, done, err := dial(ctx, address)
	if err != nil {
		pause(ctx)
		return
	}
	defer done()
	_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	_ = begin(conn, http.MethodGet, path, 0)
	o.requests.Add(1)
	hold(ctx)
}

// hold keeps a connection for as long as it may be of use to an attacker, which then
// begins anew.
func hold(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(3 * time.Second):
	}
}

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// stored is how many groups there are to be sent again, in each set of them.
const stored = 4000

// kind is one sort of message.
type kind struct {
	name  string
	path  string
	floor string // the row that pgbench writes for comparison: new, overwritten or none
	// next writes the next message of one of n connections.
	next func(connection, n int, buf []byte) (body []byte, supplier string)
}

const (
	capacityGroups   = "/week-based-capacity-group"
	requestForUpdate = "/id-based-request-for-update"
)

// kinds are the sorts of small messages. The sets of keys that they send again
// are distinct, so that no sort changes the ground of another.
type kinds struct {
	base     time.Time
	clock    atomic.Int64 // microseconds: each change is newer than all before
	variants []*message   // the same but for the weeks
}

func newKinds() *kinds {
	k := &kinds{base: time.Now().UTC().Add(-time.Hour).Truncate(time.Second).Add(123456789)}
	for seed := range 8 {
		k.variants = append(k.variants, newMessage(1, uint64(seed), false, k.base))
	}
	return k
}

// again writes the i-th stored group of a set, in the given variant.
func (k *kinds) again(buf []byte, set uint64, i, among, variant int, changedAt time.Time) ([]byte, string) {
	supplier := supplierName(i % among)
	return k.variants[variant].fill(buf, supplier, set<<32+uint64(i), changedAt), supplier
}

// own is one of the stored groups that no other connection sends: of two
// changes of one group at one moment the older would be refused.
func own(connection, n, groups int) int { return connection + n*rand.IntN(groups/n) }

// changed writes newer states of the stored groups of a set.
func (k *kinds) changed(set uint64, groups, among int) func(int, int, []byte) ([]byte, string) {
	return func(connection, n int, buf []byte) ([]byte, string) {
		changedAt := k.base.Add(time.Duration(k.clock.Add(1)) * time.Microsecond)
		return k.again(buf, set, own(connection, n, groups), among, rand.IntN(len(k.variants)), changedAt)
	}
}

const (
	changedSet, identicalSet, oneSupplierSet = 1, 2, 3
)

func (k *kinds) all() []kind {
	return []kind{
		{"new", capacityGroups, "new", func(_, _ int, buf []byte) ([]byte, string) {
			return k.again(buf, rand.Uint64()>>1|1<<63, rand.IntN(suppliers), suppliers, rand.IntN(len(k.variants)),
				k.base)
		}},
		{"changed weeks", capacityGroups, "overwritten", k.changed(changedSet, stored, suppliers)},
		{"changed weeks, one supplier", capacityGroups, "overwritten", k.changed(oneSupplierSet, stored, 1)},
		{"identical", capacityGroups, "", func(_, _ int, buf []byte) ([]byte, string) {
			i := rand.IntN(stored)
			return k.again(buf, identicalSet, i, suppliers, i%len(k.variants), k.base)
		}},
		{"request for update", requestForUpdate, "", func(_, _ int, buf []byte) ([]byte, string) {
			supplier := supplierName(rand.IntN(suppliers))
			return request(buf, supplier, k.base), supplier
		}},
	}
}

// prepare stores what is sent again later.
func (k *kinds) prepare(address string) error {
	for set, among := range map[uint64]int{changedSet: suppliers, identicalSet: suppliers, oneSupplierSet: 1} {
		var i atomic.Int64
		store := kind{path: capacityGroups, next: func(_, _ int, buf []byte) ([]byte, string) {
			at := int(i.Add(1)-1) % stored
			return k.again(buf, set, at, among, at%len(k.variants), k.base)
		}}
		if r := (load{addresses: []string{address}, kind: store, connections: 16,
			messages: stored}).run(); r.failed > 0 {
			return fmt.Errorf("store the groups to be sent again: %s", r.failure)
		}
	}
	return nil
}

// load is a number of messages, or messages for some time.
type load struct {
	addresses   []string // of replicas, which connections take in turn
	kind        kind
	connections int
	messages    int
	time        time.Duration
	// rate, if set, is how many messages are sent each second whether or not
	// earlier ones are answered; waiting for a connection counts as latency.
	rate float64
}

type outcome struct {
	messages, busy, failed int
	failure                string // the first one
	took                   time.Duration
	latencies              []time.Duration // sorted
}

func (o *outcome) quantile(q float64) time.Duration {
	if len(o.latencies) == 0 {
		return 0
	}
	return o.latencies[min(len(o.latencies)-1, int(q*float64(len(o.latencies))))]
}

// run sends over as many connections as asked for, each kept alive and with one
// message at a time.
func (l load) run() *outcome {
	var total outcome
	var mu sync.Mutex
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	start := time.Now()
	if l.time > 0 {
		timer := time.AfterFunc(l.time, cancel)
		defer timer.Stop()
	}
	for c := range l.connections {
		wg.Go(func() {
			var own outcome
			if err := l.connection(ctx, c, start, &own); err != nil {
				own.failed++
				own.failure = err.Error()
			}
			mu.Lock()
			defer mu.Unlock()
			total.messages += own.messages
			total.busy += own.busy
			total.failed += own.failed
			total.failure = cmpOr(total.failure, own.failure)
			total.latencies = append(total.latencies, own.latencies...)
		})
	}
	wg.Wait()
	total.took = time.Since(start)
	slices.Sort(total.latencies)
	return &total
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func (l load) connection(ctx context.Context, c int, start time.Time, o *outcome) error {
	conn, err := net.Dial("tcp", l.addresses[c%len(l.addresses)])
	if err != nil {
		return err
	}
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 4096)
	var body, out []byte
	for i := c; ctx.Err() == nil && (l.messages == 0 || i < l.messages); i += l.connections {
		var supplier string
		body, supplier = l.kind.next(c, l.connections, body)
		out = fmt.Appendf(out[:0],
			"POST %s HTTP/1.1\r\nHost: bench\r\nEdc-Bpn: %s\r\nContent-Type: application/json\r\nContent-Length: "+
				"%d\r\n\r\n", l.kind.path, supplier, len(body))
		out = append(out, body...)
		sent := time.Now()
		if l.rate > 0 {
			due := start.Add(time.Duration(float64(i) / l.rate * float64(time.Second)))
			time.Sleep(time.Until(due))
			sent = due
		}
		if _, err := conn.Write(out); err != nil {
			return err
		}
		answer, err := http.ReadResponse(in, nil)
		if err != nil {
			return err
		}
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			return err
		}
		o.latencies = append(o.latencies, time.Since(sent))
		o.messages++
		switch {
		case answer.StatusCode == http.StatusServiceUnavailable:
			o.busy++
		case answer.StatusCode >= 300:
			o.failed++
			o.failure = fmt.Sprintf("%s: %s", answer.Status, text)
		}
	}
	return nil
}

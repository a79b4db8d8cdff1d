package receiver_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/example"
	"dcm-receiver/internal/receiver"
)

// underRace tells whether the race detector is on.
var underRace bool

// attacker is the partner that does its worst.
const attacker = "BPNL00000000BAD1"

// arena is a receiver with the shipped limits behind a real server, an attacker, and
// another partner that sends small messages meanwhile.
type arena struct {
	*testing.T
	server *httptest.Server
}

// TestOnePartnersWorst: whatever one partner does, another's small messages are all
// taken, and soon. The bounds leave room for a machine that others use too; the
// bench measures (make bench BENCH="-only fairness").
func TestOnePartnersWorst(t *testing.T) {
	if underRace {
		t.Skip("the race detector takes ten times the time; make fairness runs it without")
	}
	list := func(size int) []byte { // a valid list of about so many bytes
		groups := max(1, size/16_000)
		return []byte(strings.ReplaceAll(string(example.Message(example.Options{
			Groups: groups, Weeks: 104, Seed: 7, Supplier: example.Supplier, Customer: example.Customer, Now: now,
		})), example.Supplier, attacker))
	}
	unread := manyInvalid()
	part := bytes.Repeat([]byte(" "), 3<<20)
	for _, c := range []struct {
		name        string
		connections int
		attack      func(a *arena, ctx context.Context)
	}{
		{name: "bodies that stall", connections: 120, attack: func(a *arena, ctx context.Context) { a.stall(ctx, part) }},
		{name: "lists just below a mebibyte", connections: 32, attack: func(a *arena, ctx context.Context) { a.flood(ctx, list(950_000)) }},
		{name: "large lists", connections: 8, attack: func(a *arena, ctx context.Context) { a.flood(ctx, list(8<<20)) }},
		{name: "small messages without end", connections: 64, attack: func(a *arena, ctx context.Context) { a.flood(ctx, list(1)) }},
		{name: "answers that are not read", connections: 40, attack: func(a *arena, ctx context.Context) { a.ignore(ctx, unread) }},
		{name: "a header version of 14 MiB", connections: 2, attack: func(a *arena, ctx context.Context) {
			a.flood(ctx, []byte(`{"messageHeader":{"header":{"version":"`+strings.Repeat("1.", 7<<20)+`"}}}`))
		}},
		{name: "numbers that grow", connections: 2, attack: func(a *arena, ctx context.Context) {
			a.flood(ctx, bytes.ReplaceAll(list(8<<20), []byte(`"actualCapacity": `), []byte(`"actualCapacity": 1e-998,"x":`)))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t, func(c *receiver.Config) { c.MaxBuffered = 96 << 20 })
			const tries = 3 // what else runs on the machine must slow down all of them
			for try := 1; ; try++ {
				alone, beside := besideAttack(t, f, c.connections, c.attack)
				if beside <= 3*alone+500*time.Millisecond {
					return
				}
				if try == tries {
					t.Fatalf("the other partner's messages take %v, alone %v", beside, alone)
				}
			}
		})
	}
}

// besideAttack is how long half of the other partner's messages take at most, alone
// and beside an attack.
func besideAttack(t *testing.T, f *fixture, connections int, attack func(*arena, context.Context)) (alone, beside time.Duration) {
	t.Helper()
	server := httptest.NewServer(f.partner)
	defer server.Close()
	defer server.CloseClientConnections()
	a := &arena{t, server}
	before, _ := a.others(time.Second)
	ctx, cancel := context.WithCancel(context.Background())
	var attackers sync.WaitGroup
	for range connections {
		attackers.Go(func() { attack(a, ctx) })
	}
	time.Sleep(500 * time.Millisecond) // until the attack has what it can get
	took, refused := a.others(2 * time.Second)
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	cancel()
	server.CloseClientConnections()
	attackers.Wait()
	t.Logf("alone p50 %v p99 %v; beside it p50 %v p99 %v of %d, %d refused; heap %d MiB",
		at(before, 50), at(before, 99), at(took, 50), at(took, 99), len(took), refused, memory.HeapInuse>>20)
	if refused > 0 {
		t.Errorf("%d of the other partner's messages were refused", refused)
	}
	if memory.HeapInuse > 600<<20 {
		t.Errorf("%d MiB of heap", memory.HeapInuse>>20)
	}
	return at(before, 50), at(took, 50)
}

// others sends the other partner's messages for a while, two at a time; it returns
// how long each took, in order, and how many were refused.
func (a *arena) others(d time.Duration) (took []time.Duration, refused int) {
	a.Helper()
	var mu sync.Mutex
	var all sync.WaitGroup
	end := time.Now().Add(d)
	for i := range 2 {
		all.Go(func() {
			body := example.Message(example.Options{Groups: 1, Weeks: 104, Seed: uint64(i), Supplier: example.Supplier, Customer: example.Customer, Now: now})
			for time.Now().Before(end) {
				start := time.Now()
				status, err := a.post(context.Background(), example.Supplier, body)
				mu.Lock()
				took = append(took, time.Since(start))
				if err != nil || status >= 300 {
					refused++
				}
				mu.Unlock()
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	all.Wait()
	slices.Sort(took)
	return took, refused
}

func at(sorted []time.Duration, percent int) time.Duration {
	return sorted[min(len(sorted)-1, len(sorted)*percent/100)].Round(100 * time.Microsecond)
}

func (a *arena) post(ctx context.Context, sender string, body []byte) (int, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, a.server.URL+"/"+dcm.CapacityGroupEndpoint.Path, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Edc-Bpn", sender)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, err
}

// flood sends the same again and again.
func (a *arena) flood(ctx context.Context, body []byte) {
	for ctx.Err() == nil {
		if status, _ := a.post(ctx, attacker, body); status == http.StatusServiceUnavailable {
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// manyInvalid is a body of 12 MiB whose answer has a result for each of 60,000
// objects.
func manyInvalid() []byte {
	object := `{"capacityGroupId":"0157ba42-d2a8-4e28-8565-7b07830c1110","x":"` + strings.Repeat("x", 140) + `"},`
	return []byte("[" + strings.Repeat(object, 60_000) + "{}]")
}

// raw begins a request on a connection of its own, which takes little at a time.
func (a *arena) raw(length int) net.Conn {
	conn, err := net.Dial("tcp", a.server.Listener.Addr().String())
	if err != nil {
		return nil
	}
	_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	fmt.Fprintf(conn, "POST /%s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nEdc-Bpn: %s\r\nContent-Length: %d\r\n\r\n", dcm.CapacityGroupEndpoint.Path, attacker, length)
	return conn
}

// stall sends a part of a body, and waits.
func (a *arena) stall(ctx context.Context, part []byte) {
	conn := a.raw(receiver.MaxBody)
	if conn == nil {
		return
	}
	defer conn.Close()
	_, _ = conn.Write(part)
	<-ctx.Done()
}

// ignore sends messages and reads no answer.
func (a *arena) ignore(ctx context.Context, body []byte) {
	conn := a.raw(len(body))
	if conn == nil {
		return
	}
	defer conn.Close()
	_, _ = conn.Write(body)
	<-ctx.Done()
}

// TestTooLargeIsHeard: a client that reads only after it has sent all hears the 413.
func TestTooLargeIsHeard(t *testing.T) {
	server := httptest.NewServer(newFixture(t, nil).partner)
	defer server.Close()
	for _, announced := range []bool{true, false} {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		const size = 20 << 20
		length := fmt.Sprintf("Content-Length: %d", size)
		if !announced {
			length = "Transfer-Encoding: chunked"
		}
		fmt.Fprintf(conn, "POST /%s HTTP/1.1\r\nHost: x\r\nEdc-Bpn: %s\r\n%s\r\n\r\n", dcm.CapacityGroupEndpoint.Path, example.Supplier, length)
		piece := bytes.Repeat([]byte(" "), 1<<20)
		for range size / len(piece) {
			if !announced {
				fmt.Fprintf(conn, "%x\r\n", len(piece))
			}
			if _, err := conn.Write(piece); err != nil {
				t.Fatalf("the body could not be sent to its end: %v", err)
			}
			if !announced {
				fmt.Fprint(conn, "\r\n")
			}
		}
		if !announced {
			fmt.Fprint(conn, "0\r\n\r\n")
		}
		answer := make([]byte, 64)
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, err := conn.Read(answer)
		if err != nil || !strings.HasPrefix(string(answer[:n]), "HTTP/1.1 413 ") {
			t.Errorf("announced %t: %q, %v", announced, answer[:n], err)
		}
		conn.Close()
	}
}

// TestUnreadAnswersHoldNoToken: who does not read its answers keeps nobody from
// being judged, and what is held for it is counted.
func TestUnreadAnswersHoldNoToken(t *testing.T) {
	f := newFixture(t, func(c *receiver.Config) { c.MaxInFlight = 4 })
	server := httptest.NewServer(f.partner)
	defer server.Close()
	defer server.CloseClientConnections()
	a := &arena{t, server}
	body := manyInvalid()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for range 8 {
		go a.ignore(ctx, body)
	}
	deadline := time.Now().Add(20 * time.Second)
	for f.metric("dcm_buffered_bytes") < 1<<20 || f.metric("dcm_requests_in_flight") > 0 {
		if time.Now().After(deadline) {
			t.Fatalf("%g bytes are held, %g messages in flight", f.metric("dcm_buffered_bytes"), f.metric("dcm_requests_in_flight"))
		}
		time.Sleep(50 * time.Millisecond)
	}
	for range 20 {
		if status, err := a.post(ctx, example.Supplier, example.Message(example.Options{Groups: 1, Weeks: 4, Supplier: example.Supplier, Customer: example.Customer, Now: now})); err != nil || status >= 300 {
			t.Errorf("%d %v", status, err)
		}
	}
}

// metric is the value of a metric without labels.
func (f *fixture) metric(name string) (value float64) {
	w := httptest.NewRecorder()
	f.operations.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for line := range strings.Lines(w.Body.String()) {
		if text, ok := strings.CutPrefix(line, name+" "); ok {
			_, _ = fmt.Sscan(text, &value)
		}
	}
	return value
}

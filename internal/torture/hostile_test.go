//go:build linux

package torture

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"dcm-receiver/internal/privatepg/pgtest"
)

const supplier = "BPNL00000000SUPP"

// TestHostile has senders who keep to no rule.
func TestHostile(t *testing.T) {
	binary := build(t)
	closed := slowHeaders(t, binary) // takes time, so beside the others
	t.Run("senders", func(t *testing.T) { hostileSenders(t, binary) })
	t.Run("HTTP/2", func(t *testing.T) { http2(t, binary) })
	t.Run("overload", func(t *testing.T) { overload(t, binary) })
	closed()
}

// hostileSenders meet one receiver, one after the other. After each of them it
// must take an honest message and hold nothing on to.
func hostileSenders(t *testing.T, binary string) {
	database := pgtest.New(t)
	r := startReceiver(t, binary, database)
	honest(t, http.DefaultClient, "http://"+r.partner) // so that everything is there once before it is counted
	http.DefaultClient.CloseIdleConnections()
	begin := r.resources()
	for _, test := range []struct {
		name string
		run  func(t *testing.T, r *dcmReceiver, database string)
	}{
		{"thousands of idle connections", idleConnections},
		{"slow bodies", slowBodies},
		{"floods of headers", headerFloods},
		{"bodies that end elsewhere than they say", wrongLengths},
		{"pipelining", pipelining},
		{"gone in mid-body", goneInBody},
		{"gone in mid-answer", goneInAnswer},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, r, database) })
		honest(t, http.DefaultClient, "http://"+r.partner)
		http.DefaultClient.CloseIdleConnections()
		var err error
		if !within(20*time.Second, func() bool { err = r.resources().beyond(begin, 64); return err == nil }) {
			t.Errorf("after %s: %v", test.name, err)
		}
	}
}

// honest sends a valid message, which must be taken.
func honest(t *testing.T, c *http.Client, url string) {
	t.Helper()
	id := uuid.New()
	resp, err := c.Do(newRequest(t.Context(), url+"/"+capacityGroup, supplier, honestBody(id)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if err := checkAnswer(resp, body); err != nil || resp.StatusCode != http.StatusCreated {
		t.Fatalf("an honest message was answered %d %s %v", resp.StatusCode, body, err)
	}
}

func honestBody(id uuid.UUID) string {
	return envelope(capacityGroup, id.String(), supplier,
		"["+group(supplier, customer, id.String(), "2026-01-05T12:00:00Z", "honest", 4, 7)+"]")
}

// dial opens a connection that ends with the test, and writes to it.
func dial(t *testing.T, r *dcmReceiver, text string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", r.partner)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	_, _ = io.WriteString(conn, text) // the receiver may have closed it already
	return conn
}

// head is the beginning of a request by hand.
func head(headers ...string) string {
	return "POST /" + capacityGroup + " HTTP/1.1\r\nHost: receiver\r\nX-Api-Key: " + apiKey + "\r\nEdc-Bpn: " +
		supplier +
		"\r\nContent-Type: application/json\r\n" + strings.Join(headers, "\r\n") + "\r\n\r\n"
}

// answers are the statuses of all answers until the connection is closed.
func answers(conn net.Conn) (statuses []int) {
	reader := bufio.NewReader(conn)
	for {
		resp, err := http.ReadResponse(reader, nil)
		if err != nil {
			return statuses
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		statuses = append(statuses, resp.StatusCode)
	}
}

// stored is how many capacity groups have one of the IDs, and how many journal
// entries their messages.
func stored(t *testing.T, database string, ids ...uuid.UUID) (groups, entries int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	err = conn.QueryRow(t.Context(), `select
		(select count(*) from planning.capacity_group where capacity_group_id = any($1)),
		(select count(*) from planning.message where message_id = any($1))`, ids).Scan(&groups, &entries)
	if err != nil {
		t.Fatal(err)
	}
	return groups, entries
}

func idleConnections(t *testing.T, r *dcmReceiver, _ string) {
	var open []net.Conn
	for range 2000 {
		conn, err := net.Dial("tcp", r.partner)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, conn)
	}
	honest(t, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, "http://"+r.partner)
	if _, status := r.get("/readyz"); status != http.StatusOK {
		t.Errorf("/readyz answers %d beside idle connections", status)
	}
	for _, conn := range open {
		_ = conn.Close()
	}
}

// slowHeaders opens connections on which no header ends. closed returns when
// the receiver has had enough of all of them.
func slowHeaders(t *testing.T, binary string) (closed func()) {
	r := startReceiver(t, binary, pgtest.New(t))
	var open sync.WaitGroup
	for range 100 {
		conn := dial(t, r, "POST /"+capacityGroup+" HTTP/1.1\r\nHost: receiver\r\nX-Api-")
		open.Go(func() { _ = answers(conn) })
	}
	honest(t, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, "http://"+r.partner)
	return open.Wait
}

// slowBodies announce the largest bodies and send little of them, more of them
// than there is memory for whole bodies.
func slowBodies(t *testing.T, r *dcmReceiver, _ string) {
	for size := 15 << 20; size >= 256; size /= 2 {
		for range 8 {
			dial(t, r, head(fmt.Sprintf("Content-Length: %d", size))+`[{"name":"`)
		}
	}
	for range 20 {
		dial(t, r, head("Transfer-Encoding: chunked")+"ffffff\r\n"+strings.Repeat(" ", 20_000))
	}
	time.Sleep(200 * time.Millisecond) // they are all there
	honest(t, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, "http://"+r.partner)
}

func headerFloods(t *testing.T, r *dcmReceiver, _ string) {
	for name, headers := range map[string]string{
		"one":  "X-Long: " + strings.Repeat("x", 1<<20),
		"many": strings.Repeat("X-Many: xxxxxxxxxxxxxxxxxxxxxxxx\r\n", 50_000) + "X-Last: x",
	} {
		conn := dial(t, r, "")
		go func() { _, _ = io.WriteString(conn, head(headers, "Content-Length: 2")+"[]") }()
		if got := answers(conn); !slices.Equal(got, []int{http.StatusRequestHeaderFieldsTooLarge}) && len(got) > 0 {
			t.Errorf("%s header: answered %v", name, got)
		}
	}
}

// wrongLengths are requests whose end is a matter of opinion. No two programs
// on the way may differ on it, so none of the hidden messages may be taken.
func wrongLengths(t *testing.T, r *dcmReceiver, database string) {
	for _, test := range []struct {
		name string
		text func(body, hidden string) string
	}{
		{"two lengths", func(body, hidden string) string {
			return head(fmt.Sprintf("Content-Length: %d", len(body)),
				fmt.Sprintf("Content-Length: %d", len(body)+len(hidden))) + body + hidden
		}},
		{"two lengths in one", func(body, hidden string) string {
			return head(fmt.Sprintf("Content-Length: %d, %d", len(body), len(body)+len(hidden))) + body + hidden
		}},
		{"a space before the colon", func(body, hidden string) string {
			return head(fmt.Sprintf("Content-Length : %d", len(body)),
				fmt.Sprintf("Content-Length: %d", len(body)+len(hidden))) + body + hidden
		}},
		{"a length with a sign", func(body, hidden string) string {
			return head(fmt.Sprintf("Content-Length: +%d", len(body))) + body + hidden
		}},
		{"another coding", func(body, hidden string) string {
			return head("Transfer-Encoding: xchunked", fmt.Sprintf("Content-Length: %d", len(body))) + body + hidden
		}},
		{"two codings", func(body, hidden string) string {
			return head("Transfer-Encoding: chunked", "Transfer-Encoding: identity") + "0\r\n\r\n" + hidden
		}},
		{"a negative chunk", func(body, hidden string) string {
			return head("Transfer-Encoding: chunked") + "-1\r\n" +
				body + hidden
		}},
		{"a chunk with a prefix", func(body, hidden string) string {
			return head("Transfer-Encoding: chunked") + fmt.Sprintf("0x%x\r\n%s\r\n0\r\n\r\n", len(body), body) + hidden
		}},
		{"a chunk beyond numbers", func(body, hidden string) string {
			return head("Transfer-Encoding: chunked") + "10000000000000001\r\n" + body + hidden
		}},
		{"a chunk longer than it says", func(body, hidden string) string {
			return head("Transfer-Encoding: chunked") + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body)-5, body) + hidden
		}},
		{"chunks that do not end", func(body, hidden string) string {
			return head("Transfer-Encoding: chunked") + "2\r\n[]" + hidden
		}},
		{"a long chunk extension", func(body, hidden string) string {
			return head("Transfer-Encoding: chunked") + "2;" + strings.Repeat("x", 100_000) + "\r\n[]\r\n0\r\n\r\n" +
				hidden
		}},
		{"a bare line feed in a header", func(body, hidden string) string {
			return head("X-A: b\rContent-Length: 0", fmt.Sprintf("Content-Length: %d", len(body))) + body[:len(body)-1]
		}},
		{"shorter than it says", func(body, hidden string) string {
			return head(fmt.Sprintf("Content-Length: %d", len(body)+10)) + body
		}},
	} {
		first, second := uuid.New(), uuid.New()
		body := honestBody(second)
		hidden := head(fmt.Sprintf("Content-Length: %d", len(body))) + body
		conn := dial(t, r, test.text(honestBody(first), hidden))
		_ = conn.(*net.TCPConn).CloseWrite()
		got := answers(conn)
		groups, entries := stored(t, database, first, second)
		if len(got) > 1 || len(got) == 1 && (got[0] < 400 || got[0] == 500) || groups+entries > 0 {
			t.Errorf("%s: answered %v, stored %d groups and %d entries", test.name, got, groups, entries)
		}
	}
	// Both a length and chunks: the chunks count, whatever the length says.
	id := uuid.New()
	body := honestBody(id)
	conn := dial(t, r, head("Content-Length: 3", "Transfer-Encoding: chunked",
		"Connection: close")+fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body))
	if got := answers(conn); !slices.Equal(got, []int{201}) && !slices.Equal(got, []int{400}) {
		t.Errorf("a length and chunks: answered %v", got)
	}
}

func pipelining(t *testing.T, r *dcmReceiver, database string) {
	var ids []uuid.UUID
	var text strings.Builder
	for range 50 {
		ids = append(ids, uuid.New())
		body := honestBody(ids[len(ids)-1])
		text.WriteString(head(fmt.Sprintf("Content-Length: %d", len(body))) + body)
	}
	conn := dial(t, r, text.String())
	_ = conn.(*net.TCPConn).CloseWrite()
	got := answers(conn)
	groups, entries := stored(t, database, ids...)
	if count(got, 201) != groups || entries != groups || len(got) != len(ids) {
		t.Errorf("answered %v, stored %d groups and %d entries", got, groups, entries)
	}
}

func count(statuses []int, status int) (n int) {
	for _, s := range statuses {
		if s == status {
			n++
		}
	}
	return n
}

func goneInBody(t *testing.T, r *dcmReceiver, database string) {
	var ids []uuid.UUID
	for range 100 {
		ids = append(ids, uuid.New())
		body := honestBody(ids[len(ids)-1])
		conn := dial(t, r, head(fmt.Sprintf("Content-Length: %d", len(body)))+body[:len(body)-1])
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	}
	if groups, entries := stored(t, database, ids...); groups+entries > 0 {
		t.Errorf("of messages without their end %d groups and %d entries are stored", groups, entries)
	}
}

func goneInAnswer(t *testing.T, r *dcmReceiver, database string) {
	var ids []uuid.UUID
	for range 100 {
		ids = append(ids, uuid.New())
		body := honestBody(ids[len(ids)-1])
		conn := dial(t, r, head(fmt.Sprintf("Content-Length: %d", len(body)))+body)
		_ = conn.Close()
	}
	// A closed connection may have been reset before the message was read. What
	// was read is stored as a whole.
	if !within(10*time.Second, func() bool {
		_, status := r.get("/readyz")
		return status == 200 && r.metrics()["dcm_requests_in_flight"] == 0
	}) {
		t.Error("messages of senders who have gone do not end")
	}
	if groups, entries := stored(t, database, ids...); groups != entries || groups == 0 {
		t.Errorf("stored %d groups and %d entries", groups, entries)
	}
}

// http2 has the native TLS listener, where HTTP/2 is offered.
func http2(t *testing.T, binary string) {
	certFile, keyFile, roots := certificate(t)
	r := startReceiver(t, binary, pgtest.New(t), "DCM_TLS_CERT_FILE="+certFile, "DCM_TLS_KEY_FILE="+keyFile,
		"DCM_MAX_IN_FLIGHT=8")
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: roots}}
	defer transport.CloseIdleConnections()
	client, url := &http.Client{Transport: transport}, "https://"+r.partner
	honest(t, client, url)

	// Streams side by side on one connection, more than are let in at once.
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			resp, err := client.Do(newRequest(t.Context(), url+"/"+capacityGroup, supplier, honestBody(uuid.New())))
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			if err := checkAnswer(resp, body); err != nil || resp.ProtoMajor != 2 || resp.StatusCode != 201 &&
				resp.StatusCode != 503 {
				t.Errorf("%s %d %s %v", resp.Proto, resp.StatusCode, body, err)
			}
		})
	}
	wg.Wait()

	// Streams that are reset as soon as they are open.
	for range 500 {
		ctx, cancel := context.WithCancel(t.Context())
		wg.Go(func() {
			if resp, err := client.Do(newRequest(ctx, url+"/"+capacityGroup, supplier,
				honestBody(uuid.New()))); err == nil {
				_ = resp.Body.Close()
			}
		})
		time.AfterFunc(time.Millisecond, cancel)
	}
	wg.Wait()
	if !within(10*time.Second, func() bool { return r.metrics()["dcm_requests_in_flight"] == 0 }) {
		t.Error("messages of reset streams do not end")
	}
	honest(t, client, url)
}

// certificate makes one for loopback.
func certificate(t *testing.T) (certFile, keyFile string, roots *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for file, text := range map[string][]byte{certFile: certPEM,
		keyFile: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(certPEM)
	return certFile, keyFile, roots
}

// overload offers ten times what is let in at once, for some seconds.
func overload(t *testing.T, binary string) {
	const letIn, offered = 16, 160
	r := startReceiver(t, binary, pgtest.New(t), fmt.Sprintf("DCM_MAX_IN_FLIGHT=%d", letIn),
		"DCM_DATABASE_CONNECTIONS=2")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	transport := &http.Transport{MaxIdleConnsPerHost: offered}
	client := &http.Client{Transport: transport, Timeout: 30 * time.Second}
	var mu sync.Mutex
	took := map[int][]time.Duration{} // by status
	var senders sync.WaitGroup
	for range offered {
		senders.Go(func() {
			for ctx.Err() == nil {
				begin := time.Now()
				resp, err := client.Do(newRequest(context.Background(), "http://"+r.partner+"/"+capacityGroup,
					supplier, honestBody(uuid.New())))
				if err != nil {
					t.Error(err)
					return
				}
				body, _ := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if err := checkAnswer(resp, body); err != nil {
					t.Error(err)
				}
				mu.Lock()
				took[resp.StatusCode] = append(took[resp.StatusCode], time.Since(begin))
				mu.Unlock()
			}
		})
	}
	var healthy, unhealthy atomic.Int64
	senders.Go(func() {
		for ctx.Err() == nil {
			for _, path := range []string{"/livez", "/readyz"} {
				if _, status := r.get(path); status == http.StatusOK {
					healthy.Add(1)
				} else {
					unhealthy.Add(1)
				}
			}
			time.Sleep(50 * time.Millisecond)
		}
	})
	senders.Wait()
	transport.CloseIdleConnections()
	for _, status := range sorted(took) {
		slices.Sort(took[status])
		n := len(took[status])
		t.Logf("%d: %d times, median %s, p99 %s", status, n, took[status][n/2].Round(time.Millisecond),
			took[status][n*99/100].Round(time.Millisecond))
	}
	memory := r.resources().memory
	t.Logf("health answered %d times, failed %d times; %.0f MiB of memory", healthy.Load(), unhealthy.Load(),
		memory/(1<<20))
	if len(took) != 2 || len(took[201]) == 0 || len(took[503]) == 0 {
		t.Error("the answers are not 201 to some and 503 to the others")
	}
	if unhealthy.Load() > 0 || healthy.Load() == 0 {
		t.Errorf("health failed %d times", unhealthy.Load())
	}
	most := 128.0
	if underRace() {
		most *= 5 // the detector remembers who touched each word
	}
	if memory > most*(1<<20) {
		t.Errorf("%.0f MiB of memory, more than %.0f", memory/(1<<20), most)
	}
}

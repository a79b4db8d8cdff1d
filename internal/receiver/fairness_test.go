package receiver_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/example"
	"dcm-receiver/internal/receiver"
)

// attacker is the partner that does its worst.
const attacker = "BPNL00000000BAD1"

// arena is a receiver behind a real server, an attacker, and another partner that
// sends small messages meanwhile. The worst that a partner can do to the program
// as it is shipped is tried by the bench (make fairness).
type arena struct {
	*testing.T
	server *httptest.Server
}

func (a *arena) post(ctx context.Context, sender string, body []byte) (int, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, a.server.URL+"/"+dcm.CapacityGroupEndpoint.Path,
		bytes.NewReader(body))
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

// manyInvalid is a body of 12 MiB whose answer has a result for each of 60,000
// objects.
func manyInvalid() []byte {
	object := `{"capacityGroupId":"0157ba42-d2a8-4e28-8565-7b07830c1110","x":"` + strings.Repeat("x", 140) + `"},`
	return []byte("[" + strings.Repeat(object, 60_000) + "{}]")
}

// ignore sends a message and reads no answer.
func (a *arena) ignore(ctx context.Context, body []byte) {
	conn, err := net.Dial("tcp", a.server.Listener.Addr().String())
	if err != nil {
		return
	}
	defer conn.Close()
	_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	fmt.Fprintf(conn,
		"POST /%s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nEdc-Bpn: %s\r\nContent-Length: %d\r\n\r\n",
		dcm.CapacityGroupEndpoint.Path, attacker, len(body))
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
		fmt.Fprintf(conn, "POST /%s HTTP/1.1\r\nHost: x\r\nEdc-Bpn: %s\r\n%s\r\n\r\n", dcm.CapacityGroupEndpoint.Path,
			example.Supplier, length)
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

// TestRefusalsAreHeard: a client that reads only after it has sent all hears every
// refusal that comes before its body was read, not only the 413.
func TestRefusalsAreHeard(t *testing.T) {
	f := newFixture(t, func(c *receiver.Config) {
		c.APIKeys, c.Partners, c.MaxBuffered = []string{"key"}, []string{example.Supplier}, 1<<20
	})
	server := httptest.NewServer(f.partner)
	defer server.Close()
	capacityGroups := "/" + dcm.CapacityGroupEndpoint.Path
	for _, c := range []struct {
		name, request, header string
		status                string
	}{
		{"no such path", "POST /nowhere", "", "404"},
		{"another method", "PUT " + capacityGroups, "", "405"},
		{"a method that the router does not know", "PROPFIND " + capacityGroups, "", "405"},
		{"messages are fetched, not sent", "POST /messages", "", "405"},
		{"no key", "POST " + capacityGroups, "", "401"},
		{"no sender", "POST " + capacityGroups, "X-Api-Key: key", "401"},
		{"a partner that may not send", "POST " + capacityGroups, "X-Api-Key: key\r\nEdc-Bpn: BPNL00000000NONE", "403"},
		{"another content type", "POST " + capacityGroups, "X-Api-Key: key\r\nContent-Type: text/plain\r\nEdc-Bpn: " +
			example.Supplier, "415"},
		{"more bytes than the partner's share", "POST " + capacityGroups,
			"X-Api-Key: key\r\nEdc-Bpn: " + example.Supplier, "503"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			const size = 4 << 20
			fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: x\r\n%s\r\nContent-Length: %d\r\n\r\n", c.request,
				strings.TrimSpace("X: y\r\n"+c.header), size)
			piece := bytes.Repeat([]byte(" "), 1<<20)
			for range size / len(piece) {
				if _, err := conn.Write(piece); err != nil {
					t.Fatalf("the body could not be sent to its end: %v", err)
				}
			}
			answer := make([]byte, 64)
			_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
			n, err := conn.Read(answer)
			if err != nil || !strings.HasPrefix(string(answer[:n]), "HTTP/1.1 "+c.status+" ") {
				t.Errorf("%q, %v", answer[:n], err)
			}
		})
	}
}

// TestWhoAsksFirstSendsNothing: a client that announces a body and waits for
// "100 Continue" is refused without having to send it.
func TestWhoAsksFirstSendsNothing(t *testing.T) {
	server := httptest.NewServer(newFixture(t, nil).partner)
	defer server.Close()
	for _, c := range []struct{ path, status string }{{"/" + dcm.CapacityGroupEndpoint.Path, "413"},
		{"/nowhere", "404"}} {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn,
			"POST %s HTTP/1.1\r\nHost: x\r\nEdc-Bpn: %s\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n",
			c.path, example.Supplier, 20<<20)
		answer := make([]byte, 64)
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, err := conn.Read(answer)
		if err != nil || !strings.HasPrefix(string(answer[:n]), "HTTP/1.1 "+c.status+" ") {
			t.Errorf("%s: %q, %v", c.path, answer[:n], err)
		}
		conn.Close()
	}
}

// TestUnreadAnswersHoldNoToken: who does not read its answers keeps no one from
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
	deadline := time.Now().Add(90 * time.Second) // large lists on a busy machine under the race detector
	for f.metric("dcm_buffered_bytes") < 1<<20 || f.metric("dcm_requests_in_flight") > 0 {
		if time.Now().After(deadline) {
			t.Fatalf("%g bytes are held, %g messages in flight", f.metric("dcm_buffered_bytes"),
				f.metric("dcm_requests_in_flight"))
		}
		time.Sleep(50 * time.Millisecond)
	}
	for range 20 {
		if status, err := a.post(ctx, example.Supplier, example.Message(example.Options{Groups: 1, Weeks: 4,
			Supplier: example.Supplier, Customer: example.Customer, Now: now})); err != nil || status >= 300 {
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

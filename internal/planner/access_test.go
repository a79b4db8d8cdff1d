package planner

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"
)

// behind is a page that only who has access sees.
func behind(a Access) http.Handler {
	r := chi.NewRouter()
	a.mount(r)
	r.Group(func(r chi.Router) {
		r.Use(a.allow)
		r.Get("/*", func(w http.ResponseWriter, r *http.Request) {
			_,
				_ = io.WriteString(w, "secret of "+user(r).name)
		})
	})
	return r
}

// TestLoopback: a name that somebody pointed at this machine shows nothing.
func TestLoopback(t *testing.T) {
	for host, want := range map[string]int{
		"127.0.0.1:8088": 200, "localhost:8088": 200, "[::1]:8088": 200, "127.0.0.1": 200,
		"evil.example": 403, "evil.example:8088": 403, "127.0.0.1.evil.example:8088": 403, "": 403,
		"192.0.2.1:8088": 403,
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = host
		w := httptest.NewRecorder()
		behind(Loopback{}).ServeHTTP(w, r)
		if w.Code != want || (want == 403) == strings.Contains(w.Body.String(), "secret") {
			t.Errorf("Host %q: %d %s, want %d", host, w.Code, w.Body, want)
		}
	}
}

// TestLoopbackBehindProxy: a proxy that logs no one in does not open the pages.
func TestLoopbackBehindProxy(t *testing.T) {
	for _, header := range []string{
		"X-Forwarded-For", "Forwarded", "Via", "X-Real-IP", "x-forwarded-host", "X-Forwarded-Proto",
		"X-Forwarded-Prefix", "X-Client-Ip",
		"Cf-Connecting-Ip", "True-Client-IP", "CDN-Loop",
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = "127.0.0.1:8088"
		r.Header.Set(header, "192.0.2.1")
		w := httptest.NewRecorder()
		behind(Loopback{}).ServeHTTP(w, r)
		if w.Code != 403 || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s: %d %s", header, w.Code, w.Body)
		}
	}
}

// TestLoopbackBehindBareProxy: nginx's proxy_pass alone adds no header and takes the
// listener's address for Host, but speaks HTTP/1.0.
func TestLoopbackBehindBareProxy(t *testing.T) {
	server := httptest.NewServer(behind(Loopback{}))
	defer server.Close()
	for version, want := range map[string]string{"1.0": "403", "1.1": "200"} {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = fmt.Fprintf(conn, "GET / HTTP/%s\r\nHost: %s\r\nConnection: close\r\n\r\n", version,
			server.Listener.Addr())
		answer, err := io.ReadAll(conn)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Fields(string(answer)); len(got) < 2 || got[1] != want ||
			(want == "200") != strings.Contains(string(answer), "secret") {
			t.Errorf("HTTP/%s: %s, want %s", version, answer, want)
		}
	}
}

// TestProxy: only who knows the proxy's key may name a user.
func TestProxy(t *testing.T) {
	handler := behind(Proxy{UserHeader: "X-User", Key: "k3y"})
	for _, c := range []struct {
		name   string
		header http.Header
		want   int
	}{
		{name: "the proxy", header: http.Header{"X-User": {"anna"}, "X-Planning-Key": {"k3y"}}, want: 200},
		{name: "no key", header: http.Header{"X-User": {"anna"}}, want: 403},
		{name: "another key", header: http.Header{"X-User": {"anna"}, "X-Planning-Key": {"k3y "}}, want: 403},
		{name: "two keys", header: http.Header{"X-User": {"anna"}, "X-Planning-Key": {"k3y", "k3y"}}, want: 403},
		{name: "nobody", header: http.Header{"X-Planning-Key": {"k3y"}}, want: 403},
		{name: "an empty name", header: http.Header{"X-User": {""}, "X-Planning-Key": {"k3y"}}, want: 403},
		{name: "a blank name", header: http.Header{"X-User": {"\u00a0"}, "X-Planning-Key": {"k3y"}}, want: 403},
		{name: "a placeholder of nginx", header: http.Header{"X-User": {"-"}, "X-Planning-Key": {"k3y"}}, want: 403},
		{name: "a placeholder of Apache", header: http.Header{"X-User": {"(null)"}, "X-Planning-Key": {"k3y"}},
			want: 403},
		{name: "two users", header: http.Header{"X-User": {"anna", "bert"}, "X-Planning-Key": {"k3y"}}, want: 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			r.Header = c.header
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code != c.want || (c.want == 200) != (w.Body.String() == "secret of anna") {
				t.Errorf("%d %s, want %d", w.Code, w.Body, c.want)
			}
		})
	}
}

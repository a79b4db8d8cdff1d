package planner

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"unicode"

	"github.com/go-chi/chi/v5"
)

// Access decides who may see the pages. The figures are trade secrets: there is
// no way to open them to everybody on a network.
type Access interface {
	// mount adds the addresses that somebody without access needs.
	mount(chi.Router)
	// allow lets through who may see the pages.
	allow(http.Handler) http.Handler
}

type userKey struct{}

// reader is who reads the pages.
type reader struct {
	name      string // "" where no login is needed
	canLogOut bool   // these pages hold the session; a proxy's session ends at the proxy
}

func user(r *http.Request) reader {
	who, _ := r.Context().Value(userKey{}).(reader)
	return who
}

func withUser(r *http.Request, who reader) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), userKey{}, who))
}

// Loopback lets through everybody on this machine. It is only for a listener on
// a loopback address.
type Loopback struct{}

func (Loopback) mount(chi.Router) {}

// allow asks for a loopback name in Host: a page of somebody else's whose name
// was pointed at this machine must not read ours in the browser of anyone who sits
// here. What a proxy passes on comes from elsewhere, whatever its Host: a proxy
// that logs no one in must not open the pages.
func (Loopback) allow(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		host = strings.Trim(host, "[]")
		address, err := netip.ParseAddr(host)
		if host != "localhost" && (err != nil || !address.IsLoopback()) {
			http.Error(w, "These pages are for this machine: open them as http://127.0.0.1 or http://localhost.",
				http.StatusForbidden)
			return
		}
		if isProxied(r) {
			http.Error(w,
				"These pages are for this machine; a proxy has to log people in (DCM_PLANNING_PROXY_USER_HEADER).",
				http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// proxyHeaders are what proxies and content networks add to a request, beside
// X-Forwarded-….
var proxyHeaders = []string{
	"Forwarded", "Via", "X-Real-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "X-Original-Forwarded-For",
	"X-Original-Host",
	"X-Original-Url", "X-Envoy-External-Address", "X-Request-Start", "True-Client-Ip", "Client-Ip", "Fastly-Client-Ip",
	"Cf-Connecting-Ip", "Cf-Ray", "Cdn-Loop",
}

// isProxied reports whether a proxy passed the request on. A bare proxy_pass of nginx
// adds no header, but speaks HTTP/1.0, which no browser does.
func isProxied(r *http.Request) bool {
	if !r.ProtoAtLeast(1, 1) {
		return true
	}
	for name := range r.Header {
		if strings.HasPrefix(name, "X-Forwarded") || slices.Contains(proxyHeaders, name) {
			return true
		}
	}
	return false
}

// Proxy trusts a reverse proxy that logs people in: it names them in a header,
// and shows by a key that it is the proxy.
type Proxy struct {
	UserHeader string // header with the name of who is logged in
	Key        string // value of X-Planning-Key that only the proxy knows
}

// keyHeader is the header in which a proxy shows its key.
const keyHeader = "X-Planning-Key"

func (Proxy) mount(chi.Router) {}

func (p Proxy) allow(next http.Handler) http.Handler {
	want := sha256.Sum256([]byte(p.Key))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		keys, users := r.Header.Values(keyHeader), r.Header.Values(p.UserHeader)
		if len(keys) == 1 && len(users) == 1 && isUser(users[0]) {
			if got := sha256.Sum256([]byte(keys[0])); subtle.ConstantTimeCompare(got[:], want[:]) == 1 {
				next.ServeHTTP(w, withUser(r, reader{name: users[0]}))
				return
			}
		}
		http.Error(w, "Open these pages through the proxy that logs you in.", http.StatusForbidden)
	})
}

// isUser reports whether a proxy's header names a user: some proxies send a
// placeholder where they logged no one in.
func isUser(name string) bool {
	name = strings.ToLower(strings.TrimFunc(name, func(r rune) bool {
		return !unicode.IsGraphic(r) ||
			unicode.IsSpace(r)
	}))
	return !slices.Contains([]string{"", "-", "null", "(null)", "none", "undefined", "anonymous"}, name)
}

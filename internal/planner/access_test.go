package planner

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// behind is a page that only who has access sees.
func behind(a Access) http.Handler {
	r := chi.NewRouter()
	a.mount(r)
	r.Group(func(r chi.Router) {
		r.Use(a.allow)
		r.Get("/*", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "secret of "+user(r)) })
	})
	return r
}

// TestLoopback: a name that somebody pointed at this machine shows nothing.
func TestLoopback(t *testing.T) {
	for host, want := range map[string]int{
		"127.0.0.1:8088": 200, "localhost:8088": 200, "[::1]:8088": 200, "127.0.0.1": 200,
		"evil.example": 403, "evil.example:8088": 403, "127.0.0.1.evil.example:8088": 403, "": 403, "192.0.2.1:8088": 403,
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

// TestLoopbackBehindProxy: a proxy that logs nobody in does not open the pages.
func TestLoopbackBehindProxy(t *testing.T) {
	for _, header := range []string{"X-Forwarded-For", "Forwarded", "Via", "X-Real-IP", "x-forwarded-host"} {
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

// provider is an OpenID provider with one user.
type provider struct {
	*httptest.Server
	claims map[string]any // of the user, beside those that every token has
	nonce  string
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: key, KeyID: "1"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{}
	reply := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, map[string]any{
			"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys",
			"id_token_signing_alg_values_supported": []string{"RS256"},
		})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "1", Algorithm: "RS256", Use: "sig"}}})
	})
	mux.HandleFunc("/authorize", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		p.nonce = q.Get("nonce")
		http.Redirect(w, r, q.Get("redirect_uri")+"?"+url.Values{"state": {q.Get("state")}, "code": {"c0de"}}.Encode(), http.StatusFound)
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("code") != "c0de" || r.FormValue("code_verifier") == "" {
			http.Error(w, "{}", http.StatusBadRequest)
			return
		}
		claims := map[string]any{
			"iss": p.URL, "sub": "4711", "aud": "pages", "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix(), "nonce": p.nonce,
		}
		for name, value := range p.claims {
			claims[name] = value
		}
		token, err := jwt.Signed(signer).Claims(claims).Serialize()
		if err != nil {
			t.Error(err)
		}
		reply(w, map[string]any{"access_token": "a", "token_type": "Bearer", "id_token": token})
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

// TestOpenIDConnect: a browser without a session is sent to the provider, and
// comes back to where it wanted to go; who is not allowed sees nothing.
func TestOpenIDConnect(t *testing.T) {
	for _, c := range []struct {
		name    string
		claims  map[string]any
		allowed []string
		want    int
	}{
		{name: "everybody of the provider", claims: map[string]any{"email": "anna@example.com"}, allowed: []string{"*"}, want: 200},
		{name: "nobody is allowed", claims: map[string]any{"email": "anna@example.com"}, want: 403},
		{name: "an allowed address", claims: map[string]any{"email": "anna@example.com", "email_verified": true}, allowed: []string{"anna@example.com"}, want: 200},
		{name: "an allowed group", claims: map[string]any{"email": "anna@example.com", "groups": []string{"planners"}}, allowed: []string{"planners"}, want: 200},
		{name: "another address", claims: map[string]any{"email": "bert@example.com"}, allowed: []string{"anna@example.com", "planners"}, want: 403},
		{name: "an address that was not verified", claims: map[string]any{"email": "anna@example.com", "email_verified": false}, allowed: []string{"anna@example.com"}, want: 403},
		{name: "a token for another client", claims: map[string]any{"aud": "other"}, want: 403},
		{name: "a token of another provider", claims: map[string]any{"iss": "https://other.example"}, want: 403},
		{name: "a token that is over", claims: map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}, want: 403},
		{name: "a token of another login", claims: map[string]any{"nonce": "other"}, want: 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newProvider(t)
			p.claims = c.claims
			var pages http.Handler
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { pages.ServeHTTP(w, r) }))
			defer server.Close()
			access, err := NewOpenIDConnect(t.Context(), OpenIDConnectConfig{
				Issuer: p.URL, ClientID: "pages", ClientSecret: "s3cret", URL: server.URL, Allowed: c.allowed,
			}, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			pages = behind(access)
			jar, _ := cookiejar.New(nil)
			client := &http.Client{Jar: jar}
			response, err := client.Get(server.URL + "/group/x?weeks=52")
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			body, _ := io.ReadAll(response.Body)
			if response.StatusCode != c.want || (c.want == 200) != strings.HasPrefix(string(body), "secret of ") {
				t.Fatalf("%d %s, want %d", response.StatusCode, body, c.want)
			}
			if c.want == 200 && response.Request.URL.RequestURI() != "/group/x?weeks=52" {
				t.Errorf("the browser ends at %s", response.Request.URL)
			}
		})
	}
}

// TestSessionCookies: a cookie that we did not make, or made for something else,
// is no session.
func TestSessionCookies(t *testing.T) {
	p := newProvider(t)
	access := func(secret string) *OpenIDConnect {
		a, err := NewOpenIDConnect(t.Context(), OpenIDConnectConfig{Issuer: p.URL, ClientID: "pages", ClientSecret: secret, URL: "https://pages.example"},
			slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	ours := access("s3cret")
	cookie := func(a *OpenIDConnect, name string, t ticket) *http.Cookie {
		w := httptest.NewRecorder()
		a.setCookie(w, name, t, time.Hour)
		return w.Result().Cookies()[0]
	}
	anna := ticket{User: "anna", Until: time.Now().Add(time.Hour)}
	renamed := cookie(ours, loginCookie, anna)
	renamed.Name = ours.cookieName(sessionCookie)
	for _, c := range []struct {
		name   string
		cookie *http.Cookie
		want   int
	}{
		{name: "ours", cookie: cookie(ours, sessionCookie, anna), want: 200},
		{name: "of another replica", cookie: cookie(access("s3cret"), sessionCookie, anna), want: 200},
		{name: "of another secret", cookie: cookie(access("other"), sessionCookie, anna), want: 302},
		{name: "of a login", cookie: renamed, want: 302},
		{name: "that is over", cookie: cookie(ours, sessionCookie, ticket{User: "anna", Until: time.Now().Add(-time.Second)}), want: 302},
		{name: "of nobody", cookie: cookie(ours, sessionCookie, ticket{Until: time.Now().Add(time.Hour)}), want: 302},
		{name: "made up", cookie: &http.Cookie{Name: ours.cookieName(sessionCookie), Value: "YW5uYQ"}, want: 302},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			r.AddCookie(c.cookie)
			w := httptest.NewRecorder()
			behind(ours).ServeHTTP(w, r)
			if w.Code != c.want {
				t.Errorf("%d, want %d", w.Code, c.want)
			}
		})
	}
	if c := cookie(ours, sessionCookie, anna); c.Name != "__Host-dcm_session" || c.Path != "/" || c.Domain != "" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode {
		t.Errorf("the cookie of https pages is not closed: %+v", c)
	}
}

func TestLocal(t *testing.T) {
	for back, want := range map[string]string{
		"/": "/", "/group/x?weeks=52": "/group/x?weeks=52", "": "/", "//evil.example": "/", `/\evil.example`: "/", "https://evil.example": "/",
		"javascript:alert(1)": "/", "group": "/",
	} {
		if got := local(back); got != want {
			t.Errorf("%q leads to %q, want %q", back, got, want)
		}
	}
}

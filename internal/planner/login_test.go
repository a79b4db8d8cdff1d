package planner

import (
	"bytes"
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

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// provider is an OpenID provider with one user.
type provider struct {
	*httptest.Server
	claims map[string]any    // of the user, beside those that every token has
	nonces map[string]string // of the logins that were begun, by code
	asked  url.Values        // of the last login
	signer jose.Signer
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: key, KeyID: "1"}},
		nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{nonces: map[string]string{}, signer: signer}
	reply := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, map[string]any{
			"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token",
			"jwks_uri":                              p.URL + "/keys",
			"id_token_signing_alg_values_supported": []string{"RS256"}, "end_session_endpoint": p.URL + "/end",
		})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "1", Algorithm: "RS256",
			Use: "sig"}}})
	})
	mux.HandleFunc("/authorize", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		code := rand.Text()
		p.asked, p.nonces[code] = q, q.Get("nonce")
		http.Redirect(w, r, q.Get("redirect_uri")+"?"+url.Values{"state": {q.Get("state")}, "code": {code}}.Encode(),
			http.StatusFound)
	})
	mux.HandleFunc("/end", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "logged out of "+r.FormValue("client_id"))
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		nonce, begun := p.nonces[r.FormValue("code")]
		delete(p.nonces, r.FormValue("code"))
		if !begun || r.FormValue("code_verifier") == "" {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"error": "invalid_grant", "error_description": "s3cret words"}`)
			return
		}
		claims := map[string]any{
			"iss": p.URL, "sub": "4711", "aud": "pages", "exp": time.Now().Add(time.Hour).Unix(),
			"iat": time.Now().Unix(), "nonce": nonce,
		}
		for name, value := range p.claims {
			claims[name] = value
		}
		token, err := jwt.Signed(p.signer).Claims(claims).Serialize()
		if err != nil {
			t.Error(err)
		}
		reply(w, map[string]any{"access_token": "a", "token_type": "Bearer", "id_token": token})
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

// browsed is pages behind a login, and a browser that visits them.
type browsed struct {
	*httptest.Server
	provider *provider
	access   *OpenIDConnect
	client   *http.Client
	log      *bytes.Buffer
}

func browse(t *testing.T, claims map[string]any, config OpenIDConnectConfig) *browsed {
	t.Helper()
	b := &browsed{provider: newProvider(t), log: &bytes.Buffer{}}
	b.provider.claims = claims
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter,
		r *http.Request) {
		behind(b.access).ServeHTTP(w, r)
	}))
	t.Cleanup(b.Close)
	b.configure(t, config)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b.client = &http.Client{Jar: jar}
	return b
}

// configure starts the pages anew.
func (b *browsed) configure(t *testing.T, config OpenIDConnectConfig) {
	t.Helper()
	config.Issuer, config.ClientID, config.ClientSecret, config.URL = b.provider.URL, "pages", "s3cret", b.URL
	access, err := NewOpenIDConnect(t.Context(), config, slog.New(slog.NewTextHandler(b.log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	b.access = access
}

// visit goes to an address and follows redirects. end is where the browser ends.
func (b *browsed) visit(t *testing.T, address string) (status int, body, end string) {
	t.Helper()
	if strings.HasPrefix(address, "/") {
		address = b.URL + address
	}
	response, err := b.client.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	read, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(read), response.Request.URL.RequestURI()
}

// step goes to an address without following the redirect, which it returns.
func (b *browsed) step(t *testing.T, address string) (location string) {
	t.Helper()
	client := *b.client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	response, err := client.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	return response.Header.Get("Location")
}

// TestOpenIDConnect: a browser without a session is sent to the provider, and
// comes back to where it wanted to go; a user who is not allowed sees nothing, and the
// log says why.
func TestOpenIDConnect(t *testing.T) {
	const address = "anna@example.com"
	for _, c := range []struct {
		name    string
		claims  map[string]any
		allowed []string
		groups  []string // claims that name groups
		want    int
		log     string // what the log says of a refusal
	}{
		{
			name:    "everybody of the provider",
			claims:  map[string]any{"email": address},
			allowed: []string{"*"}, want: 200,
		},
		{name: "an empty list", claims: map[string]any{"email": address}, want: 403, log: "DCM_PLANNING_OIDC_ALLOWED"},
		{
			name:    "an allowed address",
			claims:  map[string]any{"email": address, "email_verified": true},
			allowed: []string{address}, want: 200,
		},
		{
			name:    "an allowed address in other case",
			claims:  map[string]any{"email": "Anna@Example.com"},
			allowed: []string{address}, want: 200,
		},
		{
			name:    "verified in words (Cognito)",
			claims:  map[string]any{"email": address, "email_verified": "true"},
			allowed: []string{address}, want: 200,
		},
		{
			name:    "not verified",
			claims:  map[string]any{"email": address, "email_verified": false},
			allowed: []string{address}, want: 403, log: "email_verified",
		},
		{
			name:    "not verified, in words",
			claims:  map[string]any{"email": address, "email_verified": "false"},
			allowed: []string{address}, want: 403, log: "email_verified",
		},
		{
			name:    "verified in a form that means nothing",
			claims:  map[string]any{"email": address, "email_verified": []int{1}},
			allowed: []string{address}, want: 403, log: "email_verified",
		},
		{
			name:    "another address",
			claims:  map[string]any{"email": "bert@example.com"},
			allowed: []string{address, "planners"}, want: 403, log: "neither the address",
		},
		{
			name:    "an address that is the name of a group",
			claims:  map[string]any{"email": "planners"},
			allowed: []string{"planners"}, want: 403, log: "neither the address",
		},
		{
			name:    "an allowed group",
			claims:  map[string]any{"email": address, "groups": []string{"planners"}},
			allowed: []string{"planners"}, want: 200,
		},
		{
			name:    "one group as a text (ADFS)",
			claims:  map[string]any{"groups": "planners"},
			allowed: []string{"planners"}, want: 200,
		},
		{
			name:    "groups as numbers",
			claims:  map[string]any{"groups": []int{7, 8}},
			allowed: []string{"8"}, want: 200,
		},
		{
			name:    "groups as objects spoil no address",
			claims:  map[string]any{"email": address, "groups": []any{map[string]any{"name": "planners"}}},
			allowed: []string{address}, want: 200,
		},
		{
			name:    "a role",
			claims:  map[string]any{"roles": []string{"planner"}},
			allowed: []string{"planner"}, want: 200,
		},
		{
			name:    "roles of Keycloak",
			claims:  map[string]any{"realm_access": map[string]any{"roles": []string{"planner"}}},
			allowed: []string{"planner"}, groups: []string{"realm_access.roles"}, want: 200,
		},
		{
			name:    "groups of Cognito",
			claims:  map[string]any{"cognito:groups": []string{"planners"}},
			allowed: []string{"planners"}, groups: []string{"groups", "cognito:groups"}, want: 200,
		},
		{
			name:    "groups in a claim whose name has points",
			claims:  map[string]any{"https://example.com/groups": []string{"planners"}},
			allowed: []string{"planners"}, groups: []string{"https://example.com/groups"}, want: 200,
		},
		{
			name:    "a claim that is not configured",
			claims:  map[string]any{"cognito:groups": []string{"planners"}},
			allowed: []string{"planners"}, want: 403, log: "cognito:groups",
		},
		{
			name: "more groups than a token holds (Entra ID)",
			claims: map[string]any{
				"_claim_names":   map[string]any{"groups": "src1"},
				"_claim_sources": map[string]any{"src1": map[string]any{"endpoint": "https://graph.example/groups"}},
			},
			allowed: []string{"planners"}, want: 403, log: "more groups",
		},
		{name: "a token for another client", claims: map[string]any{"aud": "other"}, want: 403, log: "audience"},
		{
			name:    "a token for several clients, made for this one",
			claims:  map[string]any{"aud": []string{"pages", "other"}, "azp": "pages"},
			allowed: []string{"*"}, want: 200,
		},
		{
			name:    "a token for several clients, made for another",
			claims:  map[string]any{"aud": []string{"pages", "other"}, "azp": "other"},
			allowed: []string{"*"}, want: 403, log: "azp",
		},
		{name: "a token of another provider", claims: map[string]any{"iss": "https://other.example"}, want: 403,
			log: "issued by a different provider"},
		{name: "an expired token", claims: map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}, want: 403,
			log: "expired"},
		{
			name:    "a token that expired a moment ago by our clock",
			claims:  map[string]any{"exp": time.Now().Add(-20 * time.Second).Unix()},
			allowed: []string{"*"}, want: 200,
		},
		{name: "a token of another login", claims: map[string]any{"nonce": "other"}, want: 403, log: "nonce"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := browse(t, c.claims, OpenIDConnectConfig{Allowed: c.allowed, GroupsClaims: c.groups})
			status, body, end := b.visit(t, "/group/x?weeks=52")
			if status != c.want || (c.want == 200) != strings.HasPrefix(body, "secret of ") {
				t.Fatalf("%d %s, want %d; log: %s", status, body, c.want, b.log)
			}
			if c.want == 200 && end != "/group/x?weeks=52" {
				t.Errorf("the browser ends at %s", end)
			}
			if !strings.Contains(b.log.String(), c.log) {
				t.Errorf("the log does not say %q: %s", c.log, b.log)
			}
		})
	}
}

// TestScopes: what a login asks for can be set, because some providers send groups
// only when they are asked for.
func TestScopes(t *testing.T) {
	b := browse(t, nil, OpenIDConnectConfig{Allowed: []string{"*"}, Scopes: []string{"openid", "groups"}})
	b.visit(t, "/")
	if got := b.provider.asked.Get("scope"); got != "openid groups" {
		t.Errorf("the login asks for %q", got)
	}
	b.configure(t, OpenIDConnectConfig{Allowed: []string{"anna@example.com"}})
	b.visit(t, "/")
	if got := b.provider.asked.Get("scope"); got != "openid email profile" {
		t.Errorf("a login without the setting asks for %q", got)
	}
}

// TestSeveralTabs: logins that were begun side by side all end where they wanted to
// go, in any order, also when a callback is loaded again.
func TestSeveralTabs(t *testing.T) {
	b := browse(t, map[string]any{"email": "anna@example.com"}, OpenIDConnectConfig{Allowed: []string{"*"}})
	first := b.step(t, b.step(t, b.URL+"/partners"))
	second := b.step(t, b.step(t, b.URL+"/?weeks=52"))
	for _, c := range []struct{ name, callback, end string }{
		{name: "the first", callback: first, end: "/partners"},
		{name: "the second", callback: second, end: "/?weeks=52"},
		{name: "the first again", callback: first, end: "/partners"},
		{name: "an address without state", callback: "/login/callback", end: "/"},
	} {
		if status, body, end := b.visit(t, c.callback); status != 200 || end != c.end {
			t.Errorf("%s: %d at %s, want %s: %s; log: %s", c.name, status, end, c.end, body, b.log)
		}
	}
}

// TestLoginBegunElsewhere: a state works in the browser that began the login only.
// A browser with another login of its own begins anew, one without is refused.
func TestLoginBegunElsewhere(t *testing.T) {
	config := OpenIDConnectConfig{Allowed: []string{"*"}}
	b := browse(t, map[string]any{"email": "mallory@example.com"}, config)
	callback := b.step(t, b.step(t, b.URL+"/partners"))
	anna := *b
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	anna.client = &http.Client{Jar: jar}
	if status, body, _ := anna.visit(t, callback); status != 403 || !strings.Contains(body, `href="/partners"`) {
		t.Errorf("a browser that began no login: %d %s", status, body)
	}
	anna.step(t, anna.URL+"/")
	if location := anna.step(t, callback); location != "/partners" {
		t.Errorf("a browser with a login of its own is sent to %q", location)
	}
	if status, body, _ := anna.visit(t, "/login/callback?state=made-up&code=x"); status != 403 ||
		!strings.Contains(body, "Try again") {
		t.Errorf("a made-up state: %d %s", status, body)
	}
}

// TestLoginProviderRefuses: what the provider says of a failure stands in the log, its
// body does not.
func TestLoginProviderRefuses(t *testing.T) {
	b := browse(t, nil, OpenIDConnectConfig{Allowed: []string{"*"}})
	callback, err := url.Parse(b.step(t, b.step(t, b.URL+"/")))
	if err != nil {
		t.Fatal(err)
	}
	state := callback.Query().Get("state")
	if status, _, _ := b.visit(t, "/login/callback?"+url.Values{"state": {state},
		"code": {"used"}}.Encode()); status != 403 {
		t.Errorf("a code that is used: %d", status)
	}
	if !strings.Contains(b.log.String(), "invalid_grant") || strings.Contains(b.log.String(), "s3cret words") {
		t.Errorf("log: %s", b.log)
	}
	b.visit(t, "/login/callback?"+url.Values{"state": {state}, "error": {"access_denied"},
		"error_description": {"not today"}}.Encode())
	if !strings.Contains(b.log.String(), "access_denied") || !strings.Contains(b.log.String(), "not today") {
		t.Errorf("log: %s", b.log)
	}
}

// TestLongAddress: a login from an address that is too long for a state goes to the
// first page.
func TestLongAddress(t *testing.T) {
	b := browse(t, map[string]any{"email": "anna@example.com"}, OpenIDConnectConfig{Allowed: []string{"*"}})
	if status, _, end := b.visit(t, "/?q="+strings.Repeat("x", 5000)); status != 200 || end != "/" {
		t.Errorf("%d at %.100s; log: %s", status, end, b.log)
	}
}

// TestTakenOffTheList: a session ends when its user is not allowed any more.
func TestTakenOffTheList(t *testing.T) {
	for _, c := range []struct {
		name          string
		claims        map[string]any
		before, after []string
		want          int
	}{
		{
			name:   "an address that stays",
			claims: map[string]any{"email": "anna@example.com"},
			before: []string{"anna@example.com", "bert@example.com"}, after: []string{"Anna@example.com"}, want: 200,
		},
		{
			name:   "an address that goes",
			claims: map[string]any{"email": "anna@example.com"},
			before: []string{"anna@example.com", "bert@example.com"}, after: []string{"bert@example.com"}, want: 403,
		},
		{
			name:   "a group that goes",
			claims: map[string]any{"email": "anna@example.com", "groups": []string{"planners", "others"}},
			before: []string{"planners"}, after: []string{"buyers"}, want: 403,
		},
		{
			name:   "everybody no more",
			claims: map[string]any{"email": "anna@example.com"},
			before: []string{"*"}, after: []string{"planners"}, want: 403,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := browse(t, c.claims, OpenIDConnectConfig{Allowed: c.before})
			if status, body, _ := b.visit(t, "/"); status != 200 {
				t.Fatalf("the login: %d %s", status, body)
			}
			b.configure(t, OpenIDConnectConfig{Allowed: c.after})
			if status, body, _ := b.visit(t, "/"); status != c.want ||
				(c.want == 200) != strings.HasPrefix(body, "secret of ") {
				t.Errorf("%d %s, want %d", status, body, c.want)
			}
		})
	}
}

// TestLogout: the session of this browser ends, and the provider's is asked to.
func TestLogout(t *testing.T) {
	b := browse(t, map[string]any{"email": "anna@example.com"}, OpenIDConnectConfig{Allowed: []string{"*"}})
	b.visit(t, "/")
	if status, body, _ := b.visit(t, "/logout"); status != 200 || body != "logged out of pages" {
		t.Errorf("%d %s", status, body)
	}
	if location := b.step(t, b.URL+"/"); !strings.HasPrefix(location, b.provider.URL+"/authorize") {
		t.Errorf("after it, the browser is sent to %q", location)
	}
	b.access.endSession = ""
	if status, body, _ := b.visit(t, "/logout"); status != 200 || !strings.Contains(body, "You are logged out") {
		t.Errorf("a provider without such an address: %d %s", status, body)
	}
}

// TestSessionCookies: a cookie that these pages did not make, or made for something
// else, is no session.
func TestSessionCookies(t *testing.T) {
	p := newProvider(t)
	access := func(secret, key string) *OpenIDConnect {
		a, err := NewOpenIDConnect(t.Context(), OpenIDConnectConfig{
			Issuer: p.URL, ClientID: "pages", ClientSecret: secret, SessionKey: key, URL: "https://pages.example",
			Allowed: []string{"*"},
		}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	ours := access("s3cret", "")
	cookie := func(a *OpenIDConnect, name string, v any) *http.Cookie {
		w := httptest.NewRecorder()
		a.setCookie(w, name, v, time.Hour)
		return w.Result().Cookies()[0]
	}
	anna := session{User: "anna", Until: time.Now().Add(time.Hour)}
	renamed := cookie(ours, loginCookie, anna)
	renamed.Name = ours.cookieName(sessionCookie)
	for _, c := range []struct {
		name   string
		cookie *http.Cookie
		want   int
	}{
		{name: "ours", cookie: cookie(ours, sessionCookie, anna), want: 200},
		{name: "of another replica", cookie: cookie(access("s3cret", ""), sessionCookie, anna), want: 200},
		{name: "of another secret", cookie: cookie(access("other", ""), sessionCookie, anna), want: 302},
		{name: "of a session key", cookie: cookie(access("s3cret", "k3y"), sessionCookie, anna), want: 302},
		{name: "of a login", cookie: renamed, want: 302},
		{name: "that has ended", cookie: cookie(ours, sessionCookie,
			session{User: "anna", Until: time.Now().Add(-time.Second)}), want: 302},
		{name: "without a user", cookie: cookie(ours, sessionCookie, session{Until: time.Now().Add(time.Hour)}),
			want: 302},
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
	c := cookie(ours, sessionCookie, anna)
	if c.Name != "__Host-dcm_session" || c.Path != "/" || c.Domain != "" || !c.Secure || !c.HttpOnly ||
		c.SameSite != http.SameSiteLaxMode {
		t.Errorf("the cookie of https pages is not closed: %+v", c)
	}
}

func TestLocal(t *testing.T) {
	for back, want := range map[string]string{
		"/": "/", "/group/x?weeks=52": "/group/x?weeks=52", "": "/", "//evil.example": "/", `/\evil.example`: "/",
		"https://evil.example": "/",
		"javascript:alert(1)":  "/", "group": "/",
	} {
		if got := local(back); got != want {
			t.Errorf("%q leads to %q, want %q", back, got, want)
		}
	}
}

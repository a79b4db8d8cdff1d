package planner

import (
	"cmp"
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-chi/chi/v5"
	"github.com/gorilla/securecookie"
	"golang.org/x/oauth2"
)

// OpenIDConnect logs people in at an identity provider.
type OpenIDConnect struct {
	config     oauth2.Config
	verifier   *oidc.IDTokenVerifier
	endSession string // where the provider ends its own session; "" where it says nothing
	groups     []string
	allowed    []string
	secure     bool // cookies for https only
	cookies    *securecookie.SecureCookie
	log        *slog.Logger
}

// OpenIDConnectConfig says where people log in.
type OpenIDConnectConfig struct {
	Issuer       string
	ClientID     string
	ClientSecret string
	SessionKey   string   // seals sessions, the same for all replicas; "": ClientSecret does
	URL          string   // of these pages as a browser sees them, such as https://dcm.example.com
	Allowed      []string // e-mail addresses, groups or roles that may see the pages; "*": all users of this client
	Scopes       []string // what a login asks for; nil: openid, email and profile
	GroupsClaims []string // claims that name groups, by name or by path (realm_access.roles); nil: groups and roles
}

const (
	sessionCookie = "dcm_session"
	loginCookie   = "dcm_login"
	// sessionTime is how long a login lasts; then the provider is asked again.
	sessionTime = 8 * time.Hour
	loginTime   = 10 * time.Minute
	// clockLag is how far our clock may be ahead of the provider's.
	clockLag = time.Minute
	// exchangeTime bounds how long the provider may take to redeem a code.
	exchangeTime = 15 * time.Second
	// longestBack is the longest address that a login returns to, in bytes.
	longestBack = 1000
)

// NewOpenIDConnect asks the provider for its addresses and keys.
func NewOpenIDConnect(ctx context.Context, c OpenIDConnectConfig, log *slog.Logger) (*OpenIDConnect, error) {
	provider, err := oidc.NewProvider(ctx, c.Issuer)
	if err != nil {
		return nil, fmt.Errorf("ask the OpenID provider %s: %w", c.Issuer, err)
	}
	var more struct {
		EndSession string `json:"end_session_endpoint"`
	}
	if err := provider.Claims(&more); err != nil {
		return nil, fmt.Errorf("read what the OpenID provider %s offers: %w", c.Issuer, err)
	}
	// Every replica derives the same keys, so that all take each other's cookies.
	keys, err := hkdf.Key(sha256.New, []byte(cmp.Or(c.SessionKey, c.ClientSecret)), nil,
		"dcm-receiver planning session", 64)
	if err != nil {
		return nil, fmt.Errorf("derive session keys: %w", err)
	}
	cookies := securecookie.New(keys[:32], keys[32:])
	cookies.MaxAge(int(sessionTime.Seconds()))
	cookies.SetSerializer(securecookie.JSONEncoder{})
	scopes, groups := c.Scopes, c.GroupsClaims
	if scopes == nil {
		scopes = []string{oidc.ScopeOpenID, "email", "profile"}
	}
	if groups == nil {
		groups = []string{"groups", "roles"}
	}
	return &OpenIDConnect{
		config: oauth2.Config{
			ClientID: c.ClientID, ClientSecret: c.ClientSecret, Endpoint: provider.Endpoint(),
			RedirectURL: strings.TrimSuffix(c.URL, "/") + "/login/callback", Scopes: scopes,
		},
		verifier: provider.Verifier(&oidc.Config{
			ClientID: c.ClientID, Now: func() time.Time { return time.Now().Add(-clockLag) },
		}),
		endSession: more.EndSession, groups: groups,
		allowed: c.Allowed, secure: strings.HasPrefix(c.URL, "https://"), cookies: cookies, log: log,
	}, nil
}

// session is what the session cookie holds, sealed.
type session struct {
	User  string    `json:"user"`
	Email string    `json:"email,omitempty"` // that the provider vouches for
	Names []string  `json:"names,omitempty"` // groups and roles, of those that were allowed at the login
	Until time.Time `json:"until"`
}

// begun is a login on its way. The provider hands it back, sealed, as the state, so
// that any number of tabs can log in side by side.
type begun struct {
	Browser  string    `json:"browser"` // value of the login cookie: the state works in one browser only
	Nonce    string    `json:"nonce"`
	Verifier string    `json:"verifier"`
	Back     string    `json:"back"` // where the reader wanted to go
	Until    time.Time `json:"until"`
}

func (o *OpenIDConnect) allow(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s, ok := o.session(r); ok {
			next.ServeHTTP(w, withUser(r, reader{name: s.User, canLogOut: true}))
			return
		}
		o.begin(w, r, r.URL.RequestURI())
	})
}

// session is the reader's session, if it is valid and the reader is still allowed:
// the list of DCM_PLANNING_OIDC_ALLOWED may have changed since the login.
func (o *OpenIDConnect) session(r *http.Request) (s session, ok bool) {
	cookie, err := r.Cookie(o.cookieName(sessionCookie))
	ok = err == nil && o.cookies.Decode(sessionCookie, cookie.Value, &s) == nil &&
		time.Now().Before(s.Until) && s.User != "" && o.isAllowed(s.Email, s.Names)
	return s, ok
}

// isAllowed compares addresses without case, and groups exactly. An entry with an @
// is an address, or a group of that name; an address never counts as a group.
func (o *OpenIDConnect) isAllowed(email string, names []string) bool {
	return slices.ContainsFunc(o.allowed, func(entry string) bool {
		return entry == "*" || slices.Contains(names, entry) ||
			strings.Contains(entry, "@") && email != "" && strings.EqualFold(entry, email)
	})
}

// begin sends the browser to the provider.
func (o *OpenIDConnect) begin(w http.ResponseWriter, r *http.Request, back string) {
	if len(back) > longestBack {
		back = "/"
	}
	browser, known := o.browser(r)
	if !known {
		browser = rand.Text()
	}
	b := begun{
		Browser: browser, Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), Back: back,
		Until: time.Now().Add(loginTime),
	}
	state, err := o.cookies.Encode("state", b)
	if err != nil {
		o.log.Error("begin login", "error", err)
		http.Error(w, "You could not be logged in; the log of this program says why.", http.StatusInternalServerError)
		return
	}
	o.setCookie(w, loginCookie, browser, sessionTime)
	http.Redirect(w, r, o.config.AuthCodeURL(state, oidc.Nonce(b.Nonce), oauth2.S256ChallengeOption(b.Verifier)),
		http.StatusFound)
}

// browser is the value of the login cookie, which names one browser.
func (o *OpenIDConnect) browser(r *http.Request) (name string, known bool) {
	cookie, err := r.Cookie(o.cookieName(loginCookie))
	known = err == nil && o.cookies.Decode(loginCookie, cookie.Value, &name) == nil && name != ""
	return name, known
}

func (o *OpenIDConnect) mount(r chi.Router) {
	r.Get("/login/callback", o.callback)
	r.Get("/logout", o.logout)
	r.Post("/logout", o.logout)
}

// callback ends a login. A state that cannot be used any more, such as that of a tab
// that a browser restored, begins the login anew where that can help.
func (o *OpenIDConnect) callback(w http.ResponseWriter, r *http.Request) {
	var b begun
	sealed := o.cookies.Decode("state", r.URL.Query().Get("state"), &b) == nil
	browser, known := o.browser(r)
	_, loggedIn := o.session(r)
	switch {
	case loggedIn && sealed:
		http.Redirect(w, r, local(b.Back), http.StatusFound)
		return
	case loggedIn:
		http.Redirect(w, r, "/", http.StatusFound)
		return
	case !sealed:
		o.refuse(w, "/", errors.New("the state in the address is not one that this program gave out"))
		return
	case !known:
		o.refuse(w, b.Back,
			errors.New("the browser sent no login cookie: it takes none, or the login was begun in another browser"))
		return
	case time.Now().After(b.Until) || subtle.ConstantTimeCompare([]byte(browser), []byte(b.Browser)) != 1:
		http.Redirect(w, r, local(b.Back), http.StatusFound)
		return
	}
	s, err := o.login(r, &b)
	if err != nil {
		o.refuse(w, b.Back, err)
		return
	}
	o.setCookie(w, sessionCookie, s, sessionTime)
	o.log.Info("logged in", "user", s.User)
	http.Redirect(w, r, local(b.Back), http.StatusFound)
}

// refuse says that a login failed, with a link to try again.
func (o *OpenIDConnect) refuse(w http.ResponseWriter, back string, err error) {
	o.log.Warn("login refused", "error", err)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(http.StatusForbidden)
	_ = notLoggedIn.Execute(w, local(back))
}

// logout ends the session in this browser, and at the provider where that offers it.
func (o *OpenIDConnect) logout(w http.ResponseWriter, r *http.Request) {
	if s, ok := o.session(r); ok {
		o.log.Info("logged out", "user", s.User)
	}
	o.setCookie(w, sessionCookie, session{}, -time.Second)
	if end, err := url.Parse(o.endSession); err == nil && o.endSession != "" {
		query := end.Query()
		query.Set("client_id", o.config.ClientID)
		end.RawQuery = query.Encode()
		http.Redirect(w, r, end.String(), http.StatusSeeOther)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = loggedOut.Execute(w, nil)
}

// login redeems the code that the provider sent, and reads who logged in.
func (o *OpenIDConnect) login(r *http.Request, b *begun) (s session, err error) {
	query := r.URL.Query()
	if reason := query.Get("error"); reason != "" {
		return s, fmt.Errorf("the provider refused: %.100q %.200q", reason, query.Get("error_description"))
	}
	ctx, cancel := context.WithTimeout(r.Context(), exchangeTime)
	defer cancel()
	token, err := o.config.Exchange(ctx, query.Get("code"), oauth2.VerifierOption(b.Verifier))
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		// Its body may hold more than the log should.
		return s, fmt.Errorf("redeem the code: the provider answers %d %.100q", refused.Response.StatusCode,
			refused.ErrorCode)
	}
	if err != nil {
		return s, fmt.Errorf("redeem the code: %w", err)
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := o.verifier.Verify(ctx, raw)
	if err != nil {
		return s, fmt.Errorf("verify the ID token: %w", err)
	}
	if id.Nonce != b.Nonce {
		return s, errors.New("verify the ID token: its nonce is of another login")
	}
	var c claims
	if err := id.Claims(&c); err != nil {
		return s, fmt.Errorf("read the claims of the ID token: %w", err)
	}
	if azp := c.text("azp"); len(id.Audience) > 1 && azp != o.config.ClientID {
		return s, fmt.Errorf("verify the ID token: it is for %d clients and was not made for this one (azp)",
			len(id.Audience))
	}
	s = session{User: cmp.Or(c.text("email"), id.Subject), Until: time.Now().Add(sessionTime)}
	if c.isEmailVerified() {
		s.Email = c.text("email")
	}
	names := c.names(o.groups)
	if !o.isAllowed(s.Email, names) {
		return s, o.notAllowed(c, len(names))
	}
	s.Names = slices.DeleteFunc(names, func(n string) bool { return !slices.Contains(o.allowed, n) })
	return s, nil
}

// notAllowed says in the log which claims came, without their values.
func (o *OpenIDConnect) notAllowed(c claims, groups int) error {
	reason := fmt.Sprintf(
		"neither the address nor one of %d groups (claims %s) is in DCM_PLANNING_OIDC_ALLOWED; the token has the "+
			"claims %s",
		groups, strings.Join(o.groups, ", "), strings.Join(slices.Sorted(maps.Keys(c)), ", "))
	switch {
	case c.text("email") != "" && !c.isEmailVerified():
		reason += "; the provider does not vouch for the address (email_verified)"
	case c.hasTooManyGroups():
		reason += "; the user has more groups than the provider puts into a token: allow a role, or have the " +
			"provider send the groups of this client only"
	case groups == 0:
		reason += "; no group came: DCM_PLANNING_OIDC_SCOPES must ask for them, and " +
			"DCM_PLANNING_OIDC_GROUPS_CLAIM name their claim"
	}
	return errors.New(reason)
}

// local keeps a redirect on this host.
func local(back string) string {
	u, err := url.Parse(back)
	if err != nil || u.Host != "" || u.Scheme != "" || !strings.HasPrefix(back, "/") ||
		strings.HasPrefix(back, "//") || strings.HasPrefix(back, "/\\") {
		return "/"
	}
	return back
}

// cookieName makes a browser take a cookie of https pages from this host alone,
// not from a neighbour under the same domain.
func (o *OpenIDConnect) cookieName(name string) string {
	if o.secure {
		return "__Host-" + name
	}
	return name
}

// setCookie sends a value, encrypted and signed; an age below zero removes it.
func (o *OpenIDConnect) setCookie(w http.ResponseWriter, name string, v any, age time.Duration) {
	value, err := o.cookies.Encode(name, v)
	if err != nil {
		o.log.Error("encode cookie", "cookie", name, "error", err)
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: o.cookieName(name), Value: value, Path: "/", HttpOnly: true, Secure: o.secure,
		SameSite: http.SameSiteLaxMode,
		MaxAge:   int(age.Seconds()),
	})
}

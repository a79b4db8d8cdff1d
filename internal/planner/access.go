package planner

import (
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-chi/chi/v5"
	"github.com/gorilla/securecookie"
	"golang.org/x/oauth2"
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

// user is who is logged in; "" where nobody has to be.
func user(r *http.Request) string {
	name, _ := r.Context().Value(userKey{}).(string)
	return name
}

func withUser(r *http.Request, name string) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), userKey{}, name))
}

// Loopback lets through everybody on this machine. It is only for a listener on
// a loopback address.
type Loopback struct{}

func (Loopback) mount(chi.Router) {}

// allow asks for a loopback name in Host: a page of somebody else's whose name
// was pointed at this machine must not read ours in the browser of whoever sits
// here. What a proxy passes on comes from elsewhere, whatever its Host: a proxy
// that logs nobody in must not open the pages.
func (Loopback) allow(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		host = strings.Trim(host, "[]")
		address, err := netip.ParseAddr(host)
		if host != "localhost" && (err != nil || !address.IsLoopback()) {
			http.Error(w, "These pages are for this machine: open them as http://127.0.0.1 or http://localhost.", http.StatusForbidden)
			return
		}
		for _, header := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via"} {
			if r.Header.Get(header) != "" {
				http.Error(w, "These pages are for this machine; a proxy has to log people in (DCM_PLANNING_PROXY_USER_HEADER).", http.StatusForbidden)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
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
		if len(keys) == 1 && len(users) == 1 && users[0] != "" {
			if got := sha256.Sum256([]byte(keys[0])); subtle.ConstantTimeCompare(got[:], want[:]) == 1 {
				next.ServeHTTP(w, withUser(r, users[0]))
				return
			}
		}
		http.Error(w, "Open these pages through the proxy that logs you in.", http.StatusForbidden)
	})
}

// OpenIDConnect logs people in at an identity provider.
type OpenIDConnect struct {
	config   oauth2.Config
	verifier *oidc.IDTokenVerifier
	allowed  []string
	secure   bool // cookies for https only
	cookies  *securecookie.SecureCookie
	log      *slog.Logger
}

// OpenIDConnectConfig says where people log in.
type OpenIDConnectConfig struct {
	Issuer       string
	ClientID     string
	ClientSecret string
	URL          string   // of these pages as a browser sees them, such as https://dcm.example.com
	Allowed      []string // e-mail addresses, groups or roles that may see the pages; "*": everybody that the provider logs in for this client
}

// NewOpenIDConnect asks the provider for its addresses and keys.
func NewOpenIDConnect(ctx context.Context, c OpenIDConnectConfig, log *slog.Logger) (*OpenIDConnect, error) {
	provider, err := oidc.NewProvider(ctx, c.Issuer)
	if err != nil {
		return nil, fmt.Errorf("ask the OpenID provider %s: %w", c.Issuer, err)
	}
	// Of the client's secret, so that all replicas take each other's cookies.
	keys, err := hkdf.Key(sha256.New, []byte(c.ClientSecret), nil, "dcm-receiver planning session", 64)
	if err != nil {
		return nil, fmt.Errorf("derive session keys: %w", err)
	}
	cookies := securecookie.New(keys[:32], keys[32:])
	cookies.MaxAge(int(sessionTime.Seconds()))
	cookies.SetSerializer(securecookie.JSONEncoder{})
	return &OpenIDConnect{
		config: oauth2.Config{
			ClientID: c.ClientID, ClientSecret: c.ClientSecret, Endpoint: provider.Endpoint(),
			RedirectURL: strings.TrimSuffix(c.URL, "/") + "/login/callback", Scopes: []string{oidc.ScopeOpenID, "email", "profile"},
		},
		verifier: provider.Verifier(&oidc.Config{ClientID: c.ClientID}),
		allowed:  c.Allowed, secure: strings.HasPrefix(c.URL, "https://"), cookies: cookies, log: log,
	}, nil
}

const (
	sessionCookie = "dcm_session"
	loginCookie   = "dcm_login"
	// sessionTime is how long a login lasts; then the provider is asked again.
	sessionTime = 8 * time.Hour
	loginTime   = 10 * time.Minute
)

// ticket is what a cookie holds, sealed.
type ticket struct {
	User     string    `json:"user,omitempty"`
	State    string    `json:"state,omitempty"`
	Nonce    string    `json:"nonce,omitempty"`
	Verifier string    `json:"verifier,omitempty"`
	Back     string    `json:"back,omitempty"` // where the reader wanted to go
	Until    time.Time `json:"until"`
}

func (o *OpenIDConnect) allow(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var t ticket
		if o.ticket(r, sessionCookie, &t) && t.User != "" {
			next.ServeHTTP(w, withUser(r, t.User))
			return
		}
		t = ticket{
			State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(),
			Back: r.URL.RequestURI(), Until: time.Now().Add(loginTime),
		}
		o.setCookie(w, loginCookie, t, loginTime)
		http.Redirect(w, r, o.config.AuthCodeURL(t.State, oidc.Nonce(t.Nonce), oauth2.S256ChallengeOption(t.Verifier)), http.StatusFound)
	})
}

func (o *OpenIDConnect) mount(r chi.Router) {
	r.Get("/login/callback", func(w http.ResponseWriter, r *http.Request) {
		name, back, err := o.login(r)
		if err != nil {
			o.log.Warn("login refused", "error", err)
			http.Error(w, "You could not be logged in. Try again, or ask the operators whether you may see these pages.", http.StatusForbidden)
			return
		}
		o.setCookie(w, loginCookie, ticket{}, -time.Second)
		o.setCookie(w, sessionCookie, ticket{User: name, Until: time.Now().Add(sessionTime)}, sessionTime)
		o.log.Info("logged in", "user", name)
		http.Redirect(w, r, back, http.StatusFound)
	})
}

// login checks what the provider sent back.
func (o *OpenIDConnect) login(r *http.Request) (name, back string, err error) {
	var t ticket
	if !o.ticket(r, loginCookie, &t) || t.State == "" {
		return "", "", errors.New("no login was begun in this browser, or it took too long")
	}
	query := r.URL.Query()
	if subtle.ConstantTimeCompare([]byte(query.Get("state")), []byte(t.State)) != 1 {
		return "", "", errors.New("the state is of another login")
	}
	if reason := query.Get("error"); reason != "" {
		return "", "", fmt.Errorf("the provider refused: %.100q", reason)
	}
	token, err := o.config.Exchange(r.Context(), query.Get("code"), oauth2.VerifierOption(t.Verifier))
	if err != nil {
		return "", "", errors.New("exchange the code: the provider refused it or does not answer")
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := o.verifier.Verify(r.Context(), raw)
	if err != nil {
		return "", "", errors.New("verify the ID token: it is not valid for this client")
	}
	if id.Nonce != t.Nonce {
		return "", "", errors.New("the nonce is of another login")
	}
	var claims struct {
		Email         string   `json:"email"`
		EmailVerified *bool    `json:"email_verified"`
		Groups        []string `json:"groups"`
		Roles         []string `json:"roles"`
	}
	if err := id.Claims(&claims); err != nil {
		return "", "", errors.New("read the claims of the ID token")
	}
	names := slices.Concat(claims.Groups, claims.Roles)
	if claims.Email != "" && (claims.EmailVerified == nil || *claims.EmailVerified) {
		names = append(names, claims.Email)
	}
	if !slices.Contains(o.allowed, "*") && !slices.ContainsFunc(names, func(n string) bool { return slices.Contains(o.allowed, n) }) {
		return "", "", errors.New("neither the address nor a group of this user is allowed")
	}
	name = claims.Email
	if name == "" {
		name = id.Subject
	}
	return name, local(t.Back), nil
}

// local keeps a redirect on this host.
func local(back string) string {
	u, err := url.Parse(back)
	if err != nil || u.Host != "" || u.Scheme != "" || !strings.HasPrefix(back, "/") || strings.HasPrefix(back, "//") || strings.HasPrefix(back, "/\\") {
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

// setCookie sends a ticket, encrypted and signed; an age below zero removes it.
func (o *OpenIDConnect) setCookie(w http.ResponseWriter, name string, t ticket, age time.Duration) {
	value, err := o.cookies.Encode(name, t)
	if err != nil {
		o.log.Error("encode cookie", "cookie", name, "error", err)
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: o.cookieName(name), Value: value, Path: "/", HttpOnly: true, Secure: o.secure, SameSite: http.SameSiteLaxMode, MaxAge: int(age.Seconds()),
	})
}

// ticket reads what setCookie sent, unless its time is over.
func (o *OpenIDConnect) ticket(r *http.Request, name string, t *ticket) bool {
	cookie, err := r.Cookie(o.cookieName(name))
	return err == nil && o.cookies.Decode(name, cookie.Value, t) == nil && time.Now().Before(t.Until)
}

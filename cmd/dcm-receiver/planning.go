package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"dcm-receiver/internal/database"
	"dcm-receiver/internal/planner"
)

// planningSettings say where the pages for planners are, and who may see them.
type planningSettings struct {
	Listen           string `env:"DCM_PLANNING_LISTEN" default:"127.0.0.1:8088" help:"${planning_Listen}"`
	OIDCIssuer       string `env:"DCM_PLANNING_OIDC_ISSUER" name:"oidc-issuer" placeholder:"URL" help:"${OIDCIssuer}"`
	OIDCClientID     string `env:"DCM_PLANNING_OIDC_CLIENT_ID" name:"oidc-client-id" help:"${OIDCClientID}"`
	OIDCClientSecret string `env:"DCM_PLANNING_OIDC_CLIENT_SECRET" name:"oidc-client-secret" help:"Its secret."`
	OIDCSecretFile   string `env:"DCM_PLANNING_OIDC_CLIENT_SECRET_FILE" name:"oidc-client-secret-file" help:"${Secret}"`
	OIDCAllowed      list   `env:"DCM_PLANNING_OIDC_ALLOWED" name:"oidc-allowed" help:"${OIDCAllowed}"`
	OIDCScopes       string `env:"DCM_PLANNING_OIDC_SCOPES" default:"openid email profile" help:"${OIDCScopes}"`
	OIDCGroupsClaim  list   `env:"DCM_PLANNING_OIDC_GROUPS_CLAIM" default:"groups,roles" help:"${OIDCGroupsClaim}"`
	SessionKey       string `env:"DCM_PLANNING_SESSION_KEY" name:"session-key" help:"${SessionKey}"`
	URL              string `env:"DCM_PLANNING_URL" placeholder:"URL" help:"${URL}"`
	ProxyUserHeader  string `env:"DCM_PLANNING_PROXY_USER_HEADER" name:"proxy-user-header" help:"${ProxyUserHeader}"`
	ProxyKey         string `env:"DCM_PLANNING_PROXY_KEY" name:"proxy-key" help:"Key that only that proxy knows."`
}

// check finds the first wrong setting. Its error names the variable.
func (s *planningSettings) check() error {
	if s.Listen == "" {
		return nil
	}
	if s.OIDCSecretFile != "" {
		secret, err := os.ReadFile(s.OIDCSecretFile)
		if err != nil {
			return fmt.Errorf("DCM_PLANNING_OIDC_CLIENT_SECRET_FILE: %w", err)
		}
		s.OIDCClientSecret = strings.TrimSpace(string(secret))
	}
	host, err := listenHost("DCM_PLANNING_LISTEN", s.Listen)
	switch {
	case err != nil:
		return err
	case s.OIDCIssuer != "" && s.ProxyUserHeader != "":
		return errors.New("DCM_PLANNING_OIDC_ISSUER and DCM_PLANNING_PROXY_USER_HEADER are two ways to log in: set one")
	case s.OIDCIssuer != "":
		return s.checkOIDC()
	case s.ProxyUserHeader != "":
		return s.checkProxy()
	case s.OIDCClientID != "" || s.OIDCClientSecret != "" || len(s.OIDCAllowed) > 0:
		return errors.New("DCM_PLANNING_OIDC_ISSUER is not set, but other DCM_PLANNING_OIDC_ variables are: " +
			"without it the pages would need no login")
	case s.ProxyKey != "":
		return errors.New("DCM_PLANNING_PROXY_USER_HEADER is not set, but DCM_PLANNING_PROXY_KEY is: " +
			"without it the pages would need no login")
	case !isLoopback(host):
		return fmt.Errorf("DCM_PLANNING_LISTEN: %s is not loopback, and the pages show trade secrets: "+
			"set DCM_PLANNING_OIDC_ISSUER or DCM_PLANNING_PROXY_USER_HEADER, or listen on 127.0.0.1", s.Listen)
	}
	return nil
}

func (s *planningSettings) checkProxy() error {
	switch {
	case !token.MatchString(s.ProxyUserHeader):
		return fmt.Errorf("DCM_PLANNING_PROXY_USER_HEADER: %q is no name of a header", s.ProxyUserHeader)
	case len(s.ProxyKey) < 16:
		return errors.New("DCM_PLANNING_PROXY_USER_HEADER needs DCM_PLANNING_PROXY_KEY, of at least 16 characters: " +
			"without it any client could name a user")
	}
	return nil
}

func (s *planningSettings) checkOIDC() error {
	u, err := url.Parse(s.URL)
	issuer, issuerErr := url.Parse(s.OIDCIssuer)
	seal := cmp.Or(s.SessionKey, s.OIDCClientSecret)
	switch {
	case s.OIDCClientID == "" || s.OIDCClientSecret == "":
		return errors.New("DCM_PLANNING_OIDC_ISSUER needs DCM_PLANNING_OIDC_CLIENT_ID and " +
			"DCM_PLANNING_OIDC_CLIENT_SECRET (or …_FILE)")
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return errors.New("DCM_PLANNING_URL: give the address of the pages as a browser sees them, such as " +
			"https://dcm.example.com; the provider sends users back there")
	case strings.Trim(u.Path, "/") != "":
		return errors.New("DCM_PLANNING_URL: the pages stand at the root of a host; leave the path out")
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return errors.New("DCM_PLANNING_URL: over http a planner's session could be read on the way; " +
			"give the https address that your ingress or proxy has")
	case issuerErr != nil || issuer.Scheme != "https" && !isLoopback(issuer.Hostname()):
		return errors.New("DCM_PLANNING_OIDC_ISSUER: give the https address of the provider; " +
			"over http a user could be forged on the way")
	case len(seal) < leastSecret:
		return fmt.Errorf("DCM_PLANNING_SESSION_KEY: give a random key of at least %d characters, the same for all "+
			"replicas (openssl rand -base64 32); without it DCM_PLANNING_OIDC_CLIENT_SECRET seals the sessions "+
			"and must "+
			"be so long", leastSecret)
	case s.OIDCScopes != "" && !slices.Contains(s.scopes(), "openid"):
		return errors.New("DCM_PLANNING_OIDC_SCOPES: openid must be among the scopes, such as " +
			"\"openid email profile groups\"")
	case len(s.OIDCAllowed) == 0:
		return errors.New("DCM_PLANNING_OIDC_ALLOWED: name the e-mail addresses, groups or roles that may see the " +
			"pages, " +
			"or * for every user whom the provider logs in for this client")
	}
	return nil
}

// leastSecret is the least length of a key that seals sessions, in characters: a shorter one can be guessed
// from a cookie.
const leastSecret = 32

// scopes are what a login asks for; nil: as the pages choose.
func (s *planningSettings) scopes() []string {
	return strings.FieldsFunc(s.OIDCScopes, func(r rune) bool { return r == ' ' || r == ',' })
}

// access is who may see the pages.
func (s *planningSettings) access(log *slog.Logger) func(context.Context) planner.Access {
	switch {
	case s.OIDCIssuer != "":
		return planner.AwaitOpenIDConnect(planner.OpenIDConnectConfig{
			Issuer: s.OIDCIssuer, ClientID: s.OIDCClientID, ClientSecret: s.OIDCClientSecret, SessionKey: s.SessionKey,
			URL: s.URL, Allowed: s.OIDCAllowed, Scopes: s.scopes(), GroupsClaims: s.OIDCGroupsClaim,
		}, log)
	case s.ProxyUserHeader != "":
		return planner.Always(planner.Proxy{UserHeader: http.CanonicalHeaderKey(s.ProxyUserHeader), Key: s.ProxyKey})
	}
	return planner.Always(planner.Loopback{})
}

// serve serves the pages until ctx ends. Messages are received even where the pages cannot be served.
func (s *planningSettings) serve(ctx context.Context, databaseURL string, server *http.Server, log *slog.Logger) {
	if s.Listen == "" {
		return
	}
	listener, err := net.Listen("tcp", s.Listen)
	if err != nil {
		log.Error("the pages for planners are not served; set DCM_PLANNING_LISTEN to another address, or to nothing",
			"error", err)
		return
	}
	// A hosts file can make "localhost" another address.
	if address, ok := listener.Addr().(*net.TCPAddr); s.OIDCIssuer == "" && s.ProxyUserHeader == "" &&
		(!ok || !address.IP.IsLoopback()) {
		_ = listener.Close()
		log.Error(
			"the pages for planners are not served: DCM_PLANNING_LISTEN is not on loopback, and there is no login",
			"address", listener.Addr().String())
		return
	}
	read, err := database.Read(databaseURL)
	if err == nil {
		err = planner.Serve(ctx, listener, server, read.Pool(), version, s.access(log), log)
	}
	if err != nil && ctx.Err() == nil {
		log.Error("the pages for planners are not served", "error", err)
	}
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

package main

import (
	"cmp"
	"strings"
	"testing"
)

// TestPlanningIsNeverOpen: pages that others can reach, and no one has to log in
// to, do not start, however the address is written.
func TestPlanningIsNeverOpen(t *testing.T) {
	provider := func(s planningSettings) planningSettings {
		s.Listen, s.OIDCClientID = ":8088", "pages"
		s.OIDCIssuer = cmp.Or(s.OIDCIssuer, "https://login.example")
		s.OIDCClientSecret = cmp.Or(s.OIDCClientSecret, "a secret of thirty-two characters")
		return s
	}
	const key = "0123456789abcdef"
	for _, c := range []struct {
		name     string
		settings planningSettings
		names    string // the variable that the refusal names; "" where it starts
	}{
		{name: "nothing", settings: planningSettings{}},
		{name: "loopback", settings: planningSettings{Listen: "127.0.0.1:8088"}},
		{name: "another loopback", settings: planningSettings{Listen: "127.8.8.8:8088"}},
		{name: "loopback of IPv6", settings: planningSettings{Listen: "[::1]:8088"}},
		{name: "localhost", settings: planningSettings{Listen: "localhost:8088"}},
		{name: "no host", settings: planningSettings{Listen: ":8088"}, names: "DCM_PLANNING_LISTEN"},
		{name: "all of IPv4", settings: planningSettings{Listen: "0.0.0.0:8088"}, names: "DCM_PLANNING_LISTEN"},
		{name: "all in short", settings: planningSettings{Listen: "0:8088"}, names: "DCM_PLANNING_LISTEN"},
		{name: "all of IPv6", settings: planningSettings{Listen: "[::]:8088"}, names: "DCM_PLANNING_LISTEN"},
		{name: "all of IPv4 in IPv6", settings: planningSettings{Listen: "[::ffff:0.0.0.0]:8088"},
			names: "DCM_PLANNING_LISTEN"},
		{name: "an address", settings: planningSettings{Listen: "192.0.2.1:8088"}, names: "DCM_PLANNING_LISTEN"},
		{name: "a name", settings: planningSettings{Listen: "dcm.example.com:8088"}, names: "DCM_PLANNING_LISTEN"},
		{name: "a name that begins like localhost", settings: planningSettings{Listen: "localhost.example.com:8088"},
			names: "DCM_PLANNING_LISTEN"},
		{name: "a port alone", settings: planningSettings{Listen: "8088"}, names: "DCM_PLANNING_LISTEN"},
		{name: "a socket", settings: planningSettings{Listen: "unix:/run/dcm.sock"}, names: "DCM_PLANNING_LISTEN"},
		{name: "a proxy", settings: planningSettings{Listen: ":8088", ProxyUserHeader: "X-User", ProxyKey: key}},
		{name: "a proxy without a key", settings: planningSettings{Listen: ":8088", ProxyUserHeader: "X-User"},
			names: "DCM_PLANNING_PROXY_KEY"},
		{name: "a proxy with a short key", settings: planningSettings{Listen: ":8088", ProxyUserHeader: "X-User",
			ProxyKey: "k3y"}, names: "DCM_PLANNING_PROXY_KEY"},
		{name: "a key without its header, on loopback", settings: planningSettings{Listen: "127.0.0.1:8088",
			ProxyKey: key}, names: "DCM_PLANNING_PROXY_USER_HEADER"},
		{name: "a client without its provider, on loopback",
			settings: planningSettings{Listen: "127.0.0.1:8088", OIDCClientID: "pages"},
			names:    "DCM_PLANNING_OIDC_ISSUER"},
		{name: "a provider", settings: provider(planningSettings{URL: "https://dcm.example.com",
			OIDCAllowed: list{"planners"}})},
		{name: "a provider for everybody, said", settings: provider(planningSettings{URL: "https://dcm.example.com",
			OIDCAllowed: list{"*"}})},
		{name: "a provider for everybody, by mistake", settings: provider(
			planningSettings{URL: "https://dcm.example.com"}), names: "DCM_PLANNING_OIDC_ALLOWED"},
		{
			name: "a provider over http",
			settings: provider(planningSettings{OIDCIssuer: "http://login.example", URL: "https://dcm.example.com",
				OIDCAllowed: list{"*"}}),
			names: "DCM_PLANNING_OIDC_ISSUER",
		},
		{
			name: "a secret that can be guessed",
			settings: provider(planningSettings{OIDCClientSecret: "changeme", URL: "https://dcm.example.com",
				OIDCAllowed: list{"*"}}),
			names: "DCM_PLANNING_SESSION_KEY",
		},
		{
			name: "a short secret beside a session key",
			settings: provider(planningSettings{
				OIDCClientSecret: "changeme", SessionKey: strings.Repeat("k", 32), URL: "https://dcm.example.com",
				OIDCAllowed: list{"*"},
			}),
		},
		{
			name: "a short session key",
			settings: provider(planningSettings{SessionKey: "short", URL: "https://dcm.example.com",
				OIDCAllowed: list{"*"}}),
			names: "DCM_PLANNING_SESSION_KEY",
		},
		{
			name: "scopes without openid",
			settings: provider(planningSettings{OIDCScopes: "email groups", URL: "https://dcm.example.com",
				OIDCAllowed: list{"*"}}),
			names: "DCM_PLANNING_OIDC_SCOPES",
		},
		{name: "sessions over http", settings: provider(planningSettings{URL: "http://dcm.example.com",
			OIDCAllowed: list{"*"}}), names: "DCM_PLANNING_URL"},
		{name: "sessions over http on this machine", settings: provider(planningSettings{URL: "http://localhost:8088",
			OIDCAllowed: list{"*"}})},
		{name: "no address for the way back", settings: provider(planningSettings{OIDCAllowed: list{"*"}}),
			names: "DCM_PLANNING_URL"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.settings.check()
			if (err == nil) != (c.names == "") || err != nil && !strings.Contains(err.Error(), c.names) {
				t.Errorf("%v, want a word about %q", err, c.names)
			}
		})
	}
}

package edc

import (
	"net/http"
	"strings"
	"testing"
)

func TestSender(t *testing.T) {
	const b = "BPNL00000000SUPP"
	for name, c := range map[string]struct {
		header            http.Header
		sender, agreement string
	}{
		"one": {http.Header{"Edc-Bpn": {b}}, b, ""},
		"with agreement": {http.Header{"Edc-Bpn": {" " + b + " "},
			"Edc-Contract-Agreement-Id": {" 6da270a6 "}}, b, "6da270a6"},
		"lower case after BPNL": {http.Header{"Edc-Bpn": {"BPNL00000000supp"}}, "BPNL00000000supp", ""},
		"none":                  {http.Header{}, "", ""},
		"empty":                 {http.Header{"Edc-Bpn": {""}}, "", ""},
		"twice the same":        {http.Header{"Edc-Bpn": {b, b}}, "", ""},
		"two":                   {http.Header{"Edc-Bpn": {b, "BPNL00000000OTHR"}}, "", ""},
		"two in one":            {http.Header{"Edc-Bpn": {b + ", " + b}}, "", ""},
		"a DID":                 {http.Header{"Edc-Bpn": {"did:web:example.com"}}, "", ""},
		"a site":                {http.Header{"Edc-Bpn": {"BPNS00000000SUPP"}}, "", ""},
		"too short":             {http.Header{"Edc-Bpn": {"BPNL00000000SUP"}}, "", ""},
		"newline at the end":    {http.Header{"Edc-Bpn": {b + "\nX"}}, "", ""},
		"no-break space around": {http.Header{"Edc-Bpn": {"\u00a0" + b}}, "", ""},
		"wide space around":     {http.Header{"Edc-Bpn": {b + "\u3000"}}, "", ""},
		"unprintable agreement": {http.Header{"Edc-Bpn": {b}, "Edc-Contract-Agreement-Id": {"a\x00b"}}, b, ""},
		"two agreements":        {http.Header{"Edc-Bpn": {b}, "Edc-Contract-Agreement-Id": {"a", "b"}}, b, ""},
		"agreement of 257 bytes": {http.Header{"Edc-Bpn": {b},
			"Edc-Contract-Agreement-Id": {strings.Repeat("a", 257)}}, b, ""},
		"agreement of 256 bytes": {http.Header{"Edc-Bpn": {b},
			"Edc-Contract-Agreement-Id": {strings.Repeat("a", 256)}}, b, strings.Repeat("a", 256)},
	} {
		sender, agreement, ok := Sender(c.header, "edc-bpn")
		if sender != c.sender || agreement != c.agreement || ok != (c.sender != "") {
			t.Errorf("%s: got %q, %q, %v; want %q, %q", name, sender, agreement, ok, c.sender, c.agreement)
		}
	}
}

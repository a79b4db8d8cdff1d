// Package edc is what we know of the EDC connector that stands between a
// supplier and the receiver: who is sending and under which agreement, how the
// endpoints are registered as assets on the customer's connector, and how a
// supplier sends through its own. It knows nothing of payloads, rules or the
// store.
package edc

import (
	"net/http"
	"strings"

	"dcm-receiver/internal/dcm"
)

// SenderHeader is the header in which the Tractus-X data plane names the
// sending participant, taken from its verified identity.
const SenderHeader = "Edc-Bpn"

// AgreementHeader carries the ID of the contract agreement under which a
// request was let through.
const AgreementHeader = "Edc-Contract-Agreement-Id"

// Sender says who is sending: the one BPNL in the header called name, and the
// contract agreement it sends under, "" where none (or none fit to be stored)
// is given. ok is false where there is no BPNL or the header is there more
// than once: a connector sets it once, so a second value comes from somebody
// else, even if it is the same.
//
// The header is only as good as the way here: trust it only from a caller that
// showed the API key which the connector adds.
func Sender(h http.Header, name string) (sender, agreement string, ok bool) {
	values := h.Values(name)
	if len(values) != 1 {
		return "", "", false
	}
	sender = strings.Trim(values[0], " \t") // the white space of a header (RFC 9110 §5.6.3), and no other
	if !dcm.IsBPNL(sender) {
		return "", "", false
	}
	if ids := h.Values(AgreementHeader); len(ids) == 1 {
		agreement = strings.Trim(ids[0], " \t")
		if len(agreement) > 256 || strings.ContainsFunc(agreement, func(r rune) bool { return r < 0x20 || r > 0x7e }) {
			agreement = ""
		}
	}
	return sender, agreement, true
}

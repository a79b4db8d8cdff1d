package outbox

import (
	"testing"

	"dcm-receiver/internal/edc"
)

// TestAdvice: where a part of a partner has to be entered, the reason says how.
func TestAdvice(t *testing.T) {
	for what, want := range map[edc.Field]string{
		edc.Address: "not known: enter it (dcm-receiver partner add BPNL6666666666YY --dsp-url URL; " +
			"the partner's operations know it)",
		edc.DID:      "not known: enter it (did of outbox.partner)",
		edc.Protocol: "not known: enter it (protocol of outbox.partner)",
	} {
		d := edc.Delivery{Reason: "not known", Err: &edc.Unknown{BPNL: "BPNL6666666666YY", What: what}}
		if got := reasonOf(d); got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	if got := reasonOf(edc.Delivery{Reason: "busy"}); got != "busy" {
		t.Errorf("%q", got)
	}
}

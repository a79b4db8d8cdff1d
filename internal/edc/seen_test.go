package edc_test

import (
	"strings"
	"testing"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/edc"
	"dcm-receiver/internal/edc/edctest"
)

// What a provider finds in its own catalogue.
func TestSeen(t *testing.T) {
	group, request := edctest.OfferOf(dcm.CapacityGroupEndpoint), edctest.OfferOf(dcm.RequestForUpdateEndpoint)
	second := group
	second.Asset = "another"
	for _, c := range []struct {
		name     string
		offers   []edctest.Offer
		partners []string
		seen     int
		wrong    string
	}{
		{"all there", []edctest.Offer{group, request}, nil, 2, ""},
		{"one is missing", []edctest.Offer{group}, nil, 1, "no IdBasedRequestForUpdate endpoint is shown"},
		{"two of a kind", []edctest.Offer{group, second, request}, nil, 1,
			"several assets are a WeekBasedCapacityGroup endpoint"},
		{"for partners only", nil, []string{them}, 0, ""},
		{"for partners only, and shown to others", []edctest.Offer{group}, []string{them}, 0,
			"which setting Partners does not name"},
		{"for oneself", []edctest.Offer{group, request}, []string{them, us}, 2, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			self := &edctest.Partner{BPNL: us, Offers: c.offers}
			connector := edctest.New(t, self)
			seen, wrong, err := edc.Seen(t.Context(), consumer(t, connector).Management,
				edc.Partner{BPNL: us, Address: connector.Address(self)}, edc.Registration{Partners: c.partners})
			if err != nil || len(seen) != c.seen || (len(wrong) > 0) != (c.wrong != "") ||
				!strings.Contains(strings.Join(wrong, "; "), c.wrong) {
				t.Errorf("%v, %v, %v", seen, wrong, err)
			}
		})
	}
	self := &edctest.Partner{BPNL: us}
	connector := edctest.New(t, self)
	self.Down(true)
	_, _, err := edc.Seen(t.Context(), consumer(t, connector).Management,
		edc.Partner{BPNL: us, Address: connector.Address(self)}, edc.Registration{})
	if err == nil || !strings.Contains(err.Error(), "could not get the catalogue") {
		t.Errorf("down: %v", err)
	}
}

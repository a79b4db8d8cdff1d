package outbox

import (
	"errors"
	"fmt"

	"dcm-receiver/internal/edc"
)

// reasonOf is the reason of a delivery, with what a person can do about it here.
func reasonOf(d edc.Delivery) string {
	if unknown, ok := errors.AsType[*edc.Unknown](d.Err); ok {
		enter := map[edc.Field]string{
			edc.Address: fmt.Sprintf("dcm-receiver partner add %s --dsp-url URL; the partner's operations know it",
				unknown.BPNL),
			edc.DID:      "did of outbox.partner",
			edc.Protocol: "protocol of outbox.partner",
		}[unknown.What]
		return fmt.Sprintf("%s: enter it (%s)", d.Reason, enter)
	}
	return d.Reason
}

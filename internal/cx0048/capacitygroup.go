package cx0048

import (
	"fmt"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/rules"
)

type group = rules.Situation[dcm.CapacityGroup]

// CapacityGroups is the table of CX-0048 v1.0.0 §3.2.7 "Validating Payload" in its
// order (CX-0128 v2.3: §4.2.2.7).
var CapacityGroups = rules.Table[dcm.CapacityGroup]{
	Standard: "CX-0048 v1.0.0 §3.2.7",
	Rules: []rules.Rule[dcm.CapacityGroup]{
		rules.Early(1, "any property", "invalid value", invalid[dcm.CapacityGroup], rules.Ignored, 400),
		rules.Early(2, "supplier", "does not match the sending EDC's registered BPNL",
			notTheSupplier, rules.Ignored, 400, whyNotTheSupplier),
		rules.Early(3, "customer", "does not match any customer BPNL that I am responsible for",
			notOurCustomer, rules.Ignored, 400, whyNotOurCustomer),
		rules.OnStored(4, "capacityGroupId, changedAt", "known value; more recent than all previously received",
			newerGroup, rules.Overwritten, 200),
		rules.OnStored(5, "capacityGroupId", "unknown value", unknown[dcm.CapacityGroup], rules.Created, 201),
		rules.OnStored(6, "capacityGroupId, changedAt", "known value; older than any previously received",
			olderGroup, rules.Ignored, 400, whyOlderGroup),
		rules.OnStored(7, "capacityGroupId, changedAt",
			"known value; identical to the most recent of all previously received",
			identicalGroup, rules.Overwritten, 200),
	},
}

func notTheSupplier(s *group) bool { return s.Object.Supplier != s.Sender }
func notOurCustomer(s *group) bool { return !s.Ours(s.Object.Customer) }
func newerGroup(s *group) bool     { return known(s) && s.Object.ChangedAt.After(s.Stored.ChangedAt.Time) }
func olderGroup(s *group) bool     { return known(s) && s.Object.ChangedAt.Before(s.Stored.ChangedAt.Time) }
func identicalGroup(s *group) bool {
	return known(s) && s.Object.ChangedAt.Equal(s.Stored.ChangedAt.Time)
}

func whyNotTheSupplier(s *group) (property, detail string) {
	return "supplier",
		fmt.Sprintf(
			"supplier is %s, but the sending connector is registered for %s; a supplier sends its own capacity "+
				"groups only", s.Object.Supplier, s.Sender)
}

func whyNotOurCustomer(s *group) (property, detail string) {
	return "customer", fmt.Sprintf("customer is %s, which this receiver is not responsible for", s.Object.Customer)
}

func whyOlderGroup(s *group) (property, detail string) {
	return olderThanStored(s.Object.ChangedAt, s.Stored.ChangedAt, "capacity group")
}

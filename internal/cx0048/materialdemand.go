package cx0048

import (
	"fmt"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/rules"
)

type demand = rules.Situation[dcm.MaterialDemand]

// MaterialDemands is the table of CX-0048 v1.0.0 §2.2.7 "Validating payload" in
// its order (CX-0128 v2.3: §4.1.2.7, with the same rules).
var MaterialDemands = MaterialDemandsAs("CX-0048 v1.0.0 §2.2.7")

// MaterialDemandsAs is the same table under the name of a standard that repeats it.
func MaterialDemandsAs(standard string) rules.Table[dcm.MaterialDemand] {
	return rules.Table[dcm.MaterialDemand]{
		Standard: standard,
		Rules: []rules.Rule[dcm.MaterialDemand]{
			rules.Early(1, "any property", "invalid value", invalid[dcm.MaterialDemand], rules.Ignored, 400),
			rules.Early(2, "customer", "does not match the sending EDC's registered BPNL",
				notTheCustomer, rules.Ignored, 400, whyNotTheCustomer),
			rules.Early(3, "supplier", "does not match any supplier BPNL that I am responsible for",
				notOurSupplier, rules.Ignored, 400, whyNotOurSupplier),
			// No rule speaks of a known ID that takes over another one's material, of
			// which there may be one object only (§2.2.2): an invalid value.
			rules.OnStored(1, "materialNumberCustomer", "known materialDemandId; the material belongs to another one",
				takesAnothersMaterial, rules.Ignored, 400, whyTakesAnothersMaterial),
			rules.OnStored(4, "materialDemandId, changedAt", "known value; more recent than all previously received",
				newerDemand, rules.Overwritten, 200),
			rules.OnStored(5, "materialDemandId, supplier, customer, materialNumberCustomer",
				"unknown value, but another UUID exists for the same combination",
				materialHasAnotherID, rules.Ignored, 400, whyMaterialHasAnotherID),
			rules.OnStored(6, "materialDemandId", "unknown value", unknown[dcm.MaterialDemand], rules.Created, 201),
			rules.OnStored(7, "materialDemandId, changedAt", "known value; older than any previously received",
				olderDemand, rules.Ignored, 400, whyOlderDemand),
			rules.OnStored(8, "materialDemandId, changedAt",
				"known value; identical to the most recent of all previously received",
				identicalDemand, rules.Overwritten, 200),
		},
	}
}

func notTheCustomer(s *demand) bool { return s.Object.Customer != s.Sender }
func notOurSupplier(s *demand) bool { return !s.Ours(s.Object.Supplier) }
func newerDemand(s *demand) bool {
	return known(s) && s.Object.ChangedAt.After(s.Stored.ChangedAt.Time)
}
func olderDemand(s *demand) bool {
	return known(s) && s.Object.ChangedAt.Before(s.Stored.ChangedAt.Time)
}
func identicalDemand(s *demand) bool {
	return known(s) && s.Object.ChangedAt.Equal(s.Stored.ChangedAt.Time)
}

func heldByAnother(s *demand) bool         { return s.Stored.Holder != nil && *s.Stored.Holder != s.Object.ID }
func takesAnothersMaterial(s *demand) bool { return known(s) && heldByAnother(s) }
func materialHasAnotherID(s *demand) bool  { return unknown(s) && heldByAnother(s) }

func whyNotTheCustomer(s *demand) (property, detail string) {
	return "customer",
		fmt.Sprintf(
			"customer is %s, but the sending connector is registered for %s; a customer sends its own material "+
				"demands only", s.Object.Customer, s.Sender)
}

func whyNotOurSupplier(s *demand) (property, detail string) {
	return "supplier", fmt.Sprintf("supplier is %s, which this receiver is not responsible for", s.Object.Supplier)
}

func whyTakesAnothersMaterial(s *demand) (property, detail string) {
	return "materialNumberCustomer",
		fmt.Sprintf("materialNumberCustomer belongs to material demand %s; one material has one materialDemandId",
			s.Stored.Holder)
}

func whyMaterialHasAnotherID(s *demand) (property, detail string) {
	return "materialDemandId",
		fmt.Sprintf("this material has the material demand %s already; send its changes under that ID", s.Stored.Holder)
}

func whyOlderDemand(s *demand) (property, detail string) {
	return olderThanStored(s.Object.ChangedAt, s.Stored.ChangedAt, "material demand")
}

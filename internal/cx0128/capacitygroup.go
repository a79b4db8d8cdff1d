package cx0128

import (
	"fmt"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/rules"
)

type group = rules.Situation[dcm.CapacityGroup]

// CapacityGroups is the table of CX-0128 v2.3.0 §4.2.2.7 "Validating payload" in
// its order (CX-0048: §3.2.7).
var CapacityGroups = rules.Table[dcm.CapacityGroup]{
	Standard: "CX-0128 v2.3.0 §4.2.2.7",
	Rules: []rules.Rule[dcm.CapacityGroup]{
		rules.Early(1, "any property", "invalid value", invalid, rules.Ignored, 400),
		rules.Early(2, "supplier", "does not match the providing connector's registered BPNL",
			notTheSupplier, rules.Ignored, 400, whyNotTheSupplier),
		rules.Early(3, "customer", "does not match any customer BPNL that I am responsible for",
			notOurCustomer, rules.Ignored, 400, whyNotOurCustomer),
		rules.Early(4, "linkedCapacityGroups, linkedDemandSeries", "both have a value, or neither has",
			bothLinksOrNeither, rules.Ignored, 400, whyLinks, startToo),
		rules.OnStored(5, "startReferenceDateTime", "before the system time, and not the current value",
			startsInThePast, rules.Ignored, 400, whyStart),
		rules.OnStored(6, "capacityGroupId, changedAt", "known value; more recent than all previously consumed",
			newer, rules.Overwritten, 200),
		rules.OnStored(7, "capacityGroupId", "unknown value", unknown, rules.Created, 201),
		rules.OnStored(8, "capacityGroupId, changedAt", "known value; older than any previously consumed",
			older, rules.Ignored, 400, whyOlder),
		rules.OnStored(9, "capacityGroupId, changedAt",
			"known value; identical to the most recent of all previously consumed",
			identical, rules.Overwritten, 200),
	},
}

func invalid(s *group) bool        { return !s.Valid }
func notTheSupplier(s *group) bool { return s.Object.Supplier != s.Sender }
func notOurCustomer(s *group) bool { return !s.Ours(s.Object.Customer) }

// bothLinksOrNeither takes an empty list for no value.
func bothLinksOrNeither(s *group) bool {
	return (len(s.Object.LinkedCapacityGroups) > 0) == (len(s.Object.LinkedDemandSeries) > 0)
}

// startsInThePast lets the start of a measurement that is known go on: it stays
// the same for all of its time (§4.2.2.2).
func startsInThePast(s *group) bool {
	if s.Object.DemandVolatility == nil || s.Stored.WasRequested {
		return false
	}
	start := s.Object.DemandVolatility.StartReferenceDateTime
	return start.Before(s.Now) && (s.Stored.StartReference == nil || !start.Equal(s.Stored.StartReference.Time))
}

func unknown(s *group) bool { return !s.Stored.Known() }
func newer(s *group) bool {
	return s.Stored.Known() && s.Object.ChangedAt.After(s.Stored.ChangedAt.Time)
}
func older(s *group) bool {
	return s.Stored.Known() && s.Object.ChangedAt.Before(s.Stored.ChangedAt.Time)
}
func identical(s *group) bool {
	return s.Stored.Known() && s.Object.ChangedAt.Equal(s.Stored.ChangedAt.Time)
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

func whyLinks(s *group) (property, detail string) {
	if len(s.Object.LinkedCapacityGroups) > 0 {
		return "linkedCapacityGroups",
			"both linkedCapacityGroups and linkedDemandSeries have a value; a capacity group has one of them"
	}
	return "linkedDemandSeries",
		"neither linkedDemandSeries nor linkedCapacityGroups has a value; a capacity group has one of them"
}

// startToo tells in time what rule 5 will say when the links are mended.
func startToo(s *group) (property, detail string) {
	if v := s.Object.DemandVolatility; v == nil || !v.StartReferenceDateTime.Before(s.Now) {
		return "", ""
	}
	return "demandVolatilityParameters/startReferenceDateTime", fmt.Sprintf(
		"startReferenceDateTime is %s, in the past: rule 5 will refuse that too, unless it is the start of the "+
			"group's measurement that is known already",
		s.Object.DemandVolatility.StartReferenceDateTime.UTC().Format(time.RFC3339Nano))
}

func whyStart(s *group) (property, detail string) {
	start := s.Object.DemandVolatility.StartReferenceDateTime.UTC().Format(time.RFC3339Nano)
	now := s.Now.UTC().Format(time.RFC3339)
	if s.Stored.StartReference == nil {
		return "demandVolatilityParameters/startReferenceDateTime", fmt.Sprintf(
			"startReferenceDateTime is %s, in the past (it is %s), and no measurement with this start is known; "+
				"begin one in the future, at least a day ahead", start, now)
	}
	return "demandVolatilityParameters/startReferenceDateTime", fmt.Sprintf(
		"startReferenceDateTime is %s, in the past (it is %s), and differs from the known one, %s; keep that, or "+
			"begin in the future, at least a day ahead",
		start, now, s.Stored.StartReference.UTC().Format(time.RFC3339Nano))
}

func whyOlder(s *group) (property, detail string) {
	return "changedAt",
		fmt.Sprintf(
			"changedAt is %s, older than %s of the capacity group that was received before; nothing was changed",
			s.Object.ChangedAt.Format(time.RFC3339Nano), s.Stored.ChangedAt.Format(time.RFC3339Nano))
}

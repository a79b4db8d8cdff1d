// Package cx0048 holds the ordered rules of CX-0048 "Demand and Capacity
// Management API Material Demand and Capacity Group", version 1.0.0. It decides
// and nothing else: it knows no HTTP, no JSON and no database.
//
// CX-0048 was superseded by CX-0128 "Demand and Capacity Management Data
// Exchange", whose payload rules for a capacity group keep these conditions.
package cx0048

import (
	"fmt"

	"dcm-receiver/internal/dcm"
)

// CapacityGroupSituation is everything that a rule may ask about a received
// WeekBasedCapacityGroup.
type CapacityGroupSituation struct {
	Valid     bool                       // by the data model and this standard
	Supplier  string                     // BPNL in the object
	Customer  string                     // BPNL in the object
	Sender    string                     // BPNL that the sending connector is registered for
	Ours      func(customer string) bool // is this BPNL one that we are responsible for?
	ChangedAt dcm.Timestamp
	// Stored is changedAt of the group that is stored under the same supplier,
	// customer and capacityGroupId; nil if there is none.
	Stored *dcm.Timestamp
}

func (s *CapacityGroupSituation) invalid() bool      { return !s.Valid }
func (s *CapacityGroupSituation) notTheSender() bool { return s.Supplier != s.Sender }
func (s *CapacityGroupSituation) notOurs() bool      { return !s.Ours(s.Customer) }
func (s *CapacityGroupSituation) known() bool        { return s.Stored != nil }
func (s *CapacityGroupSituation) unknown() bool      { return !s.known() }
func (s *CapacityGroupSituation) moreRecent() bool {
	return s.known() && s.ChangedAt.After(s.Stored.Time)
}
func (s *CapacityGroupSituation) older() bool { return s.known() && s.ChangedAt.Before(s.Stored.Time) }
func (s *CapacityGroupSituation) identical() bool {
	return s.known() && s.ChangedAt.Equal(s.Stored.Time)
}

// Outcome is what becomes of an object.
type Outcome string

// The outcomes that a rule can have.
const (
	Created     Outcome = "created"     // saved as new
	Overwritten Outcome = "overwritten" // all existing values replaced
	Ignored     Outcome = "ignored"     // received values ignored
)

// Rule is one row of the table, in the standard's columns.
type Rule struct {
	Number     int
	Property   string // the property that the rule looks at
	Condition  string // what it looks for, in the standard's words
	matches    func(*CapacityGroupSituation) bool
	Outcome    Outcome // business logic
	ReturnCode int
}

// CapacityGroupRules is the table of CX-0048 v1.0.0 §3.2.7 "Validating Payload"
// in its order. The first rule that matches is executed, all others are ignored.
var CapacityGroupRules = []Rule{
	{1, "any property", "invalid value", (*CapacityGroupSituation).invalid, Ignored, 400},
	{2, "supplier", "does not match the sending EDC's registered BPNL", (*CapacityGroupSituation).notTheSender, Ignored, 400},
	{3, "customer", "does not match any customer BPNL that I am responsible for", (*CapacityGroupSituation).notOurs, Ignored, 400},
	{4, "capacityGroupId, changedAt", "known value; more recent than all previously received", (*CapacityGroupSituation).moreRecent, Overwritten, 200},
	{5, "capacityGroupId", "unknown value", (*CapacityGroupSituation).unknown, Created, 201},
	{6, "capacityGroupId, changedAt", "known value; older than any previously received", (*CapacityGroupSituation).older, Ignored, 400},
	{7, "capacityGroupId, changedAt", "known value; identical to the most recent of all previously received", (*CapacityGroupSituation).identical, Overwritten, 200},
}

// DecideCapacityGroup is the first rule that matches the situation.
func DecideCapacityGroup(s CapacityGroupSituation) Rule {
	for _, rule := range CapacityGroupRules {
		if rule.matches(&s) {
			return rule
		}
	}
	// The test walks every situation: some rule always matches.
	panic(fmt.Sprintf("cx0048: no rule matches %+v", s))
}

// NeedsStore reports whether the verdict depends on what is stored: it does
// unless rules 1 to 3 refuse the object. With nothing stored, what is not
// refused is new.
func (s CapacityGroupSituation) NeedsStore() bool {
	s.Stored = nil
	return DecideCapacityGroup(s).Outcome == Created
}

// Status is the HTTP status for a message whose objects met the given rules
// (CX-0048 §3.2.6): a single object has its own, of several objects one that
// could not be processed makes it 400, and otherwise it is 200.
func Status(rules []Rule) int {
	if len(rules) == 1 {
		return rules[0].ReturnCode
	}
	for _, rule := range rules {
		if rule.ReturnCode >= 400 {
			return 400
		}
	}
	return 200
}

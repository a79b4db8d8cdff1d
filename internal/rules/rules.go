// Package rules is an ordered table of payload rules, of any standard and any
// object: the first rule that matches a situation is executed, all others are
// ignored. It decides and nothing else: it knows no standard's text, no HTTP,
// no JSON and no database.
package rules

import (
	"fmt"
	"time"

	"dcm-receiver/internal/dcm"

	"github.com/google/uuid"
)

// Outcome is what becomes of an object.
type Outcome string

// The outcomes that a rule can have.
const (
	Created     Outcome = "created"     // saved as new
	Overwritten Outcome = "overwritten" // all existing values replaced
	Deleted     Outcome = "deleted"     // removed with all its history
	Ignored     Outcome = "ignored"     // received values ignored
)

// Outcomes are all of them.
var Outcomes = []Outcome{Created, Overwritten, Deleted, Ignored}

// Situation is everything that a rule may ask about a received object.
type Situation[T any] struct {
	Object *T
	Valid  bool                   // by the data model and the standard
	Sender string                 // BPNL that the sending connector is registered for
	Ours   func(bpnl string) bool // is this a BPNL of ours, in the role that receives the object?
	Now    time.Time              // when the message arrived
	Stored Stored                 // what is stored; only rules with AsksStore may look
}

// Stored is what rules may ask of what is stored.
type Stored struct {
	// ChangedAt is of the object stored under the same supplier, customer and
	// ID; nil if there is none.
	ChangedAt *dcm.Timestamp
	// StartReference is that object's startReferenceDateTime; nil if it has none.
	StartReference *dcm.Timestamp
	// Holder is the material demand that is stored for the same supplier,
	// customer and material; nil if there is none.
	Holder *uuid.UUID
	// WasRequested tells that we asked for this object by a request for update.
	WasRequested bool
	// Commented tells whether the object that a comment is on was exchanged with
	// the sender.
	Commented bool
	// Originator is the BPNL of who wrote the comment; "" if it is not known.
	Originator string
	// DeletedAt is when the comment was deleted; nil if it was not.
	DeletedAt *dcm.Timestamp
}

// Known reports whether an object is stored under the same ID.
func (s *Stored) Known() bool { return s.ChangedAt != nil }

// Rule is one row of a table, in the standards' columns.
type Rule[T any] struct {
	Number     int
	Property   string // the property that the rule looks at
	Condition  string // what it looks for, in the standard's words
	Matches    func(*Situation[T]) bool
	AsksStore  bool    // whether Matches looks at what is stored
	Outcome    Outcome // business logic
	ReturnCode int
	Reasons    []Reason[T]
}

// Reason says why a rule refuses an object, and for which of its properties; ""
// where it has nothing to say. Rules that do not refuse have none, nor has rule 1,
// whose reasons are the violations themselves.
type Reason[T any] func(*Situation[T]) (property, detail string)

// Early is a rule that does not depend on what is stored.
func Early[T any](number int, property, condition string, matches func(*Situation[T]) bool, outcome Outcome, code int,
	reasons ...Reason[T]) Rule[T] {
	return Rule[T]{number, property, condition, matches, false, outcome, code, reasons}
}

// OnStored is a rule that looks at what is stored.
func OnStored[T any](number int, property, condition string, matches func(*Situation[T]) bool, outcome Outcome,
	code int, reasons ...Reason[T]) Rule[T] {
	return Rule[T]{number, property, condition, matches, true, outcome, code, reasons}
}

// Table is the rules of one object in one standard.
type Table[T any] struct {
	Standard string // document, version and section: "CX-0048 v1.0.0 §3.2.7"
	Rules    []Rule[T]
}

// Verdict is the rule that matched, in words that need no table to be read.
type Verdict struct {
	Standard   string
	Rule       int
	Outcome    Outcome
	ReturnCode int
	Details    []Detail // the rule's reasons; none where it has none of its own
}

// Detail is a reason, and the property that it is about.
type Detail struct{ Property, Text string }

// Decide is the verdict on a situation in which Stored is known.
func (t *Table[T]) Decide(s *Situation[T]) Verdict {
	for i := range t.Rules {
		if rule := &t.Rules[i]; rule.Matches(s) {
			return t.verdict(rule, s)
		}
	}
	// The tests of each table walk every situation: some rule always matches.
	panic(fmt.Sprintf("%s: no rule matches", t.Standard))
}

// DecideEarly is the verdict as far as it does not depend on what is stored: ok
// is false if a rule that asks the store comes before any that matches.
func (t *Table[T]) DecideEarly(s *Situation[T]) (v Verdict, ok bool) {
	for i := range t.Rules {
		rule := &t.Rules[i]
		if rule.AsksStore {
			return Verdict{}, false
		}
		if rule.Matches(s) {
			return t.verdict(rule, s), true
		}
	}
	return Verdict{}, false
}

func (t *Table[T]) verdict(rule *Rule[T], s *Situation[T]) Verdict {
	v := Verdict{Standard: t.Standard, Rule: rule.Number, Outcome: rule.Outcome, ReturnCode: rule.ReturnCode}
	for _, reason := range rule.Reasons {
		if property, detail := reason(s); detail != "" {
			v.Details = append(v.Details, Detail{property, detail})
		}
	}
	return v
}

// Status is the HTTP status for a message with the given return codes of its
// objects (CX-0048 §2.2.6, §3.2.6): a single object has its own, of several
// objects one that could not be processed makes it 400, and otherwise it is 200.
func Status(codes []int) int {
	if len(codes) == 1 {
		return codes[0]
	}
	for _, code := range codes {
		if code >= 400 {
			return 400
		}
	}
	return 200
}

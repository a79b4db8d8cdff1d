// Package standard has the standards that this version speaks, each as one value. The rest of the
// program asks such a value what to do, and never a standard's name. A further standard is a package
// with its rules beside cx0048 and cx0128, and a file here that adds its value to the list. The
// package knows no HTTP and no database.
package standard

import (
	"iter"
	"strings"
	"time"

	"dcm-receiver/internal/cx0048"
	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/payload"
	"dcm-receiver/internal/rules"
)

// Standard says what is valid, and what becomes of what is valid.
type Standard struct {
	Name     string            // value of DCM_STANDARD
	Document string            // of api/, which goes through the standard's paragraphs
	Models   map[string]string // by endpoint: URN of the model with its major version, as a header's context has it

	CapacityGroups  rules.Table[dcm.CapacityGroup]
	MaterialDemands rules.Table[dcm.MaterialDemand]
	Comments        *rules.Table[dcm.Comment] // nil: the standard has no comments

	HeaderRequired bool // a message has an envelope with a header, whose context names the model
	Capabilities   bool // what a partner offers beyond the minimum is shown as assets (CX-0128 §4.6)
	StartRule      bool // a rule refuses groups whose measurement started in the past
	WeekAhead      bool // past weeks alone are not enough: a choice of the operator, where CanRequireWeekAhead

	// OtherModels are accepted in a header's context beside Models: partners number some models otherwise.
	OtherModels map[string]string

	groupWeeks, demandWeeks           weeksCheck
	groupWeeksAhead, demandWeeksAhead weeksCheck // nil: the standard does not ask for a week ahead
	// checkCapacityGroup finds what the model's schema cannot say; nil: nothing.
	checkCapacityGroup func(*dcm.CapacityGroup, func(pointer, detail string))
}

// weeksCheck says what is wrong with the weeks of an object; "": nothing.
type weeksCheck func(weeks iter.Seq2[int, dcm.Date], today dcm.Date) string

// all is in the order of publication; the first is the default.
var all = []Standard{cx0048Standard, cx0128Standard}

// All are the standards that this version speaks.
func All() []Standard { return append([]Standard(nil), all...) }

// Default is the standard without DCM_STANDARD.
func Default() Standard { return all[0] }

// Latest is the standard that was published last.
func Latest() Standard { return all[len(all)-1] }

// Of is the standard with the given name; ok is false if there is none.
func Of(name string) (s Standard, ok bool) {
	for _, s := range all {
		if s.Name == name {
			return s, true
		}
	}
	return Standard{}, false
}

// Names are the values of DCM_STANDARD.
func Names() []string { return Where(func(*Standard) bool { return true }) }

// Where are the names of the standards of which something is true.
func Where(is func(*Standard) bool) (names []string) {
	for i := range all {
		if is(&all[i]) {
			names = append(names, all[i].Name)
		}
	}
	return names
}

// List joins names for a sentence.
func List(names []string) string { return strings.Join(names, " or ") }

// CanRequireWeekAhead reports whether WeekAhead may be set.
func (s *Standard) CanRequireWeekAhead() bool { return s.groupWeeksAhead != nil }

// Context is what a header's context has for a message to an endpoint, in the model's version.
func (s *Standard) Context(e dcm.Endpoint, version string) string { return s.Models[e.Path] + version }

// ReadCapacityGroups reads what the standard takes for capacity groups.
func (s *Standard) ReadCapacityGroups(body []byte, now time.Time) (*payload.Message[dcm.CapacityGroup], error) {
	return payload.ReadCapacityGroups(body, s.options(dcm.CapacityGroupEndpoint, now))
}

// ReadMaterialDemands reads what the standard takes for material demands.
func (s *Standard) ReadMaterialDemands(body []byte, now time.Time) (*payload.Message[dcm.MaterialDemand], error) {
	return payload.ReadMaterialDemands(body, s.options(dcm.MaterialDemandEndpoint, now))
}

// ReadComments reads what the standard takes for comments.
func (s *Standard) ReadComments(body []byte, now time.Time) (*payload.Message[dcm.Comment], error) {
	return payload.ReadComments(body, s.options(dcm.CommentEndpoint, now))
}

// ReadRequestsForUpdate reads what the standard takes for a request for update.
func (s *Standard) ReadRequestsForUpdate(body []byte, now time.Time) (*payload.Message[dcm.RequestForUpdate], error) {
	return payload.ReadRequestsForUpdate(body, s.options(dcm.RequestForUpdateEndpoint, now))
}

func (s *Standard) options(e dcm.Endpoint, now time.Time) payload.Options {
	groupWeeks, demandWeeks, today := s.groupWeeks, s.demandWeeks, dcm.DateOf(now.UTC())
	if s.WeekAhead {
		groupWeeks, demandWeeks = s.groupWeeksAhead, s.demandWeeksAhead
	}
	o := payload.Options{
		HeaderRequired: s.HeaderRequired, Weeks: cx0048.Weeks, CapacityGroup: s.checkCapacityGroup,
		GroupWeeks:  func(weeks iter.Seq2[int, dcm.Date]) string { return groupWeeks(weeks, today) },
		DemandWeeks: func(weeks iter.Seq2[int, dcm.Date]) string { return demandWeeks(weeks, today) },
	}
	if s.HeaderRequired {
		o.Model, o.OtherModel = s.Models[e.Path], s.OtherModels[e.Path]
	}
	return o
}

// Preview tells what the rules after the first say of a valid group: refused in any case, or refused
// unless the receiver has stored the same values. Sender and receiver are taken for the right ones.
func (s *Standard) Preview(g *dcm.CapacityGroup, now time.Time) (always, unlessStored []rules.Detail) {
	situation := rules.Situation[dcm.CapacityGroup]{
		Object: g, Valid: true, Sender: g.Supplier, Ours: func(string) bool { return true }, Now: now,
	}
	if v, early := s.CapacityGroups.DecideEarly(&situation); early {
		return v.Details, nil
	}
	if v := s.CapacityGroups.Decide(&situation); v.Outcome == rules.Ignored {
		return nil, v.Details
	}
	return nil, nil
}

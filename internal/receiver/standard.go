package receiver

import (
	"iter"
	"time"

	"dcm-receiver/internal/cx0048"
	"dcm-receiver/internal/cx0128"
	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/payload"
	"dcm-receiver/internal/rules"
)

// Standard is a rule set: what is valid, and what becomes of what is valid.
type Standard struct {
	Name            string // value of DCM_STANDARD
	CapacityGroups  rules.Table[dcm.CapacityGroup]
	MaterialDemands rules.Table[dcm.MaterialDemand]
	Comments        *rules.Table[dcm.Comment] // nil: the standard has no comments

	// HeaderRequired tells that a message has an envelope with a header, whose
	// context names the model.
	HeaderRequired bool
	// WeekAhead tells that past weeks alone are not enough: the operator's choice,
	// under cx-0128.
	WeekAhead bool

	groupWeeks, demandWeeks           weeksCheck
	groupWeeksAhead, demandWeeksAhead weeksCheck // where WeekAhead is set

	// nil: there is nothing beyond the model's checks
	checkCapacityGroup func(*dcm.CapacityGroup, func(pointer, detail string))
}

// weeksCheck says what is wrong with the weeks of an object; "": nothing.
type weeksCheck func(weeks iter.Seq2[int, dcm.Date], today dcm.Date) string

// Standards are those that this version speaks, by their own folders.
var Standards = []Standard{
	{Name: "cx-0048", CapacityGroups: cx0048.CapacityGroups, MaterialDemands: cx0048.MaterialDemands,
		groupWeeks: cx0048.GroupWeeks, demandWeeks: cx0048.DemandWeeks},
	{Name: "cx-0128", CapacityGroups: cx0128.CapacityGroups, MaterialDemands: cx0128.MaterialDemands,
		Comments:       &cx0128.Comments,
		HeaderRequired: true, checkCapacityGroup: cx0128.CheckCapacityGroup,
		groupWeeks: cx0048.GroupWeeks, demandWeeks: cx0048.DemandWeeks, groupWeeksAhead: cx0128.GroupWeeksAhead,
		demandWeeksAhead: cx0128.DemandWeeksAhead},
}

// StandardOf is the standard with the given name; ok is false if there is none.
func StandardOf(name string) (s Standard, ok bool) {
	for _, s := range Standards {
		if s.Name == name {
			return s, true
		}
	}
	return Standard{}, false
}

// StandardNames are the values of DCM_STANDARD.
func StandardNames() (names []string) {
	for _, s := range Standards {
		names = append(names, s.Name)
	}
	return names
}

// ReadCapacityGroups reads what the standard takes for capacity groups.
func (s *Standard) ReadCapacityGroups(body []byte, now time.Time) (*payload.Message[dcm.CapacityGroup], error) {
	return payload.ReadCapacityGroups(body, s.options(dcm.CapacityGroupEndpoint, now))
}

// Foretell is what the rules after the first say of a valid group: refused for
// whatever is stored, or perhaps, where nothing of it is stored. Sender and receiver
// are taken for the right ones.
func (s *Standard) Foretell(g *dcm.CapacityGroup, now time.Time) (refused, perhaps []rules.Detail) {
	situation := rules.Situation[dcm.CapacityGroup]{Object: g, Valid: true, Sender: g.Supplier,
		Ours: func(string) bool { return true }, Now: now}
	if v, early := s.CapacityGroups.DecideEarly(&situation); early {
		return v.Details, nil
	}
	if v := s.CapacityGroups.Decide(&situation); v.Outcome == rules.Ignored {
		return nil, v.Details
	}
	return nil, nil
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
		o.Model, o.OtherModel = e.Model, e.ModelAs3
	}
	return o
}

package receiver

import (
	"dcm-receiver/internal/cx0048"
	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/payload"
	"dcm-receiver/internal/rules"
)

// Standard is a rule set: what is valid, and what becomes of what is valid.
type Standard struct {
	Name            string // value of DCM_STANDARD
	CapacityGroups  rules.Table[dcm.CapacityGroup]
	MaterialDemands rules.Table[dcm.MaterialDemand]
}

// Standards are those that this version speaks, by their own folders.
var Standards = []Standard{
	{Name: "cx-0048", CapacityGroups: cx0048.CapacityGroups, MaterialDemands: cx0048.MaterialDemands},
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

// readCapacityGroups reads what the standard takes for capacity groups.
func (s *Standard) readCapacityGroups(in *inbound) (*payload.Message[dcm.CapacityGroup], error) {
	return payload.ReadCapacityGroups(in.body, dcm.DateOf(in.ReceivedAt.UTC()))
}

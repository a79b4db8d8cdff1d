package receiver

import (
	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/payload"
	"dcm-receiver/internal/rules"
	"dcm-receiver/internal/store"
)

// judgeCapacityGroups judges WeekBasedCapacityGroup messages, which suppliers send
// to us as customers (CX-0048 §3).
func (rc *Receiver) judgeCapacityGroups() judge {
	return judgeObjects(rc, objects[dcm.CapacityGroup]{
		read: func(in *inbound) (*payload.Message[dcm.CapacityGroup], error) {
			return rc.config.Standard.ReadCapacityGroups(in.body, in.ReceivedAt)
		},
		table: &rc.config.Standard.CapacityGroups,
		ours:  rc.isCustomer,
		subject: func(g *dcm.CapacityGroup, _ string) store.Subject {
			return store.Subject{Key: store.Key{Supplier: g.Supplier, Customer: g.Customer, ID: g.ID}}
		},
		write: func(s *rules.Situation[dcm.CapacityGroup], content store.Content) store.Write {
			return store.WriteCapacityGroup(s.Object, content)
		},
		changed: func(g *dcm.CapacityGroup) dcm.Timestamp { return g.ChangedAt },
	})
}

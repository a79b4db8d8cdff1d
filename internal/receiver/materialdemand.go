package receiver

import (
	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/payload"
	"dcm-receiver/internal/rules"
	"dcm-receiver/internal/store"
)

// judgeMaterialDemands judges WeekBasedMaterialDemand messages, which customers
// send to us as suppliers (CX-0048 §2).
func (rc *Receiver) judgeMaterialDemands() judge {
	return judgeObjects(rc, objects[dcm.MaterialDemand]{
		read: func(in *inbound) (*payload.Message[dcm.MaterialDemand], error) {
			return rc.config.Standard.ReadMaterialDemands(in.body, in.ReceivedAt)
		},
		table: &rc.config.Standard.MaterialDemands,
		ours:  rc.isSupplier,
		subject: func(d *dcm.MaterialDemand, _ string) store.Subject {
			return store.Subject{Key: store.Key{Supplier: d.Supplier, Customer: d.Customer, ID: d.ID},
				Material: d.MaterialNumberCustomer}
		},
		write: func(s *rules.Situation[dcm.MaterialDemand], content store.Content) store.Write {
			return store.WriteMaterialDemand(s.Object, content)
		},
		changed: func(d *dcm.MaterialDemand) dcm.Timestamp { return d.ChangedAt },
	})
}

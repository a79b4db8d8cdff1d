package receiver

import (
	"context"
	"net/http"

	"dcm-receiver/internal/cx0128"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/payload"
	"dcm-receiver/internal/rules"
	"dcm-receiver/internal/store"
)

// judges has the endpoints of this receiver by their path, each with the function that judges its
// messages. Our roles and the standard decide which there are.
func (rc *Receiver) judges() map[string]judge {
	judges := map[string]judge{dcm.RequestForUpdateEndpoint.Path: rc.judgeRequestForUpdate}
	if len(rc.config.CustomerBPNLs) > 0 {
		judges[dcm.CapacityGroupEndpoint.Path] = rc.judgeCapacityGroups()
	}
	if len(rc.config.SupplierBPNLs) > 0 {
		judges[dcm.MaterialDemandEndpoint.Path] = rc.judgeMaterialDemands()
	}
	if rc.config.Standard.Comments != nil {
		judges[dcm.CommentEndpoint.Path] = rc.judgeComments()
	}
	return judges
}

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

// judgeComments judges IdBasedComment messages, which partners of either role send
// (CX-0128 §4.4).
func (rc *Receiver) judgeComments() judge {
	return judgeObjects(rc, objects[dcm.Comment]{
		read: func(in *inbound) (*payload.Message[dcm.Comment], error) {
			return rc.config.Standard.ReadComments(in.body, in.ReceivedAt)
		},
		table: rc.config.Standard.Comments,
		ours:  rc.isOurs,
		subject: func(c *dcm.Comment, sender string) store.Subject {
			return store.Subject{Key: store.Key{Supplier: c.Supplier, Customer: c.Customer, ID: c.ID},
				About: store.About{ID: c.ObjectID, Type: c.ObjectType, Partner: sender}}
		},
		write: writeComment,
		changed: func(c *dcm.Comment) dcm.Timestamp {
			if c.ChangedAt == nil {
				return dcm.Timestamp{}
			}
			return *c.ChangedAt
		},
	})
}

// writeComment sets what the sender may leave out (CX-0128 §4.4.2.2).
func writeComment(s *rules.Situation[dcm.Comment], content store.Content) store.Write {
	if s.Object.RequestDelete {
		return store.DeleteComment(s.Object, s.Sender, cx0128.DeletedAt(s))
	}
	c := *s.Object
	received := dcm.Timestamp{Time: s.Now}
	if c.ChangedAt == nil {
		c.ChangedAt = &received
	}
	if c.PostedAt == nil {
		c.PostedAt = &received
	}
	if c.Author == nil {
		c.Author = &s.Sender
	}
	if c.CommentType == "" {
		c.CommentType = "default"
	}
	return store.WriteComment(&c, s.Sender, content)
}

// judgeRequestForUpdate records an IdBasedRequestForUpdate. It is judged by its
// form alone: a request for an ID that we do not know is accepted too.
func (rc *Receiver) judgeRequestForUpdate(ctx context.Context, in *inbound) (store.Entry, error) {
	m, err := rc.config.Standard.ReadRequestsForUpdate(in.body, in.ReceivedAt)
	if err != nil {
		return rc.unreadable(ctx, in, err)
	}
	rc.checkHeader(in, &m.Envelope, rc.isOurs)
	entry := store.Entry{Status: http.StatusOK, Objects: len(m.Objects), Warnings: m.Warnings}
	if m.Errors.Any() {
		return rc.refuseMessage(ctx, in, entry, m.Errors)
	}
	request := &store.UpdateRequest{}
	for _, o := range m.Objects {
		request.Entries = append(request.Entries, o.Value)
	}
	ours := append(rc.config.CustomerBPNLs[:len(rc.config.CustomerBPNLs):len(rc.config.CustomerBPNLs)],
		rc.config.SupplierBPNLs...)
	switch {
	case m.Header != nil:
		request.Asked, request.ResponseBy = m.Header.ReceiverBPN, m.Header.ExpectedResponseBy
	case len(ours) == 1:
		request.Asked = ours[0]
	}
	if err := rc.limitRequests(in, len(request.Entries)); err != nil {
		return store.Entry{}, err
	}
	return rc.save(ctx, in, store.Decision{Entry: entry, Request: request})
}

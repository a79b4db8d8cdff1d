package receiver

import (
	"dcm-receiver/internal/cx0128"
	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/payload"
	"dcm-receiver/internal/rules"
	"dcm-receiver/internal/store"
)

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

package cx0128

import (
	"fmt"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/rules"
)

type comment = rules.Situation[dcm.Comment]

// Comments is the table of CX-0128 v2.3.0 §4.4.2.7 "Validating payload" in its
// order. Rules 2 and 3 look at the header: they refuse the message as a whole,
// before its comments are judged. Rule 5 (501) is for those who do not process
// comments on material demands, which we do.
//
// The text leaves open, and we chose: an identical or missing changedAt of a known
// comment overwrites; a deletion of an unknown comment is done (a data plane
// repeats a POST, and the second must not turn 200 into 400); somebody else's
// comment is forbidden (rule 4).
var Comments = rules.Table[dcm.Comment]{
	Standard: "CX-0128 v2.3.0 §4.4.2.7",
	Rules: []rules.Rule[dcm.Comment]{
		rules.Early(1, "any property", "invalid value",
			func(s *comment) bool { return !s.Valid }, rules.Ignored, 400),
		rules.Early(4, "supplier, customer", "are not the sender and us",
			notBetweenUs, rules.Ignored, 403, whyNotBetweenUs),
		rules.OnStored(4, "objectId", "does not match an object that was exchanged with the provider before",
			notExchanged, rules.Ignored, 403, whyNotExchanged),
		rules.OnStored(4, "commentId", "is somebody else's comment", notTheirs, rules.Ignored, 403, whyNotTheirs),
		rules.OnStored(6, "commentId, requestDelete", "known value (or not); true", deletes, rules.Deleted, 200),
		rules.OnStored(7, "commentId, changedAt", "known value; not older than all previously consumed",
			updates, rules.Overwritten, 200),
		rules.OnStored(8, "commentId", "unknown value", creates, rules.Created, 201),
		rules.OnStored(9, "commentId, changedAt", "known value; older than any previously consumed",
			tooLate, rules.Ignored, 400, whyTooLate),
	},
}

// notBetweenUs: the comment belongs to another relationship than that of sender
// and receiver.
func notBetweenUs(s *comment) bool {
	c := s.Object
	return !(c.Supplier == s.Sender && s.Ours(c.Customer) || c.Customer == s.Sender && s.Ours(c.Supplier))
}

func notExchanged(s *comment) bool { return !s.Stored.Commented }
func notTheirs(s *comment) bool    { return s.Stored.Originator != "" && s.Stored.Originator != s.Sender }
func deletes(s *comment) bool      { return s.Object.RequestDelete }
func updates(s *comment) bool {
	return s.Stored.Known() && !changedAt(s).Before(s.Stored.ChangedAt.Time)
}

// creates: a comment that was deleted comes back only by what was written after
// that.
func creates(s *comment) bool {
	if s.Stored.DeletedAt != nil {
		return s.Object.ChangedAt != nil && s.Object.ChangedAt.After(s.Stored.DeletedAt.Time)
	}
	return !s.Stored.Known()
}

func tooLate(*comment) bool { return true } // what is left

// changedAt is the time of receipt where the comment does not say it (§4.4.2.2).
func changedAt(s *comment) dcm.Timestamp {
	if s.Object.ChangedAt == nil {
		return dcm.Timestamp{Time: s.Now}
	}
	return *s.Object.ChangedAt
}

func whyNotBetweenUs(s *comment) (property, detail string) {
	return "supplier",
		fmt.Sprintf("supplier %s and customer %s are not the sender (%s) and a company of this receiver",
			s.Object.Supplier, s.Object.Customer, s.Sender)
}

func whyNotExchanged(s *comment) (property, detail string) {
	return "objectId",
		fmt.Sprintf(
			"there is no object %s of type %s between supplier %s and customer %s here; send the object before "+
				"the comment",
			s.Object.ObjectID, s.Object.ObjectType, s.Object.Supplier, s.Object.Customer)
}

func whyNotTheirs(*comment) (property, detail string) {
	return "commentId", "this comment was not written by the sender, who may not change or delete it"
}

func whyTooLate(s *comment) (property, detail string) {
	if s.Stored.DeletedAt != nil {
		return "changedAt",
			fmt.Sprintf("this comment was deleted at %s, and this was not written after that; a deletion is final",
				s.Stored.DeletedAt.UTC().Format(time.RFC3339Nano))
	}
	return "changedAt",
		fmt.Sprintf("changedAt is %s, older than %s of the comment that was received before; nothing was changed",
			changedAt(s).Format(time.RFC3339Nano), s.Stored.ChangedAt.Format(time.RFC3339Nano))
}

// DeletedAt is when a deletion counts as done: not before anything that was
// written before it, by any clock.
func DeletedAt(s *comment) dcm.Timestamp {
	at := dcm.Timestamp{Time: s.Now}
	for _, other := range []*dcm.Timestamp{s.Object.ChangedAt, s.Stored.ChangedAt, s.Stored.DeletedAt} {
		if other != nil && other.After(at.Time) {
			at = *other
		}
	}
	return at
}

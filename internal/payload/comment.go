package payload

import (
	"unicode/utf8"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/schemas"
)

// maxCommentText is the longest text of a comment, in characters.
const maxCommentText = 5000

// ReadComments reads the body of an IdBasedComment message. No error quotes an
// author or a text: what is deleted later must be gone. The error is a
// *SyntaxError.
func ReadComments(body []byte, o Options) (*Message[dcm.Comment], error) {
	return readObjects(body, o, "comments", "IdBasedComment", (*reader).comment)
}

var requiredOfComment = []string{"commentId", "objectId", "objectType", "supplier", "customer"}

func (r *reader) comment(o *Object[dcm.Comment], limit int) {
	readObject(r, o, schemas.Comment, requiredOfComment, limit, func(checks *checks, name string) (ok bool) {
		c := &o.Value
		switch name {
		case "commentId":
			if c.ID, ok = r.id(); ok {
				id := c.ID // on its own: the answer needs it longer than the object
				o.ID = &id
			}
		case "objectId":
			c.ObjectID, ok = r.id()
		case "objectType":
			c.ObjectType, ok = r.matching(dcm.IsObjectType)
		case "supplier":
			c.Supplier, ok = r.matching(dcm.IsBPNL)
		case "customer":
			c.Customer, ok = r.matching(dcm.IsBPNL)
		case "author":
			c.Author, ok = optional(r.matching(dcm.IsAuthor))
		case "commentType":
			c.CommentType, ok = r.matching(dcm.IsCommentType)
		case "commentText":
			c.CommentText, ok = optional(r.matching(func(s string) bool {
				return utf8.RuneCountInString(
					s) <= maxCommentText
			}))
		case "listOfReferenceDates":
			c.ReferenceDates, ok = r.referenceDates(checks)
		case "postedAt":
			c.PostedAt, ok = optional(r.timestamp(dcm.ParseTimestamp))
		case "changedAt":
			c.ChangedAt, ok = optional(r.timestamp(dcm.ParseTimestamp))
		case "requestDelete":
			c.RequestDelete, ok = r.Bool()
		case "simulationId":
			c.SimulationID, ok = optional(r.id())
		default:
			ok = r.unknown()
		}
		return ok
	}, nil)
}

// referenceDates reads the weeks that a comment is about (CX-0128 §4.4.2.2).
func (r *reader) referenceDates(c *checks) (dates []dcm.Date, ok bool) {
	valid := true
	weeks := r.weekRoom[:0]
	ok = r.Array(func(i int) {
		date, ok := r.date()
		if !ok {
			valid = false
			return
		}
		weeks = append(weeks, week{i, date})
		dates = append(dates, date)
	})
	r.weekRoom = weeks
	c.weeks(r.options, weeks, "a reference date", place{"listOfReferenceDates"})
	return dates, ok && valid
}

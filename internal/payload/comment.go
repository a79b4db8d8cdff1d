package payload

import (
	"unicode/utf8"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/schemas"

	"github.com/google/uuid"
)

// maxCommentText is the longest text of a comment, in characters.
const maxCommentText = 5000

// ReadComments reads the body of an IdBasedComment message. No error quotes an
// author or a text: what is deleted later must be gone. The error is a
// *SyntaxError.
func ReadComments(body []byte, o Options) (*Message[dcm.Comment], error) {
	return readObjects(body, o, "comments", "IdBasedComment", func(r *reader, pointer string, limit int) Object[dcm.Comment] {
		return r.comment(pointer, limit)
	})
}

var requiredOfComment = []string{"commentId", "objectId", "objectType", "supplier", "customer"}

// comment reads one object. At most limit errors are listed.
func (r *reader) comment(pointer string, limit int) Object[dcm.Comment] {
	o := Object[dcm.Comment]{Pointer: pointer}
	c := &o.Value
	have := fields{required: requiredOfComment}
	checks := checks{limit: limit, base: pointer}
	o.Raw = r.Raw(func() {
		have.sure(r.Object(func(name string) {
			var ok bool
			switch name {
			case "commentId":
				if c.ID, ok = r.id(); ok {
					o.ID = &c.ID
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
				c.CommentText, ok = optional(r.matching(func(s string) bool { return utf8.RuneCountInString(s) <= maxCommentText }))
			case "listOfReferenceDates":
				c.ReferenceDates, ok = r.referenceDates(&checks)
			case "postedAt":
				c.PostedAt, ok = optional(r.timestamp(dcm.ParseTimestamp))
			case "changedAt":
				c.ChangedAt, ok = optional(r.timestamp(dcm.ParseTimestamp))
			case "requestDelete":
				c.RequestDelete, ok = r.Bool()
			case "simulationId":
				var id uuid.UUID
				id, ok = r.id()
				c.SimulationID = &id
			default:
				r.unknown()
				return
			}
			have.read(name, ok)
		}))
	})
	if r.Failed() {
		return o
	}
	r.warn(&o.Warnings, schemas.Comment, o.Raw, pointer, limit)
	if !have.all() {
		o.Errors.askSchema(schemas.Comment, o.Raw, pointer, limit)
	}
	o.Errors.join(checks.errors, limit)
	return o
}

func optional[T any](value T, ok bool) (*T, bool) { return &value, ok }

// referenceDates reads the Mondays that a comment is about (CX-0128 §4.4.2.2).
func (r *reader) referenceDates(c *checks) (dates []dcm.Date, ok bool) {
	valid := true
	var weeks noWeekTwice
	ok = r.Array(func(i int) {
		date, ok := r.date()
		if !ok {
			valid = false
			return
		}
		c.monday(date, "listOfReferenceDates", i)
		weeks.check(c, date, "listOfReferenceDates", i)
		dates = append(dates, date)
	})
	return dates, ok && valid
}

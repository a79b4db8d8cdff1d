package store

import (
	"bytes"
	"slices"
	"time"

	"dcm-receiver/internal/dcm"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// comments is the kind of comments.
var comments = kind{
	endpoint: dcm.CommentEndpoint, lock: lockComments, write: writeComments,
	conflicts: []string{"comment_pkey"}, tables: []string{"comment"},
	columns: insertComments.names(),
}

// About names the object of a comment, and its sender.
type About struct {
	ID      uuid.UUID
	Type    string // URN of the model
	Partner string // BPNL of the sender
}

// WriteComment stores a received comment, in which everything that a sender may leave out is set.
func WriteComment(c *dcm.Comment, originator string, content Content) Write {
	return Write{state: state{changedAt: *c.ChangedAt, originator: originator, hash: content}, object: c}
}

// DeleteComment reduces a comment to its ID and the time of its deletion. A later deletion changes
// that time: a state from between the two must not bring the comment back.
func DeleteComment(c *dcm.Comment, originator string, at dcm.Timestamp) Write {
	return Write{
		state: state{deletedAt: &at, originator: originator,
			hash: ContentOf([]byte("deleted " + at.UTC().Format(time.RFC3339Nano)))},
		object: &dcm.Comment{ID: c.ID, Supplier: c.Supplier, Customer: c.Customer},
	}
}

// commentRow is a comment on its way into its table.
type commentRow struct {
	*dcm.Comment
	state
	message *Arrival
}

// unlessDeleted leaves a value out of a deleted comment.
func unlessDeleted(value func(commentRow) any) func(commentRow) any {
	return func(r commentRow) any {
		if r.deletedAt != nil {
			return nil
		}
		return value(r)
	}
}

var commentColumns = []column[commentRow]{
	{"partner", func(r commentRow) any { return r.originator }},
	{"supplier", func(r commentRow) any { return r.Supplier }},
	{"customer", func(r commentRow) any { return r.Customer }},
	{"comment_id", func(r commentRow) any { return pgUUID(&r.ID) }},
	{"originator", func(r commentRow) any { return r.originator }},
	{"deleted_at", func(r commentRow) any {
		if r.deletedAt == nil {
			return nil
		}
		return r.deletedAt.Time
	}},
	{"deleted_at_nanosecond", func(r commentRow) any {
		if r.deletedAt == nil {
			return nil
		}
		return nanosecond(*r.deletedAt)
	}},
	{"changed_at", unlessDeleted(func(r commentRow) any { return r.changedAt.Time })},
	{"changed_at_nanosecond", unlessDeleted(func(r commentRow) any { return nanosecond(r.changedAt) })},
	{"first_received_at", func(r commentRow) any { return r.message.ReceivedAt }},
	{"received_at", func(r commentRow) any { return r.message.ReceivedAt }},
	{"message_id", unlessDeleted(func(r commentRow) any { return pgUUID(r.message.MessageID) })},
	{"content_hash", func(r commentRow) any { return r.hash[:] }},
	{"object_id", unlessDeleted(func(r commentRow) any { return pgUUID(&r.ObjectID) })},
	{"object_type", unlessDeleted(func(r commentRow) any { return r.ObjectType })},
	{"author", unlessDeleted(func(r commentRow) any { return *r.Author })},
	{"comment_type", unlessDeleted(func(r commentRow) any { return r.CommentType })},
	{"comment_text", unlessDeleted(func(r commentRow) any { return r.CommentText })},
	{"reference_dates", unlessDeleted(func(r commentRow) any {
		return days{len(r.ReferenceDates), func(i int) dcm.Date { return r.ReferenceDates[i] }}
	})},
	{"posted_at", unlessDeleted(func(r commentRow) any { return r.PostedAt.Time })},
	{"simulation_id", unlessDeleted(func(r commentRow) any { return pgUUID(r.SimulationID) })},
}

var (
	insertComments    = insertInto("comment", commentColumns, "")
	overwriteComments = insertComments.overwriting([]string{"partner", "supplier", "customer", "comment_id"},
		"first_received_at")

	lockedComments           = load("lock_comments")
	commentedCapacityGroups  = load("commented_capacity_groups")
	commentedMaterialDemands = load("commented_material_demands")
)

// object names an object of any kind.
type object struct {
	Key
	kind string // URN of its model
}

// lockComments reads and locks the stored comments of one supplier and customer, and looks up which
// of the objects of new comments are stored.
func lockComments(b *batches, o owner, subjects []Subject, into *locked) {
	byPartner := map[string][]Subject{}
	for _, s := range subjects {
		byPartner[s.About.Partner] = append(byPartner[s.About.Partner], s)
	}
	for partner, subjects := range byPartner {
		args := values{"partner": partner, "supplier": o.supplier, "customer": o.customer, "ids": sortedIDs(subjects),
			"objects": objectsOf(subjects)}
		lockedComments.Queue(&b.next, args).Query(func(rows pgx.Rows) error {
			var id pgtype.UUID
			var originator string
			var deleted, changed *time.Time
			var deletedNS, changedNS *int16
			var hash []byte
			_, err := pgx.ForEachRow(rows, []any{&id, &originator, &deleted, &deletedNS, &changed, &changedNS, &hash},
				func() error {
					known := state{originator: originator, hash: hashIn(hash)}
					if deleted != nil && deletedNS != nil {
						at := instant(*deleted, *deletedNS)
						known.deletedAt = &at
					} else if changed != nil && changedNS != nil {
						known.changedAt = instant(*changed, *changedNS)
					}
					into.objects[Key{o.supplier, o.customer, id.Bytes}] = known
					return nil
				})
			return err
		})
		for kind, look := range map[string]statement{dcm.CapacityGroupType: commentedCapacityGroups,
			dcm.MaterialDemandType: commentedMaterialDemands} {
			look.Queue(&b.next, args).Query(func(rows pgx.Rows) error {
				var id pgtype.UUID
				_, err := pgx.ForEachRow(rows, []any{&id}, func() error {
					into.exchanged[object{Key{o.supplier, o.customer, id.Bytes}, kind}] = true
					return nil
				})
				return err
			})
		}
	}
}

// objectsOf are the objects that comments are on, each once.
func objectsOf(subjects []Subject) []pgtype.UUID {
	ids := mapSlice(subjects, func(s *Subject) uuid.UUID { return s.About.ID })
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	return mapSlice(slices.Compact(ids), func(id *uuid.UUID) pgtype.UUID { return pgUUID(id) })
}

// writeComments stores the comments that messages write, or deletes them.
func writeComments(b *batches, messages []*saving) error {
	// A comment that comes again as it is needs no writing.
	insertions, changes, err := partition(b, messages, statement{}, statement{},
		func(m *saving, _ Key, w Write) (commentRow, bool) {
			c, ok := w.object.(*dcm.Comment)
			return commentRow{c, w.state, &m.Arrival}, ok
		})
	if err != nil {
		return err
	}
	if err := overwriteComments.write(b, changes); err != nil {
		return err
	}
	return insertComments.write(b, insertions)
}

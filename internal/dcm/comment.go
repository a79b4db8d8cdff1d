package dcm

import "github.com/google/uuid"

// Comment is what a partner says of an object that both have (IdBasedComment
// 1.1, CX-0128 §4.4).
type Comment struct {
	ID             uuid.UUID // unique for one supplier and customer only
	ObjectID       uuid.UUID // of the object that the comment is on
	ObjectType     string    // URN of its model, without version
	Supplier       string    // BPNL
	Customer       string    // BPNL
	Author         *string   // e-mail address or BPNL; nil if not sent
	CommentType    string    // one of CommentTypes; "" if not sent
	CommentText    *string   // at most 5,000 characters; nil if not sent
	ReferenceDates []Date    // Mondays
	PostedAt       *Timestamp
	ChangedAt      *Timestamp
	RequestDelete  bool
	SimulationID   *uuid.UUID
}

// CommentTypes lists the types that a Comment may have.
var CommentTypes = []string{"information", "warning", "default", "actionRequired"}

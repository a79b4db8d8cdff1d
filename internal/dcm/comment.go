package dcm

import (
	"regexp"
	"slices"

	"github.com/google/uuid"
)

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

// IsCommentType reports whether s is one of CommentTypes.
func IsCommentType(s string) bool { return slices.Contains(CommentTypes, s) }

var objectType, author = regexp.MustCompile(`^urn:samm:io\.catenax\.[a-z0-9_]{1,64}$`),
	regexp.MustCompile(`^(BPNL[a-zA-Z0-9]{12}|[^@\s\x00]{1,64}@[^@\s\x00]{1,255})$`)

// IsObjectType reports whether s is the URN of an aspect model without version.
func IsObjectType(s string) bool { return objectType.MatchString(s) }

// IsAuthor reports whether s is an e-mail address, as far as its form says it, or
// a BPNL.
func IsAuthor(s string) bool { return author.MatchString(s) }

// Object types that comments are on here.
const (
	CapacityGroupType  = "urn:samm:io.catenax.week_based_capacity_group"
	MaterialDemandType = "urn:samm:io.catenax.week_based_material_demand"
)

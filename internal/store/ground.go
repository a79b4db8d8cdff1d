package store

import (
	"crypto/sha256"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/rules"

	"github.com/google/uuid"
)

// Ground is what a decision stands on: what is stored of the subjects of one
// message, and what the message itself changes, which the next of its objects
// finds. It is valid only in the call that it is handed to.
type Ground struct {
	stored  *locked                // shared with other messages of the transaction, which are about other subjects
	written map[Key]Write          // the last write of each object
	holders map[material]uuid.UUID // where the message changes them; uuid.Nil: nobody holds it any more
}

// locked is what a transaction has read and locked.
type locked struct {
	objects map[Key]state
	holders map[material]uuid.UUID
	// exchanged are the objects that there are, of those that comments are on.
	exchanged map[object]bool

	// Of capacity groups, where that is told: those that we asked for, and the
	// relationships in which we asked for all.
	requested    map[Key]bool
	allRequested map[owner]bool
}

// material is what there may be one material demand of (CX-0048 §2.2.2).
type material struct{ supplier, customer, number string }

// state is what decisions need to know of an object.
type state struct {
	changedAt  dcm.Timestamp
	start      *dcm.Timestamp // startReferenceDateTime of a capacity group; nil if it has none
	material   string         // materialNumberCustomer of a material demand
	hash       [sha256.Size]byte
	deletedAt  *dcm.Timestamp // of a deleted comment, which has no changedAt
	originator string         // of a comment
	unlocked   bool           // by an operator: what comes next is newer
}

// Write is an object to be stored: exactly one of the three is set.
type Write struct {
	state
	group   *dcm.CapacityGroup
	demand  *dcm.MaterialDemand
	comment *dcm.Comment
}

// contentVersion is part of every content hash. It changes when the same object
// is to be stored in another way, so that a re-send then is written in full.
const contentVersion = "2"

// Content stands for an object as it was sent: the same again needs no writing.
type Content [sha256.Size]byte

// ContentOf is what raw, an object as sent, is told by. It takes long enough to be
// made before a transaction begins.
func ContentOf(raw []byte) Content {
	h := sha256.New()
	h.Write([]byte(contentVersion))
	h.Write(raw)
	return Content(h.Sum(nil))
}

// Stored is what rules may ask about a subject at this point of the message.
func (g *Ground) Stored(s Subject) (stored rules.Stored) {
	stored.WasRequested = g.stored.requested[s.Key] || g.stored.allRequested[owner{s.Supplier, s.Customer}]
	if before, known := g.now(s.Key); known {
		stored.Originator, stored.DeletedAt, stored.StartReference = before.originator, before.deletedAt, before.start
		if before.deletedAt == nil {
			stored.ChangedAt = &before.changedAt
		}
		if before.unlocked {
			stored.ChangedAt = &unlocked
		}
	}
	stored.Commented = g.stored.exchanged[object{Key{s.Supplier, s.Customer, s.About.ID}, s.About.Type}]
	if s.Material != "" {
		m := material{s.Supplier, s.Customer, s.Material}
		holder, changed := g.holders[m]
		if !changed {
			holder = g.stored.holders[m]
		}
		if holder != uuid.Nil {
			stored.Holder = &holder
		}
	}
	return stored
}

func (g *Ground) now(k Key) (state, bool) {
	if w, ok := g.written[k]; ok {
		return w.state, true
	}
	before, known := g.stored.objects[k]
	return before, known
}

// Write stores an object, which overwrites all existing values of the same key.
func (g *Ground) Write(s Subject, w Write) {
	if s.Material != "" {
		if g.holders == nil {
			g.holders = map[material]uuid.UUID{}
		}
		if before, known := g.now(s.Key); known {
			g.holders[material{s.Supplier, s.Customer, before.material}] = uuid.Nil
		}
		g.holders[material{s.Supplier, s.Customer, s.Material}] = s.ID
	}
	if g.written == nil {
		g.written = map[Key]Write{}
	}
	g.written[s.Key] = w
}

// change is how a write changes what is stored.
type change int

const (
	created change = iota
	changed
	same
)

// Changes reports whether anything that the message writes differs from what is
// stored.
func (g *Ground) Changes() (any bool) {
	g.changes(func(_ Key, _ Write, c change) { any = any || c != same })
	return any
}

// changes calls each for what the message writes, with how it changes what is
// stored.
func (g *Ground) changes(each func(Key, Write, change)) {
	for key, w := range g.written {
		switch before, known := g.stored.objects[key]; {
		case !known:
			each(key, w, created)
		case before.hash != w.hash:
			each(key, w, changed)
		default:
			each(key, w, same)
		}
	}
}

package store

import (
	"crypto/sha256"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/rules"

	"github.com/google/uuid"
)

// Snapshot is what a decision reads: the stored state of a message's subjects, locked, and what the
// message itself has written so far, which its next objects see. It is valid only during the call that
// it is passed to.
type Snapshot struct {
	stored  *locked                // shared with other messages of the transaction, whose subjects differ
	written map[Key]Write          // the last write of each object
	holders map[material]uuid.UUID // changed by the message; uuid.Nil: the material is free again
}

// locked is what a transaction has read and locked.
type locked struct {
	objects   map[Key]state
	holders   map[material]uuid.UUID // the demand that has a material
	exchanged map[object]bool        // objects of comments that are stored

	// With TellRequested: the capacity groups that we asked for, and the relationships in which we
	// asked for all.
	requested    map[Key]bool
	allRequested map[owner]bool
}

// material identifies what may have one material demand only (CX-0048 §2.2.2).
type material struct{ supplier, customer, number string }

// state is what decisions need of a stored object.
type state struct {
	changedAt  dcm.Timestamp
	start      *dcm.Timestamp // startReferenceDateTime of a capacity group; nil if it has none
	material   string         // materialNumberCustomer of a material demand
	hash       [sha256.Size]byte
	deletedAt  *dcm.Timestamp // of a deleted comment, which has no changedAt
	originator string         // of a comment
	unlocked   bool           // an operator has unlocked it: the next message counts as newer
}

// Write is an object to be stored.
type Write struct {
	state
	object any // *dcm.CapacityGroup, *dcm.MaterialDemand or *dcm.Comment
}

// Content is the hash of an object as sent. An object with the stored hash need not be written.
type Content [sha256.Size]byte

// ContentOf hashes an object as sent. Callers do so before the transaction begins.
func ContentOf(raw []byte) Content {
	h := sha256.New()
	h.Write(contentVersion)
	h.Write(raw)
	return Content(h.Sum(nil))
}

// Stored answers what rules ask about a subject, including what the message has written so far.
func (sn *Snapshot) Stored(s Subject) (stored rules.Stored) {
	stored.WasRequested = sn.stored.requested[s.Key] || sn.stored.allRequested[owner{s.Supplier, s.Customer}]
	if before, known := sn.now(s.Key); known {
		stored.Originator, stored.DeletedAt, stored.StartReference = before.originator, before.deletedAt, before.start
		if before.deletedAt == nil {
			stored.ChangedAt = &before.changedAt
		}
		if before.unlocked {
			stored.ChangedAt = &unlocked
		}
	}
	stored.Commented = sn.stored.exchanged[object{Key{s.Supplier, s.Customer, s.About.ID}, s.About.Type}]
	if s.Material != "" {
		m := material{s.Supplier, s.Customer, s.Material}
		holder, changed := sn.holders[m]
		if !changed {
			holder = sn.stored.holders[m]
		}
		if holder != uuid.Nil {
			stored.Holder = &holder
		}
	}
	return stored
}

func (sn *Snapshot) now(k Key) (state, bool) {
	if w, ok := sn.written[k]; ok {
		return w.state, true
	}
	before, known := sn.stored.objects[k]
	return before, known
}

// Write stores an object, which overwrites all existing values of the same key.
func (sn *Snapshot) Write(s Subject, w Write) {
	if s.Material != "" {
		if sn.holders == nil {
			sn.holders = map[material]uuid.UUID{}
		}
		if before, known := sn.now(s.Key); known {
			sn.holders[material{s.Supplier, s.Customer, before.material}] = uuid.Nil
		}
		sn.holders[material{s.Supplier, s.Customer, s.Material}] = s.ID
	}
	if sn.written == nil {
		sn.written = map[Key]Write{}
	}
	sn.written[s.Key] = w
}

// change is how a write changes what is stored.
type change int

const (
	created change = iota
	changed
	same
)

// Changes reports whether the message changes anything that is stored.
func (sn *Snapshot) Changes() (any bool) {
	sn.changes(func(_ Key, _ Write, c change) { any = any || c != same })
	return any
}

// changes calls each for every object that the message writes.
func (sn *Snapshot) changes(each func(Key, Write, change)) {
	for key, w := range sn.written {
		switch before, known := sn.stored.objects[key]; {
		case !known:
			each(key, w, created)
		case before.hash != w.hash:
			each(key, w, changed)
		default:
			each(key, w, same)
		}
	}
}

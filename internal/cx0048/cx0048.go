// Package cx0048 holds the ordered rules of CX-0048 "Demand and Capacity
// Management API Material Demand and Capacity Group", version 1.0.0, and the
// checks of its §2.2.2 and §3.2.2 that a JSON Schema cannot say. It decides and
// nothing else: it knows no HTTP, no JSON and no database.
//
// CX-0048 was superseded by CX-0128 "Demand and Capacity Management Data
// Exchange" (package cx0128).
package cx0048

import (
	"fmt"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/rules"
)

// The conditions that both tables share, by the standard's words.

func invalid[T any](s *rules.Situation[T]) bool { return !s.Valid }
func known[T any](s *rules.Situation[T]) bool   { return s.Stored.Known() }
func unknown[T any](s *rules.Situation[T]) bool { return !s.Stored.Known() }

// olderThanStored is the reason of the rules that refuse an older object.
func olderThanStored(received dcm.Timestamp, stored *dcm.Timestamp, object string) (property, detail string) {
	return "changedAt",
		fmt.Sprintf("changedAt is %s, older than %s of the %s that was received before; nothing was changed",
			received.Format(time.RFC3339Nano), stored.Format(time.RFC3339Nano), object)
}

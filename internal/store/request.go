package store

import (
	"slices"
	"time"

	"dcm-receiver/internal/dcm"

	"github.com/jackc/pgx/v5/pgtype"
)

// requests is the kind of requests for update.
var requests = kind{
	endpoint: dcm.RequestForUpdateEndpoint, write: writeRequests,
	tables:  []string{"requested_update"},
	columns: insertRequests.names(),
}

// requestRow is a request for update on its way into its table.
type requestRow struct {
	*UpdateRequest
	message *Arrival
}

// newRequestRow has the entries for material demands, which a customer answers,
// before those for capacity groups.
func newRequestRow(m *saving) requestRow {
	r := *m.decision.Request
	r.Entries = slices.Clone(r.Entries)
	slices.SortStableFunc(r.Entries, func(a, b dcm.RequestForUpdate) int { return place(a) - place(b) })
	return requestRow{&r, &m.Arrival}
}

func place(r dcm.RequestForUpdate) int {
	if r.Object == dcm.MaterialDemandEndpoint.Object {
		return 0
	}
	return 1
}

func (r requestRow) anyChangedAt() bool {
	return slices.ContainsFunc(r.Entries, func(e dcm.RequestForUpdate) bool { return e.ChangedAt != nil })
}

// A repeated message adds nothing.
var insertRequests = insertInto("requested_update", []column[requestRow]{
	{"partner", func(r requestRow) any { return r.message.Sender }},
	{"message_key", func(r requestRow) any {
		if r.message.MessageID != nil {
			return pgUUID(r.message.MessageID)
		}
		return pgUUID(&r.message.ID)
	}},
	{"message_id", func(r requestRow) any { return pgUUID(r.message.MessageID) }},
	{"asked", func(r requestRow) any { return nullable(r.Asked) }},
	{"requested_at", func(r requestRow) any { return r.message.ReceivedAt }},
	{"expected_response_by", func(r requestRow) any {
		if r.ResponseBy == nil {
			return nil
		}
		return r.ResponseBy.Time
	}},
	{"material_demands", func(r requestRow) any {
		n := 0
		for _, e := range r.Entries {
			n += 1 - place(e)
		}
		return int32(n)
	}},
	{"requested_id", func(r requestRow) any {
		return mapSlice(r.Entries, func(e *dcm.RequestForUpdate) pgtype.UUID { return pgUUID(e.ID) })
	}},
	{"changed_at", func(r requestRow) any {
		if !r.anyChangedAt() {
			return []time.Time{}
		}
		return mapSlice(r.Entries, func(e *dcm.RequestForUpdate) *time.Time {
			if e.ChangedAt == nil {
				return nil
			}
			return &e.ChangedAt.Time
		})
	}},
	{"changed_at_nanosecond", func(r requestRow) any {
		if !r.anyChangedAt() {
			return []int16{}
		}
		return mapSlice(r.Entries, func(e *dcm.RequestForUpdate) *int16 {
			if e.ChangedAt == nil {
				return nil
			}
			ns := nanosecond(*e.ChangedAt)
			return &ns
		})
	}},
}, "on conflict do nothing")

// notifyOutbox wakes the replica that answers requests, when the transaction commits.
var notifyOutbox = load("notify_outbox")

func writeRequests(b *batches, messages []*saving) error {
	for _, m := range messages {
		if m.decision.Request != nil {
			insertRequests.queue(&b.next, []requestRow{newRequestRow(m)})
			notifyOutbox.Queue(&b.next, values{"sender": m.Sender})
		}
	}
	return nil
}

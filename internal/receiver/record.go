package receiver

import (
	"context"
	"fmt"
	"sync"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/store"

	"golang.org/x/time/rate"
)

// recordBytes is how many bytes an hour a partner can make the database grow by
// with what changes nothing: refusals, identical re-sends, requests for update. It
// is also how many may come at once. Some 30,000 small messages, or sixteen lists
// whose errors are as many as are listed. Beyond it, messages are counted by the
// hour (planning.message_count) instead of kept one by one.
const recordBytes = 16 << 20

// recording is what partners have left of recordBytes, and what was counted since
// it was last written. A replica knows of its own partners' messages only.
type recording struct {
	limit    int        // recordBytes but for tests
	mu       sync.Mutex // owns the fields below
	partners map[string]*rate.Limiter
	counts   map[store.CountKey]store.Count
}

// manyPartners bounds memory, in case a connector lets everybody through: what
// comes from more of them at a time has one limit together.
const manyPartners = 10_000

// of is the limiter of a partner.
func (r *recording) of(partner string, now time.Time) *rate.Limiter {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.partners == nil {
		r.partners = map[string]*rate.Limiter{}
	}
	if l := r.partners[partner]; l != nil {
		return l
	}
	if len(r.partners) >= manyPartners {
		for name, l := range r.partners { // those who were quiet for long begin anew anyway
			if l.TokensAt(now) >= float64(r.limit) {
				delete(r.partners, name)
			}
		}
	}
	if len(r.partners) >= manyPartners {
		partner = "" // which no partner is
		if l := r.partners[partner]; l != nil {
			return l
		}
	}
	l := rate.NewLimiter(rate.Limit(r.limit)/3600, r.limit)
	r.partners[partner] = l
	return l
}

// add counts a message that is not kept.
func (r *recording) add(in *inbound, status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counts == nil {
		r.counts = map[store.CountKey]store.Count{}
	}
	key := store.CountKey{Sender: in.Sender, Endpoint: in.Endpoint, Status: status,
		Hour: in.ReceivedAt.UTC().Truncate(time.Hour)}
	c := r.counts[key]
	r.counts[key] = store.Count{Messages: c.Messages + 1, Bytes: c.Bytes + in.Bytes}
}

// take returns the counts, to be written, and starts new ones.
func (r *recording) take() map[store.CountKey]store.Count {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := r.counts
	r.counts = nil
	return taken
}

// putBack adds counts that could not be written.
func (r *recording) putBack(counts map[store.CountKey]store.Count) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counts == nil {
		r.counts = map[store.CountKey]store.Count{}
	}
	for key, c := range counts {
		now := r.counts[key]
		r.counts[key] = store.Count{Messages: now.Messages + c.Messages, Bytes: now.Bytes + c.Bytes}
	}
}

// About what the journal takes for a message, for the verdict on an object, and
// for an entry of a request for update, in bytes.
const (
	messageCost = 500
	verdictCost = 30
	requestCost = 30
)

// limitRecord decides how much of an entry is kept, by the partner's remaining quota, and says so in
// the entry's warnings. Where the message changes stored objects, the journal keeps the verdicts on
// accepted objects in any case, and only the rest counts.
func (rc *Receiver) limitRecord(in *inbound, e *store.Entry, changes bool) {
	cost := listCost(e.Errors) + listCost(e.Warnings)
	for i := range e.Results {
		r := &e.Results[i]
		cost += listCost(r.Errors) + listCost(r.Warnings)
		if !changes || len(r.Errors.List) > 0 {
			cost += verdictCost
		}
	}
	if !changes {
		cost += messageCost
	}
	e.Record = store.InFull
	if rc.recording.of(in.Sender, in.ReceivedAt).AllowN(in.ReceivedAt, min(cost, rc.recording.limit)) {
		return
	}
	e.Record = store.InBrief
	detail := "more errors came from this sender than are recorded in an hour: this message is recorded without " +
		"them, " +
		"so GET /messages will not show them"
	if !changes {
		e.Record = store.NotAtAll
		detail = "more messages that change nothing came from this sender than are recorded in an hour: " +
			"this one is counted only, so GET /messages will not show it"
	}
	e.Warnings.List = append(e.Warnings.List[:len(e.Warnings.List):len(e.Warnings.List)],
		dcm.Violation{Detail: detail})
}

func listCost(l dcm.Violations) (bytes int) {
	for _, v := range l.List {
		bytes += len(v.Pointer) + len(v.Detail) + len(`{"detail": "", "pointer": ""}, `)
	}
	return bytes
}

// tooManyRequests means that a request for update is not stored, because its
// sender sent more of them than are kept in an hour.
type tooManyRequests struct{ again time.Duration }

func (tooManyRequests) Error() string { return "too many requests for update" }

// limitRequests fails with tooManyRequests where the sender has nothing left for
// a request of so many entries.
func (rc *Receiver) limitRequests(in *inbound, entries int) error {
	limiter := rc.recording.of(in.Sender, in.ReceivedAt)
	cost := min(messageCost+entries*requestCost, rc.recording.limit)
	if limiter.AllowN(in.ReceivedAt, cost) {
		return nil
	}
	reservation := limiter.ReserveN(in.ReceivedAt, cost)
	defer reservation.CancelAt(in.ReceivedAt)
	return tooManyRequests{reservation.DelayFrom(in.ReceivedAt)}
}

// refuseRequest answers a request for update over the quota.
func refuseRequest(t tooManyRequests) answer {
	return unavailable(
		fmt.Sprintf(
			"more requests for update came from this sender than are kept in an hour; nothing of this one was stored, "+
				"send it again in %s, or ask for everything by one message without IDs", t.again.Round(time.Second)))
}

// countEvery is how often counts are written.
const countEvery = 10 * time.Second

// KeepCounts writes counts of messages until ctx ends, and once more then.
func (rc *Receiver) KeepCounts(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(countEvery):
		}
		rc.WriteCounts(context.WithoutCancel(ctx))
	}
}

// WriteCounts writes what was counted so far.
func (rc *Receiver) WriteCounts(ctx context.Context) {
	counts := rc.recording.take()
	if len(counts) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := rc.store.AddCounts(ctx, counts); err != nil {
		rc.recording.putBack(counts)
		var many int64
		for _, c := range counts {
			many += c.Messages
		}
		rc.log.Warn("counts of messages could not be written; trying again", "error", store.Describe(err), "messages",
			many)
	}
}

package receiver

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/fair"
	"dcm-receiver/internal/store"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"
)

// Most connectors in the field replace the answer to a refused POST by a bare
// 500, so the answers are also there to be fetched. This is an addition to the
// standard.

// shown is one message; the answer it got follows as "answer".
type shown struct {
	ID         uuid.UUID `json:"id"`
	MessageID  string    `json:"messageId,omitempty"`
	Endpoint   string    `json:"endpoint"`
	ReceivedAt time.Time `json:"receivedAt"`
	Status     int       `json:"status"`
	Objects    int       `json:"objects"`
	Instance   string    `json:"instance"` // where it is in full
}

// reading is what a request is going to read of the journal.
type reading struct {
	size int64 // about how many bytes the answer has, at most
	read func(context.Context) (text []byte, refused *answer)
}

// show serves what a sender may see of its own messages. find says what is to be
// read.
func (rc *Receiver) show(find func(context.Context, *http.Request, string) (reading, *answer)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var a store.Arrival
		if refused := rc.admit(w, r, &a, http.MethodGet); refused != nil {
			drainBody(w, r)
			rc.refuse(w, messagesEndpoint, *refused)
			return
		}
		text, refused := rc.find(w, r, a.Sender, find)
		if refused != nil {
			if refused.Status == http.StatusServiceUnavailable {
				w.Header().Set("Retry-After", retryAfter)
			}
			rc.refuse(w, messagesEndpoint, *refused)
			return
		}
		defer rc.bytes.Give(a.Sender, int64(len(text)))
		rc.metrics.messages.WithLabelValues(messagesEndpoint, "200").Inc()
		rc.log.Info("messages shown", "sender", a.Sender, "status", http.StatusOK)
		send(w, http.StatusOK, text)
	}
}

// find reads what is shown, in the sender's turn. The text counts as its share until
// it is given back.
func (rc *Receiver) find(w http.ResponseWriter, r *http.Request, sender string,
	find func(context.Context, *http.Request, string) (reading, *answer)) (text []byte, refused *answer) {
	if !rc.messages.Take(sender, 1) {
		return nil, rc.heldBack(w, sender, "messages")
	}
	defer rc.messages.Give(sender, 1)
	ctx, cancel := context.WithTimeout(r.Context(), rc.config.RequestTimeout)
	defer cancel()
	done, err := rc.begin(ctx, sender, fair.Load{Cost: fair.Unit, Memory: 16 << 10})
	if err != nil {
		return nil, rc.heldBack(w, sender, "work")
	}
	what, refused := find(ctx, r, sender)
	done()
	if refused != nil {
		return nil, refused
	}
	if !rc.bytes.Take(sender, what.size) {
		return nil, rc.heldBack(w, sender, "bytes")
	}
	defer func() { rc.bytes.Force(sender, int64(len(text))-what.size) }()
	if done, err = rc.begin(ctx, sender, fair.Load{Cost: fair.Cost(what.size), Memory: 3 * what.size}); err != nil {
		return nil, rc.heldBack(w, sender, "work")
	}
	defer done()
	return what.read(ctx)
}

// failed is the answer where the journal cannot be read.
func (rc *Receiver) failed(ctx context.Context, err error) *answer {
	rc.metrics.storeErrors.WithLabelValues(store.Kind(err)).Inc()
	rc.log.ErrorContext(ctx, "store failed; answered 503", "error", store.Describe(err), "kind", store.Kind(err))
	a := unavailable("the store of this receiver does not answer; try again")
	return &a
}

// appendShown writes a message, with its answer where the entry is complete.
func (rc *Receiver) appendShown(b []byte, m *store.Recorded) []byte {
	endpoint, _ := dcm.EndpointOf(m.Endpoint)
	a := rc.answerTo(m.ID, m.MessageID, endpoint, m.Entry)
	begin := len(b)
	b = append(b, marshal(shown{ID: m.ID, MessageID: m.MessageID, Endpoint: m.Endpoint, ReceivedAt: m.ReceivedAt,
		Status: rc.status(m.Entry), Objects: m.Objects, Instance: a.Instance})...)
	if m.Complete {
		b = append(a.appendTo(member(b, begin, "answer")), '}')
	}
	return b
}

func (rc *Receiver) showMessage(ctx context.Context, r *http.Request, sender string) (found reading, _ *answer) {
	notFound := refusal(http.StatusNotFound, "unknown-message", "No such message",
		"there is no message of yours with this ID; entries are kept for a limited time")
	text, err := url.PathUnescape(chi.URLParam(r, "id"))
	if err != nil {
		return found, &notFound
	}
	id, err := dcm.ParseID(text)
	if err != nil {
		return found, &notFound
	}
	place, err := rc.store.Find(ctx, sender, id)
	switch {
	case err != nil:
		return found, rc.failed(ctx, err)
	case place == nil:
		return found, &notFound
	}
	const around, perObject = 4 << 10, 160
	errors := min(place.ErrorBytes, store.MaxErrorText)
	found.size = around + perObject*int64(place.Objects) + errors
	found.read = func(ctx context.Context) ([]byte, *answer) {
		m, err := rc.store.Message(ctx, sender, place.ID)
		switch {
		case err != nil:
			return nil, rc.failed(ctx, err)
		case m == nil: // removed meanwhile
			return nil, &notFound
		}
		boundErrors(&m.Entry) // entries of earlier versions have more
		return rc.appendShown(make([]byte, 0, around+perObject*m.Objects), m), nil
	}
	return found, nil
}

func (rc *Receiver) listMessages(_ context.Context, r *http.Request, sender string) (found reading, _ *answer) {
	invalid := func(detail string) *answer {
		a := refusal(http.StatusBadRequest, "query", "The query is not valid", detail)
		return &a
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return found, invalid("the query cannot be read")
	}
	refused, limit := false, 20
	if s := query.Get("refused"); s != "" {
		if refused, err = strconv.ParseBool(s); err != nil {
			return found, invalid("refused must be true or false")
		}
	}
	if s := query.Get("limit"); s != "" {
		if limit, err = strconv.Atoi(s); err != nil || limit < 1 || limit > 100 {
			return found, invalid("limit must be a number from 1 to 100")
		}
	}
	var before *uuid.UUID
	if s := query.Get("before"); s != "" {
		id, err := uuid.Parse(s)
		if err != nil {
			return found, invalid("before must be the id of a message")
		}
		before = &id
	}
	found.size = int64(limit) * store.MostListed
	found.read = func(ctx context.Context) ([]byte, *answer) {
		entries, err := rc.store.Messages(ctx, sender, refused, before, limit)
		if err != nil {
			return nil, rc.failed(ctx, err)
		}
		b := []byte(`{"messages":[`)
		for i := range entries {
			if i > 0 {
				b = append(b, ',')
			}
			b = rc.appendShown(b, &entries[i])
		}
		b = append(b, ']')
		if len(entries) == limit {
			query.Set("before", entries[limit-1].ID.String())
			b = append(append(b, `,"next":`...), marshal("/messages?"+query.Encode())...) // where the older ones are
		}
		return append(b, '}'), nil
	}
	return found, nil
}

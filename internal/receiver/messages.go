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

// shown is one message with the answer it got.
type shown struct {
	ID         uuid.UUID `json:"id"`
	MessageID  string    `json:"messageId,omitempty"`
	Endpoint   string    `json:"endpoint"`
	ReceivedAt time.Time `json:"receivedAt"`
	Status     int       `json:"status"`
	Objects    int       `json:"objects"`
	Instance   string    `json:"instance"`         // where it is in full
	Answer     *answer   `json:"answer,omitempty"` // left out of a list where it is large
	size       int64     // bytes held for it
}

// page is a part of the list of messages, newest first.
type page struct {
	Messages []shown `json:"messages"`
	Next     string  `json:"next,omitempty"` // where the older ones are
}

// show serves what a sender may see of its own messages.
func (rc *Receiver) show(find func(context.Context, *http.Request, string) (any, *answer)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var a store.Arrival
		if refused := rc.admit(w, r, &a, http.MethodGet); refused != nil {
			rc.refuse(w, messagesEndpoint, *refused)
			return
		}
		found, size, refused := rc.find(w, r, a.Sender, find)
		defer rc.bytes.Give(a.Sender, size)
		if refused != nil {
			if refused.Status == http.StatusServiceUnavailable {
				w.Header().Set("Retry-After", retryAfter)
			}
			rc.refuse(w, messagesEndpoint, *refused)
			return
		}
		rc.metrics.messages.WithLabelValues(messagesEndpoint, "200").Inc()
		rc.log.Info("messages shown", "sender", a.Sender, "status", http.StatusOK)
		write(w, http.StatusOK, found)
	}
}

// find reads what is shown, in the sender's turn; size is counted as its share until
// it is given back.
func (rc *Receiver) find(w http.ResponseWriter, r *http.Request, sender string, find func(context.Context, *http.Request, string) (any, *answer)) (found any, size int64, refused *answer) {
	// As much as the largest answer takes, until it is known what this one does.
	const most = 4 << 20
	if !rc.messages.Take(sender, 1) {
		return nil, 0, rc.heldBack(w, sender, "messages")
	}
	defer rc.messages.Give(sender, 1)
	if !rc.bytes.Take(sender, most) {
		return nil, 0, rc.heldBack(w, sender, "bytes")
	}
	ctx, cancel := context.WithTimeout(r.Context(), rc.config.RequestTimeout)
	defer cancel()
	// How large it is is known too late: it counts as the largest.
	done, err := rc.work.Begin(ctx, sender, fair.Largest)
	if err != nil {
		rc.bytes.Give(sender, most)
		return nil, 0, rc.heldBack(w, sender, "work")
	}
	defer done()
	found, refused = find(ctx, r, sender)
	size = 1 << 10
	switch f := found.(type) {
	case shown:
		size = f.size
	case page:
		for _, m := range f.Messages {
			size += m.size
		}
	}
	rc.bytes.Give(sender, most)
	rc.bytes.Force(sender, size)
	return found, size, refused
}

// failed is the answer where the journal cannot be read.
func (rc *Receiver) failed(ctx context.Context, err error) *answer {
	rc.metrics.storeErrors.WithLabelValues(store.Kind(err)).Inc()
	rc.log.ErrorContext(ctx, "store failed; answered 503", "error", store.Describe(err), "kind", store.Kind(err))
	a := unavailable("the store of this receiver does not answer; try again")
	return &a
}

func (rc *Receiver) shown(m *store.Recorded) shown {
	endpoint, _ := dcm.EndpointOf(m.Endpoint)
	a := rc.answerTo(m.ID, m.MessageID, endpoint, m.Entry)
	s := shown{ID: m.ID, MessageID: m.MessageID, Endpoint: m.Endpoint, ReceivedAt: m.ReceivedAt, Status: rc.status(m.Entry), Objects: m.Objects, Instance: a.Instance, size: m.Size()}
	if m.Complete {
		s.Answer = &a
	}
	return s
}

func (rc *Receiver) showMessage(ctx context.Context, r *http.Request, sender string) (any, *answer) {
	notFound := refusal(http.StatusNotFound, "unknown-message", "No such message", "there is no message of yours with this ID; entries are kept for a limited time")
	text, err := url.PathUnescape(chi.URLParam(r, "id"))
	if err != nil {
		return nil, &notFound
	}
	id, err := dcm.ParseID(text)
	if err != nil {
		return nil, &notFound
	}
	m, err := rc.store.Message(ctx, sender, id)
	switch {
	case err != nil:
		return nil, rc.failed(ctx, err)
	case m == nil:
		return nil, &notFound
	}
	return rc.shown(m), nil
}

func (rc *Receiver) listMessages(ctx context.Context, r *http.Request, sender string) (any, *answer) {
	invalid := func(detail string) *answer {
		a := refusal(http.StatusBadRequest, "query", "The query is not valid", detail)
		return &a
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, invalid("the query cannot be read")
	}
	refused, limit := false, 20
	if s := query.Get("refused"); s != "" {
		if refused, err = strconv.ParseBool(s); err != nil {
			return nil, invalid("refused must be true or false")
		}
	}
	if s := query.Get("limit"); s != "" {
		if limit, err = strconv.Atoi(s); err != nil || limit < 1 || limit > 100 {
			return nil, invalid("limit must be a number from 1 to 100")
		}
	}
	var before *uuid.UUID
	if s := query.Get("before"); s != "" {
		id, err := uuid.Parse(s)
		if err != nil {
			return nil, invalid("before must be the id of a message")
		}
		before = &id
	}
	entries, err := rc.store.Messages(ctx, sender, refused, before, limit)
	if err != nil {
		return nil, rc.failed(ctx, err)
	}
	p := page{Messages: make([]shown, len(entries))}
	for i := range entries {
		p.Messages[i] = rc.shown(&entries[i])
	}
	if len(entries) == limit {
		query.Set("before", entries[limit-1].ID.String())
		p.Next = "/messages?" + query.Encode()
	}
	return p, nil
}

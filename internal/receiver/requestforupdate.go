package receiver

import (
	"context"
	"net/http"

	"dcm-receiver/internal/payload"
	"dcm-receiver/internal/store"
)

// judgeRequestForUpdate records an IdBasedRequestForUpdate. It is judged by its
// form alone: a request for an ID that we do not know is accepted too.
func (rc *Receiver) judgeRequestForUpdate(ctx context.Context, in *inbound) (store.Entry, error) {
	m, err := payload.ReadRequestForUpdate(in.body)
	if err != nil {
		return rc.unreadable(ctx, in, err)
	}
	rc.checkHeader(in, m)
	entry := store.Entry{Status: http.StatusOK, Objects: len(m.Requests)}
	if m.Errors.Any() {
		entry.Status, entry.Errors = http.StatusBadRequest, listed(m.Errors)
		return rc.journal(ctx, in, entry)
	}
	requests := &store.UpdateRequests{Requests: m.Requests}
	switch {
	case m.Header != nil:
		requests.Customer, requests.ResponseBy = m.Header.ReceiverBPN, m.Header.ExpectedResponseBy
	case len(rc.config.CustomerBPNLs) == 1:
		requests.Customer = rc.config.CustomerBPNLs[0]
	}
	return rc.save(ctx, in, store.Decision{Entry: entry, Requests: requests})
}

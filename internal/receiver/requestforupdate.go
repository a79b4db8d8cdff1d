package receiver

import (
	"context"
	"net/http"

	"dcm-receiver/internal/store"
)

// judgeRequestForUpdate records an IdBasedRequestForUpdate. It is judged by its
// form alone: a request for an ID that we do not know is accepted too.
func (rc *Receiver) judgeRequestForUpdate(ctx context.Context, in *inbound) (store.Entry, error) {
	m, err := rc.config.Standard.ReadRequestsForUpdate(in.body, in.ReceivedAt)
	if err != nil {
		return rc.unreadable(ctx, in, err)
	}
	rc.checkHeader(in, &m.Envelope, rc.isOurs)
	entry := store.Entry{Status: http.StatusOK, Objects: len(m.Objects), Warnings: m.Warnings}
	if m.Errors.Any() {
		return rc.refused(ctx, in, entry, m.Errors)
	}
	request := &store.UpdateRequest{}
	for _, o := range m.Objects {
		request.Entries = append(request.Entries, o.Value)
	}
	ours := append(rc.config.CustomerBPNLs[:len(rc.config.CustomerBPNLs):len(rc.config.CustomerBPNLs)],
		rc.config.SupplierBPNLs...)
	switch {
	case m.Header != nil:
		request.Asked, request.ResponseBy = m.Header.ReceiverBPN, m.Header.ExpectedResponseBy
	case len(ours) == 1:
		request.Asked = ours[0]
	}
	if err := rc.limitRequests(in, len(request.Entries)); err != nil {
		return store.Entry{}, err
	}
	return rc.save(ctx, in, store.Decision{Entry: entry, Request: request})
}

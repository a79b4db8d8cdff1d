package outbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"dcm-receiver/internal/edc"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// errLater ends the serving of a partner until the next attempt is due.
var errLater = errors.New("the partner takes nothing at present")

// message is one message on its way to a partner.
type message struct {
	kind
	id       uuid.UUID
	jobs     []*job
	body     []byte
	attempts int // the most that one of its objects has had
}

// envelope makes the message of objects whose JSON is there.
func (s *Sender) envelope(k kind, partner string, jobs []*job) (message, error) {
	m := message{kind: k, id: uuid.New(), jobs: jobs}
	if k.alone {
		m.id = jobs[0].ID.Bytes
	}
	own := jobs[0].Customer
	if own == partner {
		own = jobs[0].Supplier
	}
	header := map[string]any{
		"messageId": m.id, "context": s.Standard.Context(k.endpoint, ".0.0"),
		"sentDateTime": time.Now().UTC().Format("2006-01-02T15:04:05.000Z"),
		"senderBpn":    own, "receiverBpn": partner, "version": "3.0.0",
	}
	if jobs[0].Answers.Valid {
		header["relatedMessageId"] = uuid.UUID(jobs[0].Answers.Bytes)
	}
	head, err := json.Marshal(map[string]any{"header": header})
	if err != nil {
		return m, fmt.Errorf("write header: %w", err)
	}
	var body bytes.Buffer
	body.WriteString(`{"messageHeader":`)
	body.Write(head)
	body.WriteString(`,"content":{"informationObject":[`)
	for i, j := range jobs {
		if i > 0 {
			body.WriteByte(',')
		}
		body.WriteString(j.body)
		m.attempts = max(m.attempts, j.Attempts)
	}
	body.WriteString("]}}")
	m.body = body.Bytes()
	return m, nil
}

// send sends objects in one message, and stores the outcome. A list that is refused is sent again in
// halves, so that one wrong object does not stop the others.
func (s *Sender) send(ctx context.Context, k kind, partner string, jobs []*job) error {
	m, err := s.envelope(k, partner, jobs)
	if err != nil {
		return err
	}
	to, err := s.partner(ctx, partner)
	if errors.Is(err, pgx.ErrNoRows) {
		return s.postpone(ctx, partner, m, 0, edc.Delivery{Reason: fmt.Sprintf(
			"%s is not among the partners that we send to: enter it (dcm-receiver partner add %s)", partner, partner)})
	} else if err != nil {
		return err
	}
	session, err := s.session(ctx, partner, k.endpoint.Path)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, sendLimit+time.Duration(len(m.body)/slowest)*time.Second)
	d, session := s.Consumer.Send(limited, to, k.offer(), session, m.body)
	cancel()
	d.Reason = reasonOf(d)
	s.keepSession(context.WithoutCancel(ctx), partner, k.endpoint.Path, session)
	if ctx.Err() != nil && d.Outcome != edc.Delivered {
		return ctx.Err() // it is sent again; a repeat is harmless
	}
	if d.Outcome == edc.Later && d.Status == 0 && s.askConnector(ctx, time.Now()) != nil {
		return errConnector
	}
	s.Log.Info("outbox: sent", "partner", partner, "endpoint", k.endpoint.Path, "objects", len(jobs), "message_id",
		m.id,
		"outcome", string(d.Outcome), "status", d.Status, "duration", d.Took, "reason", d.Reason)
	switch d.Outcome {
	case edc.Delivered:
		return s.settle(ctx, partner, jobs, "delivered", d.Status, "")
	case edc.Refused:
		return s.refused(ctx, partner, to, m, d)
	}
	return s.later(ctx, partner, m, d)
}

// refused sends a refused list again in halves, or stores that the objects were refused.
func (s *Sender) refused(ctx context.Context, partner string, to edc.Partner, m message, d edc.Delivery) error {
	switch {
	case !isAboutContent(d.Status):
		return s.settle(ctx, partner, m.jobs, "refused", d.Status, d.Reason)
	case len(m.jobs) == 1:
		return s.settle(ctx, partner, m.jobs, "refused", d.Status, s.reason(ctx, partner, to, m.id, d))
	}
	half := len(m.jobs) / 2
	if err := s.send(ctx, m.kind, partner, m.jobs[:half]); err != nil {
		return err
	}
	return s.send(ctx, m.kind, partner, m.jobs[half:])
}

// later postpones the kind at a partner. Objects that wait for the partner's permission for longer than
// deniedLimit are given up.
func (s *Sender) later(ctx context.Context, partner string, m message, d edc.Delivery) error {
	if d.Denied {
		var late []*job
		for _, j := range m.jobs {
			if time.Since(j.QueuedAt) > deniedLimit {
				late = append(late, j)
			}
		}
		if len(late) > 0 {
			reason := d.Reason + fmt.Sprintf("; it was tried for %.0f h: release it again, or ask for it, when "+
				"that is done",
				deniedLimit.Hours())
			if err := s.settle(ctx, partner, late, "refused", d.Status, reason); err != nil {
				return err
			}
		}
	}
	return s.postpone(ctx, partner, m, min(d.RetryAfter, maxRetryAfter), d)
}

// isAboutContent reports whether a status may be about some objects of a list only.
func isAboutContent(status int) bool {
	return status == http.StatusBadRequest || status == http.StatusUnprocessableEntity ||
		status == http.StatusRequestEntityTooLarge
}

// backoff grows with the attempts, with jitter.
func backoff(attempts int) time.Duration {
	wait := min(time.Second<<min(attempts, 20), maxBackoff)
	return wait/2 + rand.N(wait/2+1)
}

// reason is the reason of the partner's receiver for a refusal: from its answer, or fetched.
func (s *Sender) reason(ctx context.Context, partner string, to edc.Partner, messageID uuid.UUID,
	d edc.Delivery) string {
	if d.Details != "" {
		return d.Reason + ": " + d.Details
	}
	session, err := s.session(ctx, partner, "messages")
	if err != nil {
		return d.Reason
	}
	limited, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	stored, session, err := s.Consumer.Reason(limited, to, session, messageID.String())
	s.keepSession(ctx, partner, "messages", session)
	if err != nil {
		return d.Reason + " (it offers no reason)"
	}
	if said := edc.Details(stored.Answer); said != "" {
		return d.Reason + ": " + said
	}
	return d.Reason
}

func (s *Sender) partner(ctx context.Context, bpnl string) (edc.Partner, error) {
	p := edc.Partner{BPNL: bpnl}
	limited, cancel := context.WithTimeout(ctx, statementLimit)
	defer cancel()
	err := s.DB.QueryRow(limited,
		partnerOf, bpnl).
		Scan(&p.Address, &p.DID, &p.Protocol, &p.Entry)
	if err != nil {
		return p, fmt.Errorf("look up the partner: %w", err)
	}
	return p, nil
}

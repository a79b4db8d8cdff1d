package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"dcm-receiver/internal/edc"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// settle stores the outcome of objects, or keeps it in memory until it can be stored.
func (s *Sender) settle(ctx context.Context, partner string, jobs []*job, state string, status int,
	reason string) error {
	o := outcome{jobs, state, status, reason}
	err := s.storeOutcome(context.WithoutCancel(ctx), partner, o) // also where another replica serves the partner next
	if err != nil && state != "superseded" {                      // superseded objects are found again
		for _, j := range jobs {
			j.body = ""
		}
		s.remember(partner, func(u *unstored) { u.outcomes = append(u.outcomes, o) })
	}
	return err
}

func (s *Sender) storeOutcome(ctx context.Context, partner string, o outcome) error {
	ids, at, answers := []pgtype.UUID{}, []time.Time{}, []pgtype.UUID{}
	for _, j := range o.jobs {
		ids, at, answers = append(ids, j.ID), append(at, j.ChangedAt), append(answers, j.Answers)
	}
	if _, err := s.exec(ctx, settle, partner, o.jobs[0].Object, ids, at, answers, o.state, o.status,
		edc.Clean(o.reason)); err != nil {
		return fmt.Errorf("keep what became of a message: %w", err)
	}
	return nil
}

// postpone makes all objects of a kind wait, for at least a time, and returns errLater.
func (s *Sender) postpone(ctx context.Context, partner string, m message, least time.Duration, d edc.Delivery) error {
	wait := max(least, backoff(m.attempts))
	if _, err := s.exec(ctx, postpone, partner, m.jobs[0].Object, wait.String(), d.Status,
		edc.Clean(d.Reason)); err != nil {
		return fmt.Errorf("postpone: %w", err)
	}
	return errLater
}

// session reads what is open to an endpoint of a partner.
func (s *Sender) session(ctx context.Context, partner, endpoint string) (open edc.Session, err error) {
	known := false
	s.remember(partner, func(u *unstored) { open, known = u.sessions[endpoint] })
	if known {
		return open, nil
	}
	var text []byte
	limited, cancel := context.WithTimeout(ctx, statementLimit)
	defer cancel()
	err = s.DB.QueryRow(limited, sessionOf, partner,
		endpoint).Scan(&text)
	if errors.Is(err, pgx.ErrNoRows) {
		return open, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &open)
	}
	if err != nil {
		return open, fmt.Errorf("look up the session: %w", err)
	}
	return open, nil
}

// keepSession stores a session for all replicas, or keeps it in memory: a lost agreement would be
// concluded once more.
func (s *Sender) keepSession(ctx context.Context, partner, endpoint string, open edc.Session) {
	text, err := json.Marshal(open)
	if err == nil {
		_, err = s.exec(ctx, keepSession, partner, endpoint, string(text))
	}
	if err != nil {
		s.Log.Warn("outbox: a session with a partner cannot be stored; this replica keeps it in memory", "partner",
			partner,
			"endpoint", endpoint, "error", err)
	}
	s.remember(partner, func(u *unstored) {
		if delete(u.sessions, endpoint); err != nil {
			u.sessions[endpoint] = open
		}
	})
}

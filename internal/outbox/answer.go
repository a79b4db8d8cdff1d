package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// answer queues what answers requests for update, partner by partner, so that thousands of requests of
// one do not delay the others. It returns when to look again, in a second at most.
func (s *Sender) answer(ctx context.Context) (next time.Duration, err error) {
	next = time.Second
	limited, cancel := context.WithTimeout(ctx, statementLimit)
	defer cancel()
	rows, err := s.Control.Query(limited, asking)
	if err != nil {
		return next, fmt.Errorf("look for requests for update: %w", err)
	}
	var partners []string
	var partner string
	var seconds float64
	if _, err := pgx.ForEachRow(rows, []any{&partner, &seconds}, func() error {
		if seconds == 0 {
			partners = append(partners, partner)
			seconds = answerPause.Seconds() // it may have more
		}
		next = min(next, max(answerPause, time.Duration(seconds*float64(time.Second))))
		return nil
	}); err != nil {
		return next, fmt.Errorf("look for requests for update: %w", err)
	}
	var failed error
	for _, partner := range partners {
		if err := s.answerPartner(ctx, partner); err != nil {
			failed = err // of this partner alone
		}
	}
	return next, failed
}

func (s *Sender) answerPartner(ctx context.Context, partner string) error {
	limited, cancel := context.WithTimeout(ctx, statementLimit)
	defer cancel()
	tag, err := s.Control.Exec(limited, answerRequests, partner)
	if err != nil {
		return fmt.Errorf("answer requests for update of %s: %w", partner, err)
	}
	if tag.RowsAffected() == 0 {
		return nil
	}
	return s.arrived(limited, s.Control, partner) // requests with nothing to send
}

// arrived ends requests for update whose answers have all arrived.
func (s *Sender) arrived(ctx context.Context, db *pgxpool.Pool, partner string) error {
	rows, err := db.Query(ctx, answersArrived, partner)
	if err != nil {
		return fmt.Errorf("look which answers have arrived: %w", err)
	}
	var seconds float64
	var one, sent bool
	_, err = pgx.ForEachRow(rows, []any{&seconds, &one, &sent}, func() error {
		if sent {
			s.Metrics.answered(seconds, one)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("look which answers have arrived: %w", err)
	}
	return nil
}

package outbox

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// claimed is a partner that this replica serves while its claim is renewed.
type claimed struct {
	stop  context.CancelFunc
	until *time.Timer // stops it
	tried bool        // an attempt for it has failed before
	since time.Time   // of its claim, or its last answer
}

// listen wakes Run at a release or a request for update.
func (s *Sender) listen(ctx context.Context, wake chan<- struct{}) {
	for ctx.Err() == nil {
		err := s.Control.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
			if _, err := c.Exec(ctx, "listen dcm_outbox"); err != nil {
				return err
			}
			for {
				if _, err := c.Conn().WaitForNotification(ctx); err != nil {
					_ = c.Conn().Close(context.Background()) // it listens: not for others
					return err
				}
				select {
				case wake <- struct{}{}:
				default:
				}
			}
		})
		if err != nil && ctx.Err() == nil {
			time.Sleep(time.Second) // Run looks every second meanwhile
		}
	}
}

// renew renews the claims on the partners that this replica serves. It stops serving a partner whose
// claim was lost, or not renewed in time.
func (s *Sender) renew(ctx context.Context) {
	tick := time.NewTicker(s.Lease / 5)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s.mu.Lock()
		partners := slices.Collect(maps.Keys(s.serving))
		s.mu.Unlock()
		if len(partners) == 0 {
			continue
		}
		begin := time.Now()
		limited, cancel := context.WithTimeout(ctx, s.Lease/5)
		rows, err := s.Control.Query(limited, renew, pgUUID(s.id), partners, s.Lease.String())
		var ours []string
		if err == nil {
			ours, err = pgx.CollectRows(rows, pgx.RowTo[string])
		}
		cancel()
		if err != nil {
			continue // until.Reset was not called, so serving stops in time
		}
		s.mu.Lock()
		for _, partner := range partners {
			if c := s.serving[partner]; c != nil && slices.Contains(ours, partner) {
				c.until.Reset(s.left(begin))
			} else if c != nil {
				c.stop()
			}
		}
		s.mu.Unlock()
	}
}

// left is how long a claim made at begin is relied on: shorter than the database keeps it, since messages
// under way need time.
func (s *Sender) left(begin time.Time) time.Duration { return s.Lease*4/5 - time.Since(begin) }

// serveDue begins to serve the partners for whom something is due.
func (s *Sender) serveDue(ctx, work context.Context, wait *sync.WaitGroup) error {
	limited, cancel := context.WithTimeout(ctx, statementLimit)
	defer cancel()
	rows, err := s.Control.Query(limited, due)
	if err != nil {
		return fmt.Errorf("look for what is due: %w", err)
	}
	var asked, others, failing []string
	var partner string
	var hasAsked, tried bool
	if _, err := pgx.ForEachRow(rows, []any{&partner, &hasAsked, &tried}, func() error {
		if s.backsOff(partner) {
			return nil
		}
		list := &others
		if tried {
			list = &failing
		} else if hasAsked {
			list = &asked
		}
		*list = append(*list, partner)
		return nil
	}); err != nil {
		return fmt.Errorf("look for what is due: %w", err)
	}
	// Answers are due within seconds: an eighth of the places is reserved for partners that have asked.
	// Partners with failed attempts have places of their own, and a hanging partner frees its place:
	// neither delays others.
	for _, class := range []struct {
		partners []string
		most     int
		tried    bool
	}{{asked, s.Parallel, false}, {others, s.Parallel - s.Parallel/8, false}, {failing, max(1, s.Parallel/2), true}} {
		if err := s.claimAll(ctx, work, wait, class.partners, class.most, class.tried); err != nil {
			return err
		}
	}
	return nil
}

// places is how many more partners may be served, of those with failed attempts (tried) or of the
// others, where at most most of them may be at work.
func (s *Sender) places(most int, tried bool) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.serving {
		if c.tried == tried && (tried || time.Since(c.since) < s.Patience) {
			most--
		}
	}
	return max(0, min(most, 2*s.Parallel-len(s.serving)))
}

// claimAll serves partners while there are places.
func (s *Sender) claimAll(ctx, work context.Context, wait *sync.WaitGroup, partners []string, most int,
	tried bool) error {
	for {
		room := s.places(most, tried)
		s.mu.Lock()
		partners = slices.DeleteFunc(partners, func(partner string) bool { return s.serving[partner] != nil })
		s.mu.Unlock()
		some := partners[:min(len(partners), room, claimedAtOnce)]
		if partners = partners[len(some):]; len(some) == 0 {
			return nil
		}
		begin := time.Now()
		ours, err := s.claim(ctx, some)
		if err != nil {
			return err
		}
		for _, partner := range ours {
			s.begin(ctx, work, wait, partner, begin, tried)
		}
	}
}

// claimedAtOnce is how many partners are claimed in one transaction: with one each, a request for update
// just after a release to a thousand partners would wait for a thousand commits.
const claimedAtOnce = 100

// claim claims partners, and returns those that no other replica has claimed first.
func (s *Sender) claim(ctx context.Context, partners []string) (ours []string, err error) {
	partners = slices.Sorted(slices.Values(partners)) // in one order, so that replicas do not deadlock
	batch := &pgx.Batch{}
	for _, partner := range partners {
		batch.Queue(claim, partner, pgUUID(s.id), s.Lease.String()).Exec(func(tag pgconn.CommandTag) error {
			if tag.RowsAffected() > 0 {
				ours = append(ours, partner)
			}
			return nil
		})
	}
	limited, cancel := context.WithTimeout(ctx, statementLimit)
	defer cancel()
	if err := s.Control.SendBatch(limited, batch).Close(); err != nil {
		return nil, fmt.Errorf("claim partners: %w", err)
	}
	return ours, nil
}

// begin serves a claimed partner in the background.
func (s *Sender) begin(ctx, work context.Context, wait *sync.WaitGroup, partner string, at time.Time, tried bool) {
	serving, stop := context.WithCancel(work)
	s.mu.Lock()
	s.serving[partner] = &claimed{stop, time.AfterFunc(s.left(at), stop), tried, at}
	s.mu.Unlock()
	wait.Go(func() {
		err := s.serve(ctx, serving, partner)
		cutOff := serving.Err() != nil
		wait, failures := s.judgeService(partner, err, cutOff || ctx.Err() != nil)
		if wait > 0 {
			s.Log.Warn("outbox: sending to a partner failed here; trying again", "partner", partner, "after", wait,
				"failures", failures, "error", err)
		}
		s.mu.Lock()
		s.serving[partner].until.Stop()
		delete(s.serving, partner)
		s.mu.Unlock()
		stop()
		if cutOff {
			return // a message may still arrive: nothing more is sent before the claim has run out
		}
		look, cancel := context.WithTimeout(context.WithoutCancel(work), 5*time.Second)
		_ = s.arrived(look, s.DB, partner)
		cancel()
		after, cancel := context.WithTimeout(context.WithoutCancel(work), 5*time.Second)
		defer cancel()
		untried := 0
		if errors.Is(err, errConnector) {
			untried = 1
		}
		_, _ = s.DB.Exec(after, takeBack, partner, pgUUID(s.id), untried)
		if wait > 0 {
			_, _ = s.DB.Exec(after, holdBack, partner, wait.String())
		}
		_, _ = s.DB.Exec(after, endClaim, partner, pgUUID(s.id))
	})
}

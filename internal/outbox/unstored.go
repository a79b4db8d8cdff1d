package outbox

import (
	"context"
	"errors"
	"time"

	"dcm-receiver/internal/edc"
)

// unstored is what this replica knows of a partner and could not store. It is lost when the replica
// ends; a message may then be sent once more.
type unstored struct {
	sessions map[string]edc.Session // by endpoint
	outcomes []outcome              // of messages, in the order sent
	failures int                    // in a row
	until    time.Time              // the next try
}

// outcome is the outcome of the objects of one message.
type outcome struct {
	jobs   []*job
	state  string
	status int
	reason string
}

// remember changes what is kept of a partner in memory.
func (s *Sender) remember(partner string, change func(*unstored)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.unstored[partner]
	if u == nil {
		u = &unstored{sessions: map[string]edc.Session{}}
		s.unstored[partner] = u
	}
	change(u)
	if len(u.sessions) == 0 && len(u.outcomes) == 0 && u.failures == 0 {
		delete(s.unstored, partner)
	}
}

// settleUnstored stores outcomes that could not be stored before, so that nothing that the partner has
// confirmed is sent again.
func (s *Sender) settleUnstored(ctx context.Context, partner string) error {
	for {
		var next *outcome
		s.remember(partner, func(u *unstored) {
			if len(u.outcomes) > 0 {
				next = &u.outcomes[0]
			}
		})
		if next == nil {
			return nil
		}
		if err := s.storeOutcome(ctx, partner, *next); err != nil {
			return err
		}
		s.remember(partner, func(u *unstored) { u.outcomes = u.outcomes[1:] })
	}
}

// judgeService counts failures of ours in serving a partner. After one, it returns how long to wait.
func (s *Sender) judgeService(partner string, err error, stopped bool) (wait time.Duration, failures int) {
	s.remember(partner, func(u *unstored) {
		switch {
		case stopped:
		case err == nil || errors.Is(err, errLater) || errors.Is(err, errConnector):
			u.failures = 0
		default:
			wait = backoff(u.failures)
			u.failures++
			u.until = time.Now().Add(wait)
		}
		failures = u.failures
	})
	return wait, failures
}

// backsOff reports whether serving the partner failed here a short time ago.
func (s *Sender) backsOff(partner string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.unstored[partner]
	return u != nil && time.Now().Before(u.until)
}

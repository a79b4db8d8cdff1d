package outbox

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	connectorLook  = 5 * time.Second // between two looks at our own connector
	connectorLimit = 5 * time.Second // for its answer
)

// errConnector ends the serving of a partner because our own connector cannot be used.
var errConnector = errors.New("our own connector cannot be used")

// connector is the state of our own connector as this replica sees it. A replica that cannot use it
// claims no partner, so that others serve them.
type connector struct {
	asking sync.Mutex // one question at a time
	mu     sync.Mutex
	asked  time.Time // when the last answer came; zero: never
	err    error     // nil where it takes our requests
}

// fault is why no partner can be served; nil: they can.
func (c *connector) fault() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked.IsZero() {
		return errConnector
	}
	return c.err
}

// watchConnector checks our own connector until ctx ends: more often while it cannot be used, so that
// sending resumes soon.
func (s *Sender) watchConnector(ctx context.Context, wake chan<- struct{}) {
	for pause := time.Second; ; pause = min(2*pause, connectorLook) {
		before := s.connector.fault()
		err := s.askConnector(ctx, time.Now())
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			pause = connectorLook
		} else if before == nil {
			pause = time.Second
		}
		if before != nil && err == nil {
			select {
			case wake <- struct{}{}:
			default:
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// askConnector checks whether our own connector takes our requests, unless it has answered since a time.
// It returns why not.
func (s *Sender) askConnector(ctx context.Context, since time.Time) error {
	c := &s.connector
	c.asking.Lock()
	defer c.asking.Unlock()
	c.mu.Lock()
	first, before, fresh := c.asked.IsZero(), c.err, c.asked.After(since)
	c.mu.Unlock()
	if fresh {
		return before
	}
	limited, cancel := context.WithTimeout(ctx, connectorLimit)
	defer cancel()
	err := s.Consumer.Management.Check(limited)
	if ctx.Err() != nil {
		return nil // the program ends
	}
	c.mu.Lock()
	c.asked, c.err = time.Now(), err
	c.mu.Unlock()
	s.Metrics.connector(err == nil)
	if s.Note != nil && err == nil {
		s.Note("ok")
	} else if s.Note != nil {
		s.Note("this replica sends nothing: " + err.Error())
	}
	switch {
	case err != nil && (first || before == nil):
		s.Log.Warn("outbox: our own connector cannot be used; this replica sends nothing until it can", "error", err)
		s.leave()
	case err == nil && before != nil:
		s.Log.Info("outbox: our own connector can be used again")
	}
	return err
}

// leave stops serving all partners, after a moment for messages on their way to a data plane.
func (s *Sender) leave() {
	time.AfterFunc(s.Patience, func() {
		if s.connector.fault() == nil {
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, c := range s.serving {
			c.stop()
		}
	})
}

// tellReason stores why due objects are not sent.
func (s *Sender) tellReason(ctx context.Context, why error) error {
	if errors.Is(why, errConnector) {
		return nil // not checked yet
	}
	limited, cancel := context.WithTimeout(ctx, statementLimit)
	defer cancel()
	if _, err := s.Control.Exec(limited, tellReason, pgUUID(s.id), why.Error()); err != nil {
		return fmt.Errorf("say why nothing is sent: %w", err)
	}
	return nil
}

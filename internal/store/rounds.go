package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
)

// rounds are transactions that small messages share, because beginning and
// committing one costs more than what a small message writes. A message that
// finds no other at work is saved at once and by itself; those that arrive while
// others are being saved make up the next round. A round that fails is no
// message's verdict: each of them then has a transaction of its own.
type rounds struct {
	atOnce  int // how many may run at once
	mu      sync.Mutex
	running int
	waiting []*saving
	busy    map[subject]bool // what running rounds are about

	committed, failed atomic.Int64
}

const (
	// roundSize is how many messages may share a transaction.
	roundSize = 32
	// besides is how many messages must wait for a round to begin beside another:
	// one of fewer costs nearly as much, and the other's end is near.
	besides = 4
	// smallMessage is the size of a body up to which it does, in bytes.
	smallMessage = 64 << 10
	// roundPatience is how long a message waits for its round to begin; then it
	// is saved by itself, on a connection that may work better.
	roundPatience = time.Second
	// hurry lets a round wait only briefly for what one of its messages needs, so
	// that the others do not wait along.
	hurry = "set local lock_timeout = '100ms'"
)

// Rounds tells how many transactions that small messages share were committed,
// and how many failed, so that each of their messages had one of its own.
func (s *Store) Rounds() (committed, failed int64) {
	return s.rounds.committed.Load(), s.rounds.failed.Load()
}

// isSmall reports whether the message may share a transaction.
func (m *saving) isSmall() bool { return len(m.keys) <= 1 && m.Bytes <= smallMessage }

// subject is a capacity group or a message that can be in one transaction at a
// time only.
type subject struct {
	sender, customer string // customer is "" for a messageId
	id               uuid.UUID
}

func (m *saving) subjects() (all []subject) {
	for _, k := range m.keys {
		all = append(all, subject{m.Sender, k.Customer, k.ID})
	}
	if m.MessageID != nil {
		all = append(all, subject{m.Sender, "", *m.MessageID})
	}
	return all
}

// saveInRound saves a message together with others.
func (s *Store) saveInRound(ctx context.Context, m *saving) error {
	m.round = make(chan error, 1)
	if s.rounds.enter(m) {
		go s.runRounds()
	}
	patience := time.NewTimer(roundPatience)
	defer patience.Stop()
	for {
		select {
		case err := <-m.round:
			return err
		case <-ctx.Done():
			s.rounds.leave(m)
			return ctx.Err()
		case <-patience.C:
			if s.rounds.leave(m) {
				return errors.New("no round in time")
			}
		}
	}
}

// enter lets a message wait for a round. It reports whether the caller has to
// run rounds.
func (r *rounds) enter(m *saving) (run bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = append(r.waiting, m)
	if run = r.running == 0 || r.running < r.atOnce && len(r.waiting) >= besides; run {
		r.running++
	}
	return run
}

// leave takes a message back that still waits.
func (r *rounds) leave(m *saving) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.Index(r.waiting, m)
	if i >= 0 {
		r.waiting = slices.Delete(r.waiting, i, i+1)
	}
	return i >= 0
}

// next takes the messages of the next round; there are none when the caller has
// nothing more to do.
func (r *rounds) next() (round []*saving) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = slices.DeleteFunc(r.waiting, func(m *saving) bool {
		subjects := m.subjects()
		if len(round) == roundSize || slices.ContainsFunc(subjects, func(s subject) bool { return r.busy[s] }) {
			return false
		}
		for _, s := range subjects {
			r.busy[s] = true
		}
		round = append(round, m)
		return true
	})
	if round == nil {
		r.running--
	}
	return round
}

// end tells the messages of a round how it ended.
func (r *rounds) end(round []*saving, err error) {
	r.mu.Lock()
	for _, m := range round {
		for _, s := range m.subjects() {
			delete(r.busy, s)
		}
	}
	r.mu.Unlock()
	for _, m := range round {
		m.round <- err
	}
}

// runRounds runs rounds until nobody waits.
func (s *Store) runRounds() {
	for round := s.rounds.next(); round != nil; round = s.rounds.next() {
		err := s.runRound(round)
		if err == nil {
			s.rounds.committed.Add(1)
		} else {
			s.rounds.failed.Add(1)
		}
		s.rounds.end(round, err)
	}
}

func (s *Store) runRound(round []*saving) error {
	// Leaves each message as much time again for a transaction of its own.
	ctx, cancel := context.WithTimeout(context.Background(), s.timeout/2)
	defer cancel()
	return s.once(ctx, func(conn *pgxpool.Conn) (err error) {
		defer func() {
			// A fault in the program is for the goroutine of its message to meet.
			if fault := recover(); fault != nil {
				err = fmt.Errorf("fault in a round: %T", fault)
			}
		}()
		return save(ctx, conn, round, hurry)
	})
}

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

// groupCommit lets small messages share transactions, because beginning and
// committing one costs more than what a small message writes. A message that
// finds no other at work is saved at once and alone; those that arrive while
// others are being saved make up the next batch. A batch that fails is no
// message's verdict: each of its messages then has a transaction of its own.
type groupCommit struct {
	atOnce int // how many batches may run at once

	mu      sync.Mutex // owns the fields below
	running int
	waiting []*saving
	busy    map[exclusive]bool // what running batches are about

	committed, failed atomic.Int64
}

const (
	// batchSize is how many messages may share a transaction.
	batchSize = 32
	// enoughForAnother is how many messages must wait for a batch to begin beside
	// a running one: one of fewer costs nearly as much, and the other's end is near.
	enoughForAnother = 4
	// smallMessage is the size of a body, in bytes, up to which it is small.
	smallMessage = 64 << 10
	// batchWait is how long a message waits for its batch to begin; then it is
	// saved alone, on a connection that may work better.
	batchWait = time.Second
	// shortLockTimeout lets a batch wait only briefly for a lock that one of its
	// messages needs, so that the others do not wait along.
	shortLockTimeout = "set local lock_timeout = '100ms'"
)

// GroupCommits tells how many transactions that small messages share were
// committed, and how many failed, so that each of their messages had one of its
// own.
func (s *Store) GroupCommits() (committed, failed int64) {
	return s.groups.committed.Load(), s.groups.failed.Load()
}

// isSmall reports whether the message may share a transaction.
func (m *saving) isSmall() bool { return len(m.subjects) <= 1 && m.Bytes <= smallMessage }

// exclusive is what can be in one transaction at a time only: an object, a
// material, or a message.
type exclusive struct {
	endpoint           string
	supplier, customer string
	id                 uuid.UUID
	material           string
}

func (m *saving) exclusives() (all []exclusive) {
	for _, s := range m.subjects {
		all = append(all, exclusive{m.Endpoint, s.Supplier, s.Customer, s.ID, ""})
		if s.Material != "" {
			all = append(all, exclusive{m.Endpoint, s.Supplier, s.Customer, uuid.Nil, s.Material})
		}
	}
	if m.MessageID != nil {
		all = append(all, exclusive{"", m.Sender, "", *m.MessageID, ""})
	}
	return all
}

// saveInBatch saves a message together with others.
func (s *Store) saveInBatch(ctx context.Context, m *saving) error {
	m.saved = make(chan error, 1)
	if s.groups.enter(m) {
		go s.runBatches()
	}
	wait := time.NewTimer(batchWait)
	defer wait.Stop()
	for {
		select {
		case err := <-m.saved:
			return err
		case <-ctx.Done():
			if s.groups.leave(m) {
				return ctx.Err()
			}
			return <-m.saved // the batch has half of a request's time, and its end decides what is stored
		case <-wait.C:
			if s.groups.leave(m) {
				return errors.New("no batch began in time")
			}
		}
	}
}

// enter lets a message wait for a batch. It reports whether the caller has to
// run batches.
func (g *groupCommit) enter(m *saving) (run bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = append(g.waiting, m)
	if run = g.running == 0 || g.running < g.atOnce && len(g.waiting) >= enoughForAnother; run {
		g.running++
	}
	return run
}

// leave takes a message back that still waits.
func (g *groupCommit) leave(m *saving) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.waiting, m)
	if i >= 0 {
		g.waiting = slices.Delete(g.waiting, i, i+1)
	}
	return i >= 0
}

// next takes the messages of the next batch; there are none when the caller has
// nothing more to do.
func (g *groupCommit) next() (batch []*saving) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = slices.DeleteFunc(g.waiting, func(m *saving) bool {
		exclusives := m.exclusives()
		if len(batch) == batchSize || slices.ContainsFunc(exclusives, func(e exclusive) bool { return g.busy[e] }) {
			return false
		}
		for _, e := range exclusives {
			g.busy[e] = true
		}
		batch = append(batch, m)
		return true
	})
	if batch == nil {
		g.running--
	}
	return batch
}

// end tells the messages of a batch how it ended.
func (g *groupCommit) end(batch []*saving, err error) {
	g.mu.Lock()
	for _, m := range batch {
		for _, e := range m.exclusives() {
			delete(g.busy, e)
		}
	}
	g.mu.Unlock()
	for _, m := range batch {
		m.saved <- err
	}
}

// runBatches runs batches until no one waits.
func (s *Store) runBatches() {
	for batch := s.groups.next(); batch != nil; batch = s.groups.next() {
		err := s.runBatch(batch)
		if err == nil {
			s.groups.committed.Add(1)
		} else {
			s.groups.failed.Add(1)
		}
		s.groups.end(batch, err)
	}
}

func (s *Store) runBatch(batch []*saving) error {
	// Leaves each message as much time again for a transaction of its own.
	ctx, cancel := context.WithTimeout(context.Background(), s.timeout/2)
	defer cancel()
	return s.once(ctx, func(conn *pgxpool.Conn) (err error) {
		defer func() {
			// A fault in the program is for the goroutine of its message to meet.
			if fault := recover(); fault != nil {
				err = fmt.Errorf("fault in a batch: %T", fault)
			}
		}()
		return s.saveAll(ctx, conn, batch, shortLockTimeout)
	})
}

package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// saving is a message that is being stored. One goroutine at a time works on it: that of its request,
// or that of its batch.
type saving struct {
	Arrival
	kind     *kind
	subjects []Subject
	decide   func(*Snapshot) Decision

	// Of the last try:
	snapshot  Snapshot
	decision  Decision
	committed bool // a commit was sent: whether it succeeded is known by its answer alone
	saved     chan error

	unanswered []Decision // of all tries whose commit has no answer
}

// ErrUnknown means that the message may be stored: its commit was sent, no answer came, and the
// database could not be asked in time.
var ErrUnknown = errors.New("it is not known whether the message was committed")

// Save reads and locks the stored state of the message's subjects, calls decide, and stores what it
// writes together with the journal entry. It returns the decision that was committed. When a concurrent
// transaction changed the rows read, decide is called again, perhaps in another goroutine, but never
// after Save has returned.
//
// An error means that nothing of the message is stored, unless it is ErrUnknown: where the answer to a
// commit is lost, Save finds out until ctx ends.
func (s *Store) Save(
	ctx context.Context, a Arrival, subjects []Subject, decide func(*Snapshot) Decision,
) (Decision, error) {
	kind, err := kindOf(a.Endpoint)
	if err != nil {
		return Decision{}, err
	}
	m := &saving{Arrival: a, kind: kind, subjects: subjects, decide: decide}
	const tries = 20
	inBatch := m.isSmall()
	var unknown *Decision // of the try whose commit has no answer
	var pauses backoff
	for try, lost := 1, 0; ; try++ {
		m.committed = false
		var err error
		if inBatch {
			err = s.saveInBatch(ctx, m)
		} else {
			err = s.once(ctx, func(conn *pgxpool.Conn) error { return s.saveAll(ctx, conn, []*saving{m}, "") })
		}
		if err == nil {
			return m.decision, nil
		}
		if m.committed && hasNoAnswer(err) {
			decision := m.decision
			unknown, m.unanswered = &decision, append(m.unanswered, decision)
		}
		if violates(err, "message_pkey") && unknown != nil || errors.Is(err, errUnreplicated) {
			// The commit had succeeded, as far as one server can tell.
			var d Decision
			if d, err = s.confirmed(ctx, m, *cmp.Or(unknown, &m.decision)); err == nil {
				return d, nil
			}
			unknown = &d
		}
		switch {
		case ctx.Err() != nil:
		case isConflict(err) && try < tries:
			pause(ctx, time.Duration(rand.Int64N(int64(try)))*time.Millisecond)
			inBatch = false
			continue
		case inBatch: // another message of the batch may be the cause
			inBatch = false
			continue
		case unknown != nil:
			pauses.wait(ctx)
			continue
		case isLost(err) && lost == 0: // a restarted server leaves dead connections behind
			lost++
			continue
		}
		if unknown != nil {
			err = errors.Join(ErrUnknown, err)
		}
		return Decision{}, fmt.Errorf("store message: %w", err)
	}
}

// confirmed makes sure that a message which seems to be committed is, and finds the decision that is.
func (s *Store) confirmed(ctx context.Context, m *saving, d Decision) (Decision, error) {
	if err := s.confirm(ctx, m.Arrival); err != nil {
		return d, err
	}
	return s.committed(ctx, m, d)
}

// confirm makes a message that is visible as safe as any other. A server that stops while a commit
// waits for a synchronous standby leaves it visible on its own disk only.
func (s *Store) confirm(ctx context.Context, a Arrival) error {
	err := s.once(ctx, func(conn *pgxpool.Conn) error {
		var b pgx.Batch
		s.begin(&b)
		found := int64(0)
		b.Queue(confirmMessage.SQL, confirmMessage.Args(values{"sender": a.Sender,
			"id": pgUUID(&a.ID)})...).Exec(func(tag pgconn.CommandTag) error {
			found = tag.RowsAffected()
			return nil
		})
		b.Queue("commit")
		err := conn.SendBatch(ctx, &b).Close()
		if err == nil && found != 1 {
			err = errUnreplicated // another server has taken over since
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("confirm message: %w", err)
	}
	return nil
}

// committed finds out which of several unanswered decisions is in the journal: each was made on what
// an earlier try may have stored.
func (s *Store) committed(ctx context.Context, m *saving, last Decision) (Decision, error) {
	if len(m.unanswered) < 2 {
		return last, nil
	}
	journal, err := s.Message(ctx, m.Sender, m.ID)
	if err != nil || journal == nil {
		return last, errors.Join(err, errUnreplicated)
	}
	for _, d := range m.unanswered {
		if d.Entry.Status == journal.Status && slices.EqualFunc(d.Entry.Results, journal.Results,
			func(a, b Result) bool { return a.Rule == b.Rule }) {
			return d, nil
		}
	}
	return m.unanswered[0], nil // recorded in brief: the later ones were decided on the first
}

// backoff is a pause that grows, with jitter.
type backoff time.Duration

func (b *backoff) wait(ctx context.Context) {
	*b = min(max(2**b, backoff(20*time.Millisecond)), backoff(time.Second))
	pause(ctx, time.Duration(*b)/2+rand.N(time.Duration(*b)/2))
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// once runs a transaction on a connection, and leaves that fit for the next one.
func (s *Store) once(ctx context.Context, run func(*pgxpool.Conn) error) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	err = run(conn)
	if notes := conn.Conn().PgConn().CustomData(); err == nil && notes[unreplicated] != nil {
		delete(notes, unreplicated)
		return errUnreplicated
	}
	switch {
	case err == nil:
	case isConflict(err), isLocked(err):
		if _, rollback := conn.Exec(ctx, "rollback"); rollback != nil {
			return errors.Join(err, rollback)
		}
	default:
		// After a failover the server may be a standby; a new connection finds the primary.
		_ = conn.Conn().Close(ctx)
	}
	return err
}

// unreplicated marks a connection whose last commit may be on one server only.
const unreplicated = "unreplicated"

var errUnreplicated = errors.New("the commit is on one server only")

// begin begins a transaction whose commit waits for the disk.
func (s *Store) begin(b *pgx.Batch) {
	b.Queue("begin")
	if s.asyncCommit.Load() {
		b.Queue("set local synchronous_commit = on")
	}
}

// saveAll stores messages in one transaction, which keeps the state of their subjects locked. No two
// of them may have a subject in common. lockTimeout is a statement that bounds the wait for locks; "":
// no bound.
func (s *Store) saveAll(ctx context.Context, conn *pgxpool.Conn, messages []*saving, lockTimeout string) error {
	b := &batches{ctx: ctx, conn: conn, asRequested: s.asRequested.Load()}
	s.begin(&b.next)
	if lockTimeout != "" {
		b.next.Queue(lockTimeout)
	}
	stored, err := lock(b, messages)
	if err != nil {
		return err
	}
	kept := messages[:0:0]
	for _, m := range messages {
		m.snapshot = Snapshot{stored: cmp.Or(stored[m.kind], &locked{})}
		m.decision = m.decide(&m.snapshot)
		if m.decision.Request != nil && m.kind.endpoint.Path != requests.endpoint.Path {
			return fmt.Errorf("store: a message to %s writes a request for update", m.Endpoint)
		}
		if m.decision.Entry.Record != NotAtAll {
			kept = append(kept, m)
		}
	}
	for k, of := range byKind(kept) {
		if err := k.write(b, of); err != nil {
			return err
		}
	}
	if err := writeJournal(b, kept); err != nil {
		return err
	}
	b.next.Queue("commit")
	for _, m := range kept {
		m.committed = true
	}
	return b.send()
}

// byKind yields the messages of each kind, in the order of kinds: all transactions lock and write in
// the same order.
func byKind(messages []*saving) iter.Seq2[*kind, []*saving] {
	return func(yield func(*kind, []*saving) bool) {
		for i := range kinds {
			var of []*saving
			for _, m := range messages {
				if m.kind == &kinds[i] {
					of = append(of, m)
				}
			}
			if of != nil && !yield(&kinds[i], of) {
				return
			}
		}
	}
}

// lock reads and locks the stored state of the subjects, by kind.
func lock(b *batches, messages []*saving) (map[*kind]*locked, error) {
	stored := map[*kind]*locked{}
	asked := false
	for k, of := range byKind(messages) {
		if k.lock == nil {
			continue
		}
		subjects := map[owner][]Subject{}
		for _, m := range of {
			for _, s := range m.subjects {
				o := owner{s.Supplier, s.Customer}
				subjects[o] = append(subjects[o], s)
			}
		}
		into := &locked{objects: map[Key]state{}, holders: map[material]uuid.UUID{}, exchanged: map[object]bool{}}
		stored[k] = into
		for _, o := range slices.SortedFunc(maps.Keys(subjects), owner.compare) {
			k.lock(b, o, subjects[o], into)
			asked = true
		}
	}
	if !asked {
		return stored, nil // without a round trip
	}
	return stored, b.send()
}

// batches sends statements in portions, so that the memory for a long list
// stays bounded.
type batches struct {
	ctx  context.Context
	conn *pgxpool.Conn
	next pgx.Batch
	rows int // in next

	asRequested bool // decisions need the groups that we asked for
}

func (b *batches) send() error {
	err := b.conn.SendBatch(b.ctx, &b.next).Close()
	b.next, b.rows = pgx.Batch{}, 0
	return err
}

package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"dcm-receiver/internal/dcm"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// saving is a message on its way into the store. One goroutine at a time works on
// it: that of its request, or that of the batch it is in.
type saving struct {
	Arrival
	subjects []Subject
	decide   func(*Ground) Decision

	asRequested bool // decide is told which groups we asked for

	// Of the last try:
	ground    Ground
	decision  Decision
	committed bool // a commit was sent: whether it succeeded is known by its answer alone
	saved     chan error

	unanswered []Decision // of all tries whose commit has no answer
}

// ErrUnknown means that it is not known whether the message was stored: its commit
// was sent, but the answer did not come, and the database could not be asked in
// time.
var ErrUnknown = errors.New("it is not known whether the message was committed")

// Save reads what is stored of the message's subjects, has decide decide on it,
// and stores what that writes together with the journal entry. It returns the
// decision that is committed. decide is called again when another message changed
// the ground meanwhile, perhaps in another goroutine, but not after Save returned.
//
// A failure means that nothing of the message is stored, unless it is ErrUnknown:
// where the answer to a commit is lost, Save finds out until ctx ends.
func (s *Store) Save(ctx context.Context, a Arrival, subjects []Subject, decide func(*Ground) Decision) (Decision,
	error) {
	m := &saving{Arrival: a, subjects: subjects, decide: decide, asRequested: s.asRequested.Load()}
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
			d := m.decision
			if unknown != nil {
				d = *unknown
			}
			if err = s.confirm(ctx, a); err == nil {
				d, err = s.committed(ctx, m, d)
			}
			if err == nil {
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
		case inBatch: // another message may be to blame
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

// confirm makes sure that a message that is seen to be committed is as safe as
// any other. A server that ends while a commit waits for a synchronous standby
// leaves it visible on its own disk, but not on the standby.
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
			err = errUnreplicated // and meanwhile another server has taken over
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("confirm message: %w", err)
	}
	return nil
}

// committed is which of several decisions without answer the journal has, each made
// on what an earlier try may have stored.
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
	return m.unanswered[0], nil // recorded in brief; the first is what others were decided on
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

// once runs a transaction on some connection, which is good for the next one
// afterwards.
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
		// After a failover the connection may lead to a server that only reads;
		// a new one finds the right server.
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
	if s.hasty.Load() {
		b.Queue("set local synchronous_commit = on")
	}
}

// saveAll saves messages in one transaction, in which what is stored of their
// subjects stays locked. No two of them may be about the same. lockTimeout is a
// statement that bounds how long others are waited for; "": they are waited for.
func (s *Store) saveAll(ctx context.Context, conn *pgxpool.Conn, messages []*saving, lockTimeout string) error {
	b := &batches{ctx: ctx, conn: conn}
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
		m.ground = Ground{stored: cmp.Or(stored[m.Endpoint], &locked{})}
		if m.decision = m.decide(&m.ground); m.decision.Entry.Record != NotAtAll {
			kept = append(kept, m)
		}
	}
	for _, write := range []func(*batches, []*saving) error{writeGroups, writeDemands, writeComments, writeRequests,
		writeJournal} {
		if err := write(b, kept); err != nil {
			return err
		}
	}
	b.next.Queue("commit")
	for _, m := range kept {
		m.committed = true
	}
	return b.send()
}

// lock reads and locks what is stored of the subjects, by endpoint. All
// transactions lock in the same order.
func lock(b *batches, messages []*saving) (map[string]*locked, error) {
	stored := map[string]*locked{}
	asked := false
	for _, kind := range []struct {
		endpoint dcm.Endpoint
		lock     func(*batches, owner, []Subject, *locked)
	}{{dcm.CapacityGroupEndpoint, lockGroups}, {dcm.MaterialDemandEndpoint, lockDemands},
		{dcm.CommentEndpoint, lockComments}} {
		var subjects map[owner][]Subject
		for _, m := range messages {
			if m.Endpoint == kind.endpoint.Path {
				if subjects == nil {
					subjects = map[owner][]Subject{}
				}
				for _, s := range m.subjects {
					o := owner{s.Supplier, s.Customer}
					subjects[o] = append(subjects[o], s)
				}
			}
		}
		if subjects == nil {
			continue
		}
		into := &locked{objects: map[Key]state{}, holders: map[material]uuid.UUID{}, exchanged: map[object]bool{}}
		stored[kind.endpoint.Path] = into
		for _, o := range slices.SortedFunc(maps.Keys(subjects), owner.compare) {
			kind.lock(b, o, subjects[o], into)
			if messages[0].asRequested && kind.endpoint.Path == dcm.CapacityGroupEndpoint.Path {
				lookUpRequested(b, o, subjects[o], into)
			}
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
	rows int // that are in next
}

func (b *batches) send() error {
	err := b.conn.SendBatch(b.ctx, &b.next).Close()
	b.next, b.rows = pgx.Batch{}, 0
	return err
}

package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"dcm-receiver/internal/dcm"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
)

// saving is a message on its way into the store.
type saving struct {
	Arrival
	keys     []Key
	decide   func(stored map[Key]Stored) Decision
	decision Decision // of the last try
	round    chan error
}

// Save reads the groups of the sender that keys name, has decide decide on what
// is stored of them, and stores the decision together with the journal entry.
// It returns the decision that is committed. decide is called again when another
// message changed the ground meanwhile, perhaps in another goroutine, and may
// still run when Save has failed.
func (s *Store) Save(ctx context.Context, a Arrival, keys []Key, decide func(stored map[Key]Stored) Decision) (Decision, error) {
	m := &saving{Arrival: a, keys: keys, decide: decide}
	const tries = 20
	inRound := m.isSmall()
	var lost *Decision // of the try whose end is unknown; a restarted server leaves dead connections behind
	for try := 1; ; try++ {
		var err error
		if inRound {
			err = s.saveInRound(ctx, m)
		} else {
			err = s.once(ctx, func(conn *pgxpool.Conn) error { return save(ctx, conn, []*saving{m}, patient) })
		}
		switch {
		case err == nil:
			return m.decision, nil
		case errors.Is(err, errUnreplicated):
			return s.confirm(ctx, a, m.decision)
		case violates(err, "message_pkey") && lost != nil:
			return s.confirm(ctx, a, *lost) // the commit whose answer was lost had succeeded
		case (isLost(err) || inRound && pgError(err) == nil) && lost == nil && ctx.Err() == nil:
			decision := m.decision
			lost = &decision
		case inRound && ctx.Err() == nil: // another message may be to blame
		case isConflict(err) && try < tries:
			pause(ctx, time.Duration(rand.Int64N(int64(try)))*time.Millisecond)
		default:
			return Decision{}, fmt.Errorf("store message: %w", err)
		}
		inRound = false
	}
}

// confirm returns a decision that is seen to be committed when it is as safe as
// any other. A server that ends while a commit waits for a synchronous standby
// leaves it visible on its own disk, but not on the standby.
func (s *Store) confirm(ctx context.Context, a Arrival, d Decision) (Decision, error) {
	err := s.once(ctx, func(conn *pgxpool.Conn) error {
		tag, err := conn.Exec(ctx, confirmMessage.sql, confirmMessage.args(a.value)...)
		if err == nil && tag.RowsAffected() != 1 {
			err = errUnreplicated // and meanwhile another server has taken over
		}
		return err
	})
	if err != nil {
		return Decision{}, fmt.Errorf("confirm message: %w", err)
	}
	return d, nil
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

// patient statements wait for as long as another transaction holds what they
// need.
const patient = ""

// save saves messages in one transaction, in which the stored groups stay
// locked. No two of them may be about the same group. limit is a statement that
// bounds how long others are waited for, or patient.
func save(ctx context.Context, conn *pgxpool.Conn, messages []*saving, limit string) error {
	b := &batches{ctx: ctx, conn: conn}
	b.next.Queue("begin")
	if limit != patient {
		b.next.Queue(limit)
	}
	stored, err := lock(b, messages)
	if err != nil {
		return err
	}
	var groups groupRows
	var entries []value
	for _, m := range messages {
		m.decision = m.decide(stored[m.Sender])
		groups.add(m.Arrival, m.decision.Writes, stored[m.Sender])
		entries = append(entries, either(m.Arrival.value, m.decision.Entry.value(m.Arrival)))
		if r := m.decision.Requests; r != nil {
			insertRequestsForUpdate.queue(&b.next, either(r.value(m.Arrival), m.Arrival.value))
		}
	}
	if err := groups.save(b); err != nil {
		return err
	}
	if err := b.addRows(insertMessage, entries); err != nil {
		return err
	}
	b.next.Queue("commit")
	return b.send()
}

// owner is whose groups one statement is about.
type owner struct{ supplier, customer string }

func (o owner) value(name string) (any, bool) {
	switch name {
	case "supplier":
		return o.supplier, true
	case "customer":
		return o.customer, true
	}
	return nil, false
}

// lock reads and locks the stored groups that the messages name, by sender. All
// transactions lock in the same order.
func lock(b *batches, messages []*saving) (map[string]map[Key]Stored, error) {
	ids := map[owner][]pgtype.UUID{}
	for _, m := range messages {
		for i, k := range m.keys {
			o := owner{m.Sender, k.Customer}
			ids[o] = append(ids[o], pgUUID(&m.keys[i].ID))
		}
	}
	owners := slices.SortedFunc(maps.Keys(ids), func(a, b owner) int {
		return cmp.Or(strings.Compare(a.supplier, b.supplier), strings.Compare(a.customer, b.customer))
	})
	stored := map[string]map[Key]Stored{}
	for _, o := range owners {
		if stored[o.supplier] == nil {
			stored[o.supplier] = map[Key]Stored{}
		}
		slices.SortFunc(ids[o], func(a, b pgtype.UUID) int { return slices.Compare(a.Bytes[:], b.Bytes[:]) })
		lockCapacityGroups.queue(&b.next, ids[o], o.value).Query(func(rows pgx.Rows) error {
			return collectStored(rows, o.customer, stored[o.supplier])
		})
	}
	if len(owners) == 0 {
		return nil, nil // without a round trip
	}
	return stored, b.send()
}

func collectStored(rows pgx.Rows, customer string, stored map[Key]Stored) error {
	var id pgtype.UUID
	var at time.Time
	var nanosecond int16
	var hash []byte
	_, err := pgx.ForEachRow(rows, []any{&id, &at, &nanosecond, &hash}, func() error {
		stored[Key{customer, id.Bytes}] = Stored{dcm.Timestamp{Time: at.Add(time.Duration(nanosecond))}, [sha256.Size]byte(hash)}
		return nil
	})
	return err
}

// batches sends statements in portions, so that the memory for a long list
// stays bounded.
type batches struct {
	ctx  context.Context
	conn *pgxpool.Conn
	next pgx.Batch
	rows int // that are in next
}

// addRows adds statements that write all rows.
func (b *batches) addRows(s rowsStatement, rows []value) error {
	const portion = 64
	for len(rows) > 0 {
		n := s.queue(&b.next, rows)
		rows = rows[n:]
		if b.rows += n; b.rows >= portion {
			if err := b.send(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *batches) send() error {
	err := b.conn.SendBatch(b.ctx, &b.next).Close()
	b.next, b.rows = pgx.Batch{}, 0
	return err
}

package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"dcm-receiver/internal/dcm"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
)

// SaveCapacityGroups reads the groups of the sender that keys name, has decide
// decide on what is stored of them, and stores the decision together with the
// journal entry. It returns the decision that is committed. decide is called
// again when another message changed the ground meanwhile.
func (s *Store) SaveCapacityGroups(ctx context.Context, a Arrival, keys []Key, decide func(map[Key]Stored) Decision) (Decision, error) {
	decisions := map[int]Decision{}
	stands, err := s.transact(ctx, a, func(conn *pgxpool.Conn, try int) error {
		save := saveSeveral
		// A single group is written only if it is still as it was read, which takes
		// no lock and fewer statements. Where many messages want the same one, they
		// had better queue up at its lock.
		if len(keys) <= 1 && try <= 3 {
			save = saveOne
		}
		return save(ctx, conn, a, keys, func(stored map[Key]Stored) Decision {
			decisions[try] = decide(stored)
			return decisions[try]
		})
	})
	if err != nil {
		return Decision{}, fmt.Errorf("store capacity groups: %w", err)
	}
	return decisions[stands], nil
}

// SaveRequestForUpdate stores the requests and the journal entry. customer is
// "" if the message does not say which of our BPNLs it asks.
func (s *Store) SaveRequestForUpdate(ctx context.Context, a Arrival, e Entry, customer string, responseBy *dcm.Timestamp, requests []dcm.RequestForUpdate) error {
	_, err := s.transact(ctx, a, func(conn *pgxpool.Conn, _ int) error {
		b := &batches{ctx, conn, &pgx.Batch{}}
		b.next.Queue("begin")
		queueRequests(b, a, customer, responseBy, requests)
		insertMessage.queue(b.next, a.value, e.value(a))
		b.next.Queue("commit")
		return b.send()
	})
	if err != nil {
		return fmt.Errorf("store request for update: %w", err)
	}
	return nil
}

// transact runs a transaction, again where another message or a lost connection
// came in between. It returns which try is the one that is committed.
func (s *Store) transact(ctx context.Context, a Arrival, run func(conn *pgxpool.Conn, try int) error) (stands int, err error) {
	const tries = 20
	lost := 0 // the try whose end is unknown; a restarted server leaves dead connections behind
	for try := 1; ; try++ {
		err := s.once(ctx, func(conn *pgxpool.Conn) error { return run(conn, try) })
		switch {
		case err == nil:
			return try, nil
		case errors.Is(err, errUnreplicated):
			return try, s.confirm(ctx, a)
		case violates(err, "message_pkey"):
			return lost, s.confirm(ctx, a) // the commit whose answer was lost had succeeded
		case isConflict(err) && try < tries:
			pause(ctx, time.Duration(rand.Int64N(int64(try)))*time.Millisecond)
		case isLost(err) && lost == 0 && ctx.Err() == nil:
			lost = try
		default:
			return 0, err
		}
	}
}

// confirm returns when an entry that is seen to be committed is as safe as any
// other. A server that ends while a commit waits for a synchronous standby
// leaves it visible on its own disk, but not on the standby.
func (s *Store) confirm(ctx context.Context, a Arrival) error {
	return s.once(ctx, func(conn *pgxpool.Conn) error {
		tag, err := conn.Exec(ctx, confirmMessage.sql, confirmMessage.args(a.value)...)
		if err == nil && tag.RowsAffected() != 1 {
			err = errUnreplicated // and meanwhile another server has taken over
		}
		return err
	})
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

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
	const idle = 'I'
	switch {
	case err == nil, errors.Is(err, errOvertaken) && conn.Conn().PgConn().TxStatus() == idle:
	case isConflict(err):
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

// errOvertaken means that another message wrote the group after it was read.
var errOvertaken = errors.New("another message changed the capacity group meanwhile")

// saveOne saves a message that needs one stored group or none, in two
// statements of which each is a transaction of its own.
func saveOne(ctx context.Context, conn *pgxpool.Conn, a Arrival, keys []Key, decide func(map[Key]Stored) Decision) error {
	var stored map[Key]Stored
	if len(keys) == 1 {
		rows, err := conn.Query(ctx, readCapacityGroup.sql, readCapacityGroup.args(given(map[string]any{
			"supplier": a.Sender, "customer": keys[0].Customer, "capacity_group_id": pgUUID(&keys[0].ID),
		}))...)
		if err != nil {
			return err
		}
		if stored, err = collectStored(rows); err != nil {
			return err
		}
	}
	d := decide(stored)
	s, values := insertMessage, []value{a.value, d.Entry.value(a)}
	for key, w := range d.Writes {
		row, known, same := w.row(stored, key)
		switch {
		case !known:
			s = insertCapacityGroupWithMessage
		case same:
			s = touchCapacityGroupWithMessage
		default:
			s = overwriteCapacityGroupWithMessage
		}
		values = append(values, row.value, stored[key].value)
	}
	tag, err := conn.Exec(ctx, s.sql, s.args(values...)...)
	if err == nil && tag.RowsAffected() == 0 {
		err = errOvertaken
	}
	return err
}

// saveSeveral saves a message in one transaction, in which the stored groups
// stay locked.
func saveSeveral(ctx context.Context, conn *pgxpool.Conn, a Arrival, keys []Key, decide func(map[Key]Stored) Decision) error {
	customers, ids := make([]string, len(keys)), make([]pgtype.UUID, len(keys))
	for i, k := range keys {
		customers[i], ids[i] = k.Customer, pgUUID(&k.ID)
	}
	var begin pgx.Batch
	begin.Queue("begin")
	lockCapacityGroups.queue(&begin, given(map[string]any{"supplier": a.Sender, "customers": customers, "ids": ids}))
	results := conn.SendBatch(ctx, &begin)
	defer results.Close()
	if _, err := results.Exec(); err != nil {
		return err
	}
	rows, err := results.Query()
	if err != nil {
		return err
	}
	stored, err := collectStored(rows)
	if err != nil {
		return err
	}
	if err := results.Close(); err != nil {
		return err
	}
	d := decide(stored)
	b := &batches{ctx, conn, &pgx.Batch{}}
	if err := saveGroups(b, a, d.Writes, stored); err != nil {
		return err
	}
	insertMessage.queue(b.next, a.value, d.Entry.value(a))
	b.next.Queue("commit")
	return b.send()
}

func collectStored(rows pgx.Rows) (map[Key]Stored, error) {
	stored := make(map[Key]Stored)
	var key Key
	var id pgtype.UUID
	var s Stored
	var nanosecond int16
	var hash []byte
	_, err := pgx.ForEachRow(rows, []any{&key.Customer, &id, &s.ChangedAt.Time, &nanosecond, &hash}, func() error {
		key.ID = id.Bytes
		s.ChangedAt.Time = s.ChangedAt.Add(time.Duration(nanosecond))
		s.hash = [sha256.Size]byte(hash)
		stored[key] = s
		return nil
	})
	return stored, err
}

// value is what a group must still be when it is written.
func (s Stored) value(name string) (any, bool) {
	switch name {
	case "read_changed_at":
		return s.ChangedAt.Time, true
	case "read_changed_at_nanosecond":
		return nanosecond(s.ChangedAt), true
	case "read_content_hash":
		return s.hash[:], true
	}
	return nil, false
}

// batches sends statements in portions, so that the memory for a long list
// stays bounded.
type batches struct {
	ctx  context.Context
	conn *pgxpool.Conn
	next *pgx.Batch
}

func (b *batches) add(s statement, values ...value) error {
	const portion = 64
	s.queue(b.next, values...)
	if b.next.Len() < portion {
		return nil
	}
	return b.send()
}

func (b *batches) send() error {
	err := b.conn.SendBatch(b.ctx, b.next).Close()
	b.next = &pgx.Batch{}
	return err
}

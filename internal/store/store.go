// Package store keeps what was received in Postgres: one transaction a message,
// so that its objects, its journal entry and the answer agree. It asks the
// caller what to do with what is stored, and knows none of the rules itself.
package store

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/schemas"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Store is the database of one receiver. It is safe for concurrent use.
type Store struct{ pool *pgxpool.Pool }

// Open prepares connections to the database of url ("" leaves it to the PG*
// variables); it does not connect yet. A statement that takes longer than
// timeout is ended by the server too, so that a receiver that is gone holds
// nothing.
func Open(url string, connections int, timeout time.Duration) (*Store, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("read DATABASE_URL: %w", err)
	}
	config.MaxConns = int32(connections)
	config.ConnConfig.ConnectTimeout = min(orElse(config.ConnConfig.ConnectTimeout, 5*time.Second), timeout)
	params := config.ConnConfig.RuntimeParams
	milliseconds := fmt.Sprint(timeout.Milliseconds())
	for name, value := range map[string]string{
		"application_name":                    "dcm-receiver",
		"statement_timeout":                   milliseconds,
		"idle_in_transaction_session_timeout": milliseconds,
	} {
		if _, set := params[name]; !set {
			params[name] = value
		}
	}
	config.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		register(conn.TypeMap())
		return nil
	}
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	return &Store{pool}, nil
}

func orElse[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}

// Close waits for connections in use and closes all.
func (s *Store) Close() { s.pool.Close() }

// Stat tells about the connections.
func (s *Store) Stat() *pgxpool.Stat { return s.pool.Stat() }

// Key names a capacity group among those of one supplier.
type Key struct {
	Customer string // BPNL
	ID       uuid.UUID
}

// Stored is what a decision may need of a stored group.
type Stored struct {
	ChangedAt dcm.Timestamp
	hash      [sha256.Size]byte
}

// Arrival is what is known of a message before it is judged.
type Arrival struct {
	ID         uuid.UUID // ours
	Sender     string    // BPNL of the sending connector
	Agreement  string    // contract agreement; "" if unknown
	Endpoint   string
	ReceivedAt time.Time
	Bytes      int64
	MessageID  *uuid.UUID // of the header; nil if none
	// MessageIDAsSent is its spelling, or what was sent instead of an ID.
	MessageIDAsSent string
}

// Entry is what the journal says of a judged message.
type Entry struct {
	Status  int
	Objects int
	Errors  ErrorList // of the message as a whole
	// Results of the capacity groups, in the order sent.
	Results []Result
}

// Result is what became of one object.
type Result struct {
	CapacityGroupID *uuid.UUID // nil if it could not be read
	Rule            int
	Errors          ErrorList
}

// ErrorList is a list of violations, and how many more there are.
type ErrorList struct {
	Errors     []schemas.Violation `json:"errors"`
	MoreErrors int                 `json:"moreErrors,omitempty"`
}

// Write is a group to be stored.
type Write struct {
	Group *dcm.CapacityGroup
	Raw   string // the object as sent: the same again needs no writing
}

// Decision is what is to be done with a message.
type Decision struct {
	Entry  Entry
	Writes map[Key]Write
}

// SaveCapacityGroups locks the groups of the sender that keys name, has decide
// decide on what is stored of them, and stores the decision together with the
// journal entry. It returns the decision that is committed. decide is called
// again when another message changed the ground meanwhile.
func (s *Store) SaveCapacityGroups(ctx context.Context, a Arrival, keys []Key, decide func(map[Key]Stored) Decision) (Decision, error) {
	var made *Decision
	err := s.transact(ctx, a, func(conn *pgxpool.Conn) error {
		stored, err := lock(ctx, conn, a.Sender, keys)
		if err != nil {
			return err
		}
		decision := decide(stored)
		// In a retry after a lost connection the first decision may turn out to be
		// committed; then it stands.
		if made == nil {
			made = &decision
		}
		if err := s.write(ctx, conn, a, decision.Entry, len(keys) > 0, func(b *batches) error {
			return queueGroups(b, a, decision.Writes, stored)
		}); err != nil {
			return err
		}
		made = &decision
		return nil
	}, func() { made = nil })
	if err != nil {
		return Decision{}, fmt.Errorf("store capacity groups: %w", err)
	}
	return *made, nil
}

// SaveRequestForUpdate stores the requests and the journal entry. customer is
// "" if the message does not say which of our BPNLs it asks.
func (s *Store) SaveRequestForUpdate(ctx context.Context, a Arrival, e Entry, customer string, responseBy *dcm.Timestamp, requests []dcm.RequestForUpdate) error {
	err := s.transact(ctx, a, func(conn *pgxpool.Conn) error {
		if len(requests) == 0 {
			return s.write(ctx, conn, a, e, false, nil)
		}
		if _, err := conn.Exec(ctx, "begin"); err != nil {
			return err
		}
		return s.write(ctx, conn, a, e, true, func(b *batches) error {
			queueRequests(b, a, customer, responseBy, requests)
			return nil
		})
	}, func() {})
	if err != nil {
		return fmt.Errorf("store request for update: %w", err)
	}
	return nil
}

// transact runs a transaction, again where another message or a lost connection
// came in between. forget is called before it is run again after it is certain
// that nothing of it was stored.
func (s *Store) transact(ctx context.Context, a Arrival, run func(*pgxpool.Conn) error, forget func()) error {
	const tries = 20
	lost := false // once: a server that was restarted leaves dead connections behind
	for try := 1; ; try++ {
		err := s.once(ctx, run)
		switch {
		case err == nil:
			return nil
		case violates(err, "message_pkey"):
			return s.confirm(ctx, a) // the commit whose answer was lost had succeeded
		case isConflict(err) && try < tries:
			if !lost {
				forget()
			}
			sleep(ctx, time.Duration(rand.Int64N(int64(try)))*time.Millisecond)
		case isLost(err) && !lost && ctx.Err() == nil:
			lost = true
		default:
			return err
		}
	}
}

// confirm returns when an entry that is seen to be committed is as safe as any
// other. A server that ends while a commit waits for a synchronous standby
// leaves it visible on its own disk, but not on the standby.
func (s *Store) confirm(ctx context.Context, a Arrival) error {
	_, err := s.pool.Exec(ctx, confirmMessage.sql, confirmMessage.args(func(name string) any {
		if name == "sender" {
			return a.Sender
		}
		return pgUUID(&a.ID)
	})...)
	return err
}

func sleep(ctx context.Context, d time.Duration) {
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
	switch {
	case err == nil:
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

// lock begins a transaction and reads what is stored under the keys.
func lock(ctx context.Context, conn *pgxpool.Conn, sender string, keys []Key) (map[Key]Stored, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	var b pgx.Batch
	b.Queue("begin")
	if len(keys) == 1 {
		lockCapacityGroup.queue(&b, func(name string) any {
			switch name {
			case "supplier":
				return sender
			case "customer":
				return keys[0].Customer
			default:
				return pgUUID(&keys[0].ID)
			}
		})
	} else {
		customers, ids := make([]string, len(keys)), make([]pgtype.UUID, len(keys))
		for i, k := range keys {
			customers[i], ids[i] = k.Customer, pgUUID(&k.ID)
		}
		lockCapacityGroups.queue(&b, func(name string) any {
			switch name {
			case "supplier":
				return sender
			case "customers":
				return customers
			default:
				return ids
			}
		})
	}
	results := conn.SendBatch(ctx, &b)
	defer results.Close()
	if _, err := results.Exec(); err != nil {
		return nil, err
	}
	rows, err := results.Query()
	if err != nil {
		return nil, err
	}
	stored := make(map[Key]Stored)
	var key Key
	var changedAt time.Time
	var nanosecond int16
	var hash []byte
	_, err = pgx.ForEachRow(rows, []any{&key.Customer, &key.ID, &changedAt, &nanosecond, &hash}, func() error {
		s := Stored{ChangedAt: dcm.Timestamp{Time: changedAt.Add(time.Duration(nanosecond))}}
		copy(s.hash[:], hash)
		stored[key] = s
		return nil
	})
	if err != nil {
		return nil, err
	}
	return stored, results.Close()
}

// batches sends statements in portions, so that the memory for a long list
// stays bounded.
type batches struct {
	ctx  context.Context
	conn *pgxpool.Conn
	next *pgx.Batch
}

func (b *batches) add(s statement, value func(string) any) error {
	const portion = 64
	s.queue(b.next, value)
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

// write queues what objects queues and the journal entry, and commits.
func (s *Store) write(ctx context.Context, conn *pgxpool.Conn, a Arrival, e Entry, begun bool, objects func(*batches) error) error {
	b := &batches{ctx, conn, &pgx.Batch{}}
	if objects != nil {
		if err := objects(b); err != nil {
			return err
		}
	}
	insertMessage.queue(b.next, entryArguments(a, e))
	if begun {
		b.next.Queue("commit")
	}
	return b.send()
}

func entryArguments(a Arrival, e Entry) func(string) any {
	ids, rules := make([]pgtype.UUID, len(e.Results)), make([]int16, len(e.Results))
	perObject := make(map[int]ErrorList)
	for i, r := range e.Results {
		ids[i], rules[i] = pgUUID(r.CapacityGroupID), int16(r.Rule)
		if len(r.Errors.Errors) > 0 {
			perObject[i] = r.Errors
		}
	}
	return func(name string) any {
		switch name {
		case "sender":
			return a.Sender
		case "id":
			return pgUUID(&a.ID)
		case "received_at":
			return a.ReceivedAt
		case "endpoint":
			return a.Endpoint
		case "message_id":
			return pgUUID(a.MessageID)
		case "message_id_as_sent":
			if a.MessageID != nil && a.MessageIDAsSent == a.MessageID.String() {
				return nil // nearly always
			}
			return nullable(a.MessageIDAsSent)
		case "contract_agreement_id":
			return nullable(a.Agreement)
		case "status":
			return int16(e.Status)
		case "objects":
			return int32(e.Objects)
		case "bytes":
			return a.Bytes
		case "duration":
			return time.Since(a.ReceivedAt)
		case "errors":
			if len(e.Errors.Errors) == 0 {
				return (*string)(nil)
			}
			return asJSON(e.Errors.Errors)
		case "more_errors":
			return int32(e.Errors.MoreErrors)
		case "capacity_group_ids":
			return ids
		case "rules":
			return rules
		case "object_errors":
			if len(perObject) == 0 {
				return (*string)(nil)
			}
			return asJSON(perObject)
		}
		panic("no argument " + name)
	}
}

func nullable(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func asJSON(value any) *string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // strings and numbers only
	}
	s := string(text)
	return &s
}

func pgError(err error) *pgconn.PgError {
	var pg *pgconn.PgError
	errors.As(err, &pg)
	return pg
}

func violates(err error, constraint string) bool {
	pg := pgError(err)
	return pg != nil && pg.Code == "23505" && pg.ConstraintName == constraint
}

// isConflict reports whether another transaction came in between, so that the
// same transaction can be run again.
func isConflict(err error) bool {
	pg := pgError(err)
	if pg == nil {
		return false
	}
	switch pg.Code {
	case "40001", "40P01": // serialization failure, deadlock
		return true
	case "23505":
		return pg.ConstraintName == "capacity_group_pkey" || pg.ConstraintName == "message_repeat"
	}
	return false
}

// isLost reports whether the connection broke, so that it is unknown whether
// the transaction was committed.
func isLost(err error) bool {
	if pg := pgError(err); pg != nil {
		switch pg.Code {
		case "57P01", "57P02", "57P03", "25006": // shutdown, crash, starting up; a standby now
			return true
		}
		return false
	}
	return isBroken(err)
}

// isBroken reports whether the network or the server's end of it is to blame.
func isBroken(err error) bool {
	var network *net.OpError
	var connect *pgconn.ConnectError
	return errors.As(err, &network) || errors.As(err, &connect) || errors.Is(err, pgconn.ErrConnClosed) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}

// ErrorKinds are the values that Kind can have.
var ErrorKinds = []string{"unreachable", "timeout", "readonly", "full", "connections", "conflict", "other"}

// Kind sorts an error of the store into one of ErrorKinds.
func Kind(err error) string {
	pg := pgError(err)
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return "timeout"
	case pg == nil && isBroken(err):
		return "unreachable"
	case pg == nil:
		return "other"
	case isConflict(err):
		return "conflict"
	}
	switch pg.Code {
	case "57014", "55P03", "25P03":
		return "timeout"
	case "25006":
		return "readonly"
	case "53100", "53200":
		return "full"
	case "53300":
		return "connections"
	case "57P01", "57P02", "57P03", "28P01", "28000", "3D000":
		return "unreachable"
	}
	return "other"
}

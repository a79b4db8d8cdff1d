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
	"strings"
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
	config.ConnConfig.OnNotice = func(conn *pgconn.PgConn, n *pgconn.Notice) {
		// Somebody cancelled a commit that waited for its synchronous standby: it
		// is reported as done, but may be lost with this server.
		if n.Routine == "SyncRepWaitForLSN" {
			conn.CustomData()[unreplicated] = true
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
	Raw   []byte // the object as sent: the same again needs no writing
}

// Decision is what is to be done with a message.
type Decision struct {
	Entry  Entry
	Writes map[Key]Write
}

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
		_, err := conn.Exec(ctx, confirmMessage.sql, confirmMessage.args(a.value)...)
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

// value is what an arrival says of a message.
func (a Arrival) value(name string) (any, bool) {
	switch name {
	case "sender":
		return a.Sender, true
	case "id":
		return pgUUID(&a.ID), true
	case "received_at", "first_received_at":
		return a.ReceivedAt, true
	case "endpoint":
		return a.Endpoint, true
	case "message_id":
		return pgUUID(a.MessageID), true
	case "message_id_as_sent":
		if a.MessageID != nil && a.MessageIDAsSent == a.MessageID.String() {
			return nil, true // nearly always
		}
		return nullable(a.MessageIDAsSent), true
	case "contract_agreement_id":
		return nullable(a.Agreement), true
	case "bytes":
		return a.Bytes, true
	}
	return nil, false
}

// value is what the journal says of a judged message.
func (e Entry) value(a Arrival) value {
	ids, rules := make([]pgtype.UUID, len(e.Results)), make([]int16, len(e.Results))
	perObject := make(map[int]ErrorList)
	for i, r := range e.Results {
		ids[i], rules[i] = pgUUID(r.CapacityGroupID), int16(r.Rule)
		if len(r.Errors.Errors) > 0 {
			perObject[i] = r.Errors
		}
	}
	return func(name string) (any, bool) {
		switch name {
		case "status":
			return int16(e.Status), true
		case "objects":
			return int32(e.Objects), true
		case "duration":
			return time.Since(a.ReceivedAt), true
		case "errors":
			if len(e.Errors.Errors) == 0 {
				return nil, true
			}
			return asJSON(e.Errors.Errors), true
		case "more_errors":
			return int32(e.Errors.MoreErrors), true
		case "capacity_group_ids":
			return ids, true
		case "rules":
			return rules, true
		case "object_errors":
			if len(perObject) == 0 {
				return nil, true
			}
			return asJSON(perObject), true
		}
		return nil, false
	}
}

func nullable(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func asJSON(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // strings and numbers only
	}
	return string(text)
}

func pgError(err error) *pgconn.PgError {
	var pg *pgconn.PgError
	errors.As(err, &pg)
	return pg
}

func violates(err error, constraint string) bool {
	pg := pgError(err)
	// A table that is spread over servers has a number behind its name.
	return pg != nil && pg.Code == "23505" && strings.HasPrefix(pg.ConstraintName, constraint)
}

// isConflict reports whether another transaction came in between, so that the
// same transaction can be run again.
func isConflict(err error) bool {
	pg := pgError(err)
	if pg == nil {
		return errors.Is(err, errOvertaken)
	}
	switch pg.Code {
	case "40001", "40P01": // serialization failure, deadlock
		return true
	}
	return violates(err, "capacity_group_pkey") || violates(err, "message_repeat")
}

// isLost reports whether the connection broke, so that it is unknown whether
// the transaction was committed.
func isLost(err error) bool {
	if pg := pgError(err); pg != nil {
		switch pg.Code {
		case "57P01", "57P02", "57P03", "25006": // shutdown, crash, starting up; a standby now
			return true
		}
		return strings.HasPrefix(pg.Code, "08") // a pooler's word for the same
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

// Describe is an error of the store in words for the log: without any value of
// a payload, which the messages of server and driver may quote.
func Describe(err error) string {
	switch pg := pgError(err); {
	case pg != nil && (pg.Code == "42P05" || pg.Code == "26000"):
		return "SQLSTATE " + pg.Code + ": statements got mixed up between connections; behind PgBouncer add default_query_exec_mode=exec to DATABASE_URL"
	case pg != nil:
		return strings.TrimSpace(fmt.Sprintf("SQLSTATE %s in %s %s", pg.Code, pg.Routine, pg.ConstraintName))
	case isBroken(err), errors.Is(err, context.DeadlineExceeded):
		return err.Error()
	default:
		return fmt.Sprintf("%T", errors.Unwrap(err))
	}
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
	if strings.HasPrefix(pg.Code, "08") {
		return "unreachable"
	}
	return "other"
}

// Package store keeps what was received in Postgres: a message in one transaction,
// so that its objects, its journal entry and the answer agree. It asks the
// caller what to do with what is stored, and knows none of the rules itself.
package store

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"dcm-receiver/internal/database"
	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/rules"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Store is the database of one receiver. It is safe for concurrent use.
type Store struct {
	pool    *pgxpool.Pool
	timeout time.Duration
	groups  groupCommit

	noHistory   atomic.Bool  // new connections keep no states that are replaced
	asRequested atomic.Bool  // decisions are told which groups we asked for
	asyncCommit *atomic.Bool // the server's default; each transaction asks for a synchronous commit

	// Working out the overview of one supplier and customer may take so long, and as
	// long again for each of their groups.
	overviewLimit, overviewGroupLimit time.Duration
}

// Open prepares connections to the database of url ("" leaves it to the PG*
// variables), so many at most where url has no pool_max_conns; it does not
// connect yet. A statement that takes longer than
// timeout is ended by the server too, so that a receiver that is gone holds
// nothing.
func Open(url string, connections int, timeout time.Duration) (*Store, error) {
	if err := checkKinds(kinds, dcm.Endpoints); err != nil {
		return nil, err
	}
	read, err := database.Read(url)
	if err != nil {
		return nil, err
	}
	config := read.Pool()
	if read.MaxConns > 0 {
		connections = read.MaxConns
	}
	config.MaxConns = int32(connections)
	config.ConnConfig.ConnectTimeout = min(config.ConnConfig.ConnectTimeout, 5*time.Second, timeout)
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
	s := &Store{timeout: timeout, asyncCommit: read.AsyncCommit, overviewLimit: overviewLimit,
		overviewGroupLimit: overviewGroupLimit}
	config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		register(conn.TypeMap())
		if s.noHistory.Load() {
			_, err := conn.Exec(ctx, "set dcm.history = off", pgx.QueryExecModeSimpleProtocol)
			return err
		}
		return nil
	}
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s.pool = pool
	// More batches at once would be smaller ones: about as many as there are cores
	// keep a Postgres of the same size at work.
	s.groups.atOnce = max(1, min(runtime.GOMAXPROCS(0), connections/2))
	s.groups.busy = map[exclusive]bool{}
	return s, nil
}

// KeepNoHistory makes connections that are opened from now on keep no earlier states.
func (s *Store) KeepNoHistory() { s.noHistory.Store(true) }

// TellRequested lets decisions see which capacity groups we asked for by our own request for update.
func (s *Store) TellRequested() { s.asRequested.Store(true) }

// Close waits for connections in use and closes all.
func (s *Store) Close() { s.pool.Close() }

// Stat tells about the connections.
func (s *Store) Stat() *pgxpool.Stat { return s.pool.Stat() }

// Key names an object among those of its kind.
type Key struct {
	Supplier, Customer string // BPNLs
	ID                 uuid.UUID
}

// Subject is an object of a message whose verdict depends on what is stored.
type Subject struct {
	Key
	Material string // materialNumberCustomer of a material demand; "" of other objects
	About    About  // of a comment
}

// Arrival is what is known of a message before it is judged.
type Arrival struct {
	ID         uuid.UUID // ours
	Sender     string    // BPNL of the sending connector
	Agreement  string    // contract agreement; "" if unknown
	Endpoint   string    // path
	ReceivedAt time.Time
	Bytes      int64
	MessageID  *uuid.UUID // of the header; nil if none
	// MessageIDAsSent is its spelling, or what was sent instead of an ID.
	MessageIDAsSent string
}

// Entry is what the journal says of a judged message.
type Entry struct {
	Status   int
	Problem  string // last word of the problem's type; "" if the message was accepted
	Standard string // whose rules decided; "" if none was asked
	Objects  int
	Errors   dcm.Violations // of the message as a whole
	Warnings dcm.Violations
	Results  []Result // of the objects, in the order sent
	Record   Record   // how much of this is kept
}

// Result is what became of one object.
type Result struct {
	ObjectID *uuid.UUID // nil if it could not be read
	Rule     int
	Outcome  rules.Outcome
	Errors   dcm.Violations
	Warnings dcm.Violations
}

// MaxErrorBytes is about how many bytes of errors and warnings an answer has, and its
// journal entry: the rest is counted.
const MaxErrorBytes = 1 << 20

// MaxErrorText is what these have at most as JSON, in which a quotation mark takes two
// bytes.
const MaxErrorText = 2 * MaxErrorBytes

// UpdateRequest is the request of one IdBasedRequestForUpdate.
type UpdateRequest struct {
	Asked      string         // BPNL of ours that is asked; "" if the message does not say
	ResponseBy *dcm.Timestamp // nil if the message does not say
	Entries    []dcm.RequestForUpdate
}

// Decision is what to do with a message, beside what it writes to its Snapshot.
type Decision struct {
	Entry   Entry
	Request *UpdateRequest // nil unless it is a request for update
}

package planner

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// What readers can make this program and the database do is bounded, whatever
// partners sent and however many read: pages must neither slow messages nor end the
// process.
const (
	// connections is how many queries of planners run at once.
	connections = 2
	// rendered is how many pages and exports are made at once. Making one takes a
	// processor, which messages need.
	rendered = 1
	// served is how many readers are served at once, slow ones included: each may hold a
	// finished page in memory. Others wait without one.
	served = 32
	// queryTimeout bounds all queries of a page; a page says so when they take longer.
	queryTimeout = 15 * time.Second
	// workTimeout bounds all that a page works out from what partners sent. The page comes
	// without the parts for which no time is left.
	workTimeout = 2 * time.Second
	// leastTimeout is what the last of these parts have where the first took all.
	leastTimeout = 100 * time.Millisecond
	// lateTime is how long no reader waits for what took too long for another one.
	lateTime = time.Minute
	// mostLate is of how many queries that is remembered.
	mostLate = 1000
	// turnTimeout is how long a reader waits for its turn.
	turnTimeout = 10 * time.Second
	// writeTimeout is how long a reader may take to receive a page.
	writeTimeout = 30 * time.Second

	// mostText is how many characters of a partner's text a page or an export shows.
	mostText = 200
)

// errBusy means that too many readers are at work.
var errBusy = errors.New("too many pages are being made")

// turns bounds how many do something at once.
type turns chan struct{}

// take waits for a turn and returns what ends it.
func (t turns) take(ctx context.Context) (end func(), err error) {
	limited, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	select {
	case t <- struct{}{}:
		return func() { <-t }, nil
	case <-limited.Done():
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, errBusy
	}
}

// inTurn serves a reader when it is its turn, from reading the database until it has
// taken its page.
func (p *Pages) inTurn(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		end, err := p.serving.take(r.Context())
		if err != nil {
			busy(w)
			return
		}
		defer end()
		next.ServeHTTP(w, r)
	})
}

// busy tells a reader, without making a page for it, to come again.
func busy(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "10")
	http.Error(w, "Too many readers are here at present. Try again in a minute.", http.StatusServiceUnavailable)
}

// write sends a finished page, to a reader that takes it within its time.
func write(w http.ResponseWriter, status int, page []byte) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout)) // not every writer has one
	w.WriteHeader(status)
	_, _ = w.Write(page)
}

// late remembers for a while which queries took too long, so that the next reader does
// not wait for the same. It is safe for concurrent use.
type late struct {
	mu    sync.Mutex
	until map[string]time.Time
}

func (l *late) has(query string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Now().Before(l.until[query])
}

func (l *late) add(query string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.until) >= mostLate {
		clear(l.until)
	}
	if l.until == nil {
		l.until = map[string]time.Time{}
	}
	l.until[query] = time.Now().Add(lateTime)
}

// budget is the time that a page has left for what it works out.
type budget struct{ ends time.Time }

func budgetOf(d time.Duration) budget { return budget{time.Now().Add(d)} }

// share is a part of what is left, and never less than the least.
func (b budget) share(part float64) time.Duration {
	return max(leastTimeout, time.Duration(part*float64(time.Until(b.ends))))
}

// tried is within for a query that may take too long: it is not tried where it did so
// just now.
func tried[T any](ctx context.Context, p *Pages, limit time.Duration, sql string, args pgx.NamedArgs) (all []T,
	isLate bool, err error) {
	query := fmt.Sprint(sql, args)
	if p.late.has(query) {
		return nil, true, nil
	}
	all, isLate, err = within[T](ctx, p.pool, limit, sql, args)
	if isLate {
		p.late.add(query)
	}
	return all, isLate, err
}

// within reads all rows of a query that may take as long as the limit. isLate tells
// that it took longer, and rows are missing.
func within[T any](ctx context.Context, pool *pgxpool.Pool, limit time.Duration, sql string,
	args pgx.NamedArgs) (all []T, isLate bool, err error) {
	err = pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		// Compiling a query (jit) takes longer than the queries of the pages do.
		set := fmt.Sprintf("set local statement_timeout = %d; set local jit = off", limit.Milliseconds())
		if _, err := tx.Exec(ctx, set, pgx.QueryExecModeSimpleProtocol); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, sql, args)
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, pgx.RowToStructByName[T])
		return err
	})
	if isCancelled(err) && ctx.Err() == nil {
		return nil, true, nil
	}
	return all, false, err
}

// isCancelled reports whether the server ended a query at its time limit.
func isCancelled(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.Code == "57014"
}

// counted is a row of a list that is cut; it knows how many entries the whole list has.
type counted struct{ Total int }

func (c counted) total() int { return c.Total }

// list is the entries of a list that a page shows.
type list[T interface{ total() int }] []T

// More says where the entries are that the page leaves out; "" if it shows all.
func (l list[T]) More(view string) string {
	if len(l) == 0 || l[0].total() <= len(l) {
		return ""
	}
	return fmt.Sprintf("These are the first %d of %d; planning.%s has all.", len(l), l[0].total(), view)
}

package planner

import (
	"context"
	"errors"
	"fmt"
	"net/http"
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
	// written is how many finished pages wait at once for their readers to take them.
	written = 32
	// queryTimeout bounds all queries of a page; a page says so when they take longer.
	queryTimeout = 15 * time.Second
	// workTimeout bounds a query that works out a part of a page from what partners
	// sent. The page comes without the part where it takes longer.
	workTimeout = 2 * time.Second
	// lateTime is how long the list is not worked out after that took too long.
	lateTime = time.Minute
	// turnTimeout is how long a reader waits for its turn.
	turnTimeout = 10 * time.Second
	// writeTimeout is how long a reader may take to receive a page.
	writeTimeout = 30 * time.Second

	// mostText is how many characters of a partner's text a page or an export shows.
	mostText = 200
	// mostListed is how many entries of a list a page shows. The queries ask for one
	// more, which shows that there are more.
	mostListed = 500
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

// write sends a finished page, to a reader that takes it within its time.
func (p *Pages) write(w http.ResponseWriter, r *http.Request, status int, page []byte) {
	end, err := p.writing.take(r.Context())
	if err != nil {
		http.Error(w, "Too many pages are being sent at present. Try again in a minute.", http.StatusServiceUnavailable)
		return
	}
	defer end()
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout)) // not every writer has one
	w.WriteHeader(status)
	_, _ = w.Write(page)
}

// within reads all rows of a query that may take as long as the limit. isLate tells
// that it took longer, and rows are missing.
func within[T any](ctx context.Context, pool *pgxpool.Pool, limit time.Duration, sql string, args pgx.NamedArgs) (all []T, isLate bool, err error) {
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

// firstOf is the entries that a page shows, and whether there are more.
func firstOf[T any](list []T) (first []T, more bool) {
	return list[:min(len(list), mostListed)], len(list) > mostListed
}

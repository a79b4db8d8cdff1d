package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

var (
	takeOverviewTurn = load("take_overview_turn")
	keepOverviewTurn = load("keep_overview_turn")
	endOverviewTurn  = load("end_overview_turn")
	changedOverviews = load("changed_overviews")
	makeOverview     = load("make_overview")
	overviewMade     = load("overview_made")
	giveUpOverview   = load("give_up_overview")
)

const (
	// overviewLease is how long a replica at work may be silent until another takes
	// over, or after an error it begins again.
	overviewLease = 2 * time.Minute
	// overviewPause is how long it is at least from one look for changes to the next.
	overviewPause = time.Minute
	// A usual group takes 2 to 5 ms.
	overviewLimit      = time.Minute
	overviewGroupLimit = 20 * time.Millisecond
)

// UpdateOverview brings what is kept ready for planners (planning.group_overview,
// planning.capacity_total) to the present, where it is this replica's turn. It takes
// its time: it rests between pieces of work, so that it takes the share of a core of
// Postgres that is given when it begins with a supplier and customer.
// A supplier and customer whose overview takes too long is given up for an hour.
// It returns as of when the whole of it is now; nil where a whole one was never made.
func (s *Store) UpdateOverview(ctx context.Context, share func() float64) (asOf *time.Time, err error) {
	var begun *time.Time
	if err := s.pool.QueryRow(ctx, takeOverviewTurn.sql, takeOverviewTurn.args(values{"lease": overviewLease})...).Scan(&begun, &asOf); err != nil {
		return nil, fmt.Errorf("take turn to update overview: %w", err)
	}
	if begun == nil { // it is not due, or another replica is at it
		return asOf, nil
	}
	said := time.Now()
	keepTurn := func() error {
		if time.Since(said) < overviewLease/5 {
			return nil
		}
		said = time.Now()
		if _, err := s.pool.Exec(ctx, keepOverviewTurn.sql, keepOverviewTurn.args(values{"lease": overviewLease})...); err != nil {
			return fmt.Errorf("keep turn to update overview: %w", err)
		}
		return nil
	}

	type pair struct {
		supplier, customer string
		groups             int64
	}
	var changed []pair
	begin := time.Now()
	err = s.unhurried(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, changedOverviews.sql)
		if err != nil {
			return err
		}
		var p pair
		_, err = pgx.ForEachRow(rows, []any{&p.supplier, &p.customer, &p.groups}, func() error {
			changed = append(changed, p)
			return nil
		})
		return err
	})
	if err != nil {
		return asOf, fmt.Errorf("find what changed since the overview: %w", err)
	}
	pause := max(overviewPause, 20*time.Since(begin))
	var failed error
	for _, p := range changed {
		of, part := values{"supplier": p.supplier, "customer": p.customer}, share()
		limit := float64(s.overviewLimit+time.Duration(p.groups)*s.overviewGroupLimit) / part // it rests meanwhile
		err := s.unhurried(ctx, func(tx pgx.Tx) error {
			timeout := fmt.Sprintf("set local statement_timeout = %d", time.Duration(limit).Milliseconds())
			if _, err := tx.Exec(ctx, timeout, pgx.QueryExecModeSimpleProtocol); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, overviewMade.sql, overviewMade.args(of)...); err != nil {
				return err
			}
			of["pauses"] = 1/part - 1
			_, err := tx.Exec(ctx, makeOverview.sql, makeOverview.args(of)...)
			return err
		})
		if pg := pgError(err); pg != nil && pg.Code == "57014" && ctx.Err() == nil {
			err = s.unhurried(ctx, func(tx pgx.Tx) error {
				_, err := tx.Exec(ctx, giveUpOverview.sql, giveUpOverview.args(of)...)
				return err
			})
		}
		switch {
		case err != nil && pgError(err) == nil:
			return asOf, fmt.Errorf("make overview: %w", err)
		case err != nil: // of these two alone: it keeps nobody else's from being made
			failed = fmt.Errorf("make overview: %w", err)
		}
		if err := keepTurn(); err != nil {
			return asOf, err
		}
	}
	if failed != nil {
		return asOf, failed
	}
	if _, err := s.pool.Exec(ctx, endOverviewTurn.sql, endOverviewTurn.args(values{"pause": pause, "begun": begun})...); err != nil {
		return asOf, fmt.Errorf("end turn to update overview: %w", err)
	}
	return begun, nil
}

// unhurried is a transaction that sees one state of the database and may take longer
// than a message. Its commit waits for no disk: what it writes can be made again.
func (s *Store) unhurried(ctx context.Context, do func(pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "set local statement_timeout = '1h'; set local synchronous_commit = off; set local max_parallel_workers_per_gather = 0; set local jit = off",
			pgx.QueryExecModeSimpleProtocol); err != nil {
			return err
		}
		return do(tx)
	})
}

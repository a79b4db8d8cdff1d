package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

var (
	takeOverviewTurn = load("take_overview_turn")
	keepOverviewTurn = load("keep_overview_turn")
	endOverviewTurn  = load("end_overview_turn")
	changedOverviews = load("changed_overviews")
	makeOverview     = load("make_overview")
	markOverviews    = load("mark_overviews")
	overviewAsOf     = load("overview_as_of")
	overviewMade     = load("overview_made")
	giveUpOverview   = load("give_up_overview")
)

const (
	// overviewLease is how long a replica at work may be silent until another takes
	// over, or after an error it begins again.
	overviewLease = 2 * time.Minute
	// overviewPause is how long it is at least from one look for changes to the next.
	overviewPause = time.Minute
	// An overview may take so much work, and as much more for each group. A usual group
	// takes 0.4 to 1.3 ms.
	overviewLimit      = 10 * time.Second
	overviewGroupLimit = 5 * time.Millisecond
)

// UpdateOverview brings what is kept ready for planners (planning.group_overview,
// planning.capacity_total) to the present, where it is this replica's turn. It takes
// its time: it rests between pieces of work, so that it takes the share of a core of
// Postgres that is given when it begins with a supplier and customer.
// A supplier and customer whose overview takes too long is given up for an hour.
// It returns as of when the oldest of those is that are not given up; nil before all
// were made once.
func (s *Store) UpdateOverview(ctx context.Context, share func() float64) (asOf *time.Time, err error) {
	var begun time.Time
	switch err := s.pool.QueryRow(ctx, takeOverviewTurn.SQL,
		takeOverviewTurn.Args(values{"lease": overviewLease})...).Scan(&begun); {
	case errors.Is(err, pgx.ErrNoRows): // it is not due, or another replica is at it
	case err != nil:
		return nil, fmt.Errorf("take turn to update overview: %w", err)
	default:
		err = s.updateOverviews(ctx, begun, share)
		if err != nil {
			return nil, err
		}
	}
	if err := s.pool.QueryRow(ctx, overviewAsOf.SQL).Scan(&asOf); err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("read the age of the overview: %w", err)
	}
	return asOf, nil
}

// changedOverview is a supplier and customer whose overview is not what it has to be.
type changedOverview struct {
	Supplier, Customer string
	Groups             int64
	IsNew, IsGivenUp   bool
}

// updateOverviews makes the overviews that changed, in this replica's turn.
func (s *Store) updateOverviews(ctx context.Context, begun time.Time, share func() float64) error {
	began := time.Now()
	changed, err := s.lookForChanges(ctx, begun)
	if err != nil {
		return fmt.Errorf("find what changed since the overview: %w", err)
	}
	pause := max(overviewPause, 20*time.Since(began))
	var failed error
	said := time.Now()
	for _, c := range changed {
		if c.IsGivenUp {
			continue
		}
		switch err := s.makeOverview(ctx, c, share()); {
		case err != nil && pgError(err) == nil:
			return fmt.Errorf("make overview: %w", err)
		case err != nil: // of these two alone: it keeps no one else's from being made
			failed = fmt.Errorf("make overview: %w", err)
		}
		if time.Since(said) > overviewLease/5 {
			said = time.Now()
			if _, err := s.pool.Exec(ctx, keepOverviewTurn.SQL,
				keepOverviewTurn.Args(values{"lease": overviewLease})...); err != nil {
				return fmt.Errorf("keep turn to update overview: %w", err)
			}
		}
	}
	if failed != nil {
		return failed
	}
	if _, err := s.pool.Exec(ctx, endOverviewTurn.SQL, endOverviewTurn.Args(values{"pause": pause})...); err != nil {
		return fmt.Errorf("end turn to update overview: %w", err)
	}
	return nil
}

// lookForChanges finds what changed since the overview, and marks how old that is. The
// groups of a new supplier and customer are listed from now on, without figures.
func (s *Store) lookForChanges(ctx context.Context, begun time.Time) (changed []changedOverview, err error) {
	err = s.longTx(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, changedOverviews.SQL)
		if err != nil {
			return err
		}
		if changed, err = pgx.CollectRows(rows, pgx.RowToStructByName[changedOverview]); err != nil {
			return err
		}
		suppliers, customers := make([]string, len(changed)), make([]string, len(changed))
		for i, c := range changed {
			suppliers[i], customers[i] = c.Supplier, c.Customer
		}
		if _, err := tx.Exec(ctx, markOverviews.SQL, markOverviews.Args(values{"suppliers": suppliers,
			"customers": customers, "begun": begun})...); err != nil {
			return err
		}
		for _, c := range changed {
			if c.IsNew {
				of := values{"supplier": c.Supplier, "customer": c.Customer,
					"at": pgtype.Timestamptz{InfinityModifier: pgtype.NegativeInfinity, Valid: true}}
				if _, err := tx.Exec(ctx, giveUpOverview.SQL, giveUpOverview.Args(of)...); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return changed, err
}

// makeOverview makes the overview of a supplier and customer with its share of a core,
// or gives it up.
func (s *Store) makeOverview(ctx context.Context, c changedOverview, share float64) error {
	of := values{"supplier": c.Supplier, "customer": c.Customer, "pauses": 1/share - 1, "at": nil}
	limit := float64(s.overviewLimit+time.Duration(c.Groups)*s.overviewGroupLimit) / share // it rests meanwhile
	err := s.longTx(ctx, func(tx pgx.Tx) error {
		timeout := fmt.Sprintf("set local statement_timeout = %d", time.Duration(limit).Milliseconds())
		if _, err := tx.Exec(ctx, timeout, pgx.QueryExecModeSimpleProtocol); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, overviewMade.SQL, overviewMade.Args(of)...); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, makeOverview.SQL, makeOverview.Args(of)...)
		return err
	})
	if pg := pgError(err); pg == nil || pg.Code != "57014" || ctx.Err() != nil {
		return err
	}
	return s.longTx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, giveUpOverview.SQL, giveUpOverview.Args(of)...)
		return err
	})
}

// longTx is a transaction that sees one state of the database and may take longer
// than a message. Its commit waits for no disk: what it writes can be made again.
func (s *Store) longTx(ctx context.Context, do func(pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx,
			"set local statement_timeout = '1h'; set local synchronous_commit = off; set local "+
				"max_parallel_workers_per_gather = 0; set local jit = off",
			pgx.QueryExecModeSimpleProtocol); err != nil {
			return err
		}
		return do(tx)
	})
}

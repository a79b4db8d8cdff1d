// Package migrations brings a Postgres database to the tables and views of this
// version. Migrations go forward only and are embedded.
package migrations

import (
	"context"
	crand "crypto/rand"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"dcm-receiver/internal/database"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed 0*.sql
var files embed.FS

//go:embed planner.sql
var planner string

// Version is the number of the newest migration.
var Version = func() (newest int) {
	names, err := fs.Glob(files, "0*.sql")
	if err != nil {
		panic(err) // of a pattern that is wrong
	}
	for _, name := range names {
		number, _, _ := strings.Cut(name, "_")
		n, err := strconv.Atoi(number)
		if err != nil {
			panic(err) // a file that goose would not take either
		}
		newest = max(newest, n)
	}
	return newest
}()

// Up runs what is missing in the database of url ("" leaves it to the PG*
// variables), and gives role dcm_planner its rights; where the role may not be
// created, that is logged and left out. Replicas that start together wait for
// each other.
//
// A table that somebody else holds is waited for shortly and again, because
// everybody else queues behind a waiting migration; the log names who holds it.
func Up(ctx context.Context, url string, log *slog.Logger) error {
	read, err := database.Read(url)
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		err := up(ctx, read, log)
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.Code != lockNotAvailable || try == tries {
			return err
		}
		// Not all replicas at the same moment, and everybody else in between.
		pause := lockTimeout + rand.N(lockTimeout)
		log.Warn("migrate: a table is held by somebody else; trying again", "try", try, "of", tries, "wait",
			pause.Round(time.Millisecond).String())
		select {
		case <-ctx.Done():
			return fmt.Errorf("migrate: %w", ctx.Err())
		case <-time.After(pause):
		}
	}
}

// UpUntilDone tries until it succeeds or ctx ends. Its errors are those of a database
// that no further try can migrate: database.ErrEncoding and ErrTooOld.
func UpUntilDone(ctx context.Context, url string, log *slog.Logger) error {
	for wait := time.Second; ; wait = min(2*wait, 30*time.Second) {
		err := Up(ctx, url, log)
		if err == nil || errors.Is(err, database.ErrEncoding) || errors.Is(err, ErrTooOld) {
			return err
		}
		if ctx.Err() == nil {
			log.Error("not migrated; trying again", "error", database.OneLine(err), "wait", wait)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

const (
	lockTimeout      = 2 * time.Second
	tries            = 60 // some four minutes
	lockNotAvailable = "55P03"
	undefinedTable   = "42P01"
)

func up(ctx context.Context, read *database.Config, log *slog.Logger) error {
	config := read.Conn()
	application := "dcm-receiver migrate " + crand.Text()[:8]
	config.RuntimeParams["application_name"] = application
	config.RuntimeParams["lock_timeout"] = fmt.Sprint(lockTimeout.Milliseconds())
	watching, stop := context.WithCancel(ctx)
	defer stop()
	go nameBlockers(watching, read.Conn(), application, log)
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if n.Severity == "WARNING" {
			log.Warn("migrate: " + n.Message)
		}
	}
	db := stdlib.OpenDB(*config)
	defer db.Close()
	if err := checkAge(ctx, db); err != nil {
		return err
	}
	// The table of versions lives in our schema too: not every role may create
	// tables in schema public.
	if _, err := db.ExecContext(ctx, "create schema if not exists dcm"); err != nil && !raced(err) {
		return fmt.Errorf("migrate: create schema dcm: %w", err)
	}
	// Seconds between tries for the lock, and how many: a minute in all.
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 60), lock.WithUnlockTimeout(1, 5))
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithSessionLocker(locker),
		goose.WithTableName("dcm.schema_version"))
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	results, err := provider.Up(ctx)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	for _, r := range results {
		log.Info("migrated", "file", r.Source.Path, "duration", r.Duration.Round(time.Microsecond).String())
	}
	if len(results) == 0 {
		log.Info("nothing to migrate: the database is up to date", "version", Version)
	}
	if _, err := db.ExecContext(ctx, planner); err != nil {
		return fmt.Errorf("migrate: grant rights to dcm_planner: %w", err)
	}
	return nil
}

// squashed is the newest of the migrations that 0.1.0 replaced by five, which have the
// last five of the same numbers: a database that recorded all of the old ones has the
// tables of the new ones, and goose runs only what comes after.
const squashed = 26

// ErrTooOld is the error of a database that recorded only some of the replaced
// migrations.
var ErrTooOld = fmt.Errorf("too old for this version: first migrate it with the version before 0.1.0 "+
	"(commit 0ef5ffd, whose newest migration is %d), then with this one", squashed)

// checkAge refuses a database that recorded the first of the replaced migrations and
// not the last. It only reads.
func checkAge(ctx context.Context, db *sql.DB) error {
	var replaced bool
	var newest int
	err := db.QueryRowContext(ctx, `
		select coalesce(bool_or(version_id = 1), false), coalesce(max(version_id), 0)
		from dcm.schema_version
		where is_applied`).Scan(&replaced, &newest)
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &pg) && pg.Code == undefinedTable:
		return nil // a new database
	case err != nil:
		return fmt.Errorf("migrate: read dcm.schema_version: %w", err)
	case replaced && newest < squashed:
		return fmt.Errorf("the database is at migration %d, %w", newest, ErrTooOld)
	}
	return nil
}

// nameBlockers logs who holds what a migration waits for: no statement, since
// that may hold values.
func nameBlockers(ctx context.Context, config *pgx.ConnConfig, application string, log *slog.Logger) {
	const blockers = `
		select b.pid, coalesce(b.application_name, ''), coalesce(b.usename, ''), coalesce(b.state, ''),
			coalesce(extract(epoch from clock_timestamp() - b.xact_start), 0)::float8
		from pg_stat_activity w
		cross join lateral unnest(pg_blocking_pids(w.pid)) as blocking (pid)
		join pg_stat_activity b on b.pid = blocking.pid
		where w.application_name = $1 and w.wait_event_type = 'Lock'`
	named := map[int32]bool{}
	var conn *pgx.Conn
	defer func() {
		if conn != nil {
			_ = conn.Close(context.WithoutCancel(ctx))
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(lockTimeout / 4): // most migrations have ended by then
		}
		if conn == nil {
			var err error
			if conn, err = pgx.ConnectConfig(ctx, config); err != nil {
				return // the migration says why
			}
		}
		rows, err := conn.Query(ctx, blockers, pgx.QueryExecModeSimpleProtocol, application)
		if err != nil {
			return
		}
		var pid int32
		var name, user, state string
		var age float64
		if _, err := pgx.ForEachRow(rows, []any{&pid, &name, &user, &state, &age}, func() error {
			if !named[pid] {
				named[pid] = true
				log.Warn(
					"migrate: waiting for a table that another session holds; let it end, or end it with select "+
						"pg_terminate_backend(pid)",
					"pid", pid, "application", name, "user", user, "state", state,
					"transaction_age", time.Duration(age*float64(time.Second)).Round(time.Millisecond).String())
			}
			return nil
		}); err != nil {
			return
		}
	}
}

// raced reports whether another replica created the same schema at this moment.
func raced(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "23505"
}

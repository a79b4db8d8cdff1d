// Package migrations brings a Postgres database to the tables and views of this
// version. Migrations go forward only and are embedded.
package migrations

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strconv"
	"strings"

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
func Up(ctx context.Context, url string, log *slog.Logger) error {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return fmt.Errorf("read DATABASE_URL: %w", err)
	}
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if n.Severity == "WARNING" {
			log.Warn("migrate: " + n.Message)
		}
	}
	db := stdlib.OpenDB(*config)
	defer db.Close()
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
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithSessionLocker(locker), goose.WithTableName("dcm.schema_version"))
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	results, err := provider.Up(ctx)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	for _, r := range results {
		log.Info("migrated", "file", r.Source.Path, "duration", r.Duration)
	}
	if _, err := db.ExecContext(ctx, planner); err != nil {
		return fmt.Errorf("migrate: grant rights to dcm_planner: %w", err)
	}
	return nil
}

// raced reports whether another replica created the same schema at this moment.
func raced(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "23505"
}

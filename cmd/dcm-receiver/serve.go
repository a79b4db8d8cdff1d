package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"dcm-receiver/internal/database"
	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/example"
	"dcm-receiver/internal/privatepg"
	"dcm-receiver/internal/receiver"
	"dcm-receiver/internal/standard"
	"dcm-receiver/internal/store"
	"dcm-receiver/migrations"

	"github.com/alecthomas/kong"
	"github.com/jackc/pgx/v5/pgconn"
)

type serveCommand struct {
	serveSettings
}

// Run serves until a signal comes, or until the private Postgres ends.
func (c *serveCommand) Run(parser *kong.Kong) error {
	if err := c.check(); err != nil {
		return failure{err, wrongUse}
	}
	log := c.logger()
	scheme, certificate := "http", (*receiver.Certificate)(nil)
	if c.TLSCertFile != "" {
		var err error
		if certificate, err = receiver.ReadCertificate(c.TLSCertFile, c.TLSKeyFile, log); err != nil {
			return failure{fmt.Errorf("DCM_TLS_CERT_FILE, DCM_TLS_KEY_FILE: %w", err), wrongUse}
		}
		scheme = "https"
	}
	maxWork := receiver.TuneMemory(int64(c.MaxBuffered))
	warnOfUnknownVariables(log, parser)
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()

	// The ports first: a second program on them must not touch the database.
	partner, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return failure{fmt.Errorf("DCM_LISTEN: %w", err), wrongUse}
	}
	operations, err := net.Listen("tcp", c.OpsListen)
	if err != nil {
		return failure{fmt.Errorf("DCM_OPS_LISTEN: %w", err), wrongUse}
	}
	served := false
	defer func() {
		if served {
			log.Info("stopped")
		}
	}()
	failed := make(chan error, 3)
	var front receiver.Starting
	opsServer := receiver.NewServer(&front, time.Duration(c.RequestTimeout), log)
	go func() { failed <- opsServer.Serve(operations) }()
	db, err := c.database(ctx, log)
	if err != nil {
		return err
	}
	defer db.stop()
	connections := c.Connections
	if connections == 0 {
		connections = max(16, 4*runtime.NumCPU())
	}
	s, err := store.Open(db.url, connections, time.Duration(c.RequestTimeout))
	if err != nil {
		return err
	}

	if c.HistoryRetention == 0 {
		s.KeepNoHistory()
	}
	if c.Requested {
		s.TellRequested()
	}
	by, _ := standard.Of(c.Standard) // check has found it
	by.WeekAhead = c.WeekAhead
	rc := receiver.New(receiver.Config{
		Standard: by, CustomerBPNLs: c.CustomerBPNLs, SupplierBPNLs: c.SupplierBPNLs, Partners: c.Partners,
		APIKeys: c.APIKeys, SenderHeader: c.SenderHeader,
		UnparsableStatus: c.UnparsableStatus, RequestTimeout: time.Duration(c.RequestTimeout),
		MaxInFlight: c.MaxInFlight, MaxBuffered: int64(c.MaxBuffered), MaxWork: maxWork,
	}, s, log)
	register, err := c.EDC.prepare(rc, c.own(), log)
	if err != nil {
		return err
	}
	send, err := c.prepareSending(rc, db.url, log)
	if err != nil {
		return err
	}
	partnerServer := receiver.NewServer(rc.Partner(), time.Duration(c.RequestTimeout), log)
	front.Open(rc.Operations())
	if certificate != nil {
		rc.Register(certificate.Expiry())
		partnerServer.TLSConfig = certificate.Config()
	}
	go func() {
		if partnerServer.TLSConfig != nil {
			failed <- partnerServer.ServeTLS(partner, "", "")
		} else {
			failed <- partnerServer.Serve(partner)
		}
	}()

	background, stopBackground := context.WithCancel(context.Background())
	defer stopBackground()
	go func() {
		if c.Migrate {
			if err := migrations.UpUntilDone(background, db.url, log); err != nil {
				failed <- withDatabaseStatus(err)
				return
			}
		}
		go rc.AwaitReady(background)
		go c.storeSettings(background, db.url, log)
		database.WarnOfUnsafeSettings(background, db.url, log)
		rc.Housekeeping(background, receiver.Retention{Journal: time.Duration(c.JournalRetention),
			History: time.Duration(c.HistoryRetention)})
	}()
	go register(background)
	sent := make(chan struct{})
	go func() { send(background); close(sent) }()
	go c.Planning.serve(background, db.url, receiver.NewServer(nil, time.Duration(c.RequestTimeout), log), log)
	served = true
	log.Info("serving", "partners", scheme+"://"+partner.Addr().String(), "operations",
		"http://"+operations.Addr().String(), "version", version)
	c.printHints(scheme+"://"+partner.Addr().String(), "http://"+operations.Addr().String(), db.psql)

	var fault error
	select {
	case <-ctx.Done():
	case fault = <-failed:
	case <-db.ended:
		fault = errors.New("the private Postgres ended; see postgres.log in DCM_DATA_DIR")
	}
	cancel() // a second signal ends the program at once
	rc.Stop()
	log.Info("stopping")
	if fault == nil {
		time.Sleep(time.Duration(c.ShutdownDelay))
	}
	stopBackground()
	deadline, release := context.WithTimeout(context.Background(), time.Duration(c.ShutdownTimeout))
	defer release()
	if err := partnerServer.Shutdown(deadline); err != nil {
		log.Warn("some messages did not finish in time and were cut off; their senders will send them again", "limit",
			c.ShutdownTimeout.String())
	} else {
		rc.WriteCounts(deadline)
		s.Close() // it waits for transactions, of which there are none now
	}
	select { // what goes out has a moment too
	case <-sent:
	case <-deadline.Done():
	}
	_ = opsServer.Close()
	return fault
}

// privateStart is how long a private Postgres may take until it answers: longer
// than the recovery from a crash, shorter than a person waits without a word.
const privateStart = 2 * time.Minute

// place is where the store is.
type place struct {
	url   string          // "" where the PG* variables say it
	psql  string          // a command that shows it to a person
	ended <-chan struct{} // closed when a private Postgres ends by itself
	stop  func()
}

func (c *serveCommand) database(ctx context.Context, log *slog.Logger) (place, error) {
	db := place{url: c.DatabaseURL, psql: `psql "$DATABASE_URL"`, stop: func() {}}
	if !c.private() {
		if db.url == "" {
			db.psql = "psql" // it reads the same PG* variables
		}
		return db, nil
	}
	forgetPG()
	ctx, cancel := context.WithTimeout(ctx, privateStart)
	defer cancel()
	server, err := privatepg.Start(ctx, privatepg.Options{Dir: c.DataDir, Log: log})
	if err != nil {
		err = fmt.Errorf("start private Postgres in DCM_DATA_DIR: %w", err)
		if _, ok := errors.AsType[*fs.PathError](err); ok || errors.Is(err, privatepg.ErrInUse) {
			err = failure{err, wrongUse}
		}
		return db, err
	}
	return place{server.URL("dcm"), server.PsqlCommand(), server.Exited(), func() {
		if err := server.Stop(); err != nil {
			log.Error("stop private Postgres", "error", err)
		}
	}}, nil
}

// storeSettings stores what releases in SQL must know, once the database can be
// written to.
func (c *serveCommand) storeSettings(ctx context.Context, url string, log *slog.Logger) {
	for ctx.Err() == nil {
		conn, err := databaseSettings{DatabaseURL: url}.connect(ctx)
		if err == nil {
			_, err = conn.Exec(ctx, `
				with none as (
					delete from dcm.served_setting where name = 'DCM_CUSTOMER_BPNLS' and $1 = ''
				)
				insert into dcm.served_setting as s (name, value) select 'DCM_CUSTOMER_BPNLS', $1 where $1 <> ''
				on conflict (name) do update set value = excluded.value where s.value <> excluded.value`, strings.Join(c.CustomerBPNLs, ","))
			_ = conn.Close(context.WithoutCancel(ctx))
		}
		if err == nil {
			return
		}
		log.Debug("settings not stored; trying again", "error", store.Describe(err))
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Second):
		}
	}
}

// printHints tells a person what to do next.
func (c *serveCommand) printHints(partners, operations, psql string) {
	key, customer := "", ""
	if len(c.APIKeys) > 0 {
		key = ` -H "X-Api-Key: $KEY"`
	}
	if len(c.CustomerBPNLs) > 0 && c.CustomerBPNLs[0] != example.Customer {
		customer = " --customer " + c.CustomerBPNLs[0]
	}
	pages := ""
	if c.Planning.Listen != "" {
		pages = "Pages:    http://" + c.Planning.Listen + "\n"
	}
	if c.Standard != standard.Default().Name {
		customer += " --standard " + c.Standard
	}
	try := ""
	if len(c.CustomerBPNLs) > 0 {
		try = fmt.Sprintf(
			"Try it:   %s example%s | curl -sS%s -H 'Content-Type: application/json' -H '%s: %s' --data-binary @- %s/%s\n",
			os.Args[0], customer, key, c.SenderHeader, example.Supplier, partners, dcm.CapacityGroupEndpoint.Path)
	}
	fmt.Printf(
		"Partners: %s   Operations: %s/metrics\n%sLook:     %s -c 'select * from planning.capacity limit 5'\n%s",
		partners, operations, try, psql, pages)
}

type migrateCommand struct {
	databaseSettings
	logSettings
}

// Run migrates once.
func (c *migrateCommand) Run() error {
	if c.private() {
		return failure{errors.New(
			"DATABASE_URL is not set: there is nothing to migrate (serve migrates its private Postgres by itself)"), wrongUse}
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	if _, err := database.Read(c.DatabaseURL); err != nil {
		return failure{err, wrongUse}
	}
	return withDatabaseStatus(migrations.Up(ctx, c.DatabaseURL, c.logger()))
}

// withDatabaseStatus gives an error of the database its exit status.
func withDatabaseStatus(err error) error {
	var unreachable *pgconn.ConnectError
	switch {
	case errors.Is(err, database.ErrEncoding):
		return failure{fmt.Errorf("DATABASE_URL: %w", database.ErrEncoding), wrongUse}
	case errors.Is(err, migrations.ErrTooOld):
		return failure{err, wrongUse}
	case err != nil && database.IsWrong(err):
		return failure{fmt.Errorf("DATABASE_URL: %s", database.OneLine(err)), wrongUse}
	case errors.As(err, &unreachable):
		return failure{errors.New(database.OneLine(err)), notReachable}
	}
	return err
}

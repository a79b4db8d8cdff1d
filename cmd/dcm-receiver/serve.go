package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/example"
	"dcm-receiver/internal/privatepg"
	"dcm-receiver/internal/receiver"
	"dcm-receiver/internal/store"
	"dcm-receiver/migrations"

	"github.com/alecthomas/kong"
)

type serveCommand struct {
	serveSettings
}

// Run serves until a signal comes, or until the private Postgres ends.
func (c *serveCommand) Run(parser *kong.Kong) error {
	if err := c.check(); err != nil {
		return err
	}
	log := c.logger()
	c.tuneMemory()
	warnOfUnknownVariables(log, parser)
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()

	// The ports first: a second program on them must not touch the database.
	partner, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("DCM_LISTEN: %w", err)
	}
	operations, err := net.Listen("tcp", c.OpsListen)
	if err != nil {
		return fmt.Errorf("DCM_OPS_LISTEN: %w", err)
	}
	db, err := c.database(ctx, log)
	if err != nil {
		return err
	}
	defer db.stop()
	connections := c.Connections
	if connections == 0 {
		connections = max(16, 4*runtime.NumCPU())
	}
	s, err := store.Open(db.url, connections, c.RequestTimeout)
	if err != nil {
		return err
	}

	if c.HistoryRetention == 0 {
		s.KeepNoHistory()
	}
	standard, _ := receiver.StandardOf(c.Standard) // check has seen to it
	rc := receiver.New(receiver.Config{
		Standard: standard, CustomerBPNLs: c.CustomerBPNLs, SupplierBPNLs: c.SupplierBPNLs, Partners: c.Partners, APIKeys: c.APIKeys, SenderHeader: c.SenderHeader,
		UnparsableStatus: c.UnparsableStatus, RequestTimeout: c.RequestTimeout, MaxInFlight: c.MaxInFlight, MaxBuffered: c.MaxBuffered,
	}, s, log)
	register, err := c.EDC.prepare(rc, ownSettings{keys: c.APIKeys, partners: c.Partners, header: c.SenderHeader,
		standard: c.Standard, customers: c.CustomerBPNLs, suppliers: c.SupplierBPNLs}, log)
	if err != nil {
		return err
	}
	send, err := c.prepareSending(rc, db.url, log)
	if err != nil {
		return err
	}
	partnerServer := c.server(rc.Partner(), log)
	opsServer := c.server(rc.Operations(), log)
	scheme, err := c.useTLS(partnerServer, rc, log)
	if err != nil {
		return err
	}
	failed := make(chan error, 2)
	go func() {
		if partnerServer.TLSConfig != nil {
			failed <- partnerServer.ServeTLS(partner, "", "")
		} else {
			failed <- partnerServer.Serve(partner)
		}
	}()
	go func() { failed <- opsServer.Serve(operations) }()

	background, stopBackground := context.WithCancel(context.Background())
	defer stopBackground()
	go func() {
		if c.Migrate && !migrate(background, db.url, log) {
			return
		}
		rc.Housekeeping(background, receiver.Retention{Journal: c.JournalRetention, History: c.HistoryRetention})
	}()
	go register(background)
	go send(background)
	go c.Planning.serve(background, db.url, c.server(nil, log), log)
	log.Info("serving", "partners", scheme+"://"+partner.Addr().String(), "operations", "http://"+operations.Addr().String(), "version", version)
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
		time.Sleep(c.ShutdownDelay)
	}
	stopBackground()
	deadline, release := context.WithTimeout(context.Background(), c.ShutdownTimeout)
	defer release()
	if err := partnerServer.Shutdown(deadline); err != nil {
		log.Warn("some messages did not finish in time and were cut off; their senders will send them again", "limit", c.ShutdownTimeout)
	} else {
		rc.WriteCounts(deadline)
		s.Close() // it waits for transactions, of which there are none now
	}
	_ = opsServer.Close()
	return fault
}

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
	server, err := privatepg.Start(ctx, privatepg.Options{Dir: c.DataDir, Log: log})
	if err != nil {
		return db, fmt.Errorf("start private Postgres: %w", err)
	}
	return place{server.URL("dcm"), server.PsqlCommand(), server.Exited(), func() {
		if err := server.Stop(); err != nil {
			log.Error("stop private Postgres", "error", err)
		}
	}}, nil
}

// useTLS gives the partner listener its certificate, if it has one, and returns
// the scheme of its URLs.
func (c *serveCommand) useTLS(server *http.Server, rc *receiver.Receiver, log *slog.Logger) (scheme string, err error) {
	if c.TLSCertFile == "" {
		return "http", nil
	}
	certificate, err := newCertificate(c.TLSCertFile, c.TLSKeyFile, log)
	if err != nil {
		return "", err
	}
	rc.Register(certificate.expiry())
	server.TLSConfig = certificate.config()
	return "https", nil
}

// tuneMemory lets the small heap of small messages grow, so that it is swept
// less often, and holds the large heap of large ones down to the bodies and
// what is made of them. What an operator sets stands; of GOMEMLIMIT an eighth is
// left for what Go does not count, such as the program's own pages, so that the
// process as a whole stays below it.
func (c *serveCommand) tuneMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	limit := c.MaxBuffered + 32<<20
	if os.Getenv("GOMEMLIMIT") != "" {
		limit = debug.SetMemoryLimit(-1) // a negative one only reads it
		if limit < math.MaxInt64 {
			limit -= limit / 8
		}
	}
	debug.SetMemoryLimit(limit)
}

// server has limits that keep a slow sender from holding anything up.
func (c *serveCommand) server(handler http.Handler, log *slog.Logger) *http.Server {
	const read = 60 * time.Second // 15 MiB at 256 KiB a second
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       read,
		WriteTimeout:      read + c.RequestTimeout + 30*time.Second,
		IdleTimeout:       2 * time.Minute,
		// Else "OPTIONS *" would be answered without a look at the key.
		DisableGeneralOptionsHandler: true,
		MaxHeaderBytes:               64 << 10,
		ErrorLog:                     slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// migrate tries until it succeeds or ctx ends; the receiver is not ready until
// then.
func migrate(ctx context.Context, url string, log *slog.Logger) bool {
	for wait := time.Second; ; wait = min(2*wait, 30*time.Second) {
		err := migrations.Up(ctx, url, log)
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		log.Error("not migrated; trying again", "error", err, "wait", wait)
		select {
		case <-ctx.Done():
			return false
		case <-time.After(wait):
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
	if c.Standard != "cx-0048" {
		customer += " --standard " + c.Standard
	}
	fmt.Printf(`Partners: %[1]s   Operations: %[2]s/metrics
Try it:   %[3]s example%[4]s | curl -sS%[5]s -H 'Content-Type: application/json' -H '%[6]s: %[7]s' --data-binary @- %[1]s/%[8]s
Look:     %[9]s -c 'select * from planning.capacity limit 5'
%[10]s`, partners, operations, os.Args[0], customer, key, c.SenderHeader, example.Supplier, dcm.CapacityGroupEndpoint.Path, psql, pages)
}

type migrateCommand struct {
	databaseSettings
	logSettings
}

// Run migrates once.
func (c *migrateCommand) Run() error {
	if c.private() {
		return errors.New("DATABASE_URL is not set: there is nothing to migrate (serve migrates its private Postgres by itself)")
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	return migrations.Up(ctx, c.DatabaseURL, c.logger())
}

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
	"sync/atomic"
	"syscall"
	"time"

	"dcm-receiver/internal/database"
	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/example"
	"dcm-receiver/internal/privatepg"
	"dcm-receiver/internal/receiver"
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
	c.tuneMemory()
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
	defer log.Info("stopped")
	failed := make(chan error, 3)
	var front frontDoor
	opsServer := c.server(&front, log)
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
	standard, _ := receiver.StandardOf(c.Standard) // check has seen to it
	rc := receiver.New(receiver.Config{
		Standard: standard, CustomerBPNLs: c.CustomerBPNLs, SupplierBPNLs: c.SupplierBPNLs, Partners: c.Partners, APIKeys: c.APIKeys, SenderHeader: c.SenderHeader,
		UnparsableStatus: c.UnparsableStatus, RequestTimeout: time.Duration(c.RequestTimeout), MaxInFlight: c.MaxInFlight, MaxBuffered: int64(c.MaxBuffered),
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
	front.open(rc.Operations())
	scheme, err := c.useTLS(partnerServer, rc, log)
	if err != nil {
		return failure{err, wrongUse}
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
			if err := migrate(background, db.url, log); err != nil {
				failed <- err
				return
			}
		}
		warnOfHazards(background, db.url, log)
		rc.Housekeeping(background, receiver.Retention{Journal: time.Duration(c.JournalRetention), History: time.Duration(c.HistoryRetention)})
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
		time.Sleep(time.Duration(c.ShutdownDelay))
	}
	stopBackground()
	deadline, release := context.WithTimeout(context.Background(), time.Duration(c.ShutdownTimeout))
	defer release()
	if err := partnerServer.Shutdown(deadline); err != nil {
		log.Warn("some messages did not finish in time and were cut off; their senders will send them again", "limit", c.ShutdownTimeout.String())
	} else {
		rc.WriteCounts(deadline)
		s.Close() // it waits for transactions, of which there are none now
	}
	_ = opsServer.Close()
	return fault
}

// frontDoor answers for the operations listener while the database is started:
// alive, and not ready.
type frontDoor struct{ behind atomic.Pointer[http.Handler] }

func (f *frontDoor) open(h http.Handler) { f.behind.Store(&h) }

func (f *frontDoor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h := f.behind.Load(); h != nil {
		(*h).ServeHTTP(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if r.URL.Path != "/livez" {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, "the database is being started")
		return
	}
	fmt.Fprintln(w, "ok")
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
	limit := int64(c.MaxBuffered) + 32<<20
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
		WriteTimeout:      read + time.Duration(c.RequestTimeout) + 30*time.Second,
		IdleTimeout:       2 * time.Minute,
		// Else "OPTIONS *" would be answered without a look at the key.
		DisableGeneralOptionsHandler: true,
		MaxHeaderBytes:               64 << 10,
		ErrorLog:                     slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// migrate tries until it succeeds or ctx ends; the receiver is not ready until
// then. A database that can never do ends the program.
func migrate(ctx context.Context, url string, log *slog.Logger) error {
	for wait := time.Second; ; wait = min(2*wait, 30*time.Second) {
		err := migrations.Up(ctx, url, log)
		if err == nil {
			return nil
		}
		if errors.Is(err, database.ErrEncoding) {
			return failure{fmt.Errorf("DATABASE_URL: %w", database.ErrEncoding), wrongUse}
		}
		if ctx.Err() == nil {
			log.Error("not migrated; trying again", "error", err, "wait", wait)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// warnOfHazards says what the server does that loses messages at a crash, once
// it can be asked.
func warnOfHazards(ctx context.Context, url string, log *slog.Logger) {
	config, err := database.Read(url)
	if err != nil {
		return // serve has refused it
	}
	for ctx.Err() == nil {
		off, err := database.Hazards(ctx, config)
		for _, name := range off {
			log.Warn("a crash of the database can lose or damage what was answered 201: switch this on in postgresql.conf", "setting", name, "value", "off")
		}
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Second):
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
		return failure{errors.New("DATABASE_URL is not set: there is nothing to migrate (serve migrates its private Postgres by itself)"), wrongUse}
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	if _, err := database.Read(c.DatabaseURL); err != nil {
		return failure{err, wrongUse}
	}
	err := migrations.Up(ctx, c.DatabaseURL, c.logger())
	var unreachable *pgconn.ConnectError
	switch {
	case errors.Is(err, database.ErrEncoding):
		return failure{fmt.Errorf("DATABASE_URL: %w", database.ErrEncoding), wrongUse}
	case errors.As(err, &unreachable):
		return failure{err, notReachable}
	}
	return err
}

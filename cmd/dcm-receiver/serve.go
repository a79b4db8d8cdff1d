package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"dcm-receiver/internal/database"
	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/example"
	"dcm-receiver/internal/jobs"
	"dcm-receiver/internal/outbox"
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

// Run serves until a signal comes, or until a listener or the private Postgres fails.
func (c *serveCommand) Run(parser *kong.Kong) error {
	if err := c.check(); err != nil {
		return failure{err, wrongUse}
	}
	p := &process{serveCommand: c, log: c.logger(), failed: make(chan error, 3), sent: make(chan struct{})}
	p.maxWork = receiver.TuneMemory(int64(c.MaxBuffered))
	warnOfUnknownVariables(p.log, parser)
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	if err := p.listen(); err != nil { // before anything else: a second program must not touch the database
		return failure{err, wrongUse}
	}
	if err := p.open(ctx); err != nil {
		return err
	}
	defer p.db.stop()
	defer p.log.Info("stopped")
	stopBackground := p.start()
	defer stopBackground()
	var fault error
	select {
	case <-ctx.Done():
	case fault = <-p.failed:
	case <-p.db.ended:
		fault = errors.New("the private Postgres ended; see postgres.log in DCM_DATA_DIR")
	}
	cancel() // a second signal ends the program at once
	p.stop(stopBackground, fault)
	return fault
}

// process is a running serve.
type process struct {
	*serveCommand
	log     *slog.Logger
	maxWork int64

	partner, operations net.Listener
	certificate         *receiver.Certificate // nil: the partner listener speaks HTTP
	front               receiver.Starting
	partnerServer       *http.Server
	opsServer           *http.Server

	db       place
	store    *store.Store
	receiver *receiver.Receiver
	jobs     *jobs.Jobs
	register func(context.Context) // at the connector, in the background
	send     func(context.Context) // what is due, in the background

	failed chan error
	sent   chan struct{} // closed when sending has ended
}

// listen opens the two listeners, and answers on the operations listener that the program starts.
func (p *process) listen() (err error) {
	if p.TLSCertFile != "" {
		if p.certificate, err = receiver.ReadCertificate(p.TLSCertFile, p.TLSKeyFile, p.log); err != nil {
			return fmt.Errorf("DCM_TLS_CERT_FILE, DCM_TLS_KEY_FILE: %w", err)
		}
	}
	if p.partner, err = net.Listen("tcp", p.Listen); err != nil {
		return fmt.Errorf("DCM_LISTEN: %w", err)
	}
	if p.operations, err = net.Listen("tcp", p.OpsListen); err != nil {
		return fmt.Errorf("DCM_OPS_LISTEN: %w", err)
	}
	p.opsServer = receiver.NewServer(&p.front, time.Duration(p.RequestTimeout), p.log)
	go func() { p.failed <- p.opsServer.Serve(p.operations) }()
	return nil
}

// open opens the database, and makes everything that works on it.
func (p *process) open(ctx context.Context) (err error) {
	if p.db, err = p.database(ctx, p.log); err != nil {
		return err
	}
	connections := p.Connections
	if connections == 0 {
		connections = max(16, 4*runtime.NumCPU())
	}
	defer func() {
		if err != nil {
			p.db.stop()
		}
	}()
	if p.store, err = store.Open(p.db.url, connections, time.Duration(p.RequestTimeout)); err != nil {
		return err
	}
	if p.HistoryRetention == 0 {
		p.store.KeepNoHistory()
	}
	if p.Requested {
		p.store.TellRequested()
	}
	by, _ := standard.Of(p.Standard) // check has found it
	by.WeekAhead = p.WeekAhead
	p.receiver = receiver.New(receiver.Config{
		Standard: by, CustomerBPNLs: p.CustomerBPNLs, SupplierBPNLs: p.SupplierBPNLs, Partners: p.Partners,
		APIKeys: p.APIKeys, SenderHeader: p.SenderHeader, UnparsableStatus: p.UnparsableStatus,
		RequestTimeout: time.Duration(p.RequestTimeout), MaxInFlight: p.MaxInFlight, MaxBuffered: int64(p.MaxBuffered),
		MaxWork: p.maxWork,
	}, p.store, p.log)
	p.jobs = &jobs.Jobs{
		Store: p.store, Log: p.log, Journal: time.Duration(p.JournalRetention),
		History: time.Duration(p.HistoryRetention), Busy: p.receiver.Busy, Accepted: p.receiver.Accepted,
	}
	p.receiver.Register(append(p.jobs.Collectors(), buildInfo())...)
	if p.register, err = p.EDC.prepare(p.receiver, p.own(), p.log); err != nil {
		return err
	}
	p.send, err = p.prepareSending(p.receiver, by, p.db.url, p.log)
	return err
}

// start starts everything, and returns what stops the background work.
func (p *process) start() (stopBackground func()) {
	scheme := "http"
	p.partnerServer = receiver.NewServer(p.receiver.Partner(), time.Duration(p.RequestTimeout), p.log)
	if p.certificate != nil {
		scheme = "https"
		p.receiver.Register(p.certificate.Expiry())
		p.partnerServer.TLSConfig = p.certificate.Config()
		go func() { p.failed <- p.partnerServer.ServeTLS(p.partner, "", "") }()
	} else {
		go func() { p.failed <- p.partnerServer.Serve(p.partner) }()
	}
	p.front.Open(p.receiver.Operations())
	background, stopBackground := context.WithCancel(context.Background())
	go func() {
		if p.Migrate {
			if err := migrations.UpUntilDone(background, p.db.url, p.log); err != nil {
				p.failed <- withDatabaseStatus(err)
				return
			}
		}
		go p.receiver.AwaitReady(background)
		go p.receiver.KeepCounts(background)
		go outbox.StoreCustomers(background, p.db.url, p.CustomerBPNLs, p.log)
		database.WarnOfUnsafeSettings(background, p.db.url, p.log)
		p.jobs.Run(background)
	}()
	go p.register(background)
	go func() { p.send(background); close(p.sent) }()
	pages := receiver.NewServer(nil, time.Duration(p.RequestTimeout), p.log)
	go p.Planning.serve(background, p.db.url, pages, p.log)
	partners, operations := scheme+"://"+p.partner.Addr().String(), "http://"+p.operations.Addr().String()
	p.log.Info("serving", "partners", partners, "operations", operations, "version", version)
	p.printHints(partners, operations, p.db.psql)
	return stopBackground
}

// stop lets messages finish, then what is being sent, for at most DCM_SHUTDOWN_TIMEOUT.
func (p *process) stop(stopBackground func(), fault error) {
	p.receiver.Stop()
	p.log.Info("stopping")
	if fault == nil {
		time.Sleep(time.Duration(p.ShutdownDelay))
	}
	stopBackground()
	deadline, release := context.WithTimeout(context.Background(), time.Duration(p.ShutdownTimeout))
	defer release()
	if err := p.partnerServer.Shutdown(deadline); err != nil {
		p.log.Warn("some messages did not finish in time and were cut off; their senders will send them again",
			"limit", p.ShutdownTimeout.String())
	} else {
		p.receiver.WriteCounts(deadline)
		p.store.Close() // no transaction is open any more
	}
	select {
	case <-p.sent:
	case <-deadline.Done():
	}
	_ = p.opsServer.Close()
}

// privateStart is how long a private Postgres may take until it answers: longer than the recovery from a
// crash, shorter than an operator waits without a message.
const privateStart = 2 * time.Minute

// place is where the store is.
type place struct {
	url   string          // "" where the PG* variables say it
	psql  string          // a command that shows it to a person
	ended <-chan struct{} // closed when a private Postgres ends unasked
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
			"Try it:   %s example%s | curl -sS%s -H 'Content-Type: application/json' -H '%s: %s' --data-binary @- "+
				"%s/%s\n",
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
			"DATABASE_URL is not set: there is nothing to migrate (serve migrates its private Postgres)"), wrongUse}
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

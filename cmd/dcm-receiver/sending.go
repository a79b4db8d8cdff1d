package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"dcm-receiver/internal/database"
	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/edc"
	"dcm-receiver/internal/outbox"
	"dcm-receiver/internal/receiver"
	"dcm-receiver/internal/standard"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// sendingParallel is how many partners are sent to at once; as many more may hang.
// One that does costs a connection and little memory.
const sendingParallel = 512

// prepareSending checks the settings and registers the metrics. What it returns
// sends in the background until ctx ends, once the database is migrated.
func (c *serveCommand) prepareSending(rc *receiver.Receiver, by standard.Standard, databaseURL string,
	log *slog.Logger) (run func(context.Context), err error) {
	metrics := outbox.NewMetrics(rc.Register)
	if !c.Send {
		return func(context.Context) {}, nil
	}
	m, err := c.EDC.management()
	if err != nil {
		return nil, fmt.Errorf("DCM_SEND is set: %w", err)
	}
	read, err := database.Read(databaseURL)
	if err != nil {
		return nil, failure{err, wrongUse}
	}
	config := read.Pool()
	config.MaxConns = 8
	config.ConnConfig.ConnectTimeout = min(config.ConnConfig.ConnectTimeout, 5*time.Second)
	if params := config.ConnConfig.RuntimeParams; params["application_name"] == "" {
		params["application_name"] = "dcm-receiver outbox"
	}
	// A plan made while dcm.delivery was empty would be kept until the next ANALYZE: a scan of
	// all of it for each message, 20 times slower after the first release.
	config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "set plan_cache_mode = force_custom_plan", pgx.QueryExecModeSimpleProtocol)
		return err
	}
	db, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", err)
	}
	few := config.Copy()
	few.MaxConns = 3
	control, err := pgxpool.NewWithConfig(context.Background(), few)
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", err)
	}
	return func(ctx context.Context) {
		defer db.Close()
		defer control.Close()
		s := &outbox.Sender{DB: db, Control: control, Consumer: &edc.Consumer{Management: m}, Standard: by, Log: log,
			Metrics: metrics, Parallel: sendingParallel,
			Note: func(state string) { rc.Note("sending", state) }}
		for wait := time.Second; ; wait = min(2*wait, 15*time.Second) { // until the tables are there
			var there bool
			if err := db.QueryRow(ctx, "select to_regclass('dcm.answering') is not null").Scan(&there); err == nil &&
				there {
				break
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
			}
		}
		go s.Watch(ctx)
		s.Run(ctx)
	}, nil
}

type requestCommand struct {
	Groups   []string `arg:"" optional:"" name:"group" help:"capacityGroupIds to ask for."`
	Supplier string   `env:"DCM_REQUEST_SUPPLIER" placeholder:"BPNL" help:"${Supplier}"`
	Customer string   `env:"DCM_REQUEST_CUSTOMER" placeholder:"BPNL" help:"${request_Customer}"`
	All      bool     `env:"DCM_REQUEST_ALL" help:"${All}"`
	Newer    bool     `env:"DCM_REQUEST_NEWER" help:"Ask only for what was changed after the stored state."`
	JSON     bool     `env:"DCM_JSON" name:"json" help:"Print a JSON object a request, and one a group that comes."`
	Wait     duration `env:"DCM_REQUEST_WAIT" default:"0s" placeholder:"DURATION" help:"${Wait}"`
	databaseSettings
}

// check finds wrong arguments.
func (c *requestCommand) check() error {
	for name, bpnl := range map[string]string{"--supplier": c.Supplier, "--customer": c.Customer} {
		if bpnl != "" && !dcm.IsBPNL(bpnl) {
			return fmt.Errorf("%s %q is not a BPNL", name, bpnl)
		}
	}
	for _, g := range c.Groups {
		if _, err := dcm.ParseID(g); err != nil {
			return fmt.Errorf("GROUP %q is not a UUID", g)
		}
	}
	switch {
	case c.All == (len(c.Groups) > 0):
		return errors.New("name the groups to ask for, or --all")
	case c.All && c.Newer:
		return errors.New("--newer goes with groups: a request for all cannot say what is stored")
	}
	return nil
}

// Run queues requests for update, and shows what comes.
func (c *requestCommand) Run() error {
	if err := c.check(); err != nil {
		return failure{err, wrongUse}
	}
	return c.inDatabase(func(ctx context.Context, conn *pgx.Conn) error {
		asked, err := c.ask(ctx, conn)
		if err != nil || c.Wait == 0 {
			return err
		}
		return c.show(ctx, conn, asked)
	})
}

func (c *requestCommand) ask(ctx context.Context, conn *pgx.Conn) (asked []outbox.Request, err error) {
	queue := func(queued []outbox.Request, err error, none string) error {
		switch {
		case err != nil:
			return c.refused(err)
		case len(queued) == 0:
			return failure{errors.New(none), saysNo}
		}
		for _, q := range queued {
			if err := say(c.JSON, map[string]any{"messageId": q.MessageID, "supplier": q.Supplier,
				"customer": q.Customer},
				"%s is asked on behalf of %s (message %s)\n", q.Supplier, q.Customer, q.MessageID); err != nil {
				return err
			}
		}
		asked = append(asked, queued...)
		return nil
	}
	if c.All {
		queued, err := outbox.AskForAll(ctx, conn, c.Supplier, c.Customer)
		return asked, queue(queued, err, "there is no supplier of whom groups are stored; name --supplier and "+
			"--customer")
	}
	for _, g := range c.Groups {
		id, _ := dcm.ParseID(g)
		queued, err := outbox.AskForGroup(ctx, conn, c.Supplier, c.Customer, id, c.Newer)
		if err := queue(queued, err, fmt.Sprintf("group %s is not stored; name --supplier and --customer",
			id)); err != nil {
			return nil, err
		}
	}
	return asked, nil
}

// show prints groups as they come, until all that were named have come, or for the time of --wait.
func (c *requestCommand) show(ctx context.Context, conn *pgx.Conn, asked []outbox.Request) error {
	messages, missing := []string{}, map[string]bool{} // by supplier and group
	suppliers := map[string]time.Time{}
	for _, a := range asked {
		messages, suppliers[a.Supplier] = append(messages, a.MessageID), a.At
		if a.Group != nil {
			missing[a.Supplier+" "+*a.Group] = true
		}
	}
	seen := map[string]bool{}
	for end := time.Now().Add(time.Duration(c.Wait)); time.Now().Before(end); {
		refused, err := outbox.Refused(ctx, conn, messages)
		if err != nil {
			return c.refused(err)
		}
		if refused != "" {
			return failure{fmt.Errorf("the request is refused by %s", refused), saysNo}
		}
		for supplier, since := range suppliers {
			groups, err := outbox.GroupsSince(ctx, conn, supplier, since)
			if err != nil {
				return c.refused(err)
			}
			for _, g := range groups {
				if seen[g.Key] {
					continue
				}
				seen[g.Key] = true
				delete(missing, supplier+" "+g.Group)
				if err := say(c.JSON, map[string]any{"supplier": supplier, "capacityGroupId": g.Group,
					"outcome":    g.Outcome,
					"receivedAt": g.At}, "%s sent group %s: %s\n", supplier, g.Group, g.Outcome); err != nil {
					return err
				}
			}
		}
		if !c.All && len(missing) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(300 * time.Millisecond):
		}
	}
	if len(missing) > 0 {
		return failure{fmt.Errorf("after %s there is still missing: %s, %s", c.Wait, counted(len(missing), "group"),
			strings.Join(slices.Sorted(maps.Keys(missing)), ", ")), saysNo}
	}
	return nil
}

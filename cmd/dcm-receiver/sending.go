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
	Supplier string   `env:"DCM_REQUEST_SUPPLIER" placeholder:"BPNL" help:"The supplier to ask; required unless the groups are stored already."`
	Customer string   `env:"DCM_REQUEST_CUSTOMER" placeholder:"BPNL" help:"BPNL of ours that asks; required unless the groups are stored already."`
	All      bool     `env:"DCM_REQUEST_ALL" help:"Ask for all groups, of --supplier or of every supplier that we have groups of."`
	Newer    bool     `env:"DCM_REQUEST_NEWER" help:"Ask only for what was changed after the stored state."`
	JSON     bool     `env:"DCM_JSON" name:"json" help:"Print a JSON object a request, and one a group that comes."`
	Wait     duration `env:"DCM_REQUEST_WAIT" default:"0s" placeholder:"DURATION" help:"Wait so long at most and show what comes. Exit status 1 if a named group does not, or the supplier refuses the request."`
	databaseSettings
}

// Run queues requests for update.
func (c *requestCommand) Run() error {
	for name, bpnl := range map[string]string{"--supplier": c.Supplier, "--customer": c.Customer} {
		if bpnl != "" && !dcm.IsBPNL(bpnl) {
			return failure{fmt.Errorf("%s %q is not a BPNL", name, bpnl), wrongUse}
		}
	}
	for _, g := range c.Groups {
		if _, err := dcm.ParseID(g); err != nil {
			return failure{fmt.Errorf("GROUP %q is not a UUID", g), wrongUse}
		}
	}
	switch {
	case c.All == (len(c.Groups) > 0):
		return failure{errors.New("name the groups to ask for, or --all"), wrongUse}
	case c.All && c.Newer:
		return failure{errors.New("--newer goes with groups: a request for all cannot say what is stored"), wrongUse}
	}
	return c.inDatabase(func(ctx context.Context, conn *pgx.Conn) error {
		n := 0
		var asked []asking
		insert := func(sql string, arguments ...any) (added int, err error) {
			rows, err := conn.Query(ctx, sql, arguments...)
			if err != nil {
				return 0, c.refused(err)
			}
			var id, supplier, customer string
			var group *string
			var at time.Time
			_, err = pgx.ForEachRow(rows, []any{&id, &supplier, &customer, &group, &at}, func() error {
				added++
				asked = append(asked, asking{id, supplier, group, at})
				return say(c.JSON, map[string]any{"messageId": id, "supplier": supplier, "customer": customer},
					"%s is asked on behalf of %s (message %s)\n", supplier, customer, id)
			})
			if err != nil {
				return 0, c.refused(err)
			}
			n += added
			return added, nil
		}
		if c.All {
			if _, err := insert(`insert into outbox.request_for_update (supplier, customer)
				select supplier, customer from (
					select distinct supplier, customer from planning.capacity_group
					where ($1 = '' or supplier = $1) and ($2 = '' or customer = $2)
					union select $1, $2 where $1 <> '' and $2 <> '') p
				returning message_id::text, supplier, customer, capacity_group_id::text, requested_at`, c.Supplier, c.Customer); err != nil {
				return err
			}
			if n == 0 {
				return failure{errors.New(
					"there is no supplier of whom groups are stored; name --supplier and --customer"), saysNo}
			}
		}
		for _, g := range c.Groups {
			id, _ := dcm.ParseID(g)
			added, err := insert(`insert into outbox.request_for_update (supplier, customer, capacity_group_id, changed_at)
				select supplier, customer, $3::text::uuid, changed_at from (
					select supplier, customer, case when $4 then changed_at end as changed_at from planning.capacity_group
					where capacity_group_id = $3::text::uuid and ($1 = '' or supplier = $1) and ($2 = '' or customer = $2)
					union all
					select $1, $2, null where $1 <> '' and $2 <> '' and not exists (
						select from planning.capacity_group where capacity_group_id = $3::text::uuid and supplier = $1 and customer = $2)) p
				returning message_id::text, supplier, customer, capacity_group_id::text, requested_at`, c.Supplier, c.Customer, id.String(), c.Newer)
			if err != nil {
				return err
			}
			if added == 0 {
				return failure{fmt.Errorf("group %s is not stored; name --supplier and --customer", id), saysNo}
			}
		}
		return c.show(ctx, conn, asked)
	})
}

// asking is a request for update that was queued; a group of nil asks for all.
type asking struct {
	message, supplier string
	group             *string
	at                time.Time
}

// show waits for what was asked for, and prints it as it comes.
func (c *requestCommand) show(ctx context.Context, conn *pgx.Conn, asked []asking) error {
	if c.Wait == 0 {
		return nil
	}
	messages, missing := []string{}, map[string]bool{} // by supplier and group
	suppliers := map[string]time.Time{}
	for _, a := range asked {
		messages, suppliers[a.supplier] = append(messages, a.message), a.at
		if a.group != nil {
			missing[a.supplier+" "+*a.group] = true
		}
	}
	seen := map[string]bool{}
	for end := time.Now().Add(time.Duration(c.Wait)); time.Now().Before(end); {
		var refused *string
		if err := conn.QueryRow(ctx,
			"select min(supplier || ': ' || coalesce(reason, '')) from planning.delivery where state = 'refused' and object_id = any ($1::text[]::uuid[])",
			messages).Scan(&refused); err != nil {
			return c.refused(err)
		}
		if refused != nil {
			return failure{fmt.Errorf("the request is refused by %s", *refused), saysNo}
		}
		for supplier, since := range suppliers {
			rows, err := conn.Query(ctx, `select o.message::text || o.index, coalesce(o.object_id::text, ''), o.outcome, o.received_at
				from planning.message m join planning.message_object o on o.message = m.id
				where m.sender = $1 and m.received_at >= $2 and m.endpoint = $3 order by o.received_at, o.index`, supplier, since, dcm.CapacityGroupEndpoint.Path)
			if err != nil {
				return c.refused(err)
			}
			var key, group, outcome string
			var at time.Time
			_, err = pgx.ForEachRow(rows, []any{&key, &group, &outcome, &at}, func() error {
				if seen[key] {
					return nil
				}
				seen[key] = true
				delete(missing, supplier+" "+group)
				return say(c.JSON, map[string]any{"supplier": supplier, "capacityGroupId": group, "outcome": outcome,
					"receivedAt": at}, "%s sent group %s: %s\n", supplier, group, outcome)
			})
			if err != nil {
				return c.refused(err)
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

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"dcm-receiver/internal/database"
	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/demandfile"
	"dcm-receiver/internal/store"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

type demandCommands struct {
	Import  demandImportCommand  `cmd:"" help:"Read files with demands (CSV or XLSX in the columns of outbox.demand_line, or WeekBasedMaterialDemand JSON) and put their lines in the place of all lines of their materials. They go out by release only. Exit status 1, and nothing taken, if a line is wrong."`
	Release demandReleaseCommand `cmd:"" help:"Queue for sending what is new or changed in outbox.demand_line. Exit status 1 if a material is refused."`
	Status  demandStatusCommand  `cmd:"" help:"Say by partner what waits, what was delivered, and what was refused and why; and whether nobody sends."`
}

// connect opens the database that the settings name.
func (s databaseSettings) connect(ctx context.Context) (*pgx.Conn, error) {
	if err := s.ofRunning(); err != nil {
		return nil, err
	}
	if _, err := database.Read(s.DatabaseURL); err != nil {
		return nil, failure{err, wrongUse}
	}
	conn, err := database.Connect(ctx, s.DatabaseURL)
	if err != nil {
		return nil, withDatabaseStatus(fmt.Errorf("the database cannot be reached: %w", err))
	}
	return conn, nil
}

// inDatabase runs a command that needs the database, until a signal comes.
func (s databaseSettings) inDatabase(run func(context.Context, *pgx.Conn) error) error {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	conn, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.Background()) }()
	return run(ctx, conn)
}

type demandImportCommand struct {
	Files     []string `arg:"" optional:"" name:"file" help:"CSV, XLSX or JSON files, told apart by what is in them; with --template, the files to write (.csv or .xlsx)."`
	DryRun    bool     `env:"DCM_IMPORT_DRY_RUN" name:"dry-run" help:"Say what would change (new, changed week by week, unchanged) and what is odd, and change nothing."`
	OnlyValid bool     `env:"DCM_IMPORT_ONLY_VALID" name:"only-valid" help:"Take the materials without a wrong line, although others have one."`
	Template  bool     `env:"DCM_IMPORT_TEMPLATE" help:"Write example files to fill in: demands.csv and demands.xlsx, or FILE."`
	Release   bool     `env:"DCM_IMPORT_RELEASE" help:"Release what was imported at once."`
	JSON      bool     `env:"DCM_JSON" name:"json" help:"Print a JSON object a file, a line each; a material of several files counts in each. With --release one a material follows."`
	Customers list     `env:"DCM_CUSTOMER_BPNLS" name:"customer-bpnls" placeholder:"BPNL,…" help:"As for serve: the customers that are ours; demands of others are refused. Unset: as the last serve stored it."`
	databaseSettings
}

// listed is how many problems, weeks and oddities are shown to a person.
const listed = 200

// Run imports.
func (c *demandImportCommand) Run() error {
	today := dcm.DateOf(time.Now().UTC())
	if c.Template {
		return c.writeTemplates(today)
	}
	if len(c.Files) == 0 {
		return failure{errors.New("name the files to import, or write one to fill in with --template"), wrongUse}
	}
	var files []*demandfile.File
	report := newImportReport(c)
	var unusable error
	for _, name := range report.names {
		content, err := read(name)
		if err != nil {
			return failure{err, wrongUse}
		}
		f, err := demandfile.Read(name, content, today, func(lines int) {
			fmt.Fprintf(os.Stderr, "%s: %d lines read\n",
				name, lines)
		})
		if err != nil {
			report.problems([]demandfile.Problem{{Place: demandfile.Place{File: name}, Detail: err.Error()}})
			unusable = errors.Join(unusable, err)
			continue
		}
		files = append(files, f)
	}
	if unusable != nil {
		report.print()
		return unusable
	}
	lines, problems := demandfile.Join(files, c.OnlyValid)
	if !c.JSON {
		for i, p := range problems {
			if i == listed {
				fmt.Fprintf(os.Stderr, "and %d more\n", len(problems)-listed)
				break
			}
			fmt.Fprintln(os.Stderr, printable(p.String()))
		}
	}
	report.odd(files)
	report.problems(problems)
	found := 0
	for _, p := range problems {
		found += 1 + p.More
	}
	if found > 0 && !c.OnlyValid {
		report.lines(lines)
		report.print()
		return failure{fmt.Errorf("%s: nothing was taken (--only-valid takes the materials without one)",
			counted(found, "problem")), saysNo}
	}
	err := c.inDatabase(func(ctx context.Context, conn *pgx.Conn) error {
		ours, foreign, err := demandfile.NotOurs(ctx, conn, c.Customers, lines)
		if err != nil {
			return c.refused(err)
		}
		lines = ours
		for _, p := range foreign {
			found += 1 + p.More
			if !c.JSON {
				fmt.Fprintln(os.Stderr, printable(p.String()))
			}
		}
		report.problems(foreign)
		if len(foreign) > 0 && !c.OnlyValid {
			report.print()
			return failure{fmt.Errorf("%s: nothing was taken (--only-valid takes the materials without one)",
				counted(found, "problem")), saysNo}
		}
		report.lines(lines)
		limit := 0
		if c.DryRun {
			limit = 1_000_000
		}
		plan, err := demandfile.Import(ctx, conn, lines, c.DryRun, limit,
			func(lines int) { fmt.Fprintf(os.Stderr, "%d lines sent to the database\n", lines) })
		if p, ok := errors.AsType[demandfile.Problem](err); ok {
			return failure{p, saysNo}
		}
		if err != nil {
			return c.refused(err)
		}
		report.plan(plan)
		if c.DryRun {
			oddities := demandfile.Oddities(lines, today)
			report.details(plan, oddities)
			if !c.JSON {
				describe(plan, oddities)
			}
		}
		if !c.JSON {
			word := "imported"
			if c.DryRun {
				word = "would be imported"
			}
			fmt.Printf("%s %s: %s new, %d changed, %d unchanged\n", counted(len(lines), "line"), word,
				counted(plan.Count("created"), "material"), plan.Count("changed"), plan.Count("unchanged"))
			if !c.DryRun && !c.Release {
				fmt.Println("Nothing goes out before \"dcm-receiver demand release\".")
			}
		}
		report.print()
		if c.Release && !c.DryRun {
			return release(ctx, conn, c.Customers, "", "", c.JSON)
		}
		return nil
	})
	if err == nil && found > 0 {
		return failure{fmt.Errorf("%s: the materials that they are about were left out", counted(found, "problem")),
			saysNo}
	}
	return err
}

// describe says week by week what changes, and what is odd.
func describe(plan *demandfile.Plan, oddities []demandfile.Oddity) {
	none := func(v string) string {
		if v == "" {
			return "none"
		}
		return v
	}
	created := plan.New()
	for i, m := range created {
		if i == listed {
			fmt.Printf("and %s\n", counted(len(created)-listed, "more new material"))
			break
		}
		fmt.Printf("new: %s for %s by %s\n", printable(m.MaterialNumberCustomer), m.Customer, m.Supplier)
	}
	var last demandfile.Series
	for i, w := range plan.Changes {
		if i == listed {
			fmt.Printf("and %s\n", counted(len(plan.Changes)-listed, "more week"))
			break
		}
		if w.Series != last {
			fmt.Printf("changed: %s\n", printable(w.Series.String()))
			last = w.Series
		}
		fmt.Printf("  %s  %s → %s\n", w.PointInTime, none(w.Before), none(w.Demand))
	}
	more := map[string]int{}
	first := slices.DeleteFunc(slices.Clone(oddities), func(o demandfile.Oddity) bool {
		more[o.Detail]++
		return more[o.Detail] > 1
	})
	for i, o := range first {
		if i == listed {
			fmt.Printf("and %d more that is odd\n", len(first)-listed)
			break
		}
		said := printable(o.String())
		if n := more[o.Detail] - 1; n > 0 {
			said += fmt.Sprintf(" (and %d more series)", n)
		}
		fmt.Println("odd:", said)
	}
}

// refused is an error of the database with its exit status: a right or a table
// that is missing is a wrong setting, and what a constraint refuses is a no.
func (databaseSettings) refused(err error) error {
	pg, _ := errors.AsType[*pgconn.PgError](err)
	switch {
	case pg != nil && slices.Contains([]string{"3F000", "42P01", "42703", "42883"}, pg.Code):
		return failure{fmt.Errorf(
			"the database is not at this version (SQLSTATE %s): run \"dcm-receiver migrate\", or start serve",
			pg.Code), wrongUse}
	case pg != nil && pg.Code == "42501":
		return failure{fmt.Errorf("the role of DATABASE_URL may not do this: grant it dcm_sender (%s)",
			store.Describe(err)), wrongUse}
	case pg != nil && strings.HasPrefix(pg.Code, "23"):
		return failure{errors.New(store.Describe(err)), saysNo}
	}
	return failure{errors.New(store.Describe(err)), notReachable}
}

func (c *demandImportCommand) writeTemplates(today dcm.Date) error {
	names := c.Files
	if len(names) == 0 {
		names = []string{"demands.csv", "demands.xlsx"}
	}
	for _, name := range names {
		content := demandfile.TemplateCSV(today)
		switch {
		case strings.HasSuffix(strings.ToLower(name), ".xlsx"):
			var err error
			if content, err = demandfile.TemplateXLSX(today); err != nil {
				return err
			}
		case !strings.HasSuffix(strings.ToLower(name), ".csv"):
			return failure{fmt.Errorf("%s: a template ends in .csv or .xlsx", name), wrongUse}
		}
		// What somebody has filled in is not written over.
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return failure{err, wrongUse}
		}
		if _, err := f.Write(content); err != nil {
			return errors.Join(err, f.Close())
		}
		if err := f.Close(); err != nil {
			return err
		}
		if err := say(c.JSON, map[string]any{"file": name, "outcome": "written"}, "wrote %s\n", name); err != nil {
			return err
		}
	}
	return nil
}

type demandReleaseCommand struct {
	Supplier  string `env:"DCM_RELEASE_SUPPLIER" placeholder:"BPNL" help:"Only what this supplier is to deliver."`
	Customer  string `env:"DCM_RELEASE_CUSTOMER" placeholder:"BPNL" help:"Only what this BPNL of ours needs."`
	JSON      bool   `env:"DCM_JSON" name:"json" help:"Print a JSON object a material."`
	Customers list   `env:"DCM_CUSTOMER_BPNLS" name:"customer-bpnls" placeholder:"BPNL,…" help:"As for serve: the customers that are ours; demands of others are refused. Unset: as the last serve stored it."`
	databaseSettings
}

// Run releases.
func (c *demandReleaseCommand) Run() error {
	for name, bpnl := range map[string]string{"--supplier": c.Supplier, "--customer": c.Customer} {
		if bpnl != "" && !dcm.IsBPNL(bpnl) {
			return failure{fmt.Errorf("%s %q is not a BPNL", name, bpnl), wrongUse}
		}
	}
	return c.inDatabase(func(ctx context.Context, conn *pgx.Conn) error {
		return release(ctx, conn, c.Customers, c.Supplier, c.Customer, c.JSON)
	})
}

func release(ctx context.Context, conn *pgx.Conn, ours list, supplier, customer string, asJSON bool) error {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return databaseSettings{}.refused(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if err := demandfile.Ours(ctx, tx, ours); err != nil {
		return databaseSettings{}.refused(err)
	}
	rows, err := tx.Query(ctx, `select released_supplier, released_customer, material_number_customer, material_demand_id::text, outcome, coalesce(why, '')
		from outbox.release(nullif($1, ''), nullif($2, ''))`, supplier, customer)
	if err != nil {
		return databaseSettings{}.refused(err)
	}
	counts := map[string]int{}
	var from, to, material, outcome, why string
	var id *string
	_, err = pgx.ForEachRow(rows, []any{&from, &to, &material, &id, &outcome, &why}, func() error {
		counts[outcome]++
		switch {
		case asJSON:
			said := map[string]any{"supplier": from, "customer": to, "materialNumberCustomer": material,
				"materialDemandId": id, "outcome": outcome}
			if why != "" {
				said["why"] = why
			}
			return json.NewEncoder(os.Stdout).Encode(said)
		case outcome == "refused":
			fmt.Printf("refused: %s for %s by %s: %s\n", material, to, from, why)
		}
		return nil
	})
	if err != nil {
		return databaseSettings{}.refused(err)
	}
	if err := tx.Commit(ctx); err != nil {
		return databaseSettings{}.refused(err)
	}
	if !asJSON {
		fmt.Printf("%s created, %d changed, %d unchanged, %d refused\n", counted(counts["created"], "material"),
			counts["changed"], counts["unchanged"], counts["refused"])
	}
	if counts["refused"] > 0 {
		return failure{fmt.Errorf("%s refused; the others are released", counted(counts["refused"], "material")),
			saysNo}
	}
	return nil
}

type demandStatusCommand struct {
	JSON bool `env:"DCM_JSON" name:"json" help:"Print a JSON object a partner."`
	databaseSettings
}

// Run prints a row a partner, then what is refused and why.
func (c *demandStatusCommand) Run() error {
	return c.inDatabase(func(ctx context.Context, conn *pgx.Conn) error {
		type partner struct {
			Partner       string     `json:"partner"`
			Waiting       int        `json:"waiting"`
			Sending       int        `json:"sending"`
			Delivered     int        `json:"delivered"`
			Refused       int        `json:"refused"`
			OldestWaiting *time.Time `json:"oldestWaiting"`
			LastDelivered *time.Time `json:"lastDelivered"`
			Reason        *string    `json:"reason"`
			Requests      int        `json:"unansweredRequests"`
			OldestRequest *time.Time `json:"oldestRequest"`
			Due           *time.Time `json:"-"`           // since when something should be on its way
			NobodySends   bool       `json:"nobodySends"` // although something is due
		}
		// A receiver that sends begins within a second of what is due, and decides as soon
		// what answers a request: then something waits for who asks, or nothing does.
		rows, err := conn.Query(ctx, `select partner, coalesce(waiting, 0), coalesce(sending, 0), coalesce(delivered, 0), coalesce(refused, 0),
				oldest, latest, reason, coalesce(requests, 0), oldest_request, coalesce(oldest_due, case when oldest is null then oldest_request end) as due,
				coalesce(coalesce(oldest_due, case when oldest is null then oldest_request end) < now() - interval '5 s', false) and not exists (select from planning.sending)
			from (
				select partner,
					count(*) filter (where state = 'waiting') as waiting, count(*) filter (where state = 'sending') as sending,
					count(*) filter (where state = 'delivered') as delivered, count(*) filter (where state = 'refused') as refused,
					min(queued_at) filter (where state in ('waiting', 'sending')) as oldest, max(delivered_at) as latest,
					(array_agg(reason order by last_attempt_at desc) filter (where state in ('waiting', 'refused') and reason is not null))[1] as reason,
					min(greatest(queued_at, next_attempt_at)) filter (where state in ('waiting', 'sending')) as oldest_due
				from planning.delivery
				group by partner) d
			full join (
				select supplier as partner, count(distinct (message_id, requested_at)) as requests, min(requested_at) as oldest_request
				from planning.request_for_update
				where answer = 'waiting'
				group by supplier) r using (partner)
			order by 2 desc, 5 desc, 9 desc, 1`)
		if err != nil {
			return c.refused(err)
		}
		partners, err := pgx.CollectRows(rows, pgx.RowToStructByPos[partner])
		if err != nil {
			return c.refused(err)
		}
		if c.JSON {
			for _, p := range partners {
				_ = json.NewEncoder(os.Stdout).Encode(p)
			}
			return nil
		}
		if len(partners) == 0 {
			fmt.Println("Nothing has been released yet.")
			return nil
		}
		fmt.Printf("%-18s %9s %9s %9s %9s  %s\n", "PARTNER", "WAITING", "SENDING", "DELIVERED", "REFUSED",
			"OLDEST WAITING")
		for _, p := range partners {
			oldest := "-"
			if p.OldestWaiting != nil {
				oldest = time.Since(*p.OldestWaiting).Round(time.Second).String()
			}
			fmt.Printf("%-18s %9d %9d %9d %9d  %s\n", p.Partner, p.Waiting, p.Sending, p.Delivered, p.Refused, oldest)
		}
		var due *time.Time
		for _, p := range partners {
			if p.NobodySends && (due == nil || p.Due.Before(*due)) {
				due = p.Due
			}
		}
		if due != nil {
			fmt.Printf(
				"Nobody sends: no running receiver has DCM_SEND=true on this database, and what is due has waited for %s. Start one with DCM_SEND=true, or look at the log of the one that should send.\n",
				time.Since(*due).Round(time.Second))
		}
		for _, p := range partners {
			if p.Requests > 0 {
				fmt.Printf(
					"%s: requests for update without an answer: %d, the oldest for %s (one object is due after 10 s, several after 5 min, all after 24 h)\n",
					p.Partner, p.Requests, time.Since(*p.OldestRequest).Round(time.Second))
			}
		}
		for _, p := range slices.DeleteFunc(partners, func(p partner) bool { return p.Reason == nil }) {
			fmt.Printf("%s: %s\n", p.Partner, printable(*p.Reason))
		}
		return nil
	})
}

package main

import (
	"context"
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
	"dcm-receiver/internal/outbox"
	"dcm-receiver/internal/store"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

type demandCommands struct {
	Import  demandImportCommand  `cmd:"" help:"${Import}"`
	Release demandReleaseCommand `cmd:"" help:"${Release}"`
	Status  demandStatusCommand  `cmd:"" help:"${Status}"`
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
	Files     []string `arg:"" optional:"" name:"file" help:"${Files}"`
	DryRun    bool     `env:"DCM_IMPORT_DRY_RUN" name:"dry-run" help:"${demandImport_DryRun}"`
	OnlyValid bool     `env:"DCM_IMPORT_ONLY_VALID" name:"only-valid" help:"${OnlyValid}"`
	Template  bool     `env:"DCM_IMPORT_TEMPLATE" help:"${Template}"`
	Release   bool     `env:"DCM_IMPORT_RELEASE" help:"Release what was imported at once."`
	JSON      bool     `env:"DCM_JSON" name:"json" help:"${demandImport_JSON}"`
	Customers list     `env:"DCM_CUSTOMER_BPNLS" name:"customer-bpnls" placeholder:"BPNL,…" help:"${OurCustomers}"`
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
	i := &demandImport{demandImportCommand: c, today: today, report: newImportReport(c)}
	files, err := i.read()
	if err != nil {
		return err
	}
	lines, problems := demandfile.Join(files, c.OnlyValid)
	i.lines = lines
	i.report.odd(files)
	if err := i.problems(problems); err != nil {
		return err
	}
	err = c.inDatabase(i.run)
	if err == nil && i.found > 0 {
		return failure{fmt.Errorf("%s: the materials that they are about were left out", counted(i.found, "problem")),
			saysNo}
	}
	return err
}

// demandImport is one import.
type demandImport struct {
	*demandImportCommand
	today  dcm.Date
	report *importReport
	lines  []demandfile.Line
	found  int // problems
}

// read reads the files. It fails after the last one where one cannot be used.
func (i *demandImport) read() (files []*demandfile.File, unusable error) {
	for _, name := range i.report.names {
		content, err := read(name)
		if err != nil {
			return nil, failure{err, wrongUse}
		}
		f, err := demandfile.Read(name, content, i.today, func(lines int) {
			fmt.Fprintf(os.Stderr, "%s: %d lines read\n", name, lines)
		})
		if err != nil {
			i.report.problems([]demandfile.Problem{{Place: demandfile.Place{File: name}, Detail: err.Error()}})
			unusable = errors.Join(unusable, err)
			continue
		}
		files = append(files, f)
	}
	if unusable != nil {
		i.report.print()
	}
	return files, unusable
}

// problems prints problems. It fails where there are any, without --only-valid.
func (i *demandImport) problems(problems []demandfile.Problem) error {
	for n, p := range problems {
		i.found += 1 + p.More
		switch {
		case i.JSON || n > listed:
		case n == listed:
			fmt.Fprintf(os.Stderr, "and %d more\n", len(problems)-listed)
		default:
			fmt.Fprintln(os.Stderr, printable(p.String()))
		}
	}
	i.report.problems(problems)
	if len(problems) == 0 || i.OnlyValid {
		return nil
	}
	i.report.lines(i.lines)
	i.report.print()
	return failure{fmt.Errorf("%s: nothing was taken (--only-valid takes the materials without one)",
		counted(i.found, "problem")), saysNo}
}

// run imports the lines into the database, or shows what an import would change.
func (i *demandImport) run(ctx context.Context, conn *pgx.Conn) error {
	ours, foreign, err := demandfile.NotOurs(ctx, conn, i.Customers, i.lines)
	if err != nil {
		return i.refused(err)
	}
	i.lines = ours
	if err := i.problems(foreign); err != nil {
		return err
	}
	i.report.lines(i.lines)
	limit := 0
	if i.DryRun {
		limit = 1_000_000
	}
	plan, err := demandfile.Import(ctx, conn, i.lines, i.DryRun, limit, func(lines int) {
		fmt.Fprintf(os.Stderr, "%d lines sent to the database\n", lines)
	})
	if p, ok := errors.AsType[demandfile.Problem](err); ok {
		return failure{p, saysNo}
	}
	if err != nil {
		return i.refused(err)
	}
	i.report.plan(plan)
	i.printPlan(plan)
	i.report.print()
	if i.Release && !i.DryRun {
		return release(ctx, conn, i.Customers, "", "", i.JSON)
	}
	return nil
}

func (i *demandImport) printPlan(plan *demandfile.Plan) {
	word := "imported"
	if i.DryRun {
		word = "would be imported"
		oddities := demandfile.Oddities(i.lines, i.today)
		i.report.details(plan, oddities)
		if !i.JSON {
			describe(plan, oddities)
		}
	}
	if i.JSON {
		return
	}
	fmt.Printf("%s %s: %s new, %d changed, %d unchanged\n", counted(len(i.lines), "line"), word,
		counted(plan.Count("created"), "material"), plan.Count("changed"), plan.Count("unchanged"))
	if !i.DryRun && !i.Release {
		fmt.Println("Nothing goes out before \"dcm-receiver demand release\".")
	}
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
		// O_EXCL: a file that is there may be filled in.
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
	Customers list   `env:"DCM_CUSTOMER_BPNLS" name:"customer-bpnls" placeholder:"BPNL,…" help:"${OurCustomers}"`
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
	counts := map[string]int{}
	prepare := func(tx pgx.Tx) error { return demandfile.Ours(ctx, tx, ours) }
	err := outbox.Release(ctx, conn, supplier, customer, prepare, func(r outbox.Released) error {
		counts[r.Outcome]++
		if r.Outcome != "refused" {
			return say(asJSON, r, "")
		}
		return say(asJSON, r, "refused: %s for %s by %s: %s\n", r.MaterialNumberCustomer, r.Customer, r.Supplier, r.Why)
	})
	if err != nil {
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

// Run prints a row for each partner, then what is refused and why.
func (c *demandStatusCommand) Run() error {
	return c.inDatabase(func(ctx context.Context, conn *pgx.Conn) error {
		partners, err := outbox.Statuses(ctx, conn)
		switch {
		case err != nil:
			return c.refused(err)
		case c.JSON:
			for _, p := range partners {
				if err := say(true, p, ""); err != nil {
					return err
				}
			}
		case len(partners) == 0:
			fmt.Println("Nothing has been released yet.")
		default:
			printStatuses(partners)
		}
		return nil
	})
}

func printStatuses(partners []outbox.Status) {
	fmt.Printf("%-18s %9s %9s %9s %9s  %s\n", "PARTNER", "WAITING", "SENDING", "DELIVERED", "REFUSED", "OLDEST WAITING")
	var due *time.Time
	for _, p := range partners {
		oldest := "-"
		if p.OldestWaiting != nil {
			oldest = time.Since(*p.OldestWaiting).Round(time.Second).String()
		}
		fmt.Printf("%-18s %9d %9d %9d %9d  %s\n", p.Partner, p.Waiting, p.Sending, p.Delivered, p.Refused, oldest)
		if p.Unsent && (due == nil || p.Due.Before(*due)) {
			due = p.Due
		}
	}
	if due != nil {
		fmt.Printf("Nothing is being sent: no running receiver has DCM_SEND=true on this database; oldest due "+
			"item: %s. "+
			"Start one with DCM_SEND=true, or look at the log of the one that should send.\n",
			time.Since(*due).Round(time.Second))
	}
	for _, p := range partners {
		if p.Requests > 0 {
			fmt.Printf(
				"%s: requests for update without an answer: %d, the oldest for %s (one object is due after 10 s, "+
					"several after 5 min, all after 24 h)\n",
				p.Partner, p.Requests, time.Since(*p.OldestRequest).Round(time.Second))
		}
	}
	for _, p := range partners {
		if p.Reason != nil {
			fmt.Printf("%s: %s\n", p.Partner, printable(*p.Reason))
		}
	}
}

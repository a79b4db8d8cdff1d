package demandfile

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/sqlfile"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// key is what there is one line of.
type key struct {
	Series
	week dcm.Date
}

// Join puts files together and looks at what no line shows alone: weeks that are
// there twice, and lines of one material that do not agree. Without the bad
// materials, where only the valid ones are wanted.
func Join(files []*File, onlyValid bool) (lines []Line, problems []Problem) {
	bad := map[Material]bool{}
	weeks, materials, series := map[key]Place{}, map[Material]*Line{}, map[Series]*Line{}
	for _, f := range files {
		problems = append(problems, f.Problems...)
		for m := range f.Bad {
			bad[m] = true
		}
		for i := range f.Lines {
			l := &f.Lines[i]
			wrong := func(column, format string, arguments ...any) {
				at := l.At
				if at.Column == "" {
					at.Column = column
				}
				problems = append(problems, Problem{Place: at, Detail: fmt.Sprintf(format, arguments...)})
				bad[l.Material] = true
			}
			k := key{l.Series, l.PointInTime}
			if at, twice := weeks[k]; twice {
				wrong("point_in_time",
					"%s has the demand of this week, location and category already; leave one of the two out", at)
				continue
			}
			weeks[k] = l.At
			first := materials[l.Material]
			if first == nil {
				materials[l.Material], first = l, l
			}
			for _, c := range []struct{ column, have, want string }{
				{"material_description_customer", l.MaterialDescriptionCustomer, first.MaterialDescriptionCustomer},
				{"material_number_supplier", l.MaterialNumberSupplier, first.MaterialNumberSupplier},
				{"material_global_asset_id", l.MaterialGlobalAssetID, first.MaterialGlobalAssetID},
				{"unit_of_measure", l.UnitOfMeasure, first.UnitOfMeasure},
				{"is_inactive", fmt.Sprint(l.IsInactive), fmt.Sprint(first.IsInactive)},
			} {
				if c.have != c.want {
					wrong(c.column, "%s is not what %s says (%s); all lines of a material must say the same",
						quoted(c.have), first.At, quoted(c.want))
				}
			}
			if of := series[l.Series]; of == nil {
				series[l.Series] = l
			} else if of.ExpectedSupplierLocation != l.ExpectedSupplierLocation {
				wrong("expected_supplier_location",
					"%q is not what %s says (%q); all weeks of a location and category must say the same",
					l.ExpectedSupplierLocation, of.At, of.ExpectedSupplierLocation)
			}
		}
	}
	for _, f := range files {
		for _, l := range f.Lines {
			if !onlyValid || !bad[l.Material] {
				lines = append(lines, l)
			}
		}
	}
	return lines, problems
}

// Oddity is valid, but may be a mistake.
type Oddity struct {
	Series
	Detail string
}

func (o Oddity) String() string { return o.Series.String() + ": " + o.Detail }

// Oddities finds what may be a mistake.
func Oddities(lines []Line, today dcm.Date) (found []Oddity) {
	bySeries := map[Series][]*Line{}
	for i := range lines {
		bySeries[lines[i].Series] = append(bySeries[lines[i].Series], &lines[i])
	}
	nineMonths := dcm.DateOf(time.Unix(int64(today)*86400, 0).UTC().AddDate(0, 9, 0)).Monday()
	for s, weeks := range bySeries {
		slices.SortFunc(weeks, func(a, b *Line) int { return int(a.PointInTime - b.PointInTime) })
		odd := func(format string, arguments ...any) {
			found = append(found, Oddity{s, fmt.Sprintf(format, arguments...)})
		}
		if first, last := weeks[0].PointInTime, weeks[len(weeks)-1].PointInTime; first < today-366 {
			odd("begins with the week of %s, more than a year ago", first)
		} else if last > today+36525 {
			odd("ends with the week of %s, more than a hundred years ahead", last)
		}
		for i, l := range weeks {
			if i > 0 && l.PointInTime != weeks[i-1].PointInTime+7 {
				odd("no line between %s and %s; write 0 where nothing is needed", weeks[i-1].PointInTime, l.PointInTime)
			}
			// A value of ten neighbours, as when a digit is typed twice.
			beside := []dcm.Decimal{}
			for _, j := range []int{i - 1, i + 1} {
				if j >= 0 && j < len(weeks) && weeks[j].Demand != "0" {
					beside = append(beside, weeks[j].Demand)
				}
			}
			tenfold := len(beside) > 0
			for _, b := range beside {
				tenfold = tenfold && !l.Demand.Below(times10(b))
			}
			if tenfold {
				odd("%s in the week of %s is ten times its neighbours or more", l.Demand, l.PointInTime)
			}
		}
		if last := weeks[len(weeks)-1].PointInTime; last < nineMonths {
			odd("ends with the week of %s, less than nine months ahead", last)
		}
	}
	slices.SortFunc(found, func(a, b Oddity) int { return strings.Compare(a.String(), b.String()) })
	return found
}

func times10(d dcm.Decimal) dcm.Decimal {
	t, err := dcm.ParseDecimal(string(d) + "e1")
	if err != nil {
		return d // of a number at the limit of digits
	}
	return t
}

func (s Series) String() string {
	return fmt.Sprintf("%s for %s by %s, location %s, category %s", s.MaterialNumberCustomer, s.Customer, s.Supplier,
		s.CustomerLocation, s.DemandCategoryCode)
}

// Change is a week that an import changes; "" where there is no line.
type Change struct {
	Series
	PointInTime    dcm.Date
	Before, Demand string
}

// Plan is what an import does.
type Plan struct {
	Outcomes map[Material]string // created, changed or unchanged
	Changes  []Change
}

// Count is how many materials have an outcome.
func (p *Plan) Count(outcome string) (n int) {
	for _, o := range p.Outcomes {
		if o == outcome {
			n++
		}
	}
	return n
}

// New are the materials that are created, in order.
func (p *Plan) New() (materials []Material) {
	for m, outcome := range p.Outcomes {
		if outcome == "created" {
			materials = append(materials, m)
		}
	}
	slices.SortFunc(materials, func(a, b Material) int {
		return cmp.Or(strings.Compare(a.Supplier, b.Supplier), strings.Compare(a.Customer, b.Customer),
			strings.Compare(a.MaterialNumberCustomer, b.MaterialNumberCustomer))
	})
	return materials
}

//go:embed sql/*.sql
var files embed.FS

func statement(name string) string { return sqlfile.Load(files, name).SQL }

var (
	lockImport      = statement("lock_import")
	createImported  = statement("create_imported")
	indexImported   = statement("index_imported")
	analyzeImported = statement("analyze_imported")
	compare         = statement("compare")
	changedWeeks    = statement("changed_weeks")
	deleteBefore    = statement("delete_before")
	takeImported    = statement("take_imported")
	whyNot          = statement("why_not")
	setCustomers    = statement("set_customers")
)

// Import writes lines to outbox.demand_line, all or none: they replace all lines of their materials. dry
// shows only what would change. The plan has at most limit changed weeks.
func Import(
	ctx context.Context, conn *pgx.Conn, lines []Line, dry bool, limit int, progress func(lines int),
) (*Plan, error) {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return nil, fmt.Errorf("import demands: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if err := copyLines(ctx, tx, lines, progress); err != nil {
		return nil, err
	}
	plan, err := compareLines(ctx, tx, limit)
	if err != nil {
		return nil, fmt.Errorf("compare demands: %w", err)
	}
	if dry {
		return plan, nil
	}
	if err := execAll(ctx, tx, deleteBefore, takeImported); err != nil {
		if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == "23505" {
			return nil, Problem{
				Detail: "another program wrote demands of the same materials at the same moment; import again",
			}
		}
		return nil, err
	}
	if err := tx.Commit(ctx); err != nil {
		return nil, fmt.Errorf("import demands: %w", err)
	}
	return plan, nil
}

func execAll(ctx context.Context, tx pgx.Tx, statements ...string) error {
	for _, sql := range statements {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return fmt.Errorf("import demands: %w", err)
		}
	}
	return nil
}

// copyLines copies the lines into a temporary table with the constraints of outbox.demand_line, which
// thus hold for a dry run too. Imports run one after the other.
func copyLines(ctx context.Context, tx pgx.Tx, lines []Line, progress func(lines int)) error {
	if err := execAll(ctx, tx, lockImport, createImported); err != nil {
		return err
	}
	i := 0
	_, err := tx.CopyFrom(ctx, pgx.Identifier{"imported"}, columnNames(), pgx.CopyFromFunc(func() ([]any, error) {
		if i == len(lines) {
			return nil, nil
		}
		if i++; i%50_000 == 0 && progress != nil {
			progress(i)
		}
		return lines[i-1].values()
	}))
	if err != nil {
		return refusedLine(err, lines)
	}
	return execAll(ctx, tx, indexImported, analyzeImported)
}

// compareLines compares the copied lines with those that are there.
func compareLines(ctx context.Context, tx pgx.Tx, limit int) (*Plan, error) {
	plan := &Plan{Outcomes: map[Material]string{}}
	rows, err := tx.Query(ctx, compare)
	if err != nil {
		return nil, err
	}
	var m Material
	var outcome string
	if _, err := pgx.ForEachRow(rows, []any{&m.Supplier, &m.Customer, &m.MaterialNumberCustomer, &outcome},
		func() error {
			plan.Outcomes[m] = outcome
			return nil
		}); err != nil {
		return nil, err
	}
	if limit == 0 || plan.Count("changed") == 0 {
		return plan, nil
	}
	if rows, err = tx.Query(ctx, changedWeeks, limit); err != nil {
		return nil, err
	}
	plan.Changes, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (c Change, err error) {
		var week string
		err = row.Scan(&c.Supplier, &c.Customer, &c.MaterialNumberCustomer, &c.CustomerLocation, &c.DemandCategoryCode,
			&week, &c.Before, &c.Demand)
		if err == nil {
			c.PointInTime, err = dcm.ParseDate(week)
		}
		return c, err
	})
	return plan, err
}

// Ours sets which customers are ours, for a transaction. An empty list leaves that to what the last serve
// has stored.
func Ours(ctx context.Context, tx pgx.Tx, customers []string) error {
	_, err := tx.Exec(ctx, setCustomers, strings.Join(customers, ","))
	return err
}

// NotOurs removes the lines of suppliers and customers between which no demand may go out, with one
// problem for each pair.
func NotOurs(ctx context.Context, conn *pgx.Conn, customers []string, lines []Line) (taken []Line, problems []Problem,
	err error) {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("look for our customers: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if err := Ours(ctx, tx, customers); err != nil {
		return nil, nil, fmt.Errorf("look for our customers: %w", err)
	}
	at := map[[2]string]int{} // place in problems from 1, 0 where nothing is wrong
	for _, l := range lines {
		pair := [2]string{l.Supplier, l.Customer}
		i, known := at[pair]
		if !known {
			var why *string
			if err := tx.QueryRow(ctx, whyNot, l.Supplier, l.Customer).Scan(&why); err != nil {
				return nil, nil, fmt.Errorf("look for our customers: %w", err)
			}
			if why != nil {
				problems = append(problems, Problem{Place: l.At, Detail: *why})
				i = len(problems)
			}
			at[pair] = i
		} else if i > 0 {
			problems[i-1].More++
		}
		if i == 0 {
			taken = append(taken, l)
		}
	}
	return taken, problems, nil
}

var copiedLine = regexp.MustCompile(`^COPY imported, line ([0-9]+)`)

// refusedLine names the line that the database has refused.
func refusedLine(err error, lines []Line) error {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if ok && (strings.HasPrefix(pg.Code, "22") || strings.HasPrefix(pg.Code, "23")) {
		if m := copiedLine.FindStringSubmatch(pg.Where); m != nil {
			if n, err := strconv.Atoi(m[1]); err == nil && n >= 1 && n <= len(lines) {
				return Problem{Place: lines[n-1].At, Detail: "the database refuses it: " +
					cmp.Or(pg.ConstraintName, "SQLSTATE "+pg.Code)}
			}
		}
	}
	return fmt.Errorf("import demands: %w", err)
}

func columnNames() []string {
	list := []string{}
	for _, c := range columns {
		list = append(list, c.name)
	}
	return list
}

// values of a line in the order of columns.
func (l *Line) values() ([]any, error) {
	var demand pgtype.Numeric
	if err := demand.Scan(string(l.Demand)); err != nil {
		return nil, fmt.Errorf("import demands: %w", err)
	}
	asset := pgtype.UUID{}
	if l.MaterialGlobalAssetID != "" {
		id, err := dcm.ParseID(l.MaterialGlobalAssetID)
		if err != nil {
			return nil, fmt.Errorf("import demands: %w", err)
		}
		asset = pgtype.UUID{Bytes: id, Valid: true}
	}
	optional := func(v string) any {
		if v == "" {
			return nil
		}
		return v
	}
	return []any{
		l.Supplier, l.Customer, l.MaterialNumberCustomer, l.CustomerLocation, l.DemandCategoryCode,
		time.Unix(int64(l.PointInTime)*86400, 0).UTC(), demand, optional(l.MaterialNumberSupplier),
		optional(l.MaterialDescriptionCustomer),
		asset, optional(l.UnitOfMeasure), optional(l.ExpectedSupplierLocation), l.IsInactive,
	}, nil
}

package planner

import (
	"context"
	_ "embed"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

var (
	//go:embed sql/group.sql
	groupSQL string
	//go:embed sql/weeks.sql
	weeksSQL string
	//go:embed sql/series.sql
	seriesSQL string
	//go:embed sql/relatives.sql
	relativesSQL string
	//go:embed sql/changes.sql
	changesSQL string
	//go:embed sql/details.sql
	detailsSQL string
	//go:embed sql/group_messages.sql
	groupMessagesSQL string
	//go:embed sql/comments.sql
	commentsSQL string
	//go:embed sql/alerts.sql
	alertsSQL string
	//go:embed sql/thresholds.sql
	thresholdsSQL string
)

// group is a stored capacity group.
type group struct {
	Supplier, Customer     string
	CapacityGroupID        uuid.UUID
	Name                   string
	Unit                   *string
	IsInactive             bool
	ChangedAt              time.Time
	ReceivedAt             time.Time
	FirstReceivedAt        time.Time
	MessageID              *uuid.UUID
	SupplierLocations      []string // the first ones
	Sites                  int      // how many there are
	GaveUp                 bool     // the background could not work out this supplier's groups in its time
	StartReferenceDateTime *time.Time
	MeasurementInterval    *string
}

// groupWeek is one week of a group. Quantities are exact, in the group's unit.
type groupWeek struct {
	Week
	Demand                *string
	ActualCapacity        *string
	MaximumCapacity       *string
	AgreedCapacity        *string
	FlexibleCapacity      *string // maximum − actual
	DeltaProductionResult *string // is part of the demand
	Missing               *string // demand above maximum capacity
}

// series is a linked demand series.
type series struct {
	counted
	MaterialNumberCustomer string
	MaterialNumberSupplier *string
	CustomerLocation       string
	DemandCategoryCode     string
	LoadFactor             *string
	Missing                *string // why it does not count; see planning.unmatched_link
	IsMatched              bool    // whether that was looked up
}

// relative is a group above or below.
type relative struct {
	counted
	Place           string
	CapacityGroupID uuid.UUID
	Name            *string // nil: unknown here
	IsInactive      *bool
}

// change is a week whose demand or capacity has changed.
type change struct {
	PointInTime                 time.Time
	DemandBefore, DemandAfter   *string
	ActualBefore, ActualAfter   *string
	MaximumBefore, MaximumAfter *string
	AgreedBefore, AgreedAfter   *string
}

// detail is what has changed of a group beside its weeks.
type detail struct {
	counted
	Detail, Subject string
	GroupID         *uuid.UUID // of a linked group
	GroupName       *string    // nil: not received
	Before, After   *string    // nil: it was, or is, not there
}

// alert is a week whose demand has moved by more than was agreed (CX-0128 §5.11).
type alert struct {
	counted
	MeasuredAt       time.Time
	PointInTime      time.Time
	Previous, Latest *string
	Percent          *string
	Alert            string
}

// threshold is what a sub-horizon may move by without an alert.
type threshold struct {
	counted
	Weeks                              int
	RelativePositive, RelativeNegative *string // in per cent
	AbsolutePositive, AbsoluteNegative *string
}

// groupMessage is a message that had the group in it.
type groupMessage struct {
	ID         uuid.UUID
	ReceivedAt time.Time
	Status     int
	Rule       *int
	Standard   *string
	Outcome    string
	Reason     *string
}

// comment is a comment on the group or on a demand that it links.
type comment struct {
	counted
	CommentID uuid.UUID
	Material  *string // of the demand that it is on; nil: it is on the group
	Author    *string
	Type      *string
	Text      *string
	PostedAt  *time.Time
	Direction string
}

// groupPage is one group.
type groupPage struct {
	key
	Group      group
	Weeks      int
	From       time.Time
	Since      time.Time
	Rows       []groupWeek
	Series     list[series]
	Relatives  list[relative]
	Changes    []change
	Details    list[detail]
	Alerts     list[alert]
	Thresholds list[threshold]
	Messages   []groupMessage
	Comments   list[comment]
	SQL        string // of the weeks
	ChangesSQL string
	DetailsSQL string
	AlertsSQL  string
	Worst      *groupWeek // the first red week, else the first that is orange
	HasDelta   bool       // a week makes up for what was not delivered before
	IsLate     bool       // a part took too long to work out, and is missing
}

// Summary says in words how the weeks are.
func (g groupPage) Summary() string {
	weeks := make([]Week, len(g.Rows))
	for i, w := range g.Rows {
		weeks[i] = w.Week
	}
	return counts(weeks)
}

// With is the address of this page with another horizon.
func (g groupPage) With(weeks int) string {
	return g.Path() + "?" + url.Values{"weeks": {strconv.Itoa(weeks)},
		"since": {g.Since.Format(time.DateOnly)}}.Encode()
}

// As is the address of the weeks in another format, csv or xlsx.
func (g groupPage) As(format string) string {
	return g.Path() + "/weeks." + format + "?weeks=" + strconv.Itoa(g.Weeks)
}

// ChangesAs is the address of the changes in another format.
func (g groupPage) ChangesAs(format string) string {
	return g.Path() + "/changes." + format + "?" + url.Values{"weeks": {strconv.Itoa(g.Weeks)},
		"since": {g.Since.Format(time.DateOnly)}}.Encode()
}

// Of is the address of another group of the same supplier and customer.
func (g groupPage) Of(id uuid.UUID) string { return key{g.Supplier, g.Customer, id}.Path() }

// group is one capacity group with its weeks and what belongs to it.
func (p *Pages) group(ctx context.Context, r *http.Request) (string, any, error) {
	k, err := keyOf(r)
	if err != nil {
		return "", nil, err
	}
	g := groupPage{key: k, From: monday(p.config.Now().UTC()), Since: p.config.Now().UTC().AddDate(0, 0, -30)}
	if g.Weeks, err = horizonOf(r); err != nil {
		return "", nil, err
	}
	if s := r.URL.Query().Get("since"); s != "" {
		if g.Since, err = time.Parse(time.DateOnly, s); err != nil || g.Since.Year() < 2000 || g.Since.Year() > 2200 {
			return "", nil, errQuery{"since must be a date such as 2026-11-02."}
		}
	}
	args := pgx.NamedArgs{
		"supplier": k.Supplier, "customer": k.Customer, "id": k.ID,
		"from": g.From, "until": g.From.AddDate(0, 0, 7*g.Weeks), "since": g.Since, "matched": true,
	}
	if g.Group, err = collectOne[group](ctx, p.pool, groupSQL, args); err != nil {
		return "", nil, err
	}
	g.SQL, g.ChangesSQL, g.DetailsSQL, g.AlertsSQL = shownSQL(weeksSQL, args), shownSQL(changesSQL, args),
		shownSQL(detailsSQL, args), shownSQL(alertsSQL, args)
	if err := p.parts(ctx, &g, args); err != nil {
		return "", nil, err
	}
	for i := range g.Rows {
		w := &g.Rows[i]
		if c := class(w.Week); c == "red" && (g.Worst == nil || class(g.Worst.Week) != "red") || c == "orange" &&
			g.Worst == nil {
			g.Worst = w
		}
		g.HasDelta = g.HasDelta || w.DeltaProductionResult != nil
	}
	return g.Group.Name, g, nil
}

// parts reads what belongs to the group, as far as there is time.
func (p *Pages) parts(ctx context.Context, g *groupPage, args pgx.NamedArgs) error {
	left := budgetOf(p.work)
	if g.Group.GaveUp { // most of it is without success
		left = budgetOf(leastTimeout)
	}
	parts := []func() (isLate bool, err error){
		part(ctx, p, left, &g.Rows, weeksSQL, args), part(ctx, p, left, &g.Messages, groupMessagesSQL, args),
		part(ctx, p, left, &g.Comments, commentsSQL, args), part(ctx, p, left, &g.Thresholds, thresholdsSQL, args),
		part(ctx, p, left, &g.Relatives, relativesSQL, args), part(ctx, p, left, &g.Details, detailsSQL, args),
		part(ctx, p, left, &g.Changes, changesSQL, args), part(ctx, p, left, &g.Series, seriesSQL, args),
	}
	if g.Group.StartReferenceDateTime != nil { // else it measures nothing
		parts = append(parts, part(ctx, p, left, &g.Alerts, alertsSQL, args))
	}
	for _, read := range parts {
		isLate, err := read()
		if err != nil {
			return err
		}
		g.IsLate = g.IsLate || isLate
	}
	if g.Series == nil {
		var err error
		args["matched"] = false
		g.Series, _, err = tried[series](ctx, p, p.work/4, seriesSQL, args)
		return err
	}
	return nil
}

// part reads a part of the page, in at most half of the time that is left.
func part[T any, L ~[]T](ctx context.Context, p *Pages, left budget, into *L, sql string,
	args pgx.NamedArgs) func() (isLate bool, err error) {
	return func() (isLate bool, err error) {
		*into, isLate, err = tried[T](ctx, p, left.share(0.5), sql, args)
		return isLate, err
	}
}

func (g groupPage) sheet() ([]string, [][]any) {
	rows := make([][]any, len(g.Rows))
	if g.IsLate && len(rows) == 0 {
		rows = [][]any{{nil, "not worked out: too many links"}}
	}
	for i, w := range g.Rows {
		rows[i] = []any{day{&w.PointInTime}, w.Result, w.Colour, number{w.Demand}, number{w.DeltaProductionResult},
			number{w.ActualCapacity},
			number{w.FlexibleCapacity}, number{w.MaximumCapacity}, number{w.AgreedCapacity}, number{w.Missing},
			g.Group.Unit}
	}
	return []string{"point_in_time", "result", "colour", "demand", "delta_production_result", "actual_capacity",
		"flexible_capacity", "maximum_capacity",
		"agreed_capacity", "missing", "unit_of_measure"}, rows
}

// changesPage is a group's page of which the changes are wanted as a table.
type changesPage struct{ groupPage }

func (p *Pages) changes(ctx context.Context, r *http.Request) (string, any, error) {
	title, page, err := p.group(ctx, r)
	if err != nil {
		return "", nil, err
	}
	return title, changesPage{page.(groupPage)}, nil
}

func (g changesPage) sheet() ([]string, [][]any) {
	rows := make([][]any, len(g.Changes))
	for i, c := range g.Changes {
		rows[i] = []any{day{&c.PointInTime}, number{c.DemandBefore}, number{c.DemandAfter}, number{c.ActualBefore},
			number{c.ActualAfter},
			number{c.MaximumBefore}, number{c.MaximumAfter}, number{c.AgreedBefore}, number{c.AgreedAfter},
			g.Group.Unit}
	}
	return []string{"point_in_time", "demand_before", "demand_after", "actual_before", "actual_after",
		"maximum_before", "maximum_after",
		"agreed_before", "agreed_after", "unit_of_measure"}, rows
}

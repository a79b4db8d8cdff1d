package planner

import (
	"context"
	_ "embed"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

var (
	//go:embed sql/groups.sql
	groupsSQL string
	//go:embed sql/strips.sql
	stripsSQL string
)

// pageSize is how many groups a page lists.
const pageSize = 50

// atOnce is of how many groups the weeks are worked out while a reader waits, a
// quarter of a second of work. More are listed by what is kept ready of them.
const atOnce = 1000

// groupRow is a capacity group in the list.
type groupRow struct {
	Supplier, Customer string
	CapacityGroupID    uuid.UUID
	Name               string
	Unit               *string
	IsInactive         bool
	ReceivedAt         time.Time
	RedWeeks           int
	OrangeWeeks        int
	FirstBottleneck    *time.Time
	OpenWeeks          int        // with demand, but no capacity
	Missing            *string    // demand above maximum capacity, summed over the horizon
	WeeksMissing       *string    // the same in weeks of the group's mean demand
	IsUnknown          bool       // the figures are not worked out
	Total              int        // of all groups that were found
	IsKept             bool       // figures were kept ready
	AsOf               *time.Time // how old they are; nil: there are none yet
	Strip              []Week     `db:"-"`
}

// Path is the address of the group's page.
func (g groupRow) Path() string { return key{g.Supplier, g.Customer, g.CapacityGroupID}.Path() }

// Week is one week of a strip.
type Week struct {
	PointInTime time.Time
	Result      *string
	Colour      *string
}

// groupsPage is the list of groups, worst first.
type groupsPage struct {
	Search string
	Weeks  int
	From   time.Time // Monday of the current Week
	Only   string    // "bottlenecks": those alone
	Rows   []groupRow
	Total  int
	IsKept bool
	AsOf   *time.Time // how old the newest kept figures are
	// NoMaterials tells that the search left materials out: looking through all links
	// took too long.
	NoMaterials bool
	Page        int
	Pages       int
	SQL         string
}

func (g groupsPage) query(page int, format string) string {
	v := url.Values{}
	if g.Search != "" {
		v.Set("q", g.Search)
	}
	if g.Only != "" {
		v.Set("only", g.Only)
	}
	v.Set("weeks", strconv.Itoa(g.Weeks))
	if page > 1 {
		v.Set("page", strconv.Itoa(page))
	}
	path := "/"
	if format != "" {
		path = "/groups." + format
	}
	return path + "?" + v.Encode()
}

// IsOlder reports whether the figures of a group are older than those of others.
func (g groupsPage) IsOlder(r groupRow) bool {
	return !r.IsUnknown && r.AsOf != nil && r.AsOf.Before(*g.AsOf)
}

// Next is the address of the following page; "" if this is the last.
func (g groupsPage) Next() string {
	if g.Page >= g.Pages {
		return ""
	}
	return g.query(g.Page+1, "")
}

// Previous is the address of the page before; "" if this is the first.
func (g groupsPage) Previous() string {
	if g.Page <= 1 {
		return ""
	}
	return g.query(g.Page-1, "")
}

// As is the address of this page in another format, csv or xlsx.
func (g groupsPage) As(format string) string { return g.query(g.Page, format) }

// groups is the list of capacity groups, worst first.
func (p *Pages) groups(ctx context.Context, r *http.Request) (string, any, error) {
	weeks, err := horizonOf(r)
	if err != nil {
		return "", nil, err
	}
	q := r.URL.Query()
	g := groupsPage{Search: strings.TrimSpace(q.Get("q")), Weeks: weeks, From: monday(p.config.Now().UTC()),
		Only: q.Get("only"), Page: 1}
	if g.Only != "" && g.Only != "bottlenecks" {
		return "", nil, errQuery{"only takes bottlenecks."}
	}
	if len(g.Search) > 200 || !isStored(g.Search) {
		return "", nil, errQuery{"Search for at most 200 characters, in UTF-8."}
	}
	if s := q.Get("page"); s != "" {
		if g.Page, err = strconv.Atoi(s); err != nil || g.Page < 1 || g.Page > 1_000_000 {
			return "", nil, errQuery{"page must be a number from 1."}
		}
	}
	args := pgx.NamedArgs{
		"search": g.Search, "from": g.From, "until": g.From.AddDate(0, 0, 7*weeks), "weeks": weeks,
		"at_once": p.atOnce, "materials": true,
		"only_bottlenecks": g.Only == "bottlenecks", "limit": pageSize, "offset": (g.Page - 1) * pageSize,
	}
	g.SQL = shownSQL(groupsSQL, args)
	if err := p.list(ctx, &g, args); err != nil {
		return "", nil, err
	}
	if len(g.Rows) > 0 {
		g.Total, g.IsKept = g.Rows[0].Total, g.Rows[0].IsKept
	}
	for _, row := range g.Rows {
		if row.AsOf != nil && (g.AsOf == nil || row.AsOf.After(*g.AsOf)) {
			g.AsOf = row.AsOf
		}
	}
	g.Pages = (g.Total + pageSize - 1) / pageSize
	return "Capacity groups", g, p.strips(ctx, &g)
}

// list reads the rows of the list. Where working them out takes too long, it takes what
// is kept ready; where looking through all links does, it searches without materials.
func (p *Pages) list(ctx context.Context, g *groupsPage, args pgx.NamedArgs) (err error) {
	const keptReady = -1 // groups that are worked out at once
	for _, try := range []struct {
		atOnce    int
		materials bool
	}{{p.atOnce, true}, {keptReady, true}, {keptReady, false}} {
		args["at_once"], args["materials"] = try.atOnce, try.materials
		var isLate bool
		g.Rows, isLate, err = tried[groupRow](ctx, p, p.work, groupsSQL, args)
		g.NoMaterials = !try.materials
		if err != nil || !isLate {
			return err
		}
	}
	g.Rows, err = collect[groupRow](ctx, p.pool, groupsSQL, args)
	return err
}

// strips reads the weeks of the listed groups. Where that takes too long, it reads them
// group by group, and leaves out those that take long.
func (p *Pages) strips(ctx context.Context, g *groupsPage) error {
	isLate, left := false, budgetOf(p.work)
	var err error
	known := slices.IndexFunc(g.Rows, func(r groupRow) bool { return r.IsUnknown }) < 0
	if known {
		isLate, err = p.strip(ctx, g, g.Rows, left.share(0.5))
	}
	for _, unknown := range []bool{false, true} { // those that took long before come last
		for i := 0; (isLate || !known) && i < len(g.Rows) && err == nil && time.Now().Before(left.ends); i++ {
			if g.Rows[i].IsUnknown == unknown {
				_, err = p.strip(ctx, g, g.Rows[i:i+1], leastTimeout)
			}
		}
	}
	return err
}

func (p *Pages) strip(ctx context.Context, g *groupsPage, of []groupRow, limit time.Duration) (isLate bool, err error) {
	type stripRow struct {
		Place int
		Week
	}
	suppliers, customers, ids := make([]string, len(of)), make([]string, len(of)), make([]pgtype.UUID, len(of))
	for i, row := range of {
		suppliers[i], customers[i], ids[i] = row.Supplier, row.Customer,
			pgtype.UUID{Bytes: row.CapacityGroupID, Valid: true}
	}
	weeks, isLate, err := tried[stripRow](ctx, p, limit, stripsSQL, pgx.NamedArgs{
		"suppliers": suppliers, "customers": customers, "ids": ids, "from": g.From,
		"until": g.From.AddDate(0, 0, 7*g.Weeks),
	})
	if err != nil || isLate {
		return isLate, err
	}
	for i := range of {
		of[i].Strip = make([]Week, 0, g.Weeks)
	}
	for _, w := range weeks {
		of[w.Place-1].Strip = append(of[w.Place-1].Strip, w.Week)
	}
	for i := range of {
		of[i].Strip = wholeStrip(of[i].Strip, g.From, g.Weeks)
	}
	return false, nil
}

// wholeStrip has a week for each of the horizon, without a result where there is
// neither demand nor capacity.
func wholeStrip(known []Week, from time.Time, n int) []Week {
	strip := make([]Week, n)
	for i := range strip {
		strip[i].PointInTime = from.AddDate(0, 0, 7*i)
	}
	for _, w := range known {
		if i := int(w.PointInTime.Sub(from).Hours() / 24 / 7); i >= 0 && i < n {
			strip[i] = w
		}
	}
	return strip
}

func (g groupsPage) sheet() ([]string, [][]any) {
	rows := make([][]any, len(g.Rows))
	for i, r := range g.Rows {
		rows[i] = []any{r.Supplier, r.Customer, r.CapacityGroupID, r.Name, r.Unit, r.IsInactive, r.ReceivedAt,
			r.RedWeeks, r.OrangeWeeks,
			r.OpenWeeks, day{r.FirstBottleneck}, number{r.Missing}, number{r.WeeksMissing}}
	}
	return []string{"supplier", "customer", "capacity_group_id", "name", "unit_of_measure", "is_inactive",
		"received_at", "red_weeks", "orange_weeks",
		"weeks_without_capacity", "first_bottleneck", "missing", "weeks_missing"}, rows
}

package planner

import (
	"context"
	_ "embed"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

//go:embed sql/partners.sql
var partnersSQL string

// partner is a company at the other end.
type partner struct {
	BPNL         string `db:"bpnl"`
	Groups       int    // active ones that are stored
	LastMessage  *time.Time
	LastAccepted *time.Time
	Refused      int     // messages of the last 7 days
	Reasons      reasons // the most frequent ones
	Waiting      int     // states of objects of ours on their way
	NotTaken     int     // states of objects of ours that it refused
	Why          *string // of those
	Requests     int     // requests for update that wait for our answer

	// Requests for capacity groups of ours, of the last 7 days. What sends our groups
	// has to answer them.
	GroupRequests    int
	LastGroupRequest *time.Time
}

// reasons are why messages of a partner were refused, the most frequent first.
type reasons []struct {
	Reason   string
	Messages int
	Last     uuid.UUID // the latest message
}

// Scan reads the jsonb of the query; NULL is none.
func (r *reasons) Scan(src any) error { return scanJSON(src, r) }

// partnersPage says who sends, and whom something keeps from it.
type partnersPage struct {
	Rows []partner
	SQL  string
}

func (p *Pages) partners(ctx context.Context, _ *http.Request) (string, any, error) {
	args := pgx.NamedArgs{"week_ago": p.config.Now().UTC().AddDate(0, 0, -7)}
	rows, err := collect[partner](ctx, p.pool, partnersSQL, args)
	return "Partners", partnersPage{rows, shownSQL(partnersSQL, args)}, err
}

func (g partnersPage) sheet() ([]string, [][]any) {
	rows := make([][]any, len(g.Rows))
	for i, r := range g.Rows {
		var why *string
		if len(r.Reasons) > 0 {
			why = &r.Reasons[0].Reason
		}
		rows[i] = []any{r.BPNL, r.Groups, r.LastMessage, r.LastAccepted, r.Refused, why, r.Waiting, r.NotTaken, r.Why,
			r.Requests, r.GroupRequests}
	}
	return []string{"partner", "groups", "last_message", "last_accepted", "refused_in_7_days", "most_frequent_reason",
		"demands_waiting", "demands_refused", "delivery_reason",
		"requests_waiting", "requests_for_groups_in_7_days"}, rows
}

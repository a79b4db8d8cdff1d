package example_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// dashboard runs the SQL of each panel and variable of the planners' Grafana
// dashboard, with the variables and macros that Grafana would fill in; each must
// have an answer in the world.
func dashboard(t *testing.T, conn *pgx.Conn, suppliers []string) {
	t.Helper()
	text, err := os.ReadFile("../../deploy/grafana/planning.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Panels []struct {
			Type, Title string
			Targets     []struct{ RawSQL, Format string }
		}
		Templating struct {
			List []struct{ Name, Type, Query string }
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	var group string
	err = conn.QueryRow(t.Context(),
		"select supplier || '/' || customer || '/' || capacity_group_id from planning.capacity_group where name = "+
			"'Hub forge'").Scan(&group)
	if err != nil {
		t.Fatal(err)
	}
	filled := strings.NewReplacer("${supplier:sqlstring}", "'"+strings.Join(suppliers, "','")+"'",
		"${group:sqlstring}", "'"+group+"'",
		"$__timeFrom()", "'"+time.Now().UTC().Format(time.RFC3339)+"'", "$__timeTo()",
		"'"+time.Now().UTC().AddDate(0, 0, 7*26).Format(time.RFC3339)+"'")
	ask := func(title, sql, format string) {
		t.Helper()
		sql = filled.Replace(sql)
		if strings.Contains(sql, "$") {
			t.Errorf("%s: a variable is left: %s", title, sql)
			return
		}
		rows, err := conn.Query(t.Context(), sql)
		if err != nil {
			t.Errorf("%s: %v\n%s", title, err, sql)
			return
		}
		// Grafana makes a series of each number beside a column time, which rises.
		series := format == "time_series"
		if f := rows.FieldDescriptions(); series && (len(f) < 2 || f[0].Name != "time" ||
			f[0].DataTypeOID != pgtype.TimestamptzOID) {
			t.Errorf("%s is no time series", title)
			series = false
		}
		found := 0
		var last time.Time
		for rows.Next() {
			if values, err := rows.Values(); err == nil && series {
				if at := values[0].(time.Time); at.Before(last) {
					t.Errorf("%s goes back in time", title)
				} else {
					last = at
				}
			}
			if values, err := rows.Values(); err == nil && len(values) == 1 && values[0] == int64(0) {
				continue // a count of nothing
			}
			found++
		}
		if err := rows.Err(); err != nil || found == 0 {
			t.Errorf("%s: %d rows, %v\n%s", title, found, err, sql)
		}
	}
	asked := 0
	for _, v := range d.Templating.List {
		if v.Type == "query" {
			ask("variable "+v.Name, v.Query, "")
		}
	}
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			ask(p.Title, target.RawSQL, target.Format)
			asked++
		}
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("%s asks nothing", p.Title)
		}
	}
	if asked < 15 {
		t.Errorf("only %d panels", asked)
	}
}

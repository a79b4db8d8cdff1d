// Package deploy holds what an operator copies; its only Go is this test, which
// keeps alerts, dashboard and distribution in step with the program.
package deploy

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"dcm-receiver/internal/privatepg/pgtest"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/jackc/pgx/v5"
	yaml "github.com/oasdiff/yaml3"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const chart = "helm/dcm-receiver"

// TestFilesParse finds what a typing error breaks. Templates of the chart are
// no YAML before helm has rendered them; `helm lint` reads those.
func TestFilesParse(t *testing.T) {
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			if path == chart+"/templates" {
				return fs.SkipDir
			}
			return err
		}
		switch filepath.Ext(path) {
		case ".yaml", ".yml":
			decoder := yaml.NewDecoder(strings.NewReader(read(t, path)))
			for err == nil {
				err = decoder.Decode(new(any))
			}
			if !errors.Is(err, io.EOF) {
				t.Errorf("%s: %v", path, err)
			}
		case ".json":
			// jsontext and not encoding/json, which keeps silent about a name
			// that is there twice.
			if !jsontext.Value(read(t, path)).IsValid() {
				t.Errorf("%s is no valid JSON, or has a name twice", path)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestMetricsExist: an expression over a metric that is not there is never an
// error for Prometheus, just an alert that never fires and an empty panel.
func TestMetricsExist(t *testing.T) {
	known := map[string]bool{}
	for name := range strings.FieldsSeq(read(t, "testdata/metrics.txt")) {
		known[name] = true
	}
	ofHistogram := regexp.MustCompile(`_(bucket|sum|count)$`)
	for _, path := range []string{chart + "/files/alerts.yaml", chart + "/files/dashboard.json",
		"prometheus/alerts_test.yaml"} {
		names := regexp.MustCompile(`\bdcm_[a-z_]+`).FindAllString(read(t, path), -1)
		if len(names) == 0 {
			t.Errorf("%s names no metric at all", path)
		}
		for _, name := range names {
			if !known[name] && !known[ofHistogram.ReplaceAllString(name, "")] {
				t.Errorf("%s: the receiver has no metric %s", path, name)
			}
		}
	}
}

// TestRulesNameTheirStandard: the number of a rule means something else in each
// standard, so nothing here shows or adds up numbers alone.
func TestRulesNameTheirStandard(t *testing.T) {
	shown := 0
	for _, path := range []string{chart + "/files/alerts.yaml", chart + "/files/dashboard.json",
		"grafana/planning.json"} {
		for _, expression := range regexp.MustCompile(
			`(?:sum|count|max) by \([^)]*\brule\b[^)]*\)|select [^"]*\bo\.rule\b[^"]*|"legendFormat": `+
				`"[^"]*\{\{rule\}\}[^"]*"`).FindAllString(read(t, path), -1) {
			shown++
			if !strings.Contains(expression, "standard") {
				t.Errorf("%s: %s", path, expression)
			}
		}
	}
	if shown < 3 {
		t.Errorf("only %d expressions with a rule found", shown)
	}
}

// TestDashboards: what Grafana needs to provision or import a dashboard, and what it
// would show wrongly without a word.
func TestDashboards(t *testing.T) {
	type source struct{ Type, UID string }
	uids := map[string]bool{}
	for _, path := range []string{chart + "/files/dashboard.json", "grafana/planning.json"} {
		var d struct {
			ID            *int `json:"id"`
			UID, Title    string
			SchemaVersion int
			Templating    struct {
				List []struct {
					Name, Type string
					Datasource *source
				}
			}
			Panels []struct {
				ID          int
				Type, Title string
				GridPos     struct{ X, Y, W, H int }
				Datasource  *source
				Targets     []struct {
					RefID      string
					Datasource *source
				}
			}
		}
		text := read(t, path)
		if err := json.Unmarshal([]byte(text), &d, json.MatchCaseInsensitiveNames(true)); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		// An id is that of one Grafana; a uid keeps links and updates.
		if d.ID != nil || d.UID == "" || len(d.UID) > 40 || uids[d.UID] || d.Title == "" || d.SchemaVersion < 36 ||
			len(d.Panels) < 10 {
			t.Errorf("%s: id %v, uid %q, title %q, schema %d, %d panels", path, d.ID, d.UID, d.Title, d.SchemaVersion,
				len(d.Panels))
		}
		uids[d.UID] = true
		variables := map[string]bool{}
		for _, v := range d.Templating.List {
			variables[v.Name] = true
			if v.Type == "query" && (v.Datasource == nil || v.Datasource.UID != "${datasource}") {
				t.Errorf("%s: variable %s asks no data source that is chosen", path, v.Name)
			}
		}
		for _, m := range regexp.MustCompile(`\$\{?([a-z]\w*)`).FindAllStringSubmatch(text, -1) {
			if !variables[m[1]] {
				t.Errorf("%s: no variable %s", path, m[1])
			}
		}
		panels, taken := map[int]bool{}, map[[2]int]string{}
		for _, p := range d.Panels {
			if panels[p.ID] || p.ID == 0 {
				t.Errorf("%s: %q has the id %d of another panel", path, p.Title, p.ID)
			}
			panels[p.ID] = true
			if !slices.Contains([]string{"row", "stat", "table", "timeseries"}, p.Type) { // each Grafana has these
				t.Errorf("%s: %q is a %s", path, p.Title, p.Type)
			}
			if p.GridPos.W < 1 || p.GridPos.H < 1 || p.GridPos.X < 0 || p.GridPos.X+p.GridPos.W > 24 {
				t.Errorf("%s: %q is not within 24 columns", path, p.Title)
			}
			for x := range p.GridPos.W {
				for y := range p.GridPos.H {
					at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
					if taken[at] != "" {
						t.Errorf("%s: %q lies on %q", path, p.Title, taken[at])
					}
					taken[at] = p.Title
				}
			}
			if p.Type == "row" {
				continue
			}
			names := map[string]bool{}
			for _, target := range p.Targets {
				of := target.Datasource
				if of == nil {
					of = p.Datasource
				}
				if of == nil || of.UID != "${datasource}" || of.Type == "" || target.RefID == "" ||
					names[target.RefID] {
					t.Errorf("%s: %q has a query %q of %v", path, p.Title, target.RefID, of)
				}
				names[target.RefID] = true
			}
			if len(names) == 0 {
				t.Errorf("%s: %q asks nothing", path, p.Title)
			}
		}
	}
}

// TestAlertsAreTested: every alert fires in one case of the unit test, says what
// to do, and has a severity that can be routed by.
func TestAlertsAreTested(t *testing.T) {
	var rules struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	decoder := yaml.NewDecoder(strings.NewReader(read(t, chart+"/files/alerts.yaml")))
	decoder.KnownFields(true)
	if err := decoder.Decode(&rules); err != nil {
		t.Fatal(err)
	}
	cases := read(t, "prometheus/alerts_test.yaml")
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			if !strings.Contains(cases, `ALERTS{alertname="`+rule.Alert+`", alertstate="firing"`) {
				t.Errorf("%s fires in no case of prometheus/alerts_test.yaml", rule.Alert)
			}
			if severity := rule.Labels["severity"]; severity != "critical" && severity != "warning" {
				t.Errorf("%s has severity %q, want critical or warning", rule.Alert, severity)
			}
			for _, name := range []string{"summary", "description"} {
				if rule.Annotations[name] == "" {
					t.Errorf("%s has no %s", rule.Alert, name)
				}
			}
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// TestKeysBeginWithSupplier: Citus spreads rows by one column, and that one has
// to be in every unique key. First, so that each server finds a supplier's rows
// side by side.
func TestKeysBeginWithSupplier(t *testing.T) {
	column := map[string]string{}
	for _, call := range regexp.MustCompile(`create_distributed_table\('(dcm\.\w+)', '(\w+)'`).FindAllStringSubmatch(
		read(t, "ha/citus.sql"), -1) {
		column[call[1]] = call[2]
	}
	conn, err := pgx.Connect(t.Context(), pgtest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	rows, err := conn.Query(t.Context(), `
		select 'dcm.' || t.relname, k.relname, a.attname
		from pg_index i
		join pg_class t on t.oid = i.indrelid
		join pg_class k on k.oid = i.indexrelid
		join pg_attribute a on a.attrelid = t.oid and a.attnum = i.indkey[0]
		where i.indisunique and t.relnamespace = 'dcm'::regnamespace and t.relname not in ('schema_version',
		'compatibility', 'overview_turn', 'served_setting')`)
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]bool{}
	var table, key, first string
	if _, err := pgx.ForEachRow(rows, []any{&table, &key, &first}, func() error {
		keys[table] = true
		if first != column[table] {
			t.Errorf("key %s of %s begins with %s; ha/citus.sql spreads the table by %q", key, table, first,
				column[table])
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for table := range column {
		if !keys[table] {
			t.Errorf("ha/citus.sql spreads %s, which is no table with a key", table)
		}
	}
}

// TestNoVariableTwice: what the chart sets, config and extraEnv cannot set again:
// the later one would win in silence.
func TestNoVariableTwice(t *testing.T) {
	helpers := read(t, chart+"/templates/_helpers.tpl")
	_, list, found := strings.Cut(helpers, `{{- define "dcm.own" -}}`)
	list, _, ended := strings.Cut(list, "{{- end }}")
	if !found || !ended {
		t.Fatal("the template has no list of the variables that it sets")
	}
	set := regexp.MustCompile(`name: ([A-Z][A-Z_]+)\b`).FindAllStringSubmatch(read(t,
		chart+"/templates/deployment.yaml")+helpers, -1)
	if len(set) < 24 {
		t.Fatalf("the template sets only %d variables", len(set))
	}
	for _, name := range set {
		if !strings.Contains(list, "\n"+name[1]+": ") {
			t.Errorf("the template sets %s, and config may set it again", name[1])
		}
	}
}

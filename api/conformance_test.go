package api_test

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/edc"
	"dcm-receiver/internal/privatepg/pgtest"
	"dcm-receiver/internal/standard"

	"github.com/jackc/pgx/v5"
)

// caseFolders are what the conformance documents call cases, and where they are.
var caseFolders = map[string]string{
	"case ":         "internal/receiver/testdata/week-based-capacity-group",
	"request case ": "internal/receiver/testdata/id-based-request-for-update",
	"demand case ":  "internal/receiver/testdata/week-based-material-demand",

	"0128 case ":         "internal/receiver/testdata/cx-0128/week-based-capacity-group",
	"comment case ":      "internal/receiver/testdata/cx-0128/id-based-comment",
	"0128 request case ": "internal/receiver/testdata/cx-0128/id-based-request-for-update",
}

// TestNamesExist fails when a conformance document names a file, a function, a test or
// a case that is not in the tree, or another document a function.
func TestNamesExist(t *testing.T) {
	content := read(t, "api/conformance.md") + read(t, "api/conformance-cx0128.md")
	declared := func(source, name string) bool {
		name = regexp.QuoteMeta(name)
		return regexp.MustCompile(`(?m)^(func (\([^)]*\) )?|type |var |const |\t)` + name +
			`\b( *=|[ (\[])`).MatchString(source)
	}
	mention := regexp.MustCompile("`([^`\n]+)`")
	path := regexp.MustCompile(`^[a-z0-9-]+(/[a-zA-Z0-9_.-]+)+$`)
	named := regexp.MustCompile(`^([a-z0-9/._-]+): (\w+)$`)
	test := regexp.MustCompile(`^(Test|Fuzz)`)
	inTest := regexp.MustCompile("`([a-z0-9/_-]+): Test\\w+` \\(([^)]*\"[^)]*)\\)")
	quoted := regexp.MustCompile(`"[^"]+"`)
	counts := map[string]int{}
	for _, line := range strings.Split(content, "\n") {
		for _, m := range mention.FindAllStringSubmatch(line, -1) {
			word := m[1]
			for prefix, folder := range caseFolders {
				if name, ok := strings.CutPrefix(word, prefix); ok && name != "x" {
					counts["case"]++
					if _, err := os.Stat(filepath.Join("..", folder, name, "request.json")); err != nil {
						t.Errorf("%s: %v", word, err)
					}
				}
			}
			if n := named.FindStringSubmatch(word); n != nil && n[1] != "file.go" && n[1] != "package" {
				kind, files := "code", n[1]
				if test.MatchString(n[2]) {
					kind, files = "test", n[1]+"/*_test.go"
				}
				counts[kind]++
				if !declared(read(t, files), n[2]) {
					t.Errorf("%s: there is no such thing", word)
				}
			} else if path.MatchString(word) && !strings.HasPrefix(word, "application/") {
				counts["path"]++
				if _, err := os.Stat(filepath.Join("..", word)); err != nil {
					t.Errorf("%s: %v", word, err)
				}
			}
		}
		// Names of cases within a test stand in parentheses behind it.
		for _, m := range inTest.FindAllStringSubmatch(line, -1) {
			for _, name := range quoted.FindAllString(m[2], -1) {
				counts["case in a test"]++
				if !strings.Contains(read(t, m[1]+"/*_test.go"), name) {
					t.Errorf("%s: package %s has no such case", name, m[1])
				}
			}
		}
	}
	for _, document := range documents {
		for _, m := range mention.FindAllStringSubmatch(read(t, document), -1) {
			if n := named.FindStringSubmatch(m[1]); n != nil && strings.Contains(n[1], "/") {
				counts["code elsewhere"]++
				file := n[1]
				if !strings.Contains(filepath.Base(file), ".") {
					file += "/*_test.go" // a package, and a test of it
				}
				if !declared(read(t, file), n[2]) {
					t.Errorf("%s: %s: there is no such thing", document, m[1])
				}
			}
		}
	}
	// The patterns above must go on matching what the document has.
	for kind, least := range map[string]int{"case": 40, "test": 50, "code": 50, "path": 5, "case in a test": 10,
		"code elsewhere": 20} {
		if counts[kind] < least {
			t.Errorf("only %d mentions of kind %q found", counts[kind], kind)
		}
	}
}

// documents are those that hold for this version and link to others.
var documents = []string{
	"README.md", "CONTRIBUTING.md", "SECURITY.md", "api/planners.md", "deploy/README.md", "deploy/operation.md",
	"deploy/connector.md", "deploy/settings.md",
	"deploy/edc/README.md", "deploy/ha/README.md", "internal/README.md", "internal/bench/README.md",
	"internal/torture/README.md",
}

// TestDocumentsNameAll fails when deploy/settings.md lacks a setting with its
// default, deploy/operation.md a metric or an alert, or when a link leads nowhere.
func TestDocumentsNameAll(t *testing.T) {
	lines := strings.Split(read(t, "deploy/settings.md"), "\n")
	settings := regexp.MustCompile(`env:"(\w+)".*help:`).FindAllStringSubmatch(read(t, "cmd/dcm-receiver/*.go"), -1)
	plain := strings.NewReplacer("${standard}", standard.Default().Name, "${endpoint}", dcm.CapacityGroupEndpoint.Path,
		"${capabilities}", strings.Join(edc.Capabilities, ","))
	fallback := regexp.MustCompile(`default:"([^"]*)"`)
	for _, s := range settings {
		named := false
		for _, line := range lines {
			if strings.HasPrefix(line, "| `"+s[1]+"` |") {
				named = true
				if d := fallback.FindStringSubmatch(plain.Replace(s[0])); d != nil && d[1] != "" &&
					!strings.Contains(line, "| `"+d[1]+"` |") {
					t.Errorf("deploy/settings.md: the default of %s is not %s", s[1], d[1])
				}
			}
		}
		if !named {
			t.Errorf("deploy/settings.md: no table has %s", s[1])
		}
	}
	names := func(document, kind string, found [][]string, least int) {
		if len(found) < least {
			t.Errorf("only %d names of kind %s found", len(found), kind)
		}
		for _, name := range found {
			begin, _, more := strings.Cut(name[1], "%") // of what is filled in
			if !strings.Contains(read(t, document),
				"`"+begin) || !more && !strings.Contains(read(t, document), "`"+begin+"`") {
				t.Errorf("%s: %s %s is not named", document, kind, name[1])
			}
		}
	}
	names("deploy/settings.md", "setting", settings, 30)
	names("deploy/operation.md", "metric", regexp.MustCompile(`"(dcm_[a-z_]*[a-z])"`).FindAllStringSubmatch(read(t,
		"internal/receiver/metrics.go")+read(t, "internal/jobs/jobs.go")+read(t, "internal/outbox/metrics.go")+
		read(t, "cmd/dcm-receiver/*.go"), -1), 25)
	names("deploy/operation.md", "alert", regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(read(t,
		"deploy/prometheus/alerts.yaml"), -1), 15)
	names("deploy/operation.md", "readiness", regexp.MustCompile(
		`(?:errors\.New|Errorf)\("((?:the database|a right)[^"]*)`).FindAllStringSubmatch(read(t,
		"internal/store/journal.go"), -1), 8)
	views := regexp.MustCompile(`(?m)^create (?:or replace )?view planning\.(\w+)`).FindAllStringSubmatch(read(t,
		"migrations/*.sql"), -1)
	names("api/planners.md", "view", views, 15)
	folders, err := os.ReadDir("../internal")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range folders {
		if f.IsDir() && !strings.Contains(read(t, "internal/README.md"), "\n  "+f.Name()+"/ ") {
			t.Errorf("internal/README.md does not name internal/%s", f.Name())
		}
	}
	links := 0
	for _, document := range documents {
		for _, link := range regexp.MustCompile(`\]\(([a-zA-Z.][^)#:]*)(?:#([^)]*))?\)`).FindAllStringSubmatch(read(t,
			document), -1) {
			links++
			file := filepath.Join(filepath.Dir(document), link[1])
			if _, err := os.Stat(filepath.Join("..", file)); err != nil {
				t.Errorf("%s: %v", document, err)
			} else if link[2] != "" && !hasHeading(read(t, file), link[2]) {
				t.Errorf("%s: %s has no heading #%s", document, file, link[2])
			}
		}
	}
	if links < 30 {
		t.Errorf("only %d links found", links)
	}
}

// hasHeading says whether a document has a heading with that anchor, as GitHub
// makes it: lower case, blanks as hyphens, without punctuation.
func hasHeading(document, anchor string) bool {
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(document, -1) {
		made := regexp.MustCompile(`[^\pL\pN -]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		if strings.ReplaceAll(made, " ", "-") == anchor {
			return true
		}
	}
	return false
}

// TestQueriesRun runs the planners' queries as a planner.
func TestQueriesRun(t *testing.T) {
	conn, err := pgx.Connect(t.Context(), pgtest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), "set role dcm_planner"); err != nil {
		t.Fatal(err)
	}
	queries := regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllStringSubmatch(read(t, "api/planners.md"), -1)
	if len(queries) < 5 {
		t.Errorf("only %d queries found", len(queries))
	}
	for _, q := range queries {
		if _, err := conn.Exec(t.Context(), q[1]); err != nil {
			t.Errorf("%v:\n%s", err, q[1])
		}
	}
}

// read is the text of all files that the pattern, from the repository's root,
// matches.
func read(t *testing.T, pattern string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", pattern))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

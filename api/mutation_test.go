package api_test

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dcm-receiver/internal/mutation"
	"dcm-receiver/internal/privatepg/pgtest"
)

var (
	mutate = flag.Bool("mutate", false,
		"break the code of rows of the conformance documents, and see that a test named there fails (make "+
			"conformance-check)")
	some   = flag.String("row", "", "with -mutate: run only those whose place or row has this text")
	most   = flag.Int("most", 0, "with -mutate: run at most so many; 0: all")
	afresh = flag.Bool("afresh", false, "with -mutate: forget what earlier runs found")
)

// broken breaks what a row of a conformance document asks for. The files in
// testdata/mutations have them, one file a document:
//
//	row 3.2.2 ¶9
//	file internal/payload/capacitygroup.go
//	- 	if d.Weekday() != time.Monday {
//	+ 	if false {
//
// The text after "row" stands in one row of the document's tables and in no other.
// What follows "- ", a line or a part of one (or several lines, each with its "- "),
// stands in the file once, and is replaced by what follows "+ "; there may be
// several such pairs, and several files. Where code has moved to another file, the only
// one that has the text is taken. One of the
// tests and cases that the row names, run on the broken code, must fail. A row may
// have several mutations. One whose evidence is not code says so instead:
//
//	row Data Asset with a Contract Offer
//	none two real connectors are needed; make test-edc
//
// Every row that names a test or a case has an entry, unless the file has the line
// "incomplete". Lines that begin with "#" are comments.
type broken struct {
	document string
	at       string // file and line of the mutation, for messages
	key      string // text that one row has
	row      string // that row
	none     string // why there is no mutation
	edits    []mutation.Edit
	stale    string            // why the edits do not fit the code as it is now
	changed  map[string]string // files with their text where the edits are made
}

// mutated are the documents, each with its mutations.
var mutated = map[string]string{
	"api/conformance.md":        "api/testdata/mutations/conformance.txt",
	"api/conformance-cx0128.md": "api/testdata/mutations/conformance-cx0128.txt",
}

// readMutations reads the mutations of one document, and holds them to document and
// tree.
func readMutations(t *testing.T, document, file string) []*broken {
	t.Helper()
	var all []*broken
	var m *broken
	complete := true
	var edits mutation.Reader // of the mutation at hand
	for i, line := range strings.Split(strings.TrimSuffix(read(t, file), "\n"), "\n") {
		word, rest, _ := strings.Cut(line, " ")
		at := fmt.Sprintf("%s:%d", filepath.Base(file), i+1)
		switch {
		case line == "" || word == "#":
			continue
		case line == "incomplete":
			complete = false
		case word == "row":
			m, edits = &broken{document: document, at: at, key: rest}, mutation.Reader{}
			all = append(all, m)
		case m == nil:
			t.Fatalf("%s: a mutation begins with a row", at)
		case word == "none":
			m.none = rest
		default:
			if err := edits.Line(line); err != nil {
				t.Fatalf("%s: %v", at, err)
			}
			m.edits = edits.Edits
		}
	}
	rows := evidenced(read(t, document))
	for _, m := range all {
		for _, row := range rows {
			if strings.Contains(row, m.key) {
				if m.row != "" {
					t.Errorf("%s: several rows with evidence have %q", m.at, m.key)
				}
				m.row = row
			}
		}
		if m.row == "" {
			t.Errorf("%s: no row of %s with a test as evidence has %q", m.at, document, m.key)
		}
		if (m.none == "") == (len(m.edits) == 0) {
			t.Errorf("%s: want either what is broken or why nothing is", m.at)
		}
		if changed, err := mutation.Apply(productFiles(), m.edits); err != nil {
			m.stale = fmt.Sprintf("%s: %v", m.at, err)
		} else {
			m.changed = changed
		}
	}
	for _, row := range rows {
		if complete && !slices.ContainsFunc(all, func(m *broken) bool { return m.row == row }) {
			t.Errorf("%s has no entry for the row\n%s", file, row)
		}
	}
	return all
}

// productFiles are the texts that mutations may break, by path.
var productFiles = sync.OnceValue(func() map[string]string {
	sources, err := mutation.Sources("..")
	if err != nil {
		panic(err)
	}
	return sources
})

// evidenced are the rows of a document's tables that name a test or a case.
func evidenced(document string) (rows []string) {
	for line := range strings.Lines(document) {
		if strings.HasPrefix(line, "|") && len(patterns(line)) > 0 {
			rows = append(rows, strings.TrimSpace(line))
		}
	}
	return rows
}

var testNamed = regexp.MustCompile("`([a-z0-9/_-]+): ((?:Test|Fuzz)\\w+)`(?: \\(([^)]*)\\))?")

// patterns are the tests and cases that a row names: the pattern for -run, by
// package. Quoted names in parentheses behind a test are its subtests.
func patterns(row string) map[string][]string {
	found := map[string][]string{}
	for _, m := range testNamed.FindAllStringSubmatch(row, -1) {
		subtests := regexp.MustCompile(`"[^"]+"`).FindAllString(m[3], -1)
		for _, s := range subtests {
			found[m[1]] = append(found[m[1]], "^"+m[2]+"$/"+regexp.QuoteMeta(strings.Trim(s, `"`)))
		}
		if len(subtests) == 0 {
			found[m[1]] = append(found[m[1]], "^"+m[2]+"$")
		}
	}
	for _, m := range regexp.MustCompile("`([a-z0-9 ]*case )([^`]+)`").FindAllStringSubmatch(row, -1) {
		if folder, ok := caseFolders[m[1]]; ok && m[2] != "x" {
			standard, endpoint := "cx-0048", filepath.Base(folder)
			if strings.Contains(folder, "/cx-0128/") {
				standard = "cx-0128"
			}
			found["internal/receiver"] = append(found["internal/receiver"],
				"^TestCases$/^"+standard+"$/^"+endpoint+"$/^"+m[2]+"$")
		}
	}
	return found
}

// TestMutations holds the mutations to the documents; with -mutate to the code too,
// and it runs them. What was found is kept in bin/conformance-check.txt, so that a run that was
// interrupted goes on where it stopped: a mutation is run again when it, its row,
// the files that it breaks or the folders of the tests have changed.
func TestMutations(t *testing.T) {
	var all []*broken
	for _, document := range slices.Sorted(maps.Keys(mutated)) {
		all = append(all, readMutations(t, document, mutated[document])...)
	}
	if !*mutate || t.Failed() {
		for _, m := range all { // with -v: those that fit the code no more
			if m.stale != "" {
				t.Log(m.stale)
			}
		}
		return
	}
	known := openRecord(t)
	noticed, before := map[string]int{}, map[string]int{}
	var todo []*broken
	for _, m := range all {
		if found, ok := known.found[m.state(t)]; m.none != "" || *some != "" && !strings.Contains(m.at+" "+m.row,
			*some) {
			continue
		} else if m.stale != "" { // who changes code need not know these files
			t.Error(m.stale)
		} else if ok && !*afresh {
			before[m.document]++
			t.Logf("%s: %s: %s", m.at, m.key, found)
		} else {
			todo = append(todo, m)
		}
	}
	if *most > 0 && len(todo) > *most {
		todo = todo[:*most]
	}
	server := pgtest.NewServer(t, map[string]string{"fsync": "off", "max_connections": "200"})
	environment := append(os.Environ(), "DCM_TEST_DATABASE_URL="+server.URL("dcm"))

	// A test that fails on whole code would notice everything, and so would one that
	// fails where only some of its subtests are run.
	whole, parts := map[string][]string{}, map[string]map[string][]string{}
	for _, m := range todo {
		for folder, tests := range patterns(m.row) {
			whole[folder] = append(whole[folder], tests...)
			if pattern := strings.Join(tests, "|"); !strings.Contains(pattern, "TestCases") &&
				strings.Contains(pattern, "$/") {
				parts[folder+" "+pattern] = map[string][]string{folder: tests}
			}
		}
	}
	for folder, tests := range whole {
		slices.Sort(tests)
		parts[folder] = map[string][]string{folder: slices.Compact(tests)}
	}
	for _, part := range parts {
		if out, err := goTest(t, environment, part, 10*time.Minute); err != nil {
			t.Fatalf("tests named in the documents fail on whole code: %v\n%s", err, out)
		}
	}

	var mu sync.Mutex
	t.Run("row", func(t *testing.T) {
		for _, m := range todo {
			t.Run(m.at+" "+m.key, func(t *testing.T) {
				t.Parallel()
				if by := m.run(t, environment); by != "" {
					mu.Lock()
					defer mu.Unlock()
					noticed[m.document]++
					known.add(t, m.state(t), fmt.Sprintf("noticed by %s on %s", by,
						time.Now().UTC().Format(time.DateOnly)))
				}
			})
		}
	})
	for _, document := range slices.Sorted(maps.Keys(mutated)) {
		rows, mutations, reasons := len(evidenced(read(t, document))), 0, 0
		for _, m := range all {
			switch {
			case m.document != document:
			case m.none != "":
				reasons++
			default:
				mutations++
			}
		}
		fmt.Printf("%s: %d rows name a test; %d mutations: %d noticed now, "+
			"%d in earlier runs, %d not noticed or not run; %d rows have none, with the reason\n",
			document, rows, mutations, noticed[document], before[document],
			mutations-noticed[document]-before[document], reasons)
	}
}

// run runs the tests of the row on the broken code. by is the first test that
// failed.
func (m *broken) run(t *testing.T, environment []string) (by string) {
	dir := t.TempDir()
	flag, err := mutation.Overlay(dir, "..", m.changed)
	if err != nil {
		t.Fatal(err)
	}
	// By GOFLAGS, so that a program that a test builds is broken too.
	flags := "GOFLAGS=" + strings.TrimSpace(os.Getenv("GOFLAGS")+" "+flag)
	out, err := goTest(t, append(slices.Clip(environment), flags), patterns(m.row), 100*time.Second)
	failed := regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`).FindAllSubmatch(out, -1)
	switch {
	case err == nil:
		t.Errorf("no test notices, of the row\n%s", m.row)
	case bytes.Contains(out, []byte("make a database for the test")):
		t.Errorf("the tests could not run:\n%s", out)
	case len(failed) == 0:
		t.Errorf("the broken code does not build, or its test does not end:\n%s", out)
	default:
		by = string(failed[len(failed)-1][1])
		t.Logf("noticed by %s", by)
	}
	return by
}

// goTest runs tests of one or several folders.
func goTest(t *testing.T, environment []string, tests map[string][]string, limit time.Duration) ([]byte, error) {
	folders := slices.Sorted(maps.Keys(tests))
	var run []string
	args := []string{"test", "-count=1", "-vet=off", "-timeout=" + limit.String()}
	for _, folder := range folders {
		run = append(run, tests[folder]...)
	}
	args = append(args, "-run", strings.Join(run, "|"))
	for _, folder := range folders {
		args = append(args, "./"+folder)
	}
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir, cmd.Env = root(t), environment
	return cmd.CombinedOutput()
}

// state is the same as long as a mutation need not be run again.
func (m *broken) state(t *testing.T) string {
	sum := sha256.New()
	fmt.Fprintln(sum, m.row, m.edits)
	for _, e := range m.edits {
		fmt.Fprintln(sum, productFiles()[e.Locate(productFiles())])
	}
	for _, folder := range slices.Sorted(maps.Keys(patterns(m.row))) {
		err := filepath.WalkDir(filepath.Join("..", folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := os.ReadFile(path)
			fmt.Fprintln(sum, path, len(text))
			sum.Write(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return fmt.Sprintf("%x", sum.Sum(nil)[:12])
}

// record is what earlier runs found.
type record struct {
	file  string
	found map[string]string // by state
}

func openRecord(t *testing.T) *record {
	r := &record{file: filepath.Join(root(t), "bin", "conformance-check.txt"), found: map[string]string{}}
	if err := os.MkdirAll(filepath.Dir(r.file), 0o755); err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(r.file) // none at first
	for line := range strings.Lines(string(text)) {
		state, found, _ := strings.Cut(strings.TrimSpace(line), " ")
		r.found[state] = found
	}
	return r
}

func (r *record) add(t *testing.T, state, found string) {
	f, err := os.OpenFile(r.file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := fmt.Fprintln(f, state, found); err != nil {
		t.Fatal(err)
	}
}

func root(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	return root
}

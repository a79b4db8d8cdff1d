package api_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
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

// A mutation breaks what a row of a conformance document asks for. The files in
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
type mutation struct {
	document string
	at       string // file and line of the mutation, for messages
	key      string // text that one row has
	row      string // that row
	none     string // why there is no mutation
	edits    []edit
	stale    string // why the edits do not fit the code as it is now
}

// edit replaces text in one file.
type edit struct{ file, old, new string }

// mutated are the documents, each with its mutations.
var mutated = map[string]string{
	"api/conformance.md":        "api/testdata/mutations/conformance.txt",
	"api/conformance-cx0128.md": "api/testdata/mutations/conformance-cx0128.txt",
}

// readMutations reads the mutations of one document, and holds them to document and
// tree.
func readMutations(t *testing.T, document, file string) []*mutation {
	t.Helper()
	var all []*mutation
	var m *mutation
	complete := true
	begun := "" // what the line before began with
	for i, line := range strings.Split(strings.TrimSuffix(read(t, file), "\n"), "\n") {
		word, rest, _ := strings.Cut(line, " ")
		at := fmt.Sprintf("%s:%d", filepath.Base(file), i+1)
		last := func() *edit { return &m.edits[len(m.edits)-1] }
		switch {
		case line == "" || word == "#":
			continue
		case line == "incomplete":
			complete = false
		case word == "row":
			m = &mutation{document: document, at: at, key: rest}
			all = append(all, m)
		case m == nil:
			t.Fatalf("%s: a mutation begins with a row", at)
		case word == "none":
			m.none = rest
		case word == "file":
			m.edits = append(m.edits, edit{file: rest})
		case len(m.edits) == 0:
			t.Fatalf("%s: %q; want row, none, file, - or +", at, line)
		case word == "-":
			if begun == "+" {
				m.edits = append(m.edits, edit{file: last().file})
			}
			last().old = join(last().old, rest, begun == "-")
		case word == "+":
			last().new = join(last().new, rest, begun == "+")
		default:
			t.Fatalf("%s: %q; want row, none, file, - or +", at, line)
		}
		begun = word
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
		for i := range m.edits {
			e := &m.edits[i]
			file := locate(e.file, e.old)
			if file == "" || e.old == e.new {
				m.stale = fmt.Sprintf("%s: want %q once in %s, or else in one other file", m.at, e.old, e.file)
				continue
			}
			e.file = file
		}
	}
	for _, row := range rows {
		if complete && !slices.ContainsFunc(all, func(m *mutation) bool { return m.row == row }) {
			t.Errorf("%s has no entry for the row\n%s", file, row)
		}
	}
	return all
}

// locate finds the file that an edit breaks: the named one or, where the code has moved
// since, the only one of its kind that has the text, and has it once. "": there is none.
func locate(named, text string) string {
	all := productFiles()
	if strings.Count(all[named], text) == 1 {
		return named
	}
	found := ""
	for file, content := range all {
		if filepath.Ext(file) == filepath.Ext(named) && strings.Contains(content, text) {
			if found != "" || strings.Count(content, text) > 1 {
				return ""
			}
			found = file
		}
	}
	return found
}

// TestLocate: a mutation survives that its code moves to another file.
func TestLocate(t *testing.T) {
	const text, at = "if week.Weekday() != time.Monday {", "internal/cx0048/checks.go"
	for _, c := range []struct{ named, text, want string }{
		{at, text, at},
		{"internal/cx0048/moved.go", text, at},
		{"internal/cx0048/moved.json", text, ""},
		{at, "in no file at all", ""},
		{"internal/cx0048/moved.go", "package main", ""}, // several have it
	} {
		if got := locate(c.named, c.text); got != c.want {
			t.Errorf("%q of %s: found in %q, want %q", c.text, c.named, got, c.want)
		}
	}
}

// productFiles are the texts that mutations may break, by path.
var productFiles = sync.OnceValue(func() map[string]string {
	all := map[string]string{}
	for _, folder := range []string{"cmd", "internal", "schemas", "migrations", "api"} {
		_ = fs.WalkDir(os.DirFS(".."), folder, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() && d.Name() == "testdata" {
				return fs.SkipDir
			}
			if err == nil && !d.IsDir() && !strings.HasSuffix(path, "_test.go") {
				text, err := os.ReadFile(filepath.Join("..", path))
				all[path] = string(text)
				return err
			}
			return err
		})
	}
	return all
})

func join(before, line string, more bool) string {
	if more {
		return before + "\n" + line
	}
	return line
}

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
			found["internal/receiver"] = append(found["internal/receiver"], "^TestCases$/^"+standard+"$/^"+endpoint+"$/^"+m[2]+"$")
		}
	}
	return found
}

// TestMutations holds the mutations to the documents; with -mutate to the code too,
// and it runs them. What was found is kept in bin/conformance-check.txt, so that a run that was
// interrupted goes on where it stopped: a mutation is run again when it, its row,
// the files that it breaks or the folders of the tests have changed.
func TestMutations(t *testing.T) {
	var all []*mutation
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
	var todo []*mutation
	for _, m := range all {
		if found, ok := known.found[m.state(t)]; m.none != "" || *some != "" && !strings.Contains(m.at+" "+m.row, *some) {
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
			if pattern := strings.Join(tests, "|"); !strings.Contains(pattern, "TestCases") && strings.Contains(pattern, "$/") {
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
					known.add(t, m.state(t), fmt.Sprintf("noticed by %s on %s", by, time.Now().UTC().Format(time.DateOnly)))
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
		fmt.Printf("%s: %d rows name a test; %d mutations: %d noticed now, %d in earlier runs, %d not noticed or not run; %d rows have none, with the reason\n",
			document, rows, mutations, noticed[document], before[document], mutations-noticed[document]-before[document], reasons)
	}
}

// run runs the tests of the row on the broken code. by is the first test that
// failed.
func (m *mutation) run(t *testing.T, environment []string) (by string) {
	dir := t.TempDir()
	replace := map[string]string{}
	root := root(t)
	texts := map[string]string{}
	for _, e := range m.edits {
		if texts[e.file] == "" {
			texts[e.file] = read(t, e.file)
		}
		texts[e.file] = strings.Replace(texts[e.file], e.old, e.new, 1)
	}
	for file, text := range texts {
		broken := filepath.Join(dir, fmt.Sprint(len(replace), filepath.Ext(file)))
		write(t, broken, text)
		replace[filepath.Join(root, file)] = broken
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "overlay.json"), string(overlay))
	// By GOFLAGS, so that a program that a test builds is broken too.
	flags := "GOFLAGS=" + strings.TrimSpace(os.Getenv("GOFLAGS")+" -overlay="+filepath.Join(dir, "overlay.json"))
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
func (m *mutation) state(t *testing.T) string {
	sum := sha256.New()
	fmt.Fprintln(sum, m.row, m.edits)
	for _, e := range m.edits {
		fmt.Fprintln(sum, productFiles()[e.file])
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

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

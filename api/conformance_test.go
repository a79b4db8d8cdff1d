package api_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestConformanceNamesExist fails when conformance.md names a file, a function,
// a test or a case that is not in the tree.
func TestConformanceNamesExist(t *testing.T) {
	content, err := os.ReadFile("conformance.md")
	if err != nil {
		t.Fatal(err)
	}
	read := func(pattern string) string {
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
	declared := func(source, name string) bool {
		name = regexp.QuoteMeta(name)
		return regexp.MustCompile(`(?m)^(func (\([^)]*\) )?|type |var |const |\t)` + name + `\b( *=|[ (\[])`).MatchString(source)
	}
	cases := map[string]string{
		"case ":         "internal/receiver/testdata/week-based-capacity-group/",
		"request case ": "internal/receiver/testdata/id-based-request-for-update/",
	}
	mention := regexp.MustCompile("`([^`\n]+)`")
	path := regexp.MustCompile(`^[a-z0-9-]+(/[a-zA-Z0-9_.-]+)+$`)
	named := regexp.MustCompile(`^([a-z0-9/._-]+): (\w+)$`)
	test := regexp.MustCompile(`^(Test|Fuzz)`)
	counts := map[string]int{}
	for _, line := range strings.Split(string(content), "\n") {
		tested := "" // the package of the last test in this line
		for _, m := range mention.FindAllStringSubmatch(line, -1) {
			word := m[1]
			for prefix, folder := range cases {
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
					kind, files, tested = "test", n[1]+"/*_test.go", n[1]
				}
				counts[kind]++
				if !declared(read(files), n[2]) {
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
		for _, m := range regexp.MustCompile(`Test\w+`+"`"+` \(([^)]*"[^)]*)\)`).FindAllStringSubmatch(line, -1) {
			for _, name := range regexp.MustCompile(`"([^"]+)"`).FindAllString(m[1], -1) {
				counts["case in a test"]++
				if !strings.Contains(read(tested+"/*_test.go"), name) {
					t.Errorf("%s: package %s has no such case", name, tested)
				}
			}
		}
	}
	// The patterns above must go on matching what the document has.
	for kind, least := range map[string]int{"case": 40, "test": 50, "code": 50, "path": 5, "case in a test": 10} {
		if counts[kind] < least {
			t.Errorf("only %d mentions of kind %q found", counts[kind], kind)
		}
	}
}

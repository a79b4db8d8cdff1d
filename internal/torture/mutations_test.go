package torture

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dcm-receiver/internal/mutation"
)

// TestFaultsApply notices early that a deliberate fault does not fit the code any more.
func TestFaultsApply(t *testing.T) {
	files, err := filepath.Glob("faults/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no faults: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) { faulty(t, strings.TrimSuffix(filepath.Base(file), ".txt")) })
	}
}

// faulty are the files of the program that a fault changes, with their text.
func faulty(t *testing.T, fault string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("faults", fault+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	var r mutation.Reader
	for line := range strings.Lines(string(text)) {
		if err := r.Line(strings.TrimSuffix(line, "\n")); err != nil {
			t.Fatal(err)
		}
	}
	sources, err := mutation.Sources("../..")
	if err != nil {
		t.Fatal(err)
	}
	changed, err := mutation.Apply(sources, r.Edits)
	if err != nil {
		t.Fatalf("adapt internal/torture/faults/%s.txt: %v", fault, err)
	}
	return changed
}

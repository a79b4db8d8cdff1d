package mutation_test

import (
	"os"
	"path/filepath"
	"testing"

	"dcm-receiver/internal/mutation"
)

// TestLocate: a mutation survives that its code moves to another file.
func TestLocate(t *testing.T) {
	sources, err := mutation.Sources("../..")
	if err != nil {
		t.Fatal(err)
	}
	const text, at = "if week.Weekday() != time.Monday {", "internal/cx0048/checks.go"
	for _, c := range []struct{ named, text, want string }{
		{at, text, at},
		{"internal/cx0048/moved.go", text, at},
		{"internal/cx0048/moved.json", text, ""},
		{at, "in no file at all", ""},
		{"internal/cx0048/moved.go", "package main", ""}, // several have it
	} {
		if got := (mutation.Edit{File: c.named, Old: c.text}).Locate(sources); got != c.want {
			t.Errorf("%q of %s: found in %q, want %q", c.text, c.named, got, c.want)
		}
	}
}

// TestApply: edits of one file add up, and an overlay has what they make.
func TestApply(t *testing.T) {
	var r mutation.Reader
	for _, line := range []string{"file a.go", "- one", "- two", "+ 1", "- three", "+ 3", "+ more"} {
		if err := r.Line(line); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Line("what"); err == nil {
		t.Error("a line that is no part of an edit is taken")
	}
	sources := map[string]string{"a.go": "one\ntwo\nthree\n", "b.sql": "one"}
	changed, err := mutation.Apply(sources, r.Edits)
	if err != nil || len(changed) != 1 || changed["a.go"] != "1\n3\nmore\n" {
		t.Fatalf("%q, %v", changed, err)
	}
	dir := t.TempDir()
	flag, err := mutation.Overlay(dir, ".", changed)
	if err != nil || flag != "-overlay="+filepath.Join(dir, "overlay.json") {
		t.Fatalf("%s, %v", flag, err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "0.go")); err != nil || string(text) != "1\n3\nmore\n" {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := mutation.Apply(sources, []mutation.Edit{{File: "a.go", Old: "four", New: "4"}}); err == nil {
		t.Error("an edit of a text that is not there is applied")
	}
}

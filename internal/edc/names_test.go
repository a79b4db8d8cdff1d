package edc

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestNoFlagsNamed: planners read this package's sentences too, and have neither its flags nor its
// variables; commands and the outbox add the ones that help.
func TestNoFlagsNamed(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`"[^"]*(?:DCM_[A-Z]|--[a-z]|outbox\.)[^"]*"`)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, sentence := range named.FindAllString(string(text), -1) {
			t.Errorf("%s: %s", file, sentence)
		}
	}
}

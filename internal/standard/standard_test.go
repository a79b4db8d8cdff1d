package standard_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/standard"
)

// TestComplete: a standard that lacks a part fails here, with the part.
func TestComplete(t *testing.T) {
	read := func(path string) string {
		text, err := os.ReadFile(filepath.Join("..", "..", path))
		if err != nil {
			t.Error(err)
		}
		return string(text)
	}
	for _, s := range standard.All() {
		t.Run(s.Name, func(t *testing.T) {
			for _, e := range dcm.Endpoints {
				if s.Models[e.Path] == "" {
					t.Errorf("Models has no model of %s", e.Path)
				}
			}
			if len(s.CapacityGroups.Rules) == 0 || len(s.MaterialDemands.Rules) == 0 ||
				s.Comments != nil && len(s.Comments.Rules) == 0 {
				t.Error("a table has no rules")
			}
			if s.CapacityGroups.Standard == "" || s.MaterialDemands.Standard == "" {
				t.Error("a table does not name its document")
			}
			title := strings.ToUpper(s.Name)
			if document := read("api/" + s.Document); !strings.Contains(document, title) {
				t.Errorf("api/%s does not go through %s", s.Document, title)
			}
			for path, has := range map[string]string{
				"README.md":          title,
				"deploy/settings.md": "`" + s.Name + "`",
				"deploy/helm/dcm-receiver/values.schema.json": `"` + s.Name + `"`,
				"api/openapi.yaml":                            title,
			} {
				if !strings.Contains(read(path), has) {
					t.Errorf("%s does not name %s", path, has)
				}
			}
		})
	}
}

// TestNamesStayHere: other packages ask a standard's value, and do not compare its name.
func TestNamesStayHere(t *testing.T) {
	err := filepath.WalkDir("../..", func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") ||
			strings.Contains(filepath.ToSlash(path), "internal/standard/") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, s := range standard.All() {
			if strings.Contains(string(text), `"`+s.Name+`"`) {
				t.Errorf("%s spells %q", path, s.Name)
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

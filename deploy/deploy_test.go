// Package deploy holds what an operator copies; its only Go is this test, which
// keeps alerts and dashboard in step with the program.
package deploy

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	yaml "github.com/oasdiff/yaml3"
)

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
	for _, path := range []string{chart + "/files/alerts.yaml", chart + "/files/dashboard.json", "prometheus/alerts_test.yaml"} {
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

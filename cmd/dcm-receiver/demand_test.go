package main_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"dcm-receiver/internal/privatepg/pgtest"
)

// TestDemandCommands: from an empty template to a release, and the exit statuses.
func TestDemandCommands(t *testing.T) {
	url, dir := pgtest.New(t), t.TempDir()
	const header = "supplier,customer,material_number_customer,customer_location,point_in_time,demand\n"
	for name, content := range map[string]string{
		"wrong.csv": header + "BPNL6666666666YY,BPNL8888888888XX,X,BPNS8888888888XX,2126-11-24,1\nBPNL6666666666YY,BPNL8888888888XX,Y,BPNS8888888888XX,2126-11-25,1\n",
		"text.txt":  "hello",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name   string
		url    string
		args   []string
		status int
		said   string
	}{
		{"no file", url, []string{"demand", "import"}, 2, "--template"},
		{"template", "", []string{"demand", "import", "--template"}, 0, "wrote demands.xlsx"},
		{"template, again", "", []string{"demand", "import", "--template"}, 2, "demands.csv"},
		{"not there", url, []string{"demand", "import", "none.csv"}, 2, "none.csv"},
		{"no demands", url, []string{"demand", "import", "text.txt"}, 1, "text.txt:1: the header has no supplier"},
		{"no database", "", []string{"demand", "import", "demands.csv"}, 2, "DATABASE_URL is not set"},
		{"a database that is not there", "postgres://nobody@127.0.0.1:1/dcm?connect_timeout=2", []string{"demand", "import", "demands.csv"}, 3, "the database cannot be reached"},
		{"wrong", url, []string{"demand", "import", "wrong.csv"}, 1, "wrong.csv:2: point_in_time: 2126-11-24 is a Sunday; write the Monday of its week, 2126-11-18"},
		{"dry", url, []string{"demand", "import", "--dry-run", "demands.xlsx"}, 0, "less than nine months ahead"},
		{"nothing yet", url, []string{"demand", "status"}, 0, "Nothing has been released yet."},
		{"import", url, []string{"demand", "import", "demands.xlsx"}, 0, "6 lines imported: 1 materials new, 0 changed, 0 unchanged"},
		{"the same as CSV", url, []string{"demand", "import", "--json", "demands.csv"}, 0, `"unchanged":1`},
		{"only valid ones", url, []string{"demand", "import", "--only-valid", "demands.csv", "wrong.csv"}, 1, "1 materials new, 0 changed, 1 unchanged"},
		{"release", url, []string{"demand", "release"}, 0, "2 materials created, 0 changed, 0 unchanged, 0 refused"},
		{"release again", url, []string{"demand", "release", "--json"}, 0, `"outcome":"unchanged"`},
		{"release for nobody", url, []string{"demand", "release", "--supplier", "ACME"}, 2, "--supplier"},
		{"status", url, []string{"demand", "status"}, 0, "BPNL6666666666YY           2         0"},
		{"add", url, []string{"partner", "add", "BPNL6666666666YY", "--dsp-url", "https://example.com/api/v1/dsp"}, 0, "BPNL6666666666YY: added"},
		{"add, again", url, []string{"partner", "add", "BPNL6666666666YY"}, 0, "changed"},
		{"add what is none", url, []string{"partner", "add", "ACME"}, 2, "is not a BPNL"},
		{"add nowhere", url, []string{"partner", "add", "BPNL6666666666YY", "--dsp-url", "example.com"}, 2, "--dsp-url"},
		{"list", url, []string{"partner", "list", "--json"}, 0, `"dspUrl":null`},
		{"remove", url, []string{"partner", "remove", "BPNL6666666666YY"}, 0, "removed"},
		{"remove, again", url, []string{"partner", "remove", "BPNL6666666666YY"}, 1, "there is no partner"},
	} {
		t.Run(c.name, func(t *testing.T) {
			command := exec.Command(binary, c.args...)
			command.Env, command.Dir = environment(), dir
			if c.url != "" {
				command.Env = append(command.Env, "DATABASE_URL="+c.url)
			}
			out, err := command.CombinedOutput()
			status := 0
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				status = exit.ExitCode()
			}
			if status != c.status || !strings.Contains(string(out), c.said) {
				t.Errorf("exit status %d, want %d; %q in: %s", status, c.status, c.said, out)
			}
		})
	}
}

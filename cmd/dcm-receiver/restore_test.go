package main_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"dcm-receiver/internal/example"
	"dcm-receiver/internal/privatepg"
	"dcm-receiver/internal/privatepg/pgtest"

	"github.com/jackc/pgx/v5"
)

// TestRestoreAsPrinted runs what deploy/operation.md prints of backup and restore:
// on a server that was prepared as it says, and then on it anew, without a trace
// of what was there.
func TestRestoreAsPrinted(t *testing.T) {
	document, err := os.ReadFile("../../deploy/operation.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(document), "## Backup and restore")
	section, _, _ = strings.Cut(section, "\n## ")
	printed := regexp.MustCompile(`(?m)^    \$ (.*)$`).FindAllStringSubmatch(section, -1)
	if len(printed) != 3 {
		t.Fatalf("%d commands are printed, want three", len(printed))
	}
	binaries, err := privatepg.FindBinaries()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath(filepath.Join(binaries, "pg_restore")); err != nil {
		if _, err := exec.LookPath("pg_restore"); err != nil {
			t.Skip("pg_restore is not installed")
		}
	}
	server := pgtest.NewServer(t, map[string]string{"fsync": "off"})
	ctx := context.Background()
	admin, err := pgx.Connect(ctx, server.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(ctx)
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	config := admin.Config()
	url := "postgres://dcm_receiver:Receiver@/dcm?host=" + config.Host
	run := func(command string) {
		t.Helper()
		c := exec.Command("sh", "-c", command)
		c.Dir = root
		c.Env = environment("DATABASE_URL="+url, "PGHOST="+config.Host, "PGUSER="+config.User,
			"DCM_DATABASE_PASSWORD=Receiver", "DCM_PLANNER_PASSWORD=Planner",
			"PATH="+binaries+":"+os.Getenv("PATH"))
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
	}
	empty := func() {
		t.Helper()
		for _, statement := range []string{"drop database if exists dcm",
			"drop role if exists dcm_receiver, dcm_planner, dcm_sender, planner"} {
			if _, err := admin.Exec(ctx, statement); err != nil {
				t.Fatal(err)
			}
		}
	}
	dump := filepath.Join(t.TempDir(), "dcm.dump")
	backup, prepare, restore := strings.Replace(printed[0][1], "dcm.dump", dump, 1), printed[1][1],
		strings.Replace(printed[2][1], "dcm.dump", dump, 1)

	empty()
	run(prepare)
	p := start(t, "DATABASE_URL="+url)
	if status, said := p.post("week-based-capacity-group", example.Supplier, published(t)); status != 201 {
		t.Fatal(status, said)
	}
	run(backup)
	p.end(syscall.SIGTERM)

	empty()
	run(prepare)
	run(restore)
	p = start(t, "DATABASE_URL="+url)
	if status, said := p.post("week-based-capacity-group", example.Supplier, published(t)); status != 200 ||
		!strings.Contains(said, `"rule":7`) {
		t.Errorf("after the restore: %d %s", status, said)
	}
	p.end(syscall.SIGTERM)
	planner, err := pgx.Connect(ctx, strings.Replace(url, "dcm_receiver:Receiver", "planner:Planner", 1))
	if err != nil {
		t.Fatal(err)
	}
	defer planner.Close(ctx)
	var weeks int
	if err := planner.QueryRow(ctx, "select count(*) from planning.capacity").Scan(&weeks); err != nil || weeks == 0 {
		t.Errorf("a planner sees %d weeks: %v", weeks, err)
	}
}

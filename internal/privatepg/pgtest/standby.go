package pgtest

import (
	"errors"
	"maps"
	"os"
	run "os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"dcm-receiver/internal/privatepg"
)

// NewStandby starts a streaming replica of primary, a copy of what that holds
// now. conninfo is how its server reaches the primary: by TCP as a rule, since
// it runs as a user who may be unable to enter the folder of the primary's
// socket. The test is skipped where Postgres came without pg_basebackup.
func NewStandby(t testing.TB, primary *Server, conninfo string, settings map[string]string) *Server {
	t.Helper()
	bin, err := privatepg.FindBinaries()
	if err != nil {
		t.Fatal(err)
	}
	server, err := filepath.EvalSymlinks(filepath.Join(bin, "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	copier := filepath.Join(filepath.Dir(server), "pg_basebackup") // of the same version
	if _, err := os.Stat(copier); err != nil {
		t.Skipf("the Postgres in %s has no pg_basebackup, so no standby can be made: install your distribution's "+
			"package", filepath.Dir(server))
	}
	dir, err := os.MkdirTemp("", prefix)
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, dataDir)
	if out, err := run.Command(copier, "--pgdata="+data, "--checkpoint=fast",
		"--dbname="+primary.URL("postgres")).CombinedOutput(); err != nil {
		t.Fatalf("copy the primary: %v: %s", err, out)
	}
	if err := os.WriteFile(filepath.Join(data, "standby.signal"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 { // then root made the copy, and Postgres refuses root
		info, err := os.Stat(filepath.Join(primary.options.Dir, dataDir))
		if err != nil {
			t.Fatal(err)
		}
		owner := info.Sys().(*syscall.Stat_t)
		err = filepath.WalkDir(data, func(path string, _ os.DirEntry, err error) error {
			return errors.Join(err, os.Lchown(path, int(owner.Uid), int(owner.Gid)))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	merged := map[string]string{"primary_conninfo": conninfo}
	maps.Copy(merged, settings)
	return serve(t, dir, merged)
}

// dataDir is where privatepg keeps the data of a server.
const dataDir = "postgres"

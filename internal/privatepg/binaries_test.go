package privatepg

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// install puts programs that say they are of that version into a folder.
func fake(t *testing.T, dir, version string, programs ...string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, p := range programs {
		script := fmt.Sprintf("#!/bin/sh\necho '%s (PostgreSQL) %s'\n", p, version)
		if err := os.WriteFile(filepath.Join(dir, p), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFind(t *testing.T) {
	type there map[string]string // folder: version
	for _, c := range []struct {
		name  string
		there there
		major int
		want  string // folder, or a part of the error
	}{
		{"nothing", nil, 0, "no Postgres server found"},
		{"PATH before all", there{"bin": "14.3", "usr/lib/postgresql/16/bin": "16.2"}, 0, "bin"},
		{"Debian, newest first", there{"usr/lib/postgresql/9.6/bin": "9.6.24", "usr/lib/postgresql/14/bin": "14.3",
			"usr/lib/postgresql/16/bin": "16.2 (Debian 16.2-1)"}, 0, "usr/lib/postgresql/16/bin"},
		{"Debian, the data's version", there{"usr/lib/postgresql/14/bin": "14.3",
			"usr/lib/postgresql/16/bin": "16.2"}, 14, "usr/lib/postgresql/14/bin"},
		{"the data's version is missing", there{"usr/lib/postgresql/16/bin": "16.2"}, 14, "16 in "},
		{"too old", there{"usr/lib/postgresql/12/bin": "12.9"}, 0, "12 in "},
		{"too old in PATH", there{"bin": "12.9", "usr/pgsql-17/bin": "17beta1"}, 0, "usr/pgsql-17/bin"},
		{"Red Hat", there{"usr/pgsql-15/bin": "15.1", "usr/pgsql-13/bin": "13.1"}, 0, "usr/pgsql-15/bin"},
		{"Homebrew, arm", there{"opt/homebrew/opt/postgresql@16/bin": "16.2"}, 0, "opt/homebrew/opt/postgresql@16/bin"},
		{"Homebrew, Intel", there{"usr/local/opt/postgresql@14/bin": "14.9",
			"usr/local/opt/postgresql@15/bin": "15.2"}, 0, "usr/local/opt/postgresql@15/bin"},
		{"Postgres.app", there{"Applications/Postgres.app/Contents/Versions/15/bin": "15.2",
			"Applications/Postgres.app/Contents/Versions/latest/bin": "16.2"}, 0,
			"Applications/Postgres.app/Contents/Versions/15/bin"},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			for dir, version := range c.there {
				fake(t, filepath.Join(root, dir), version, "postgres", "initdb")
			}
			// Clients alone are no server.
			fake(t, filepath.Join(root, "client"), "16.2", "psql", "initdb")
			dir, err := find(root, filepath.Join(root, "client")+":relative:"+filepath.Join(root, "bin"), c.major)
			if err == nil {
				if want := filepath.Join(root, c.want); dir != want {
					t.Errorf("found %s, want %s", dir, want)
				}
			} else if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %q, want %q in it", err, c.want)
			}
		})
	}
}

func TestFindAsksPgConfig(t *testing.T) {
	root := t.TempDir()
	fake(t, filepath.Join(root, "elsewhere"), "15.2", "postgres", "initdb")
	script := "#!/bin/sh\n[ \"$*\" = --bindir ] && echo '" + filepath.Join(root, "elsewhere") + "'\n"
	if err := os.WriteFile(filepath.Join(root, "pg_config"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	if dir, err := find(root, root, 0); dir != filepath.Join(root, "elsewhere") {
		t.Errorf("found %q, %v", dir, err)
	}
}

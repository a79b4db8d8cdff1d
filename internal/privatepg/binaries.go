package privatepg

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// oldest is the oldest major version of Postgres that the receiver supports.
const oldest = 14

var errNoBinaries = errors.New("no Postgres server found")

// FindBinaries is the folder with the programs initdb and postgres, version 14
// or later, of the first place that has them: $PATH, pg_config, then where
// Debian, Red Hat, Homebrew and Postgres.app put them, and where
// deploy/postgres/install.sh downloads them to; the newest version first in each.
func FindBinaries() (dir string, err error) {
	return find("/", os.Getenv("PATH"), 0)
}

// find is FindBinaries below another root and with another $PATH. major, where
// not 0, is the only version wanted.
func find(root, path string, major int) (string, error) {
	var others []string
	for _, dir := range places(root, path) {
		switch v := version(dir); {
		case v == 0:
		case v < oldest, major != 0 && v != major:
			others = append(others, fmt.Sprintf("%d in %s", v, dir))
		default:
			return dir, nil
		}
	}
	if others == nil {
		return "", errNoBinaries
	}
	return "", fmt.Errorf("%w of the version needed (found: %s)", errNoBinaries, strings.Join(others, ", "))
}

// places lists the folders in which a server can be, best first.
func places(root, path string) []string {
	dirs := filepath.SplitList(path)
	for _, dir := range dirs {
		if out, err := exec.Command(filepath.Join(dir, "pg_config"), "--bindir").Output(); err == nil {
			dirs = append(dirs, strings.TrimSpace(string(out)))
			break
		}
	}
	for _, pattern := range []string{
		"usr/lib/postgresql/*/bin",
		"usr/pgsql-*/bin",
		"opt/homebrew/opt/postgresql*/bin",
		"usr/local/opt/postgresql*/bin",
		"home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
		"Applications/Postgres.app/Contents/Versions/*/bin",
	} {
		found, _ := filepath.Glob(filepath.Join(root, pattern)) // the patterns are well formed
		slices.SortStableFunc(found, func(a, b string) int { return number(b) - number(a) })
		dirs = append(dirs, found...)
	}
	return append(dirs, filepath.Join(root, downloadDir(), "bin"))
}

// downloadDir is where a download goes: out of root's home, which the server's
// user cannot enter.
func downloadDir() string {
	cache, err := os.UserCacheDir()
	if os.Getuid() == 0 || err != nil {
		cache = "/var/cache"
	}
	return filepath.Join(cache, "dcm-receiver", "postgres-17-"+runtime.GOARCH)
}

var digits = regexp.MustCompile(`[0-9]+`)

// number is the version that a folder's name says, 0 without one.
func number(dir string) int {
	n, _ := strconv.Atoi(digits.FindString(filepath.Base(filepath.Dir(dir))))
	return n
}

// version is the major version of the server in dir, 0 where there is none.
func version(dir string) int {
	if !filepath.IsAbs(dir) || !isProgram(filepath.Join(dir, "initdb")) || !isProgram(filepath.Join(dir, "postgres")) {
		return 0
	}
	out, err := exec.Command(filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return 0
	}
	v, _ := strconv.Atoi(digits.FindString(string(out)))
	return v
}

func isProgram(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}

// binariesFor is the folder of the programs that can run the given data.
func binariesFor(data string) (string, error) {
	major, err := majorOf(data)
	if err != nil {
		return "", err
	}
	if major == 0 {
		dir, err := FindBinaries()
		if err != nil {
			return "",
				fmt.Errorf(
					"%w: set DATABASE_URL, or install Postgres %d or later (`make run` and `make test` do; "+
						"Debian, Ubuntu: apt-get install postgresql)", err, oldest)
		}
		return dir, nil
	}
	dir, err := find("/", os.Getenv("PATH"), major)
	if err != nil {
		return "",
			fmt.Errorf(
				"%s was made by Postgres %d, which runs it only: install that version, or move the folder away (%w)",
				data, major, err)
	}
	return dir, nil
}

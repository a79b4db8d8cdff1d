// Package pgtest gives tests a real Postgres: a fresh, migrated database for
// each test, cloned from a template that is migrated once per test process, on
// a private server that lives as long as the process.
//
// A package that uses it has
//
//	func TestMain(m *testing.M) { pgtest.Main(m) }
package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"dcm-receiver/internal/privatepg"
	"dcm-receiver/migrations"
)

// setupTimeout bounds what happens once: it leaves time to install a package.
const setupTimeout = 5 * time.Minute

// shared is what the tests of this process have in common.
var shared struct {
	once     sync.Once
	err      error
	server   *privatepg.Server // nil with DCM_TEST_DATABASE_URL
	dir      string
	url      func(database string) string
	admin    string // the database in which databases are made
	template string
}

// Main runs the tests and ends the process, and the server where a test
// started one.
func Main(m *testing.M) {
	code := m.Run()
	if err := end(); err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// New is the URL of a database that is this test's own: migrated, otherwise
// empty, removed when the test ends. The server that it is on gives no thought
// to a crash (fsync is off); it is the one of DCM_TEST_DATABASE_URL where that
// is set.
func New(t testing.TB) string {
	t.Helper()
	shared.once.Do(func() { shared.err = begin() })
	if shared.err != nil {
		t.Fatalf("make a database for the test: %v", shared.err)
	}
	name := newName()
	if err := exec(shared.url(shared.admin), "create database "+name+" template "+shared.template); err != nil {
		t.Fatalf("make a database for the test: %v", err)
	}
	t.Cleanup(func() {
		if err := exec(shared.url(shared.admin), "drop database "+name+" with (force)"); err != nil {
			t.Errorf("remove the database of the test: %v", err)
		}
	})
	return shared.url(name)
}

// A Server is a test's own server, that it may stop, kill and start again.
type Server struct {
	*privatepg.Server // the running one
	options           privatepg.Options
	t                 testing.TB
}

// NewServer starts a server for this test alone, durable like the one of
// `make run`, with an empty database dcm. It ends with the test. settings are
// of postgresql.conf and may be nil.
func NewServer(t testing.TB, settings map[string]string) *Server {
	t.Helper()
	dir, err := os.MkdirTemp("", prefix) // on a disk, where durability has its price
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, dir, settings)
}

// serve starts the server of dir, which ends with the test and takes dir along.
func serve(t testing.TB, dir string, settings map[string]string) *Server {
	t.Helper()
	s := &Server{t: t, options: privatepg.Options{Dir: dir, Log: quiet, Settings: settings}}
	t.Cleanup(s.Remove)
	s.Start()
	return s
}

// Remove ends the server for good and removes its data, where a test does not
// leave that to its end.
func (s *Server) Remove() {
	if s.Server != nil {
		_ = s.Server.Stop() // it may have been killed
	}
	if _, err := os.Stat(s.options.Dir); errors.Is(err, os.ErrNotExist) {
		return
	}
	if err := privatepg.Remove(s.options.Dir); err != nil {
		s.t.Errorf("remove the server of the test: %v", err)
	}
}

// Start starts the server, again after Stop or Kill, on the same data and with
// the same URLs.
func (s *Server) Start() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), setupTimeout)
	defer cancel()
	server, err := privatepg.Start(ctx, s.options)
	if err != nil {
		s.t.Fatal(err)
	}
	s.Server = server
}

// Kill ends the server as a power cut does: the main process and (on Linux)
// the sessions at once, without a word to clients.
func (s *Server) Kill() {
	s.t.Helper()
	// Stopped, the main process neither starts sessions nor sees one die.
	if err := syscall.Kill(s.PID(), syscall.SIGSTOP); err != nil {
		s.t.Fatal(err)
	}
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", s.PID()))
	for _, child := range strings.Fields(string(children)) {
		if pid, err := strconv.Atoi(child); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended already
		}
	}
	if err := syscall.Kill(s.PID(), syscall.SIGKILL); err != nil {
		s.t.Fatal(err)
	}
	<-s.Exited()
	_ = s.Server.Stop() // gives the folder free
}

var quiet = slog.New(slog.DiscardHandler)

func begin() error {
	removeStale()
	ctx, cancel := context.WithTimeout(context.Background(), setupTimeout)
	defer cancel()
	if given := os.Getenv("DCM_TEST_DATABASE_URL"); given != "" {
		u, err := url.Parse(given)
		if err != nil || !strings.HasPrefix(u.Scheme, "postgres") {
			return errors.New("DCM_TEST_DATABASE_URL is no postgres:// URL") // its text may hold a password
		}
		shared.admin = strings.TrimPrefix(u.Path, "/")
		shared.url = func(database string) string {
			v := *u
			v.Path = "/" + database
			return v.String()
		}
	} else if err := start(ctx); err != nil {
		return err
	}
	template := newName()
	if err := exec(shared.url(shared.admin), "create database "+template); err != nil {
		return err
	}
	shared.template = template
	return migrations.Up(ctx, shared.url(template), quiet)
}

func start(ctx context.Context) (err error) {
	if shared.dir, err = os.MkdirTemp(privatepg.ScratchDir(), prefix); err != nil {
		return err
	}
	shared.server, err = privatepg.Start(ctx, privatepg.Options{
		Dir: shared.dir,
		Settings: map[string]string{
			"fsync":            "off",
			"full_page_writes": "off",
			"autovacuum":       "off",
			"max_connections":  "300",
			"max_wal_size":     "128MB", // it may be in memory
		},
	})
	if err != nil {
		return err
	}
	shared.admin = "dcm"
	shared.url = shared.server.URL
	return nil
}

func end() error {
	switch {
	case shared.server != nil:
		return errors.Join(shared.server.Stop(), privatepg.Remove(shared.dir))
	case shared.template != "":
		return exec(shared.url(shared.admin), "drop database "+shared.template+" with (force)")
	}
	return nil
}

const prefix = "dcm-test-"

// removeStale removes what killed test runs left behind. Those in use are
// locked; the young are spared because their lock may be still to come.
func removeStale() {
	for _, parent := range []string{os.TempDir(), privatepg.ScratchDir()} {
		dirs, _ := filepath.Glob(filepath.Join(parent, prefix+"*")) // the pattern is well formed
		for _, dir := range dirs {
			if info, err := os.Stat(dir); err == nil && time.Since(info.ModTime()) > setupTimeout {
				_ = privatepg.Remove(dir)
			}
		}
	}
}

// newName is a name for a database that no other test process uses.
func newName() string { return "dcm_test_" + strings.ToLower(rand.Text()) }

func exec(url, sql string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql)
	return err
}

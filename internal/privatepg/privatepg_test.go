package privatepg

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// asProgram makes the test binary a program with a private Postgres in the
// folder that the variable names, until its standard input ends.
const asProgram = "PRIVATEPG_TEST_PROGRAM"

func TestMain(m *testing.M) {
	dir := os.Getenv(asProgram)
	if dir == "" {
		os.Setenv("TMPDIR", ScratchDir())
		code := m.Run()
		_ = os.RemoveAll(template.dir)
		os.Exit(code)
	}
	s, err := Start(context.Background(), Options{Dir: dir})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_ = json.NewEncoder(os.Stdout).Encode(running{s.PID(), s.URL(database)})
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := s.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type running struct {
	PID int
	URL string
}

// program runs the test binary as a program on dir.
func program(t *testing.T, dir string) (*exec.Cmd, io.Closer, running) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asProgram+"="+dir)
	cmd.Stderr = os.Stderr
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	var r running
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err := errors.Join(err, json.Unmarshal(line, &r)); err != nil {
		t.Fatal(err)
	}
	return cmd, in, r
}

// newDir is a folder for a server, not there yet. Its parents are closed to
// other users, as those of root's home are.
func newDir(t *testing.T) string { return filepath.Join(t.TempDir(), "data of the program") }

// template is a folder with data in it, made once because that takes long.
var template struct {
	sync.Once
	dir string
}

// filledDir is like newDir, with data in it.
func filledDir(t *testing.T) string {
	t.Helper()
	template.Do(func() {
		var err error
		if template.dir, err = os.MkdirTemp("", "privatepg-test-"); err != nil {
			t.Fatal(err)
		}
		stop(t, start(t, template.dir, cheap))
	})
	dir := newDir(t)
	if out, err := exec.Command("cp", "-a", template.dir, dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return dir
}

// cheap spares the disk where a test is not about durability.
var cheap = map[string]string{"fsync": "off"}

func start(t *testing.T, dir string, settings map[string]string) *Server {
	t.Helper()
	s, err := Start(t.Context(), Options{Dir: dir, Settings: settings, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop() })
	return s
}

func stop(t *testing.T, s *Server) {
	t.Helper()
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
}

func execute(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func value(t *testing.T, url, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var v string
	if err := conn.QueryRow(t.Context(), sql).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

// eventually waits for what another process does.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !done(); time.Sleep(poll) {
		if time.Now().After(end) {
			t.Fatalf("not so after 30 s: %s", what)
		}
	}
}

func TestRestartKeepsData(t *testing.T) {
	dir := newDir(t)
	// What a program killed in the middle of its first start leaves.
	if err := os.MkdirAll(filepath.Join(dir, "postgres.new", "base"), 0o700); err != nil {
		t.Fatal(err)
	}
	s := start(t, dir, map[string]string{"work_mem": "5MB"})
	execute(t, s.URL(database), "create table kept as select 'kept' as word")
	for setting, want := range map[string]string{
		"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "listen_addresses": "",
		"server_encoding": "UTF8", "timezone": "UTC", "work_mem": "5MB",
	} {
		if got := value(t, s.URL(database), "show "+setting); got != want {
			t.Errorf("%s is %q, want %q", setting, got, want)
		}
	}
	pid := s.PID()
	stop(t, s)
	select {
	case <-s.Exited():
	default:
		t.Error("Exited is open after Stop")
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d after Stop: %v, want none", pid, err)
	}
	s = start(t, dir, nil)
	if got := value(t, s.URL(database), "select word from kept"); got != "kept" {
		t.Errorf("read %q after a restart", got)
	}
	if got := value(t, s.URL(database),
		"select count(*)::text from pg_ls_dir('.') f where f like 'postmaster.pid'"); got != "1" {
		t.Errorf("%s lock files", got)
	}
}

func TestNobodyElseMayEnter(t *testing.T) {
	s := start(t, filledDir(t), cheap)
	for _, dir := range []string{s.dir, s.socketDir} {
		info, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != 0o700 {
			t.Errorf("%s has mode %o, want 700", dir, got)
		}
	}
}

func TestSecondProgramIsRefused(t *testing.T) {
	dir := filledDir(t)
	program, in, first := program(t, dir)
	_, err := Start(t.Context(), Options{Dir: dir})
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(),
		"another program is running the private Postgres in "+dir) || strings.Contains(err.Error(), "\n") {
		t.Errorf("second start: %v", err)
	}
	if got := value(t, first.URL, "select 'up'"); got != "up" {
		t.Errorf("first server says %q", got)
	}
	in.Close()
	if err := program.Wait(); err != nil {
		t.Errorf("first program: %v", err)
	}
	if isServerOf(first.PID, dir) {
		t.Error("the server outlived its program")
	}
}

func TestKilledProgramLeavesNoServer(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells a child of its parent's death")
	}
	dir := filledDir(t)
	program, _, first := program(t, dir)
	execute(t, first.URL, "create table kept as select 'kept' as word")
	if err := program.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = program.Wait()
	eventually(t, "the server ends with its program", func() bool { return !isServerOf(first.PID, dir) })
	s := start(t, dir, nil)
	if got := value(t, s.URL(database), "select word from kept"); got != "kept" {
		t.Errorf("read %q after a kill", got)
	}
}

func TestStartRightAfterKill(t *testing.T) {
	dir := filledDir(t)
	program, _, first := program(t, dir)
	execute(t, first.URL, "create table kept as select 'kept' as word")
	// A stopped server cannot hear of its program's death, so that the next
	// start finds it alive.
	if err := syscall.Kill(first.PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := program.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = program.Wait()
	if !isServerOf(first.PID, dir) {
		t.Fatal("the server is gone before the test began")
	}
	time.AfterFunc(100*time.Millisecond, func() { _ = syscall.Kill(first.PID, syscall.SIGCONT) })
	s := start(t, dir, nil)
	if isServerOf(first.PID, dir) || !isServerOf(s.PID(), dir) {
		t.Errorf("the old server lives: %t, the new one: %t", isServerOf(first.PID, dir), isServerOf(s.PID(), dir))
	}
	if got := value(t, s.URL(database), "select word from kept"); got != "kept" {
		t.Errorf("read %q after a kill", got)
	}
}

func TestTakeOverWithoutHelpOfTheSystem(t *testing.T) {
	dir := filledDir(t)
	old := start(t, dir, nil)
	_ = old.lock.Close() // all that the system does everywhere when a program is killed
	s := start(t, dir, nil)
	select {
	case <-old.Exited():
	default:
		t.Error("the old server still runs")
	}
	if got := value(t, s.URL(database), "select 'up'"); got != "up" {
		t.Errorf("new server says %q", got)
	}
}

// TestFolders moves one data folder about: nothing in it may know where it is.
func TestFolders(t *testing.T) {
	parent := t.TempDir()
	dir := filledDir(t)
	for _, name := range []string{
		"with spaces and 'quotes' \"of\" both $kinds",
		"a,comma", "100%25+&=?#",
		strings.Repeat(strings.Repeat("long ", 20)+"/", 4),
	} {
		t.Run(name[:min(len(name), 10)], func(t *testing.T) {
			next := filepath.Join(parent, name, "dir")
			if err := errors.Join(os.MkdirAll(filepath.Dir(next), 0o700), os.Rename(dir, next)); err != nil {
				t.Fatal(err)
			}
			dir = next
			s := start(t, dir, cheap)
			if got := value(t, s.URL(database), "select 'up'"); got != "up" {
				t.Errorf("server says %q", got)
			}
			socketDir := s.socketDir
			if inPath("psql") {
				for what, line := range map[string]string{
					"line": s.PsqlCommand() + " -XAtc 'select current_user || current_database()'",
					"URL":  "psql -XAtc 'select current_user || current_database()' " + shellQuote(s.URL(database)),
				} {
					cmd := exec.Command("sh", "-c", line)
					cmd.Env = append(os.Environ(), "PGPORT=1", "PGDATABASE=other", "PGHOST=nowhere")
					if out, err := cmd.CombinedOutput(); err != nil || string(out) != "dcmdcm\n" {
						t.Errorf("%s %s: %v: %s", what, line, err, out)
					}
				}
			}
			stop(t, s)
			if socketDir != s.data() {
				if _, err := os.Stat(socketDir); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("folder of the socket after Stop: %v, want none", err)
				}
			}
		})
	}
}

// TestLeftOvers starts on what crashes and power cuts leave.
func TestLeftOvers(t *testing.T) {
	dir := filledDir(t)
	data := filepath.Join(dir, "postgres")
	s := start(t, dir, cheap)
	lock, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	stop(t, s)
	_, rest, _ := strings.Cut(string(lock), "\n")
	as, err := serverUser(data)
	if err != nil {
		t.Fatal(err)
	}
	other := exec.Command("sleep", "600") // Postgres minds processes of its own user only
	other.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = other.Process.Kill(), other.Wait() })
	for name, content := range map[string]string{
		"empty":                    "",
		"ID of another process":    strconv.Itoa(other.Process.Pid) + "\n" + rest,
		"ID of no process":         "2147483645\n" + rest,
		"a negative ID, of groups": "-1\n" + rest,
	} {
		t.Run(name, func(t *testing.T) {
			for _, file := range []string{"postmaster.pid", socket + ".lock"} {
				if err := os.WriteFile(filepath.Join(data, file), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
				// As the server's own file would.
				if err := giveTo(as, filepath.Join(data, file)); err != nil {
					t.Fatal(err)
				}
			}
			s := start(t, dir, cheap)
			if got := value(t, s.URL(database), "select 'up'"); got != "up" {
				t.Errorf("server says %q", got)
			}
			stop(t, s)
		})
	}
	t.Run("killed server", func(t *testing.T) {
		s := start(t, dir, nil)
		if err := syscall.Kill(s.PID(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		<-s.Exited()
		if err := s.Stop(); err != nil {
			t.Errorf("Stop of a server that is gone: %v", err)
		}
		stop(t, start(t, dir, cheap))
	})
	t.Run("killed server with a busy session", func(t *testing.T) {
		s := start(t, dir, cheap)
		busy := make(chan error)
		go func() {
			conn, err := pgx.Connect(context.Background(), s.URL(database))
			busy <- err
			if err == nil {
				_, err = conn.Exec(context.Background(), "select count(*) from generate_series(1, 4000000)")
				busy <- err
			}
		}()
		if err := <-busy; err != nil {
			t.Fatal(err)
		}
		eventually(t, "the session is busy", func() bool {
			return value(t, s.URL(database),
				"select count(*)::text from pg_stat_activity where state = 'active' and query like "+
					"'%generate_series%' and pid <> pg_backend_pid()") == "1"
		})
		if err := syscall.Kill(s.PID(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		<-s.Exited()
		stop(t, s)
		stop(t, start(t, dir, cheap))
		t.Logf("the session ended with: %v", <-busy)
	})
	t.Run("data of another version", func(t *testing.T) {
		if err := os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte("12\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Start(t.Context(), Options{Dir: dir})
		if err == nil || !strings.Contains(err.Error(), "was made by Postgres 12") ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("start: %v", err)
		}
	})
}

func TestFailureNamesTheReason(t *testing.T) {
	dir := filledDir(t)
	_, err := Start(t.Context(), Options{Dir: dir, Settings: map[string]string{"fsync": "off",
		"max_connections": "many"}})
	if err == nil || !strings.Contains(err.Error(), `invalid value for parameter "max_connections": "many"`) {
		t.Errorf("start: %v", err)
	}
	stop(t, start(t, dir, cheap)) // nothing stays locked
}

// TestAsAnotherUser runs tests of this file as a user other than root.
func TestAsAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can become another user")
	}
	home, err := os.MkdirTemp("", "privatepg-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	binary, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(home, "program.test") // go test builds in a folder of root's
	if err := errors.Join(os.WriteFile(copied, binary, 0o755), os.Chown(home, 65534, 65534)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(copied, "-test.v", "-test.run=^(TestStartRightAfterKill|TestNobodyElseMayEnter)$")
	cmd.Dir = home
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + home}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Contains(string(out), "SKIP") {
		t.Errorf("as user 65534: %v\n%s", err, out)
	}
}

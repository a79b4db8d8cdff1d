// Package privatepg runs a Postgres server of the program's own: a child
// process with its data in one folder, reachable over a Unix socket that only
// the program's user can enter. `make run` uses it where DATABASE_URL is
// unset, and the tests use it through [dcm-receiver/internal/privatepg/pgtest].
//
// It knows nothing of what is stored: no schema, no migration.
//
// Postgres 14 or later is needed; it was tried with 15 and 17. The package finds the
// server's programs where the common packages put them and installs none: `make`
// does, by deploy/postgres/install.sh.
package privatepg

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	role     = "dcm" // superuser and owner of everything
	database = "dcm" // the database that Start makes
	port     = "5432"
	socket   = ".s.PGSQL." + port

	// A fast shutdown writes a checkpoint, which can take its time on a slow
	// disk; beyond this the server is stopped without one and recovers from
	// its log at the next start.
	fastShutdown      = 30 * time.Second
	immediateShutdown = 5 * time.Second

	poll = 10 * time.Millisecond
)

// Options say where a private server lives and how it runs.
type Options struct {
	// Dir is the folder that holds everything: data, log file, lock. It is
	// made where it is missing.
	Dir string
	// Log receives what a person should know (a left-over server
	// stopped). Nil means [slog.Default].
	Log *slog.Logger
	// Settings are further settings of postgresql.conf, by name. They win over
	// the package's own.
	Settings map[string]string
}

// Server is a running private Postgres.
type Server struct {
	dir       string // absolute
	bin       string // folder of the server's programs
	socketDir string
	lock      *os.File
	process   *process
}

// Start runs the server of o.Dir and returns when it answers. A server that an
// earlier program left behind in the same folder is stopped first; one whose
// program still lives is left alone, and Start fails. ctx bounds the start
// only: the server runs until [Server.Stop], and on Linux never longer than
// the program.
func Start(ctx context.Context, o Options) (started *Server, err error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	s := &Server{}
	if s.dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, fmt.Errorf("find the folder of the private Postgres: %w", err)
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the private Postgres: %w", err)
	}
	if s.lock, err = lockDir(s.dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = s.Stop()
			started = nil
		}
	}()
	if err := s.stopLeftover(o.Log); err != nil {
		return nil, err
	}
	as, err := serverUser(s.data())
	if err != nil {
		return nil, err
	}
	if s.bin, err = binariesFor(s.data()); err != nil {
		return nil, err
	}
	settings := s.settings()
	maps.Copy(settings, o.Settings)
	durable := settings["fsync"] == "on"
	if err := s.initialise(ctx, as, durable); err != nil {
		return nil, err
	}
	if settings["unix_socket_directories"], err = s.placeSocket(as); err != nil {
		return nil, err
	}
	for {
		if err := s.run(as, settings, durable); err != nil {
			return nil, err
		}
		err := s.ready(ctx)
		if err == nil || !strings.Contains(err.Error(), sessionsLive) {
			return s, err
		}
		time.Sleep(poll)
	}
}

// settings are those of every private server.
func (s *Server) settings() map[string]string {
	return map[string]string{
		"listen_addresses":   "",
		"port":               port,
		"max_connections":    "100",
		"jit":                "off", // compiling a view takes longer than running it
		"shared_buffers":     "128MB",
		"timezone":           "UTC",
		"log_timezone":       "UTC",
		"log_min_messages":   "warning",
		"log_checkpoints":    "off",
		"logging_collector":  "off",
		ownerSetting:         s.dir,
		"fsync":              "on",
		"synchronous_commit": "on",
	}
}

// sessionsLive is what Postgres says where the main process of an earlier run
// was killed and one of its sessions still works on its last statement, at
// whose end it will go.
const sessionsLive = "pre-existing shared memory block"

// URL is the libpq URL of one of the server's databases. It is valid for the
// user who started the program, and for root.
func (s *Server) URL(database string) string { return urlIn(s.socketDir, database) }

func urlIn(socketDir, database string) string {
	return fmt.Sprintf("postgres://%s@/%s?host=%s&port=%s", role, url.PathEscape(database),
		// libpq takes a plus sign for itself.
		strings.ReplaceAll(url.QueryEscape(socketDir), "+", "%20"), port)
}

// RunningURL is the libpq URL of the database dcm on the server that another
// program runs in dir. It is an error if none answers there.
func RunningURL(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find the folder of the private Postgres: %w", err)
	}
	s := &Server{dir: abs}
	s.socketDir = s.data()
	if link, err := os.Readlink(s.socketLink()); err == nil {
		s.socketDir = link
	}
	conn, err := net.Dial("unix", filepath.Join(s.socketDir, socket))
	if err != nil {
		return "", fmt.Errorf("no private Postgres runs in %s", abs)
	}
	_ = conn.Close()
	return s.URL(database), nil
}

// PsqlCommand is a line for the shell of the program's user that opens the
// database dcm.
func (s *Server) PsqlCommand() string {
	psql := "psql"
	if own := filepath.Join(s.bin, psql); !inPath(psql) && isProgram(own) {
		psql = own
	}
	return strings.Join([]string{shellQuote(psql), "-h", shellQuote(s.socketDir), "-p", port, "-U", role, database},
		" ")
}

// Exited is closed when the server's process has ended, for whatever reason.
func (s *Server) Exited() <-chan struct{} { return s.process.exited }

// PID is the process ID of the server.
func (s *Server) PID() int { return s.process.cmd.Process.Pid }

// LogFile is where the server writes its messages.
func (s *Server) LogFile() string { return filepath.Join(s.dir, "postgres.log") }

// Stop ends the server, waits for it and gives the folder free. Transactions
// under way are rolled back. A second call does nothing.
func (s *Server) Stop() error {
	if s.lock == nil {
		return nil
	}
	var err error
	if s.process != nil {
		err = stopProcess(s.PID(), func() bool { return !s.process.ended() })
	}
	s.removeSocketDir()
	_ = s.lock.Close()
	s.lock = nil
	return err
}

// Remove stops what a killed program left running in dir and deletes the
// folder. It fails while a program uses it.
func Remove(dir string) error {
	s := &Server{dir: dir}
	var err error
	if s.lock, err = lockDir(dir); err != nil {
		return err
	}
	defer s.lock.Close()
	if err := s.stopLeftover(slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}

func (s *Server) data() string { return filepath.Join(s.dir, "postgres") }

// ErrInUse means that another program serves with the folder.
var ErrInUse = errors.New("another program is running the private Postgres")

// lockDir makes this program the only one that works in dir, until the file is
// closed or the program ends. Server processes do not inherit the lock.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the folder of the private Postgres: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w in %s: stop it, or choose another folder (DCM_DATA_DIR)", ErrInUse, dir)
		}
		return nil, fmt.Errorf("lock the folder of the private Postgres: %w", err)
	}
	return f, nil
}

// initialise makes the data folder where there is none. The work is done under
// another name, so that a program killed meanwhile leaves nothing half made.
func (s *Server) initialise(ctx context.Context, as *syscall.Credential, durable bool) error {
	if _, err := os.Stat(s.data()); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	unfinished := s.data() + ".new"
	if err := os.RemoveAll(unfinished); err != nil {
		return fmt.Errorf("remove unfinished data of the private Postgres: %w", err)
	}
	if err := os.Mkdir(unfinished, 0o700); err != nil {
		return fmt.Errorf("make the data folder of the private Postgres: %w", err)
	}
	if err := giveTo(as, unfinished); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(s.dir, "initdb.log"))
	if err != nil {
		return fmt.Errorf("open the log of initdb: %w", err)
	}
	defer log.Close()
	args := []string{"--username=" + role, "--auth=trust", "--encoding=UTF8", "--locale=C"}
	if !durable {
		args = append(args, "--no-sync")
	}
	p, err := startIn(unfinished, as, syscall.SIGKILL, log, filepath.Join(s.bin, "initdb"), args...)
	if err != nil {
		return err
	}
	select {
	case <-p.exited:
	case <-ctx.Done():
		_ = p.cmd.Process.Kill()
		<-p.exited
		return fmt.Errorf("initialise the private Postgres: %w", ctx.Err())
	}
	if !p.cmd.ProcessState.Success() {
		return fmt.Errorf("initialise the private Postgres: %s: %s (all of it in %s)", p.cmd.ProcessState,
			lastComplaint(log.Name()), log.Name())
	}
	_ = os.Remove(log.Name())
	if err := os.Rename(unfinished, s.data()); err != nil {
		return fmt.Errorf("initialise the private Postgres: %w", err)
	}
	return nil
}

// placeSocket decides where the socket lives: in the data folder, which only
// the server's user and root can enter. Where a socket cannot be there (its
// path has at most 107 bytes, some mounted folders hold no sockets, a comma
// separates hosts for libpq), a short private folder is made for it. The
// result is the server's setting.
func (s *Server) placeSocket(as *syscall.Credential) (string, error) {
	s.removeSocketDir()
	// Left behind by a crash; their process is gone, stopLeftover saw to that.
	_ = os.Remove(filepath.Join(s.data(), socket))
	_ = os.Remove(filepath.Join(s.data(), socket+".lock"))
	if fitsSocket(s.data()) {
		s.socketDir = s.data()
		// The server works in its data folder, so that it finds the socket
		// even where it may not walk the whole path.
		return ".", nil
	}
	for _, parent := range []string{os.TempDir(), "/tmp"} {
		dir := filepath.Join(parent, "dcm-socket-"+rand.Text()[:12])
		if os.Mkdir(dir, 0o700) != nil {
			continue
		}
		if !fitsSocket(dir) || giveTo(as, dir) != nil || !reachable(dir, as) || os.Symlink(dir, s.socketLink()) != nil {
			_ = os.Remove(dir)
			continue
		}
		s.socketDir = dir
		return dir, nil
	}
	return "", fmt.Errorf("find a place for the socket of the private Postgres: neither %s nor %s can hold one",
		s.data(), os.TempDir())
}

// socketLink leads to the socket's folder where that is not the data folder,
// so that the next start can remove it if this program does not come to it.
func (s *Server) socketLink() string { return filepath.Join(s.dir, "socket") }

func (s *Server) removeSocketDir() {
	dir, err := os.Readlink(s.socketLink())
	if err != nil || !strings.HasPrefix(filepath.Base(dir), "dcm-socket-") {
		return
	}
	_ = os.RemoveAll(dir)
	_ = os.Remove(s.socketLink())
}

func fitsSocket(dir string) bool {
	if strings.Contains(dir, ",") {
		return false
	}
	l, err := net.Listen("unix", filepath.Join(dir, socket))
	if err != nil {
		return false
	}
	return l.Close() == nil // which removes the socket too
}

func (s *Server) run(as *syscall.Credential, settings map[string]string, durable bool) error {
	// One earlier log is kept: the reason of a crash must survive the restart.
	_ = os.Rename(s.LogFile(), s.LogFile()+".old")
	log, err := os.Create(s.LogFile())
	if err != nil {
		return fmt.Errorf("open the log of the private Postgres: %w", err)
	}
	defer log.Close()
	var args []string
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", name+"="+settings[name])
	}
	// What the server gets when this program is killed: a fast shutdown, or
	// an immediate one where no one wants the data back.
	death := syscall.SIGINT
	if !durable {
		death = syscall.SIGQUIT
	}
	s.process, err = startIn(s.data(), as, death, log, filepath.Join(s.bin, "postgres"), args...)
	return err
}

// ready waits until the server answers and makes the database dcm.
func (s *Server) ready(ctx context.Context) error {
	for {
		conn, err := pgx.Connect(ctx, s.URL("postgres"))
		if err == nil {
			defer conn.Close(context.WithoutCancel(ctx))
			var exists bool
			if err := conn.QueryRow(ctx, "select exists (select from pg_database where datname = $1)",
				database).Scan(&exists); err != nil {
				return fmt.Errorf("look for the database %s: %w", database, err)
			}
			if !exists {
				if _, err := conn.Exec(ctx, "create database "+database); err != nil {
					return fmt.Errorf("make the database %s: %w", database, err)
				}
			}
			return nil
		}
		select {
		case <-s.Exited():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("start the private Postgres: %s: %s (all of it in %s)", s.process.cmd.ProcessState,
				lastComplaint(s.LogFile()), s.LogFile())
		case <-ctx.Done():
			return fmt.Errorf("wait for the private Postgres: %w; the last that it said: %s (all of it in %s)",
				ctx.Err(), lastComplaint(s.LogFile()), s.LogFile())
		case <-time.After(poll):
		}
	}
}

var complaint = regexp.MustCompile(`(?:FATAL|PANIC|error): +(.*)`)

// lastComplaint is the last thing that a program of Postgres complained of in
// its log, or the log's last line.
func lastComplaint(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	if all := complaint.FindAllSubmatch(b, -1); all != nil {
		return string(all[len(all)-1][1])
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return lines[len(lines)-1]
}

var plain = regexp.MustCompile(`^[A-Za-z0-9_./:=@%+,-]+$`)

func shellQuote(s string) string {
	if plain.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func inPath(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}

// majorOf is the major version that made a data folder, 0 where there is none.
func majorOf(data string) (int, error) {
	b, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the version of the private Postgres' data: %w", err)
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
}

package store_test

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"dcm-receiver/internal/privatepg/pgtest"

	"github.com/google/uuid"
)

// TestCommitsAreDurable: each commit of a message waits for the disk, and its text is
// UTF-8, also where the database says otherwise, and where PgBouncer gives each transaction another
// connection, of which the receiver has set nothing.
func TestCommitsAreDurable(t *testing.T) {
	for _, c := range []struct {
		name    string
		setting string // of the database
		pooled  bool
		want    string
	}{
		{name: "off", setting: "off", want: "on"},
		{name: "stronger", setting: "remote_apply", want: "remote_apply"},
		{name: "off, behind PgBouncer", setting: "off", pooled: true, want: "on"},
		{name: "stronger, behind PgBouncer", setting: "remote_apply", pooled: true, want: "remote_apply"},
	} {
		t.Run(c.name, func(t *testing.T) {
			direct := pgtest.New(t)
			through := direct
			if c.pooled {
				through = behindPgBouncer(t, direct)
			}
			admin := connect(t, direct)
			for _, statement := range []string{
				"do $$ begin execute format('alter database %I set synchronous_commit = " + c.setting + "', current_database()); end $$",
				"do $$ begin execute format('alter database %I set client_encoding = latin1', current_database()); end $$",
				"create table seen (at_commit text, encoding text)", // looked at when a transaction commits
				"create function see() returns trigger language plpgsql as $$ begin insert into seen values (current_setting('synchronous_commit'), current_setting('client_encoding')); return null; end $$",
				"create constraint trigger see after insert on dcm.message deferrable initially deferred for each row execute function see()",
			} {
				if _, err := admin.Exec(t.Context(), statement); err != nil {
					t.Fatal(err)
				}
			}
			s := newSending(t, through)
			for i := range 3 {
				if _, err := s.save(newGroup(1, uuid.New(), fmt.Sprint(i))); err != nil {
					t.Fatal(err)
				}
				if c.pooled { // which then opens a new one for a client that stays connected
					if _, err := admin.Exec(t.Context(), `select pg_terminate_backend(pid, 5000) from pg_stat_activity
						where datname = current_database() and application_name = 'dcm-receiver'`); err != nil {
						t.Fatal(err)
					}
				}
			}
			if n := s.count("select count(*) from seen where at_commit = $1 and encoding = 'UTF8'", c.want); n != 3 {
				t.Errorf("%d of 3 messages were committed with synchronous_commit = %s, in UTF-8", n, c.want)
			}
		})
	}
}

// behindPgBouncer is a way to the database through PgBouncer in transaction mode;
// without it the test is skipped.
func behindPgBouncer(t *testing.T, direct string) string {
	t.Helper()
	pgbouncer := ""
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin") {
		if path, err := exec.LookPath(filepath.Join(dir, "pgbouncer")); err == nil {
			pgbouncer = path
		}
	}
	if pgbouncer == "" {
		t.Skip("pgbouncer is not installed (Debian: apt-get install pgbouncer)")
	}
	to, err := url.Parse(direct)
	if err != nil || !strings.HasPrefix(to.Query().Get("host"), "/") {
		t.Skip("the server of the tests is another one's")
	}
	// The server takes whom the socket says the client is, which PgBouncer is not.
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	go func() {
		for {
			in, err := server.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("unix", filepath.Join(to.Query().Get("host"), ".s.PGSQL."+to.Query().Get("port")))
			if err != nil {
				_ = in.Close()
				continue
			}
			for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
				go func() {
					_, _ = io.Copy(way[0], way[1])
					_ = way[0].Close()
				}()
			}
		}
	}()
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = front.Close()
	dir, err := os.MkdirTemp("", "dcm-pgbouncer-") // not below a folder that only we can enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	port := func(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }
	file := filepath.Join(dir, "pgbouncer.ini")
	err = os.WriteFile(file, fmt.Appendf(nil, `[databases]
* = host=127.0.0.1 port=%d user=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
server_login_retry = 1
ignore_startup_parameters = statement_timeout,idle_in_transaction_session_timeout
`, port(server), to.User.Username(), port(front)), 0o644)
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(pgbouncer, "-q", file)
	if os.Getuid() == 0 { // which PgBouncer refuses
		nobody, err := user.Lookup("nobody")
		if err != nil {
			t.Skip(err)
		}
		uid, _ := strconv.Atoi(nobody.Uid)
		gid, _ := strconv.Atoi(nobody.Gid)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", front.Addr().String())
		if err == nil {
			_ = conn.Close()
			break
		}
		if time.Since(begin) > 10*time.Second {
			t.Fatal(err)
		}
	}
	return fmt.Sprintf("postgres://%s@%s%s?sslmode=disable&default_query_exec_mode=exec", to.User.Username(), front.Addr(), to.Path)
}

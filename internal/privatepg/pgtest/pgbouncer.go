package pgtest

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	osexec "os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// BehindPgBouncer is the URL of a database of New through PgBouncer in transaction mode,
// with the parameters that deploy/ha/pgbouncer.ini ignores. Without PgBouncer the test is
// skipped.
func BehindPgBouncer(t *testing.T, direct string) string {
	t.Helper()
	pgbouncer := findPgBouncer(t)
	to, err := url.Parse(direct)
	if err != nil || !strings.HasPrefix(to.Query().Get("host"), "/") {
		t.Skip("the server of the tests is another one's")
	}
	_, self, _, _ := runtime.Caller(0)
	shipped, err := os.ReadFile(filepath.Join(filepath.Dir(self), "../../../deploy/ha/pgbouncer.ini"))
	if err != nil {
		t.Fatal(err)
	}
	ignored := regexp.MustCompile(`(?m)^ignore_startup_parameters = .*$`).Find(shipped)
	if ignored == nil {
		t.Fatal("deploy/ha/pgbouncer.ini ignores no parameters")
	}
	server := bridge(t, filepath.Join(to.Query().Get("host"), ".s.PGSQL."+to.Query().Get("port")))
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
%s
`, port(server), to.User.Username(), port(front), ignored), 0o644)
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	runPgBouncer(t, pgbouncer, file, front.Addr().String())
	return fmt.Sprintf("postgres://%s@%s%s?sslmode=disable&default_query_exec_mode=exec", to.User.Username(),
		front.Addr(), to.Path)
}

func findPgBouncer(t *testing.T) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin") {
		if path, err := osexec.LookPath(filepath.Join(dir, "pgbouncer")); err == nil {
			return path
		}
	}
	t.Skip("pgbouncer is not installed (Debian: apt-get install pgbouncer)")
	return ""
}

// bridge passes TCP connections on to a socket: the server accepts the user that the socket names as its
// client, which PgBouncer is not.
func bridge(t *testing.T, socket string) net.Listener {
	t.Helper()
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
			out, err := net.Dial("unix", socket)
			if err != nil {
				_ = in.Close()
				continue
			}
			for _, direction := range [][2]net.Conn{{in, out}, {out, in}} {
				go func() {
					_, _ = io.Copy(direction[0], direction[1])
					_ = direction[0].Close()
				}()
			}
		}
	}()
	return server
}

// runPgBouncer runs PgBouncer until the test ends, and returns when it accepts connections.
func runPgBouncer(t *testing.T, pgbouncer, file, address string) {
	t.Helper()
	cmd := osexec.Command(pgbouncer, "-q", file)
	if os.Getuid() == 0 { // PgBouncer refuses to run as root
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
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
			break
		}
		if time.Since(begin) > 10*time.Second {
			t.Fatal(err)
		}
	}
}

package privatepg

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ownerSetting is a setting without meaning to Postgres. It stands on the
// server's command line, so that a server can be told from another process
// with the same ID, and shows the folder to anyone who looks.
const ownerSetting = "dcm_receiver.dir"

// process is a child that ends with this program where the system can do that.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{}
}

func (p *process) ended() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// startIn runs a program of Postgres on the data folder dir, as another user
// where as is set, with its output in log. death is the signal that it gets
// when this program ends without stopping it (Linux only).
func startIn(dir string, as *syscall.Credential, death syscall.Signal, log *os.File, program string,
	args ...string) (*process, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", filepath.Base(program), err)
	}
	defer d.Close()
	p := &process{exited: make(chan struct{})}
	name := dir
	if as != nil {
		name = inherited(dir)
	}
	p.cmd = exec.Command(program, append([]string{"-D", name}, args...)...)
	p.cmd.Dir = "/"
	p.cmd.ExtraFiles = []*os.File{d}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	// Nothing of this program's environment: neither PG* variables, which
	// would change the server, nor keys, which are none of its business.
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LD_LIBRARY_PATH=" + os.Getenv("LD_LIBRARY_PATH"), "LC_ALL=C",
		"TZ=UTC"}
	// A process group of its own: Ctrl-C in a terminal must reach the program
	// only, which still has requests to finish before it stops the server.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: as}
	signalOnDeath(p.cmd.SysProcAttr, death)

	started := make(chan error)
	go func() {
		// The system watches the thread that started the child, not the whole
		// program, and Go ends idle threads: this one stays with the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // the state is kept in p.cmd
			close(p.exited)
		}
	}()
	if err := <-started; err != nil {
		if as != nil {
			return nil, fmt.Errorf("run %s as user %d, since Postgres refuses root: %w", filepath.Base(program),
				as.Uid, err)
		}
		return nil, fmt.Errorf("run %s: %w", filepath.Base(program), err)
	}
	return p, nil
}

// stopProcess ends the server with that process ID: first a fast shutdown,
// then an immediate one, at last by force.
func stopProcess(pid int, alive func() bool) error {
	for _, step := range []struct {
		signal syscall.Signal
		wait   time.Duration
	}{{syscall.SIGINT, fastShutdown}, {syscall.SIGQUIT, immediateShutdown}, {syscall.SIGKILL, immediateShutdown}} {
		if !alive() {
			return nil
		}
		if err := syscall.Kill(pid, step.signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stop the private Postgres (process %d): %w", pid, err)
		}
		for end := time.Now().Add(step.wait); alive() && time.Now().Before(end); {
			time.Sleep(poll)
		}
	}
	if alive() {
		return fmt.Errorf("stop the private Postgres: process %d does not end", pid)
	}
	return nil
}

// stopLeftover stops the server that a killed program left in the folder, and
// clears away what would keep the next one from starting. The caller holds the
// folder's lock, so no living program wants that server.
func (s *Server) stopLeftover(log *slog.Logger) error {
	file := filepath.Join(s.data(), "postmaster.pid")
	b, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for a private Postgres left running: %w", err)
	}
	first, rest, _ := strings.Cut(string(b), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil {
		// A power cut can leave the file empty, which Postgres refuses.
		return os.Remove(file)
	}
	pid = max(pid, -pid) // negative: postgres --single, which somebody runs by hand
	ours := func() bool { return isServerOf(pid, s.dir) }
	if ours() {
		log.Info("stopping the private Postgres that an earlier run left behind", "pid", pid, "dir", s.dir)
		return stopProcess(pid, ours)
	}
	if syscall.Kill(pid, 0) == nil {
		// After a restart of machine or container the ID may belong to somebody
		// else, and Postgres would refuse to start. The file itself must stay:
		// it also names the shared memory by which Postgres sees whether
		// sessions of a killed server still live. So it gets an ID that no
		// process can have.
		if err := os.WriteFile(file, []byte("2147483646\n"+rest), 0o600); err != nil {
			return fmt.Errorf("clear a stale lock of the private Postgres: %w", err)
		}
	}
	return nil
}

// serverUser says as whom the server runs: nil for this program's own user.
// Postgres refuses root, so then it is the owner of the data, or else the user
// postgres, or else nobody.
func serverUser(data string) (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	if info, err := os.Stat(data); err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 {
			return &syscall.Credential{Uid: st.Uid, Gid: st.Gid}, nil
		}
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("look up user %s: %w", name, err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil,
		errors.New(
			"the private Postgres cannot run as root, and this machine has neither a user postgres nor nobody: " +
				"add one, or set DATABASE_URL")
}

// giveTo makes dir belong to the server's user.
func giveTo(as *syscall.Credential, dir string) error {
	if as == nil {
		return nil
	}
	if err := os.Chown(dir, int(as.Uid), int(as.Gid)); err != nil {
		return fmt.Errorf("give %s to the user of the private Postgres: %w", dir, err)
	}
	return nil
}

// reachable reports whether the server's user may walk to dir.
func reachable(dir string, as *syscall.Credential) bool {
	if as == nil {
		return true
	}
	for d := filepath.Dir(dir); ; d = filepath.Dir(d) {
		info, err := os.Stat(d)
		if err != nil || info.Mode().Perm()&0o001 == 0 {
			return false
		}
		if d == filepath.Dir(d) {
			return true
		}
	}
}

// ScratchDir is the parent for folders of servers whose data no one wants back:
// in memory where the system offers that and has 2 GiB free, since making a
// database there takes a tenth of the time; else [os.TempDir].
func ScratchDir() string {
	const memory, room = "/dev/shm", 2 << 30
	var st syscall.Statfs_t
	if runtime.GOOS == "linux" && syscall.Statfs(memory, &st) == nil && uint64(st.Bavail)*uint64(st.Bsize) > room {
		return memory
	}
	return os.TempDir()
}

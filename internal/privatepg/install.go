package privatepg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

// EnsureBinaries is [FindBinaries], and where that finds nothing it gets the
// programs: the distribution's package where this user may install one (apt as
// root or with sudo that asks for no password; Homebrew), else a download into
// the user's cache. Each of these is announced in log. Nothing is started
// beside: the package comes without the database cluster it usually makes.
func EnsureBinaries(ctx context.Context, log *slog.Logger) (dir string, err error) {
	// On a fresh machine several test processes come here at once, and a package
	// that is being unpacked looks complete too early.
	unlock, err := installLock(ctx)
	if err != nil {
		return "", err
	}
	defer unlock()
	if dir, err = FindBinaries(); err == nil {
		return dir, nil
	}
	missing := err
	for _, way := range []struct {
		name    string
		usable  func(context.Context) bool
		install func(context.Context) error
	}{
		{"apt-get install postgresql", aptUsable, aptInstall},
		{"brew install postgresql@17", brewUsable, brewInstall},
		{"download of Postgres 17 to " + downloadDir(), always, download},
	} {
		if !way.usable(ctx) {
			continue
		}
		log.Info("no Postgres server on this machine, getting one", "by", way.name)
		err := way.install(ctx)
		if err == nil {
			dir, err = FindBinaries()
		}
		if err == nil {
			log.Info("got a Postgres server", "dir", dir)
			return dir, nil
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		log.Info("could not get a Postgres server this way", "by", way.name, "error", err)
	}
	return "", fmt.Errorf("%w: install Postgres %d or later (Debian, Ubuntu: apt-get install postgresql; macOS: brew install postgresql@17), or set DATABASE_URL", missing, oldest)
}

// aptScript installs the package. The file in createcluster.d keeps it from
// making and starting a cluster, and goes again: it must not decide for a
// package that somebody installs later. Fresh machines have no package lists.
const aptScript = `
export DEBIAN_FRONTEND=noninteractive
off=/etc/postgresql-common/createcluster.d/dcm-receiver.conf
trap 'rm -f "$off"' EXIT
mkdir -p "${off%/*}" && echo "create_main_cluster = false" >"$off" || exit
get() { apt-get install -qq -y --no-install-recommends -o DPkg::Lock::Timeout=120 postgresql; }
get || { apt-get update -qq && get; }
`

func aptUsable(ctx context.Context) bool {
	return inPath("apt-get") && (os.Getuid() == 0 || exec.CommandContext(ctx, "sudo", "-n", "true").Run() == nil)
}

func aptInstall(ctx context.Context) error {
	if os.Getuid() == 0 {
		return install(ctx, "sh", "-c", aptScript)
	}
	return install(ctx, "sudo", "-n", "sh", "-c", aptScript)
}

func brewUsable(context.Context) bool { return inPath("brew") }

func brewInstall(ctx context.Context) error {
	return install(ctx, "brew", "install", "--quiet", "postgresql@17")
}

func always(context.Context) bool { return true }

// install runs a package manager; its last line is the reason of a failure.
func install(ctx context.Context, command ...string) error {
	out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput()
	if err == nil {
		return nil
	}
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	return fmt.Errorf("%w: %s", err, lines[len(lines)-1])
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

// download unpacks the programs that the library embedded-postgres fetches.
func download(ctx context.Context) error {
	dir := downloadDir()
	unpacked := dir + ".new" // nobody may find half of it
	defer os.RemoveAll(unpacked)
	if err := errors.Join(os.RemoveAll(unpacked), os.MkdirAll(unpacked, 0o755)); err != nil {
		return err
	}
	fetched := make(chan error, 1)
	go func() {
		// The library cannot only fetch: it goes on to run a server, over TCP.
		// No locale has this name, so it ends where that server's data would
		// be made, and its error says nothing of what is wanted here.
		fetched <- embeddedpostgres.NewDatabase(embeddedpostgres.DefaultConfig().
			Version(embeddedpostgres.V17).
			CachePath(filepath.Join(unpacked, "cache")).
			BinariesPath(unpacked).
			RuntimePath(filepath.Join(unpacked, "runtime")).
			Locale("fetch-only").Port(0).Logger(io.Discard)).Start()
	}()
	var err error
	select {
	case err = <-fetched:
	case <-ctx.Done():
		return ctx.Err()
	}
	if version(filepath.Join(unpacked, "bin")) == 0 {
		first, _, _ := strings.Cut(fmt.Sprint(err), "\n")
		return errors.New(first)
	}
	return errors.Join(
		os.RemoveAll(filepath.Join(unpacked, "cache")),
		os.RemoveAll(filepath.Join(unpacked, "runtime")),
		os.RemoveAll(dir),
		os.Rename(unpacked, dir))
}

// installLock waits until no other process of this user installs. Where there
// cannot be a lock, it does without.
func installLock(ctx context.Context) (unlock func(), err error) {
	name := filepath.Join(os.TempDir(), fmt.Sprintf("dcm-receiver-install-%d.lock", os.Getuid()))
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return func() {}, nil
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return func() { _ = f.Close() }, nil
		}
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, ctx.Err()
		case <-time.After(10 * poll):
		}
	}
}

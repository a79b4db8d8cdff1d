package privatepg

import (
	"bytes"
	"fmt"
	"os"
	"syscall"
)

// signalOnDeath lets the kernel send the signal when the starting thread ends.
// Go sets it in the child after the change of user, which would clear it; the
// programs of Postgres are not set-user-ID, so it also outlives exec.
func signalOnDeath(attr *syscall.SysProcAttr, signal syscall.Signal) { attr.Pdeathsig = signal }

// inherited names the folder that a child has open as its first file after the
// three standard ones. The child runs as another user, and root's folders are
// often closed to others (/root is 0700); this name does not walk through them.
func inherited(string) string { return "/proc/self/fd/3" }

// isServerOf reports whether a process is the server of that folder. The
// command line is readable for every user, other than the working directory
// of another user's process in a container.
func isServerOf(pid int, dir string) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && bytes.Contains(b, []byte("\x00"+ownerSetting+"="+dir+"\x00"))
}

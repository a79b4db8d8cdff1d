//go:build !linux

package privatepg

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// signalOnDeath has no counterpart here: a server whose program was killed
// runs on until the next start on its folder stops it.
func signalOnDeath(*syscall.SysProcAttr, syscall.Signal) {}

// inherited has no counterpart here: the server's user must be able to walk to
// the folder.
func inherited(dir string) string { return dir }

// isServerOf reports whether a process is the server of that folder.
func isServerOf(pid int, dir string) bool {
	out, err := exec.Command("ps", "-ww", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && strings.Contains(string(out), ownerSetting+"="+dir)
}

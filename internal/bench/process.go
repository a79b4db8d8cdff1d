package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// receiver is the real program, as `make build` leaves it, in its own process.
type receiver struct {
	cmd                 *exec.Cmd
	partner, operations string // addresses
	ready               time.Duration
}

// startReceiver runs it until it is ready, with some variables more.
func startReceiver(binary, url, dir string, variables ...string) (*receiver, error) {
	r := &receiver{}
	for _, address := range []*string{&r.partner, &r.operations} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		*address = l.Addr().String()
		_ = l.Close()
	}
	log, err := os.Create(filepath.Join(dir, "receiver.log"))
	if err != nil {
		return nil, fmt.Errorf("open the receiver's log: %w", err)
	}
	defer log.Close()
	r.cmd = exec.Command(binary, "serve")
	r.cmd.Env = append(os.Environ(), "DATABASE_URL="+url, "DCM_LISTEN="+r.partner, "DCM_OPS_LISTEN="+r.operations,
		"DCM_PLANNING_LISTEN=", "DCM_CUSTOMER_BPNLS="+customer)
	r.cmd.Env = append(r.cmd.Env, variables...)
	r.cmd.Stdout, r.cmd.Stderr = log, log
	begin := time.Now()
	if err := r.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the receiver: %w", err)
	}
	for time.Since(begin) < 30*time.Second {
		answer, err := http.Get("http://" + r.operations + "/readyz")
		if err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				r.ready = time.Since(begin)
				return r, nil
			}
		}
		time.Sleep(2 * time.Millisecond)
	}
	r.stop()
	text, _ := os.ReadFile(log.Name())
	return nil, fmt.Errorf("the receiver was not ready within 30 s: %s", text)
}

func (r *receiver) pid() int { return r.cmd.Process.Pid }

func (r *receiver) stop() {
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	_ = r.cmd.Wait()
}

// allocations is how many objects the program has allocated so far.
func (r *receiver) allocations() float64 {
	answer, err := http.Get("http://" + r.operations + "/metrics")
	if err != nil {
		return 0
	}
	defer answer.Body.Close()
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if value, found := strings.CutPrefix(lines.Text(), "dcm_go_memstats_mallocs_total "); found {
			n, _ := strconv.ParseFloat(value, 64)
			return n
		}
	}
	return 0
}

// cpu is what a process and its threads have used so far; with its children,
// those that live and those that have ended. From /proc/PID/stat (Linux), in
// hundredths of a second.
func cpu(pid int, children bool) time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+2:])) // the name before may have spaces
	ticks := number(fields[11]) + number(fields[12])                          // utime, stime
	total := time.Duration(0)
	if children {
		ticks += number(fields[13]) + number(fields[14]) // of children that have ended
		list, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pid))
		for _, child := range strings.Fields(string(list)) {
			total += cpu(number(child), false)
		}
	}
	return total + time.Duration(ticks)*10*time.Millisecond
}

func number(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

// limitMemory ends a process that has more than so many bytes, by a control group of
// its own (Linux). remove, which is never nil, removes that once the process has ended.
func limitMemory(pid, bytes int) (remove func(), err error) {
	return confine(pid, "memory", [][2]string{{"memory.limit_in_bytes", fmt.Sprint(bytes)}},
		[2]string{"memory.max", fmt.Sprint(bytes)})
}

// confine puts a process into a control group of its own, with the settings of
// version 1 or 2.
func confine(pid int, controller string, settings [][2]string, version2 [2]string) (remove func(), err error) {
	root := filepath.Join("/sys/fs/cgroup", controller)
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		root, settings = "/sys/fs/cgroup", [][2]string{version2}
	}
	dir, err := os.MkdirTemp(root, "dcm-bench-")
	for _, s := range append(settings, [2]string{"cgroup.procs", fmt.Sprint(pid)}) {
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, s[0]), []byte(s[1]), 0o644)
		}
	}
	return func() { _ = os.Remove(dir) }, err
}

// peak is the most memory that a process has held so far, in bytes.
func peak(pid int) int { return fieldOf(fmt.Sprintf("/proc/%d/status", pid), "VmHWM:") * 1024 }

func fieldOf(file, name string) int {
	content, _ := os.ReadFile(file)
	for line := range strings.Lines(string(content)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == name {
			return number(fields[1])
		}
	}
	return 0
}

// machine describes what the figures were taken on.
func machine(ctx context.Context, b *bench) string {
	model := runtime.GOARCH
	content, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(content)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	var postgres string
	_ = b.db.QueryRow(ctx, "show server_version").Scan(&postgres)
	others, _ := os.ReadFile("/proc/loadavg")
	return fmt.Sprintf("%d cores (%s), %.0f GiB memory, %s, Postgres %s, %s; load average before: %s; %s",
		runtime.NumCPU(), model, float64(fieldOf("/proc/meminfo", "MemTotal:"))/(1<<20), runtime.GOOS, postgres,
		runtime.Version(),
		strings.Join(strings.Fields(string(others))[:3], " "), time.Now().UTC().Format("2006-01-02"))
}

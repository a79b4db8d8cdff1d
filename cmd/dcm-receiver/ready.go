package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

type readyCommand struct {
	OpsListen string `env:"DCM_OPS_LISTEN" default:"127.0.0.1:9090" help:"${OpsListen}"`
}

// Run asks a running receiver: for health checks in a container, which has
// nothing else to ask with.
func (c *readyCommand) Run() error {
	host, port, err := net.SplitHostPort(c.OpsListen)
	if err != nil {
		return failure{fmt.Errorf("DCM_OPS_LISTEN: %w", err), wrongUse}
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	client := http.Client{Timeout: 5 * time.Second}
	answer, err := client.Get("http://" + net.JoinHostPort(host, port) + "/readyz")
	if err != nil {
		return failure{fmt.Errorf("no receiver answers at %s (DCM_OPS_LISTEN): %w", c.OpsListen, errors.Unwrap(err)),
			notReachable}
	}
	defer answer.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<10))
	first, _, _ := strings.Cut(strings.TrimSpace(string(said)), "\n")
	if answer.StatusCode != http.StatusOK {
		return failure{fmt.Errorf("not ready: %s", first), saysNo}
	}
	fmt.Println("ready")
	return nil
}

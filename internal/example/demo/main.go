// Command demo makes a small world in a folder of its own and serves it with the
// program that it is given: three suppliers, demands, bottlenecks, comments, refused
// messages, and three months in which they changed. It is what `make demo` runs.
//
// With a file as its second argument it makes a picture of the worst group's page,
// which README shows, and ends.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"dcm-receiver/internal/example"
	"dcm-receiver/internal/example/load"
	"dcm-receiver/internal/privatepg"
	"dcm-receiver/internal/standard"
	"dcm-receiver/migrations"
)

const (
	folder = ".dcm-demo"
	weeks  = 104
	past   = 13 // weeks: three months
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	if len(os.Args) < 2 || len(os.Args) > 3 {
		return errors.New("usage: demo PROGRAM [PICTURE]")
	}
	program, err := filepath.Abs(os.Args[1])
	if err != nil {
		return err
	}
	began := time.Now()
	// The world is one of today, so that of another day goes.
	if _, err := os.Stat(folder); err == nil {
		if err := privatepg.Remove(folder); err != nil {
			return fmt.Errorf("remove the world of the last time: %w", err)
		}
	}
	if err := fill(ctx); err != nil {
		return err
	}
	pages := "http://" + cmp.Or(os.Getenv("DCM_PLANNING_LISTEN"), "127.0.0.1:8088")
	fmt.Printf("A small world of %d weeks, %d of them past, made in %.1f s. Look at %s (Ctrl-C ends it).\n\n",
		weeks+past, past, time.Since(began).Seconds(), pages)
	environment := []string{"DCM_DATA_DIR=" + folder, "DCM_STANDARD=" + standard.Latest().Name,
		"DCM_CUSTOMER_BPNLS=" + example.Customer, "DCM_LOG_LEVEL=" + cmp.Or(os.Getenv("DCM_LOG_LEVEL"), "warn")}
	for _, v := range os.Environ() {
		// Not the database of somebody's real receiver.
		if !strings.HasPrefix(v, "DATABASE_URL=") && !strings.HasPrefix(v, "PG") && !strings.HasPrefix(v, "DCM_SEND=") {
			environment = append(environment, v)
		}
	}
	if len(os.Args) == 3 {
		return picture(ctx, program, environment, pages, os.Args[2])
	}
	return syscall.Exec(program, []string{program, "serve"}, environment)
}

// picture serves the world until a browser has looked at its worst group.
func picture(ctx context.Context, program string, environment []string, pages, file string) error {
	server := exec.CommandContext(ctx, program, "serve")
	server.Env, server.Stderr = environment, os.Stderr
	server.Cancel = func() error { return server.Process.Signal(syscall.SIGTERM) }
	if err := server.Start(); err != nil {
		return err
	}
	defer func() { _ = server.Cancel(); _ = server.Wait() }()
	var group []byte
	for end := time.Now().Add(time.Minute); group == nil; time.Sleep(200 * time.Millisecond) {
		if answer, err := http.Get(pages); err == nil {
			list, _ := io.ReadAll(answer.Body)
			_ = answer.Body.Close()
			group = regexp.MustCompile(`/group/[^"]+`).Find(list)
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s shows no group", pages)
		}
	}
	profile, err := os.MkdirTemp("", "demo")
	if err != nil {
		return err
	}
	defer os.RemoveAll(profile)
	browser := exec.CommandContext(ctx, "chromium", "--headless=new", "--no-sandbox", "--disable-gpu",
		"--hide-scrollbars", "--user-data-dir="+profile,
		"--window-size=1180,900", "--virtual-time-budget=4000", "--screenshot="+file, pages+string(group))
	if out, err := browser.CombinedOutput(); err != nil {
		return fmt.Errorf("look at the page: %w: %s", err, out)
	}
	return nil
}

// fill makes the world in a private Postgres, and stops that.
func fill(ctx context.Context) (err error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	server, err := privatepg.Start(ctx, privatepg.Options{Dir: folder, Log: log})
	if err != nil {
		return fmt.Errorf("start private Postgres: %w", err)
	}
	defer func() {
		if stop := server.Stop(); err == nil {
			err = stop
		}
	}()
	url := server.URL("dcm")
	if err := migrations.Up(ctx, url, log); err != nil {
		return err
	}
	return load.World(ctx, url, example.MakeWorld(example.Options{Weeks: weeks, Past: past, Seed: 1, Now: time.Now()}))
}

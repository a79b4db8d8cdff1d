package migrations_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"dcm-receiver/internal/privatepg/pgtest"
	"dcm-receiver/migrations"

	"github.com/jackc/pgx/v5"
)

// TestBlocked: while somebody's transaction holds a table that a migration needs,
// others that only read still get their turn, the log names the holder, and the
// migration goes on when it is gone.
func TestBlocked(t *testing.T) {
	url := pgtest.New(t)
	connect := func(application string) *pgx.Conn {
		config, err := pgx.ParseConfig(url)
		if err != nil {
			t.Fatal(err)
		}
		config.RuntimeParams["application_name"] = application
		conn, err := pgx.ConnectConfig(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
		return conn
	}
	holder, reader := connect("a planner's tool"), connect("another reader")
	exec := func(conn *pgx.Conn, sql string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	// Any table that migrations need does.
	exec(holder, "begin")
	exec(holder, "lock table dcm.schema_version in access exclusive mode")
	var log lockedBuffer
	done := make(chan error, 1)
	go func() { done <- migrations.Up(t.Context(), url, slog.New(slog.NewTextHandler(&log, nil))) }()
	deadline := time.Now().Add(20 * time.Second)
	for !strings.Contains(log.String(), "trying again") {
		if time.Now().After(deadline) {
			t.Fatalf("it does not give up waiting:\n%s", log.String())
		}
		select {
		case err := <-done:
			t.Fatalf("ended: %v\n%s", err, log.String())
		case <-time.After(50 * time.Millisecond):
		}
	}
	exec(reader, "select count(*) from dcm.message")
	exec(holder, "rollback")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`application="a planner's tool"`, "pid=", "user=", "transaction_age=",
		"nothing to migrate"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, log.String())
		}
	}
	if strings.Contains(log.String(), "lock table") {
		t.Error("the log quotes a statement")
	}
}

// lockedBuffer is written and read by several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

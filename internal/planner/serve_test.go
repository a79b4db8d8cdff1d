package planner

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"dcm-receiver/internal/privatepg/pgtest"

	"github.com/jackc/pgx/v5/pgxpool"
)

// TestWhileTheProviderIsAway: who comes before it is known who may see the pages is
// told so at once, and sees nothing.
func TestWhileTheProviderIsAway(t *testing.T) {
	config, err := pgxpool.ParseConfig(pgtest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	known, ended := make(chan Access), make(chan error)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		ended <- Serve(ctx, listener, &http.Server{}, config, "test", func(context.Context) Access { return <-known },
			slog.New(slog.DiscardHandler))
	}()
	client := http.Client{Timeout: 5 * time.Second}
	status := func() (int, string) {
		t.Helper()
		r, err := client.Get("http://" + listener.Addr().String() + "/")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		return r.StatusCode, r.Header.Get("Retry-After")
	}
	if got, retry := status(); got != http.StatusServiceUnavailable || retry == "" {
		t.Errorf("before: %d, Retry-After %q", got, retry)
	}
	known <- Loopback{}
	deadline := time.Now().Add(10 * time.Second)
	for got, _ := status(); got != http.StatusOK; got, _ = status() {
		if time.Now().After(deadline) {
			t.Fatalf("after: %d", got)
		}
		time.Sleep(20 * time.Millisecond)
	}
	cancel()
	if err := <-ended; err == nil {
		t.Error("it ended without a word")
	}
	if conn, err := net.Dial("tcp", listener.Addr().String()); err == nil {
		conn.Close()
		t.Error("it still listens")
	}
}

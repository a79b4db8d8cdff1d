package planner

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Serve serves the pages on a listener, which it closes, until ctx ends. access
// waits until it is known who may see them; nil means that ctx ended first. Until then
// anyone who comes is told so.
func Serve(ctx context.Context, listener net.Listener, server *http.Server, config *pgxpool.Config, version string,
	access func(context.Context) Access, log *slog.Logger) error {
	var pages atomic.Pointer[http.Handler]
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if pages := pages.Load(); pages != nil {
			(*pages).ServeHTTP(w, r)
			return
		}
		w.Header().Set("Retry-After", "15")
		w.Header().Set("Cache-Control", "no-store")
		http.Error(w,
			"The provider that logs you in does not answer this program yet. Try again in a minute; its log says "+
				"more.", http.StatusServiceUnavailable)
	})
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	defer server.Close() // and so the listener
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	who := access(ctx)
	if who == nil {
		return ctx.Err()
	}
	pool, err := Open(config)
	if err != nil {
		return err
	}
	defer pool.Close()
	p, err := New(Config{Access: who, Version: version}, pool, log)
	if err != nil {
		return err
	}
	handler := p.Handler()
	pages.Store(&handler)
	log.Info("serving the pages for planners", "address", "http://"+listener.Addr().String())
	return <-served
}

// Always is access that is known from the start.
func Always(a Access) func(context.Context) Access { return func(context.Context) Access { return a } }

// AwaitOpenIDConnect is access that is known once the provider answers.
func AwaitOpenIDConnect(config OpenIDConnectConfig, log *slog.Logger) func(context.Context) Access {
	return func(ctx context.Context) Access {
		for {
			access, err := NewOpenIDConnect(ctx, config, log)
			if err == nil {
				return access
			}
			const wait = 15 * time.Second
			log.Warn("the pages for planners wait for the OpenID provider; trying again", "error", err, "wait", wait)
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(wait):
			}
		}
	}
}

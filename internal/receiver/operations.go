package receiver

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"dcm-receiver/api"
	"dcm-receiver/schemas"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Operations is the handler of the operations listener.
func (rc *Receiver) Operations() http.Handler {
	r := chi.NewRouter()
	r.Method(http.MethodGet, "/metrics", promhttp.HandlerFor(rc.metrics.registry,
		promhttp.HandlerOpts{EnableOpenMetrics: true}))
	r.Get("/livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	r.Get("/readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := rc.notReady(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
		for name, state := range rc.ready.details() {
			fmt.Fprintln(w, name+":", state)
		}
	})
	r.Get("/openapi.yaml", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/yaml")
		_, _ = w.Write(api.OpenAPI)
	})
	r.Get("/schemas/*", http.StripPrefix("/schemas/", http.FileServerFS(schemas.FS)).ServeHTTP)
	return r
}

// readiness caches the last check of the store for half a second, so that probes and scrapes cost
// little.
type readiness struct {
	mu     sync.Mutex
	at     time.Time
	looked bool // once at least
	err    error
	notes  map[string]string
}

// Note adds a detail to the answer of /readyz; it does not change the status.
func (rc *Receiver) Note(name, state string) {
	rc.ready.mu.Lock()
	defer rc.ready.mu.Unlock()
	if rc.ready.notes == nil {
		rc.ready.notes = map[string]string{}
	}
	rc.ready.notes[name] = state
}

func (r *readiness) details() map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	notes := make(map[string]string, len(r.notes))
	for name, state := range r.notes {
		notes[name] = state
	}
	return notes
}

// lookAgain drops the cached check after a failure of the store.
func (r *readiness) lookAgain() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at = time.Time{}
}

func (rc *Receiver) notReady(ctx context.Context) error {
	if rc.stopping.Load() {
		return fmt.Errorf("stopping")
	}
	rc.ready.mu.Lock()
	defer rc.ready.mu.Unlock()
	if time.Since(rc.ready.at) > 500*time.Millisecond {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		before, first := rc.ready.err, !rc.ready.looked
		rc.ready.looked = true
		rc.ready.err = rc.store.Ready(ctx)
		rc.ready.at = time.Now()
		switch {
		case rc.ready.err != nil && (first || before == nil):
			rc.log.Warn("not ready", "why", rc.ready.err)
		case rc.ready.err == nil && (first || before != nil):
			rc.log.Info("ready")
		}
	}
	return rc.ready.err
}

// AwaitReady checks the store until the receiver is ready or ctx ends, so that the log has the time
// even where no probe asks.
func (rc *Receiver) AwaitReady(ctx context.Context) {
	for rc.notReady(ctx) != nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
	}
}

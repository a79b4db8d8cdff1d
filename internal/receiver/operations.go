package receiver

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"dcm-receiver/api"
	"dcm-receiver/internal/store"
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

// readiness remembers the last look at the store for a moment, so that probes
// and scrapes cost it next to nothing.
type readiness struct {
	mu     sync.Mutex
	at     time.Time
	looked bool // at least once
	err    error
	notes  map[string]string
}

// Note puts a detail into the answer of /readyz that does not decide about it.
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

// lookAgain makes the next probe look at the store, which has just failed.
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

// AwaitReady looks at the store until the receiver is ready or ctx ends, so that
// the log says when that is, also where nobody asks.
func (rc *Receiver) AwaitReady(ctx context.Context) {
	for rc.notReady(ctx) != nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
	}
}

// Retention is how long things are kept.
type Retention struct {
	Journal time.Duration // journal entries and requests for update
	History time.Duration // superseded states of groups and demands; 0: none are kept
}

// Housekeeping restores the partners' times from the journal, and removes what is
// old every hour until ctx ends, writes what was counted, and keeps the planners'
// overview ready.
func (rc *Receiver) Housekeeping(ctx context.Context, retention Retention) {
	go rc.keepCounts(ctx)
	go rc.keepOverview(ctx)
	restored := false
	for {
		wait := time.Hour
		if !restored {
			if last, err := rc.store.LastAccepted(ctx); err == nil {
				restored = true
				for partner, at := range last {
					rc.metrics.accepted(partner, at)
				}
			}
		}
		removed, err := rc.store.RemoveOld(ctx, time.Now().Add(-retention.Journal))
		rc.metrics.removed.Add(float64(removed))
		if err == nil {
			_, err = rc.store.RemoveHistory(ctx, time.Now().Add(-retention.History))
		}
		if err != nil && ctx.Err() == nil {
			rc.log.Warn("old journal entries and states were not removed; trying again in a minute", "error", err)
		}
		if err != nil || !restored {
			wait = time.Minute
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// keepOverview brings the planners' overview to the present again and again, until
// ctx ends. The database says when it is due, and for which replica.
func (rc *Receiver) keepOverview(ctx context.Context) {
	const look = 15 * time.Second
	share := func() float64 { // of a core of Postgres: messages come first
		if rc.messages.Held() > 0 {
			return 0.1
		}
		return 0.25
	}
	failing := false
	for {
		asOf, err := rc.store.UpdateOverview(ctx, share)
		if asOf != nil {
			rc.metrics.overview.Set(float64(asOf.UnixMilli()) / 1000)
		}
		if err != nil && ctx.Err() == nil && !failing {
			rc.log.Warn("the planners' overview was not brought to the present; trying again", "error",
				store.Describe(err))
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return
		case <-time.After(look):
		}
	}
}

// Version is set when the program is built.
var Version = "dev"

// BuildInfo is the version of the program and the commit it was built from.
func BuildInfo() (version, revision string) {
	revision = "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = s.Value
			}
		}
	}
	return Version, revision
}

// Package jobs does what is due from time to time beside receiving: it removes old rows and keeps the
// planners' overview up to date. It knows no HTTP.
package jobs

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dcm-receiver/internal/store"
)

// Jobs are the periodic jobs of one replica.
type Jobs struct {
	Store *store.Store
	Log   *slog.Logger
	// Journal is how long journal entries and requests for update are kept, History how long earlier
	// states of groups and demands are; 0: none are kept.
	Journal, History time.Duration
	// Busy reports whether messages are being stored: the overview then takes less of the database.
	Busy func() bool
	// Accepted takes the time of a partner's last accepted message, as the journal has it.
	Accepted func(partner string, at time.Time)

	removed  prometheus.Counter
	overview prometheus.Gauge
}

// Collectors are the metrics of the jobs. Call it before Run.
func (j *Jobs) Collectors() []prometheus.Collector {
	j.removed = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "dcm_journal_removed_total", Help: "Journal entries removed after their retention time.",
	})
	j.overview = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "dcm_overview_as_of_timestamp_seconds",
		Help: "What was stored before this is in the planners' overview (planning.group_overview, " +
			"planning.capacity_total); 0 if it is not whole yet.",
	})
	return []prometheus.Collector{j.removed, j.overview}
}

// Run does the jobs until ctx ends.
func (j *Jobs) Run(ctx context.Context) {
	go j.keepOverview(ctx)
	restored := false
	for {
		wait := time.Hour
		if !restored {
			if last, err := j.Store.LastAccepted(ctx); err == nil {
				restored = true
				for partner, at := range last {
					j.Accepted(partner, at)
				}
			}
		}
		err := j.removeOld(ctx)
		if err != nil && ctx.Err() == nil {
			j.Log.Warn("old journal entries and states were not removed; trying again in a minute", "error", err)
		}
		if err != nil || !restored {
			wait = time.Minute
		}
		pause(ctx, wait)
		if ctx.Err() != nil {
			return
		}
	}
}

func (j *Jobs) removeOld(ctx context.Context) error {
	removed, err := j.Store.RemoveOld(ctx, time.Now().Add(-j.Journal))
	j.removed.Add(float64(removed))
	if err == nil {
		_, err = j.Store.RemoveHistory(ctx, time.Now().Add(-j.History))
	}
	return err
}

// keepOverview updates the planners' overview until ctx ends. The database decides when an update is
// due, and which replica makes it.
func (j *Jobs) keepOverview(ctx context.Context) {
	share := func() float64 { // of a core of Postgres: messages come first
		if j.Busy() {
			return 0.1
		}
		return 0.25
	}
	for failing := false; ctx.Err() == nil; pause(ctx, 15*time.Second) {
		asOf, err := j.Store.UpdateOverview(ctx, share)
		if asOf != nil {
			j.overview.Set(float64(asOf.UnixMilli()) / 1000)
		}
		if err != nil && ctx.Err() == nil && !failing {
			j.Log.Warn("the planners' overview could not be updated; trying again", "error", store.Describe(err))
		}
		failing = err != nil
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

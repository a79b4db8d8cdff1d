package outbox

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var state = statement("state")

// Gauges are what operators watch of the outbox.
type Gauges struct {
	waiting, oldest, refused, unreachable, requests prometheus.Gauge
}

// NewGauges makes the gauges and has them registered.
func NewGauges(register func(...prometheus.Collector)) Gauges {
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "dcm_outbox_" + name, Help: help})
		register(g)
		return g
	}
	return Gauges{
		waiting:     gauge("waiting_objects", "Objects that wait to be sent or are being sent."),
		oldest:      gauge("oldest_waiting_seconds", "How long the oldest of them has waited."),
		refused:     gauge("refused_objects", "Objects whose newest state a partner refused; planning.delivery has the reasons."),
		unreachable: gauge("unreachable_partners", "Partners for whom something waits after three attempts or more."),
		requests:    gauge("oldest_unanswered_request_seconds", "How long the oldest request for update of a partner has waited for its answer to arrive there."),
	}
}

// Watch keeps the gauges up to date until ctx ends.
func (s *Sender) Watch(ctx context.Context, g Gauges) {
	for tick := time.NewTicker(15 * time.Second); ; {
		var waiting, oldest, refused, unreachable, requests float64
		if err := s.DB.QueryRow(ctx, state).Scan(&waiting, &oldest, &refused, &unreachable, &requests); err == nil {
			g.waiting.Set(waiting)
			g.oldest.Set(oldest)
			g.refused.Set(refused)
			g.unreachable.Set(unreachable)
			g.requests.Set(requests)
		}
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
		}
	}
}

package outbox

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var state = statement("state")

// Metrics are what operators watch of the outbox.
type Metrics struct {
	waiting, oldest, refused, unreachable, requests, unusable prometheus.Gauge
	late                                                      *prometheus.GaugeVec     // by limit
	answers                                                   *prometheus.HistogramVec // by objects
}

// The limits for answers to requests for update (CX-0128 §4.3.2.5).
const (
	limitOne     = "10s" // one object
	limitSeveral = "5m"  // several should
	limitAll     = "24h" // all must
)

// NewMetrics makes the metrics and has them registered.
func NewMetrics(register func(...prometheus.Collector)) *Metrics {
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "dcm_outbox_" + name, Help: help})
		register(g)
		return g
	}
	m := &Metrics{
		waiting: gauge("waiting_objects", "Objects that wait to be sent or are being sent."),
		oldest:  gauge("oldest_waiting_seconds", "How long the oldest of them has waited."),
		refused: gauge("refused_objects",
			"Objects whose newest state a partner refused; planning.delivery has the reasons."),
		unreachable: gauge("unreachable_partners", "Partners for whom something waits after three attempts or more."),
		requests: gauge("oldest_unanswered_request_seconds",
			"How long the oldest request for update of a partner has waited for its answer to arrive there."),
		unusable: gauge("connector_unusable",
			"1 while this replica sends nothing because our own connector cannot be reached, fails or does not "+
				"take our key."),
		late: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "dcm_outbox_late_answers",
			Help: "Requests for update without an answer after their limit: 10s for one object, 5m for several, " +
				"24h for any."}, []string{"limit"}),
		answers: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "dcm_outbox_answer_seconds",
			Help:    "From a request for update to the partner's confirmation of the last object of the answer.",
			Buckets: []float64{1, 2, 5, 10, 30, 60, 300, 3600, 86400}}, []string{"objects"}),
	}
	register(m.late, m.answers)
	for _, limit := range []string{limitOne, limitSeveral, limitAll} {
		m.late.WithLabelValues(limit)
	}
	for _, objects := range []string{"one", "several"} {
		m.answers.WithLabelValues(objects)
	}
	return m
}

func (m *Metrics) answered(seconds float64, one bool) {
	if m == nil {
		return
	}
	objects := "several"
	if one {
		objects = "one"
	}
	m.answers.WithLabelValues(objects).Observe(seconds)
}

func (m *Metrics) connector(usable bool) {
	switch {
	case m == nil:
	case usable:
		m.unusable.Set(0)
	default:
		m.unusable.Set(1)
	}
}

// Watch keeps the gauges up to date until ctx ends.
func (s *Sender) Watch(ctx context.Context) {
	for tick := time.NewTicker(15 * time.Second); ; {
		if err := s.measure(ctx); err != nil && ctx.Err() == nil {
			s.Log.Warn("outbox: what waits cannot be counted; trying again", "error", err)
		}
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
		}
	}
}

func (s *Sender) measure(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, statementLimit)
	defer cancel()
	var waiting, oldest, refused, unreachable, requests, lateOne, lateSeveral, overdue float64
	if err := s.DB.QueryRow(limited, state).Scan(&waiting, &oldest, &refused, &unreachable, &requests, &lateOne,
		&lateSeveral, &overdue); err != nil {
		return err
	}
	m := s.Metrics
	m.waiting.Set(waiting)
	m.oldest.Set(oldest)
	m.refused.Set(refused)
	m.unreachable.Set(unreachable)
	m.requests.Set(requests)
	m.late.WithLabelValues(limitOne).Set(lateOne)
	m.late.WithLabelValues(limitSeveral).Set(lateSeveral)
	m.late.WithLabelValues(limitAll).Set(overdue)
	return nil
}

package receiver

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"dcm-receiver/internal/store"
)

// metrics are what operators see. Label values come from small closed sets;
// a partner is a BPNL that the connector has verified.
type metrics struct {
	registry      *prometheus.Registry
	messages      *prometheus.CounterVec
	objects       *prometheus.CounterVec
	future        *prometheus.CounterVec
	heldBack      *prometheus.CounterVec
	duration      *prometheus.HistogramVec
	bytes         *prometheus.HistogramVec
	lastAccepted  *prometheus.GaugeVec
	storeErrors   *prometheus.CounterVec
	unrecorded    *prometheus.CounterVec
	faults        prometheus.Counter
	partnersMutex sync.Mutex
	partners      map[string]time.Time
}

func newMetrics(rc *Receiver) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dcm_messages_total",
			Help: "Requests on the partner listener by endpoint and HTTP status of the answer.",
		}, []string{"endpoint", "status"}),
		objects: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dcm_objects_total", Help: "Objects by endpoint, standard, the rule of it that decided, and outcome.",
		}, []string{"endpoint", "standard", "rule", "outcome"}),
		future: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dcm_future_changed_at_total",
			Help: "Valid objects whose changedAt is more than a day ahead: once stored, they lock out every " +
				"honest later message.",
		}, []string{"endpoint"}),
		heldBack: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dcm_partner_held_back_total",
			Help: "Requests answered 503 because their sender had its share already: of bytes, messages or work.",
		}, []string{"partner", "share"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "dcm_request_duration_seconds", Help: "Time from a message's arrival to the end of its answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20, 30},
		}, []string{"endpoint"}),
		bytes: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "dcm_request_body_bytes", Help: "Size of the bodies of messages.",
			Buckets: prometheus.ExponentialBuckets(1024, 4, 8), // 1 KiB to 16 MiB
		}, []string{"endpoint"}),
		lastAccepted: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "dcm_partner_last_accepted_timestamp_seconds",
			Help: "When the last message of a partner was answered 200 or 201.",
		}, []string{"partner"}),
		storeErrors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dcm_store_errors_total", Help: "Failures of the store that were answered 503, by kind.",
		}, []string{"kind"}),
		unrecorded: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dcm_messages_unrecorded_total",
			Help: "Messages that changed nothing and were only counted, because their partner sent more of them " +
				"than are recorded in an hour; planning.message_count says who.",
		}, []string{"endpoint"}),
		faults: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "dcm_faults_total", Help: "Faults in the program, answered 503; each is in the log.",
		}),
		partners: map[string]time.Time{},
	}
	m.registry.MustRegister(m.messages, m.objects, m.future, m.heldBack, m.duration, m.bytes, m.lastAccepted,
		m.storeErrors, m.unrecorded, m.faults, storeCollector{rc.store})
	m.registerGauges(rc)
	m.begin(rc)
	return m
}

// begin makes series that have no value yet, so that their first rise is seen.
func (m *metrics) begin(rc *Receiver) {
	for endpoint := range rc.judges() {
		m.future.WithLabelValues(endpoint)
		m.unrecorded.WithLabelValues(endpoint)
		for _, status := range []string{"200", "201", "400", "401", "403", "405", "413", "415", "422", "503"} {
			m.messages.WithLabelValues(endpoint, status)
		}
	}
	for _, share := range []string{"bytes", "messages", "work"} {
		m.heldBack.WithLabelValues("other", share)
	}
	for _, kind := range store.ErrorKinds {
		m.storeErrors.WithLabelValues(kind)
	}
}

// registerGauges registers what is read at each scrape.
func (m *metrics) registerGauges(rc *Receiver) {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	m.registry.MustRegister(
		gauge("dcm_requests_in_flight", "Messages being judged at this moment.",
			func() float64 { return float64(rc.messages.Held()) }),
		gauge("dcm_requests_in_flight_limit", "Messages that may be judged at once; beyond it the answer is 503.",
			func() float64 { return float64(rc.config.MaxInFlight) }),
		gauge("dcm_buffered_bytes", "Memory held for bodies, and for answers that are not read yet.",
			func() float64 { return float64(rc.bytes.Held()) }),
		gauge("dcm_work_waiting", "Messages that wait for their sender's turn.",
			func() float64 { return float64(rc.small.Waiting() + rc.work.Waiting()) }),
		gauge("dcm_ready", "1 if messages can be taken, else 0.", func() float64 {
			if rc.notReady(context.Background()) != nil {
				return 0
			}
			return 1
		}),
	)
	prometheus.WrapRegistererWithPrefix("dcm_", m.registry).MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
}

// Register adds metrics of other parts of the program to /metrics.
func (rc *Receiver) Register(c ...prometheus.Collector) { rc.metrics.registry.MustRegister(c...) }

// observe counts a message that was answered.
func (m *metrics) observe(in *inbound, a *answered, took time.Duration) {
	m.duration.WithLabelValues(in.Endpoint).Observe(took.Seconds())
	m.bytes.WithLabelValues(in.Endpoint).Observe(float64(in.Bytes))
	for _, v := range a.verdicts {
		m.objects.WithLabelValues(in.Endpoint, a.standard, strconv.Itoa(v.rule),
			string(v.outcome)).Add(float64(v.objects))
	}
	if in.future > 0 {
		m.future.WithLabelValues(in.Endpoint).Add(float64(in.future))
	}
	if a.status < 300 {
		m.accepted(in.Sender, in.ReceivedAt)
	}
}

// holdBack counts a request whose sender had used up its quota.
func (m *metrics) holdBack(partner, share string) {
	m.partnersMutex.Lock()
	if _, known := m.partners[partner]; !known {
		partner = "other" // nothing of it was ever accepted
	}
	m.partnersMutex.Unlock()
	m.heldBack.WithLabelValues(partner, share).Inc()
}

// Accepted records when a partner's message was accepted.
func (rc *Receiver) Accepted(partner string, at time.Time) { rc.metrics.accepted(partner, at) }

// Busy reports whether messages are being judged.
func (rc *Receiver) Busy() bool { return rc.messages.Held() > 0 }

// accepted records when a partner's message was accepted. The number of partners is bounded, in case
// a connector lets any sender through.
func (m *metrics) accepted(partner string, at time.Time) {
	const most = 10_000
	m.partnersMutex.Lock()
	defer m.partnersMutex.Unlock()
	if _, known := m.partners[partner]; !known && len(m.partners) >= most {
		partner = "other"
	}
	if at.After(m.partners[partner]) { // the journal is read while messages arrive
		m.partners[partner] = at
		m.lastAccepted.WithLabelValues(partner).Set(float64(at.UnixMilli()) / 1000)
	}
}

// storeCollector reads the pool at each scrape.
type storeCollector struct{ store *store.Store }

var (
	connections = prometheus.NewDesc("dcm_store_connections",
		"Connections to the database by state; limit is how many there may be.", []string{"state"}, nil)
	acquires = prometheus.NewDesc("dcm_store_acquires_total",
		"How often a connection was taken from the pool.", nil, nil)
	groupCommits = prometheus.NewDesc("dcm_store_group_commits_total",
		"Transactions of small messages that came at once, by result; after a failed one each message had one of "+
			"its own.", []string{"result"}, nil)
	acquiresSeconds = prometheus.NewDesc("dcm_store_acquire_seconds_total", "Time spent waiting for a connection.",
		nil, nil)
)

func (c storeCollector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

func (c storeCollector) Collect(ch chan<- prometheus.Metric) {
	stat := c.store.Stat()
	for state, n := range map[string]int32{"idle": stat.IdleConns(), "used": stat.AcquiredConns(),
		"limit": stat.MaxConns()} {
		ch <- prometheus.MustNewConstMetric(connections, prometheus.GaugeValue, float64(n), state)
	}
	committed, failed := c.store.GroupCommits()
	ch <- prometheus.MustNewConstMetric(groupCommits, prometheus.CounterValue, float64(committed), "committed")
	ch <- prometheus.MustNewConstMetric(groupCommits, prometheus.CounterValue, float64(failed), "failed")
	ch <- prometheus.MustNewConstMetric(acquires, prometheus.CounterValue, float64(stat.AcquireCount()))
	ch <- prometheus.MustNewConstMetric(acquiresSeconds, prometheus.CounterValue, stat.AcquireDuration().Seconds())
}

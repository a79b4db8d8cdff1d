// Package receiver serves the partner listener with its endpoints, limits and problem documents, and
// the operations listener with metrics and health. It joins what package payload reads, what a
// standard's rules decide and what package store keeps, and must not know SQL or a standard's name.
package receiver

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/fair"
	"dcm-receiver/internal/standard"
	"dcm-receiver/internal/store"

	"github.com/go-chi/chi/v5"
)

// Names beside those of dcm.Endpoints, in metrics and log.
const (
	messagesEndpoint = "messages"
	noEndpoint       = "other"
)

// MaxBody is how large a body may be, in bytes (CX-0048 §3.2.2: 15 MiB).
const MaxBody = 15 << 20

// Config is what an operator decides.
type Config struct {
	Standard         standard.Standard // rule set
	CustomerBPNLs    []string          // BPNLs of ours that are customers
	SupplierBPNLs    []string          // BPNLs of ours that are suppliers
	Partners         []string          // BPNLs that may send; nil: any that the connector lets through
	APIKeys          []string          // accepted values of X-Api-Key; nil: no key is needed
	SenderHeader     string            // header in which the data plane names the sender
	UnparsableStatus int               // status for a body that is not JSON: 422 or 400
	RequestTimeout   time.Duration     // for judging and storing a message
	MaxInFlight      int               // messages being judged at once
	MaxBuffered      int64             // bytes of bodies held at once
	MaxWork          int64             // bytes that may be made of bodies at once; 0: twice MaxBuffered
	Now              func() time.Time  // nil: time.Now
}

// Receiver serves the two listeners.
type Receiver struct {
	config    Config
	keys      [][sha256.Size]byte
	store     *store.Store
	log       *slog.Logger
	metrics   *metrics
	bytes     *fair.Share // of bodies, and of answers that are not read yet
	messages  *fair.Share // being judged, or waiting for it
	small     *fair.Queue // for judging small messages
	work      *fair.Queue // for judging all others
	stopping  atomic.Bool
	ready     readiness
	recording recording
}

// New makes a receiver on the given store.
func New(config Config, s *store.Store, log *slog.Logger) *Receiver {
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.MaxWork == 0 {
		config.MaxWork = 2 * config.MaxBuffered
	}
	forSmall := config.MaxWork / 8
	rc := &Receiver{
		config: config, store: s, log: log, recording: recording{limit: recordBytes},
		bytes: fair.NewShare(config.MaxBuffered, MaxBody+1), messages: fair.NewShare(int64(config.MaxInFlight), 1),
		small: fair.NewQueue(runtime.GOMAXPROCS(0), forSmall),
		work:  fair.NewQueue(runtime.GOMAXPROCS(0), config.MaxWork-forSmall),
	}
	for _, key := range config.APIKeys {
		rc.keys = append(rc.keys, sha256.Sum256([]byte(key)))
	}
	rc.metrics = newMetrics(rc)
	return rc
}

// Stop makes /readyz answer that the receiver is stopping.
func (rc *Receiver) Stop() { rc.stopping.Store(true) }

func (rc *Receiver) isCustomer(bpnl string) bool {
	return slices.Contains(rc.config.CustomerBPNLs, bpnl)
}

func (rc *Receiver) isSupplier(bpnl string) bool {
	return slices.Contains(rc.config.SupplierBPNLs, bpnl)
}

func (rc *Receiver) isOurs(bpnl string) bool { return rc.isCustomer(bpnl) || rc.isSupplier(bpnl) }

// Partner is the handler of the partner listener.
func (rc *Receiver) Partner() http.Handler {
	r := chi.NewRouter()
	judges := rc.judges()
	var paths []string
	for _, e := range dcm.Endpoints {
		if judge := judges[e.Path]; judge != nil {
			r.HandleFunc("/"+e.Path, rc.handle(e, judge))
			paths = append(paths, "/"+e.Path)
		}
	}
	r.HandleFunc("/messages", rc.show(rc.listMessages))
	r.HandleFunc("/messages/", rc.show(rc.listMessages))
	r.HandleFunc("/messages/{id}", rc.show(rc.showMessage))
	detail := "the endpoints are " + strings.Join(paths, ", ") + " (POST) and /messages (GET)"
	r.NotFound(func(w http.ResponseWriter, r *http.Request) {
		rc.log.Info("no such path", "status", http.StatusNotFound, "remote", r.RemoteAddr)
		drainBody(w, r)
		rc.refuse(w, noEndpoint, refusal(http.StatusNotFound, "unknown-path", "Not found", detail))
	})
	// The endpoint itself refuses methods that the router does not know, such as PROPFIND.
	r.MethodNotAllowed(func(w http.ResponseWriter, request *http.Request) {
		known := request.Clone(request.Context())
		known.Method = http.MethodHead // which no endpoint takes
		*known = *known.WithContext(context.WithValue(known.Context(), chi.RouteCtxKey, chi.NewRouteContext()))
		r.ServeHTTP(w, known)
	})
	return rc.recovered(r)
}

// recovered answers 503 after a panic, so that the sender tries again, and logs it.
func (rc *Receiver) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if fault := recover(); fault != nil && fault != http.ErrAbortHandler {
				rc.metrics.faults.Inc()
				rc.log.Error("a fault in the program; please report it", "fault", fmt.Sprintf("%T", fault), "path",
					r.URL.Path, "stack", string(debug.Stack()))
				w.Header().Set("Retry-After", retryAfter)
				rc.refuse(w, noEndpoint, unavailable("the receiver met a fault; try again"))
			}
		}()
		if rc.stopping.Load() {
			// Connections end after their answer. Idle ones stay open: closing them could cut off a request
			// that a load balancer is sending.
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

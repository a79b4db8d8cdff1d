// Package receiver is the front door: the partner listener with its endpoints,
// limits and problem documents, and the operations listener with metrics and
// health. It brings together what package payload reads, what package cx0048
// decides and what package store keeps.
package receiver

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/edc"
	"dcm-receiver/internal/fair"
	"dcm-receiver/internal/payload"
	"dcm-receiver/internal/rules"
	"dcm-receiver/internal/standard"
	"dcm-receiver/internal/store"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"
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
	Partners         []string          // BPNLs that may send; nil: everyone the connector lets through
	APIKeys          []string          // accepted values of X-Api-Key; nil: no key is asked for
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
	messages  *fair.Share // that are judged, or wait for it
	small     *fair.Queue // judging what is small
	work      *fair.Queue // judging all else
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

// Stop makes the receiver say that it is not ready any more.
func (rc *Receiver) Stop() { rc.stopping.Store(true) }

func (rc *Receiver) isCustomer(bpnl string) bool {
	return slices.Contains(rc.config.CustomerBPNLs, bpnl)
}

func (rc *Receiver) isSupplier(bpnl string) bool {
	return slices.Contains(rc.config.SupplierBPNLs, bpnl)
}

func (rc *Receiver) isOurs(bpnl string) bool { return rc.isCustomer(bpnl) || rc.isSupplier(bpnl) }

// judges are the endpoints that are there, by what this company is and the
// standard has, each with what judges its messages.
func (rc *Receiver) judges() map[string]judge {
	judges := map[string]judge{dcm.RequestForUpdateEndpoint.Path: rc.judgeRequestForUpdate}
	if len(rc.config.CustomerBPNLs) > 0 {
		judges[dcm.CapacityGroupEndpoint.Path] = rc.judgeCapacityGroups()
	}
	if len(rc.config.SupplierBPNLs) > 0 {
		judges[dcm.MaterialDemandEndpoint.Path] = rc.judgeMaterialDemands()
	}
	if rc.config.Standard.Comments != nil {
		judges[dcm.CommentEndpoint.Path] = rc.judgeComments()
	}
	return judges
}

// Partner is the handler of the partner listener.
func (rc *Receiver) Partner() http.Handler {
	r := chi.NewRouter()
	judges := rc.judges()
	var paths []string
	for _, e := range dcm.Endpoints {
		if judge := judges[e.Path]; judge != nil {
			r.HandleFunc("/"+e.Path, rc.receive(e, judge))
			paths = append(paths, "/"+e.Path)
		}
	}
	r.HandleFunc("/messages", rc.show(rc.listMessages))
	r.HandleFunc("/messages/", rc.show(rc.listMessages))
	r.HandleFunc("/messages/{id}", rc.show(rc.showMessage))
	detail := "the endpoints are " + strings.Join(paths, ", ") + " (POST) and /messages (GET)"
	r.NotFound(func(w http.ResponseWriter, r *http.Request) {
		rc.log.Info("no such path", "status", http.StatusNotFound, "remote", r.RemoteAddr)
		hearOut(w, r)
		rc.refuse(w, noEndpoint, refusal(http.StatusNotFound, "unknown-path", "There is nothing here", detail))
	})
	// Methods that the router does not know, such as PROPFIND: they are refused like
	// others, by the endpoint itself.
	r.MethodNotAllowed(func(w http.ResponseWriter, request *http.Request) {
		known := request.Clone(request.Context())
		known.Method = http.MethodHead // which no endpoint takes
		*known = *known.WithContext(context.WithValue(known.Context(), chi.RouteCtxKey, chi.NewRouteContext()))
		r.ServeHTTP(w, known)
	})
	return rc.unpanicked(r)
}

// unpanicked answers 503 where there is a fault in the program: the sender then
// tries again, and the fault stands in the log.
func (rc *Receiver) unpanicked(next http.Handler) http.Handler {
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
			// Ends the connections that are in use after their answer. Idle ones stay
			// until nobody uses them: closed at once, they would cut off a request
			// that a load balancer sends at this very moment.
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// inbound is one message from an identified, allowed sender.
type inbound struct {
	store.Arrival
	body   []byte
	future int // objects whose changedAt is more than a day ahead
}

// receive is the way of every message, in the order that the contract with
// partners gives: method, key, sender, content type, size, JSON, rules.
func (rc *Receiver) receive(endpoint dcm.Endpoint, judge judge) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		start := rc.config.Now()
		in := &inbound{Arrival: store.Arrival{ID: uuid.Must(uuid.NewV7()), Endpoint: endpoint.Path, ReceivedAt: start}}
		a := rc.process(w, r, in, endpoint, judge)
		rc.metrics.messages.WithLabelValues(endpoint.Path, strconv.Itoa(a.status)).Inc()
		in.body = nil // what is still held is the answer
		held := int64(len(a.text))
		rc.bytes.Force(in.Sender, held)
		send(w, a.status, a.text)
		rc.bytes.Give(in.Sender, held)
		took := rc.config.Now().Sub(start)
		rc.metrics.observe(in, &a, took)
		rc.logMessage(r.Context(), in, &a, took)
	}
}

// answered is what became of a message, without its objects.
type answered struct {
	status   int
	problem  string // type of the problem document, where there is no journal entry
	standard string // whose rules decided
	objects  int
	verdicts []verdict // those that there were, by rule
	text     []byte    // the answer
}

// verdict is what became of some objects.
type verdict struct {
	rule    int
	outcome rules.Outcome
	objects int // how many
}

// verdictsOf counts results by what became of their objects.
func verdictsOf(results []store.Result) (verdicts []verdict) {
	for i := range results {
		r := &results[i]
		at := slices.IndexFunc(verdicts, func(v verdict) bool { return v.rule == r.Rule && v.outcome == r.Outcome })
		if at < 0 {
			at = len(verdicts)
			verdicts = append(verdicts, verdict{rule: r.Rule, outcome: r.Outcome})
		}
		verdicts[at].objects++
	}
	slices.SortFunc(verdicts, func(a, b verdict) int { return a.rule - b.rule })
	return verdicts
}

func refused(a *answer) answered {
	return answered{status: a.Status, problem: a.Type, text: a.text()}
}

// process does with a message all that takes memory and time, and returns what is
// to be answered.
func (rc *Receiver) process(w http.ResponseWriter, r *http.Request, in *inbound, endpoint dcm.Endpoint,
	judge judge) answered {
	if a := rc.admit(w, r, &in.Arrival, http.MethodPost); a != nil {
		hearOut(w, r)
		return refused(a)
	}
	if a := checkContent(r); a != nil {
		hearOut(w, r)
		return refused(a)
	}
	// Nothing may stand between the sender and the end of its body: a data plane
	// that cannot get rid of it for 10 s sends it all again.
	body, release, err := rc.readBody(w, r, in.Sender)
	defer release()
	in.body, in.Bytes = body, int64(len(body))
	var tooLarge bodyTooLarge
	switch {
	case errors.As(err, &tooLarge):
		in.Bytes = max(tooLarge.read, r.ContentLength)
	case errors.Is(err, errNoShare):
		return refused(rc.heldBack(w, in.Sender, "bytes"))
	case err != nil:
		w.Header().Set("Connection", "close")
		a := refusal(http.StatusBadRequest, "incomplete", "The body did not arrive",
			"the body could not be read to its end; send it again")
		return refused(&a)
	}
	if !rc.messages.Take(in.Sender, 1) {
		return refused(rc.heldBack(w, in.Sender, "messages"))
	}
	defer rc.messages.Give(in.Sender, 1)
	// A message is finished even if its sender has disconnected: data planes send it
	// again, and would cause the same work once more.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), rc.config.RequestTimeout)
	defer cancel()
	// All that costs as much as a message is large stands in its sender's turn: its
	// objects, its entry and its answer, of which there are as many at a time as
	// there is work.
	load := fair.Load{Cost: fair.Cost(int64(len(in.body))), Memory: payload.Memory(in.body, endpoint)}
	done, err := rc.begin(ctx, in.Sender, load)
	if err != nil {
		return refused(rc.heldBack(w, in.Sender, "work"))
	}
	defer done()
	entry, a := rc.judged(ctx, w, in, tooLarge, judge)
	if a != nil {
		return refused(a)
	}
	whole := rc.answerTo(in.ID, in.MessageIDAsSent, endpoint, entry)
	return answered{status: rc.status(entry), standard: entry.Standard, objects: entry.Objects,
		verdicts: verdictsOf(entry.Results), text: whole.text()}
}

// begin waits for the sender's turn. What is small has processors and memory of its
// own, so that it never waits for large messages.
func (rc *Receiver) begin(ctx context.Context, sender string, load fair.Load) (done func(), err error) {
	const small, memory = fair.Largest / 16, 1 << 20
	if load.Cost <= small && load.Memory <= memory {
		return rc.small.Begin(ctx, sender, load)
	}
	return rc.work.Begin(ctx, sender, load)
}

// judged has a message judged and stored. It returns its journal entry, or why it
// has none.
func (rc *Receiver) judged(ctx context.Context, w http.ResponseWriter, in *inbound, tooLarge bodyTooLarge,
	judge judge) (entry store.Entry, _ *answer) {
	var err error
	if tooLarge.read > 0 {
		entry, err = rc.journal(ctx, in, store.Entry{Status: http.StatusRequestEntityTooLarge,
			Problem: tooLargeProblem, Errors: dcm.Violations{List: []dcm.Violation{
				{Detail: fmt.Sprintf("the body is larger than 15 MiB (%d bytes); send fewer objects in one message",
					MaxBody)}}}})
	} else {
		entry, err = judge(ctx, in)
	}
	var tooMany tooManyRequests
	if errors.As(err, &tooMany) {
		w.Header().Set("Retry-After", strconv.Itoa(int(tooMany.again/time.Second)+1))
		a := refuseRequest(tooMany)
		return entry, &a
	}
	if err != nil {
		rc.ready.lookAgain()
		rc.metrics.storeErrors.WithLabelValues(store.Kind(err)).Inc()
		rc.log.ErrorContext(ctx, "store failed; answered 503", "error", store.Describe(err), "kind", store.Kind(err),
			"message", in.ID)
		w.Header().Set("Retry-After", retryAfter)
		a := unavailable(whyUnavailable(err))
		return entry, &a
	}
	if entry.Record == store.NotAtAll {
		rc.recording.add(in, entry.Status)
		rc.metrics.unrecorded.WithLabelValues(in.Endpoint).Inc()
	}
	return entry, nil
}

// whyUnavailable tells the sender what a failure of the store means for the
// message.
func whyUnavailable(err error) string {
	switch {
	case errors.Is(err, store.ErrUnknown):
		return "the store of this receiver failed while it was storing the message, and could not be asked whether it did; send it again: what was stored already will not be stored twice"
	case store.Kind(err) == "setup":
		return "this receiver is not set up completely, which its operator has to mend; nothing of the message was stored, send it again later"
	}
	return "the store of this receiver does not answer; nothing of the message was stored, send it again"
}

// retryAfter is in seconds.
const retryAfter = "5"

func unavailable(detail string) answer {
	return refusal(http.StatusServiceUnavailable, "unavailable", "The receiver cannot take messages at present", detail)
}

// heldBack refuses a message because its sender has its share already: of bytes, of
// messages, or of work.
func (rc *Receiver) heldBack(w http.ResponseWriter, sender, share string) *answer {
	rc.metrics.holdBack(sender, share)
	w.Header().Set("Retry-After", retryAfter)
	a := unavailable(
		"the receiver has as many of your messages at work, or of your answers unread, as it can take; nothing of this one was stored, send it again")
	return &a
}

// refuse answers a request that has no journal entry.
func (rc *Receiver) refuse(w http.ResponseWriter, endpoint string, a answer) {
	rc.metrics.messages.WithLabelValues(endpoint, strconv.Itoa(a.Status)).Inc()
	send(w, a.Status, a.text())
}

// admit checks who asks, and fills in the sender.
func (rc *Receiver) admit(w http.ResponseWriter, r *http.Request, a *store.Arrival, method string) *answer {
	refuse := func(status int, word, title, detail string) *answer {
		refused := refusal(status, word, title, detail)
		return &refused
	}
	if r.Method != method {
		w.Header().Set("Allow", method)
		return refuse(http.StatusMethodNotAllowed, "method-not-allowed", "Method not allowed",
			"this endpoint takes "+method+" only")
	}
	if !rc.keyMatches(r.Header.Values("X-Api-Key")) {
		w.Header().Set("WWW-Authenticate", `ApiKey header="X-Api-Key"`)
		return refuse(http.StatusUnauthorized, "no-key", "No or wrong API key",
			"the header X-Api-Key is missing or wrong; the data address of the EDC asset must carry the key of this receiver")
	}
	var ok bool
	if a.Sender, a.Agreement, ok = edc.Sender(r.Header, rc.config.SenderHeader); !ok {
		w.Header().Set("WWW-Authenticate", `ApiKey header="`+rc.config.SenderHeader+`"`)
		return refuse(http.StatusUnauthorized, "no-sender", "The sender is unknown",
			"the header "+rc.config.SenderHeader+" must name the sender by one BPNL; an EDC data plane sets it")
	}
	if rc.config.Partners != nil && !slices.Contains(rc.config.Partners, a.Sender) {
		return refuse(http.StatusForbidden, "partner-not-allowed", "This partner may not send here",
			a.Sender+" is not among the partners that this receiver takes messages from")
	}
	return nil
}

// keyMatches compares in constant time, whichever key it is.
func (rc *Receiver) keyMatches(sent []string) bool {
	if rc.keys == nil {
		return true
	}
	if len(sent) != 1 {
		return false
	}
	sum := sha256.Sum256([]byte(sent[0]))
	match := 0
	for _, key := range rc.keys {
		match |= subtle.ConstantTimeCompare(sum[:], key[:])
	}
	return match == 1
}

// checkContent takes any charset parameter: a data plane sends its own.
func checkContent(r *http.Request) *answer {
	contentType := r.Header.Get("Content-Type")
	mediaType, _, err := mime.ParseMediaType(contentType)
	if errors.Is(err, mime.ErrInvalidMediaParameter) {
		err = nil // the type itself was read
	}
	if contentType != "" && (err != nil || mediaType != "application/json") {
		a := refusal(http.StatusUnsupportedMediaType, "content-type", "Unsupported content type",
			"send Content-Type: application/json")
		return &a
	}
	// also identity, which is no encoding to name here (RFC 9110 §8.4.1)
	if len(r.Header.Values("Content-Encoding")) > 0 {
		a := refusal(http.StatusUnsupportedMediaType, "content-encoding", "Unsupported content encoding",
			"send the body as it is, without Content-Encoding")
		return &a
	}
	return nil
}

// errNoShare means that the sender holds as many bytes as it may.
var errNoShare = errors.New("read body: the sender holds as many bytes as it may")

// bodyTooLarge is a body over MaxBody.
type bodyTooLarge struct{ read int64 }

func (e bodyTooLarge) Error() string { return fmt.Sprintf("read body: over %d bytes", MaxBody) }

const (
	// grace is how long a body, or an answer, may take beside what its size allows.
	grace = 10 * time.Second
	// bodyRate and answerRate are how many bytes a second must come, or be taken,
	// after that: what is slower holds memory for nothing.
	bodyRate, answerRate = 32 << 10, 128 << 10
	// longestBody is how long any body may take.
	longestBody = 60 * time.Second
	// unsharedRate is how many bytes a second are read of a body that its sender has
	// no share for: thrown away as fast as it comes, it would cost others.
	unsharedRate = 1 << 20
	// mostDrained is how many bytes beyond the largest body are read of one that is
	// refused, so that a client that listens only after sending hears the answer.
	mostDrained = 64 << 20
)

// readBody reads the whole body. Its memory is the sender's share until release is
// called.
func (rc *Receiver) readBody(w http.ResponseWriter, r *http.Request, sender string) (body []byte, release func(),
	err error) {
	held := int64(0)
	release = func() { rc.bytes.Give(sender, held) }
	incoming := newIncoming(w, r)
	if r.ContentLength > MaxBody {
		return nil, release, bodyTooLarge{incoming.drain(w, r)}
	}
	most := int64(MaxBody)
	if r.ContentLength >= 0 {
		most = r.ContentLength
	}
	most++ // room to see the end
	// Room is taken as the body fills it, whatever length was announced: who
	// makes us hold memory must send at least a quarter of it.
	size := min(most, 16<<10)
	for {
		if !rc.bytes.Take(sender, size-held) {
			rc.bytes.Give(sender, held)
			held, body = 0, nil
			incoming.rate = unsharedRate
			incoming.drain(w, r)
			return nil, release, errNoShare
		}
		held = size
		grown := make([]byte, size)
		n := copy(grown, body)
		body = grown[:n]
		for len(body) < cap(body) {
			n, err := incoming.next(body[len(body):cap(body)])
			body = body[:len(body)+n]
			switch {
			case err == io.EOF && len(body) <= MaxBody:
				return body, release, nil
			case err != nil && err != io.EOF:
				return body, release, err
			}
		}
		if len(body) > MaxBody {
			rc.bytes.Give(sender, held)
			held = 0
			return nil, release, bodyTooLarge{incoming.drain(w, r)}
		}
		size = min(size*4, most)
	}
}

// incoming is a body under way, which must not come too slowly.
type incoming struct {
	body     io.Reader
	control  *http.ResponseController
	start    time.Time
	deadline time.Time
	read     int64
	rate     int64 // bytes a second that are drained; 0: as fast as they come
}

func newIncoming(w http.ResponseWriter, r *http.Request) *incoming {
	return &incoming{body: r.Body, control: http.NewResponseController(w), start: time.Now()}
}

// next reads the next piece.
func (b *incoming) next(into []byte) (int, error) {
	until := b.start.Add(min(longestBody, grace+time.Duration(b.read)*time.Second/bodyRate))
	if until.Sub(b.deadline) > time.Second { // a call for each piece would cost more than it is worth
		b.deadline = until
		_ = b.control.SetReadDeadline(until) // not every connection has one
	}
	n, err := b.body.Read(into)
	b.read += int64(n)
	return n, err
}

// drain reads on, and throws away, the rest of a body that is refused. It returns how
// many bytes were read in all, at least 1.
func (b *incoming) drain(w http.ResponseWriter, r *http.Request) int64 {
	if b.read == 0 && r.Header.Get("Expect") != "" {
		w.Header().Set("Connection", "close")
		return 1 // it is not sent before we ask for it
	}
	size := int64(8 << 10) // of every sender that is refused
	if b.rate > 0 {
		size = min(64<<10, max(r.ContentLength, size)) // fewer and longer rests
	}
	buffer := make([]byte, size)
	for b.read <= MaxBody+mostDrained {
		n, err := b.next(buffer)
		if b.rate > 0 && err == nil {
			time.Sleep(time.Duration(n) * time.Second / time.Duration(b.rate))
		}
		switch {
		case err == io.EOF:
			return max(b.read, 1)
		case err != nil:
			w.Header().Set("Connection", "close")
			return max(b.read, 1)
		}
	}
	w.Header().Set("Connection", "close")
	return b.read
}

// leftToServer is how much of a body net/http reads by itself before it answers.
const leftToServer = 128 << 10

// hearOut lets the sender of a message that is refused before its body was read send
// that, so that it hears why: many listen only after sending.
func hearOut(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength < 0 || r.ContentLength > leftToServer {
		newIncoming(w, r).drain(w, r)
	}
}

// logMessage writes the one event of a request. It has no value of the payload.
func (rc *Receiver) logMessage(ctx context.Context, in *inbound, a *answered, took time.Duration) {
	level := slog.LevelInfo
	if a.status >= 500 || a.status == http.StatusUnauthorized || a.status == http.StatusForbidden {
		level = slog.LevelWarn
	}
	if !rc.log.Enabled(ctx, level) {
		return
	}
	var byRule []slog.Attr
	for _, v := range a.verdicts {
		byRule = append(byRule, slog.Int(strconv.Itoa(v.rule), v.objects))
	}
	messageID := ""
	if in.MessageID != nil {
		messageID = in.MessageID.String()
	}
	record := slog.NewRecord(time.Now(), level, "message", 0) // 0: nobody has to find out which line this is
	record.AddAttrs(slog.String("endpoint", in.Endpoint), slog.Int("status", a.status),
		slog.String("problem", a.problem),
		slog.String("sender", in.Sender), slog.String("agreement", in.Agreement), slog.String("id", in.ID.String()),
		slog.String("messageId", messageID), slog.Int("objects", a.objects), slog.String("standard", a.standard),
		slog.GroupAttrs("rules", byRule...),
		slog.Int64("bytes", in.Bytes), slog.Float64("seconds", took.Seconds()))
	_ = rc.log.Handler().Handle(ctx, record) // as slog itself does
}

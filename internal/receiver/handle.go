package receiver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/fair"
	"dcm-receiver/internal/payload"
	"dcm-receiver/internal/rules"
	"dcm-receiver/internal/store"

	"github.com/google/uuid"
)

// inbound is one message from an identified, allowed sender.
type inbound struct {
	store.Arrival
	body   []byte
	future int // objects whose changedAt is more than a day ahead
}

// handle handles every POST. The order of checks is a promise to partners: method, key, sender, content
// type, size, JSON, rules.
func (rc *Receiver) handle(endpoint dcm.Endpoint, judge judge) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		start := rc.config.Now()
		in := &inbound{Arrival: store.Arrival{ID: uuid.Must(uuid.NewV7()), Endpoint: endpoint.Path, ReceivedAt: start}}
		a := rc.process(w, r, in, endpoint, judge)
		rc.metrics.messages.WithLabelValues(endpoint.Path, strconv.Itoa(a.status)).Inc()
		in.body = nil // from here on, the answer alone takes memory
		held := int64(len(a.text))
		rc.bytes.Force(in.Sender, held)
		send(w, a.status, a.text)
		rc.bytes.Give(in.Sender, held)
		took := rc.config.Now().Sub(start)
		rc.metrics.observe(in, &a, took)
		rc.logMessage(r.Context(), in, &a, took)
	}
}

// answered is the result of a message, without its objects.
type answered struct {
	status   int
	problem  string // type of the problem document, where there is no journal entry
	standard string // whose rules decided
	objects  int
	verdicts []verdict // those that there were, by rule
	text     []byte    // the answer
}

// verdict counts objects with the same rule and outcome.
type verdict struct {
	rule    int
	outcome rules.Outcome
	objects int // how many
}

// verdictsOf counts results by rule and outcome.
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

// withoutEntry is the result of a message that gets no journal entry.
func withoutEntry(a *answer) answered {
	return answered{status: a.Status, problem: a.Type, text: a.text()}
}

// process reads, judges and stores a message, and writes its answer as text.
func (rc *Receiver) process(w http.ResponseWriter, r *http.Request, in *inbound, endpoint dcm.Endpoint,
	judge judge) answered {
	if a := rc.admit(w, r, &in.Arrival, http.MethodPost); a != nil {
		drainBody(w, r)
		return withoutEntry(a)
	}
	if a := checkContent(r); a != nil {
		drainBody(w, r)
		return withoutEntry(a)
	}
	// The body is read before anything is waited for: a data plane that cannot send for 10 s starts again.
	body, release, err := rc.readBody(w, r, in.Sender)
	defer release()
	in.body, in.Bytes = body, int64(len(body))
	var tooLarge bodyTooLarge
	switch {
	case errors.As(err, &tooLarge):
		in.Bytes = max(tooLarge.read, r.ContentLength)
	case errors.Is(err, errNoShare):
		return withoutEntry(rc.heldBack(w, in.Sender, "bytes"))
	case err != nil:
		w.Header().Set("Connection", "close")
		a := refusal(http.StatusBadRequest, "incomplete", "The body did not arrive",
			"the body could not be read to its end; send it again")
		return withoutEntry(&a)
	}
	if !rc.messages.Take(in.Sender, 1) {
		return withoutEntry(rc.heldBack(w, in.Sender, "messages"))
	}
	defer rc.messages.Give(in.Sender, 1)
	// A message is finished even if its sender has disconnected: data planes send it again, and would
	// cause the same work twice.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), rc.config.RequestTimeout)
	defer cancel()
	// Work and memory proportional to the body's size are taken in the sender's turn of a fair queue.
	load := fair.Load{Cost: fair.Cost(int64(len(in.body))), Memory: payload.Memory(in.body, endpoint)}
	done, err := rc.begin(ctx, in.Sender, load)
	if err != nil {
		return withoutEntry(rc.heldBack(w, in.Sender, "work"))
	}
	defer done()
	entry, a := rc.judgeInTurn(ctx, w, in, tooLarge, judge)
	if a != nil {
		return withoutEntry(a)
	}
	whole := rc.answerTo(in.ID, in.MessageIDAsSent, endpoint, entry)
	return answered{status: rc.status(entry), standard: entry.Standard, objects: entry.Objects,
		verdicts: verdictsOf(entry.Results), text: whole.text()}
}

// judgeInTurn judges and stores a message. It returns its journal entry, or the answer where it has
// none.
func (rc *Receiver) judgeInTurn(ctx context.Context, w http.ResponseWriter, in *inbound, tooLarge bodyTooLarge,
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

// whyUnavailable tells the sender what a failure of the store means for the message.
func whyUnavailable(err error) string {
	switch {
	case errors.Is(err, store.ErrUnknown):
		return "the store of this receiver failed while it was storing the message, and could not be asked " +
			"whether it did; " +
			"send it again: what was stored already will not be stored twice"
	case store.Kind(err) == "setup":
		return "this receiver is not set up completely, which its operator has to mend; " +
			"nothing of the message was stored, send it again later"
	}
	return "the store of this receiver does not answer; nothing of the message was stored, send it again"
}

// logMessage logs a message, without any value of its payload.
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
	rc.log.LogAttrs(ctx, level, "message",
		slog.String("endpoint", in.Endpoint), slog.Int("status", a.status), slog.String("problem", a.problem),
		slog.String("sender", in.Sender), slog.String("agreement", in.Agreement), slog.String("id", in.ID.String()),
		slog.String("messageId", messageID), slog.Int("objects", a.objects), slog.String("standard", a.standard),
		slog.GroupAttrs("rules", byRule...), slog.Int64("bytes", in.Bytes), slog.Float64("seconds", took.Seconds()))
}

package receiver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/payload"
	"dcm-receiver/internal/rules"
	"dcm-receiver/internal/store"

	"github.com/google/uuid"
)

// judge decides on a message and stores it. It returns the journal entry, or an error where the store
// failed: then nothing is stored, unless the error is store.ErrUnknown.
type judge func(context.Context, *inbound) (store.Entry, error)

// objects says how the objects of one endpoint are read, judged and written.
type objects[T any] struct {
	read    func(*inbound) (*payload.Message[T], error)
	table   *rules.Table[T]
	ours    func(bpnl string) bool // BPNLs of the role that receives
	subject func(object *T, sender string) store.Subject
	write   func(s *rules.Situation[T], content store.Content) store.Write // of an accepted object
	changed func(*T) dcm.Timestamp                                         // changedAt of a valid object
}

// judged is an object with what is known of it before the store is read.
type judged[T any] struct {
	*payload.Object[T]
	situation rules.Situation[T]
	early     bool          // verdict does not depend on the store
	verdict   rules.Verdict // where early
	content   store.Content // unless early
}

// judgeObjects judges messages by the rules of a table, and stores what they accept.
func judgeObjects[T any](rc *Receiver, o objects[T]) judge {
	return func(ctx context.Context, in *inbound) (store.Entry, error) {
		m, err := o.read(in)
		if err != nil {
			return rc.unreadable(ctx, in, err)
		}
		rc.checkHeader(in, &m.Envelope, o.ours)
		entry := store.Entry{Objects: len(m.Objects), Warnings: m.Warnings}
		if m.Errors.Any() {
			// A wrong header, or no object at all, refuses the message as a whole.
			return rc.refuseMessage(ctx, in, entry, m.Errors)
		}
		all := make([]judged[T], len(m.Objects))
		var subjects []store.Subject
		for i := range m.Objects {
			object := &m.Objects[i]
			j := judged[T]{Object: object, situation: rules.Situation[T]{
				Object: &object.Value, Valid: !object.Errors.Any(), Sender: in.Sender, Ours: o.ours, Now: in.ReceivedAt,
			}}
			if j.situation.Valid &&
				WarnOfFuture(in.ReceivedAt, object.Pointer, o.changed(&object.Value), &object.Warnings) {
				in.future++
			}
			if j.verdict, j.early = o.table.DecideEarly(&j.situation); !j.early {
				subjects = append(subjects, o.subject(&object.Value, in.Sender))
				j.content = store.ContentOf(object.Raw)
			}
			all[i] = j
		}
		d, err := rc.store.Save(ctx, in.Arrival, subjects, func(snapshot *store.Snapshot) store.Decision {
			e := entry
			decide(&e, snapshot, all, o)
			rc.limitRecord(in, &e, snapshot.Changes())
			return store.Decision{Entry: e}
		})
		return d.Entry, err
	}
}

// decide runs the rules over the objects in the order sent: each sees what the ones before it wrote.
func decide[T any](e *store.Entry, snapshot *store.Snapshot, sent []judged[T], o objects[T]) {
	e.Standard, e.Results = o.table.Standard, make([]store.Result, len(sent))
	codes := make([]int, len(sent))
	ids := make([]uuid.UUID, len(sent)) // copies: the entry must not keep the objects in memory
	for i := range sent {
		object, verdict := &sent[i], sent[i].verdict
		if !object.early {
			s := object.situation
			subject := o.subject(&object.Value, s.Sender)
			s.Stored = snapshot.Stored(subject)
			if verdict = o.table.Decide(&s); verdict.Outcome != rules.Ignored {
				snapshot.Write(subject, o.write(&s, object.content))
			}
		}
		codes[i] = verdict.ReturnCode
		var id *uuid.UUID
		if object.ID != nil {
			ids[i], id = *object.ID, &ids[i]
		}
		errors := object.Errors
		for _, d := range verdict.Details {
			v := dcm.Violation{Pointer: object.Pointer + "/" + d.Property, Detail: d.Text}
			errors.List = append(errors.List[:len(errors.List):len(errors.List)], v)
		}
		e.Results[i] = store.Result{
			ObjectID: id, Rule: verdict.Rule, Outcome: verdict.Outcome, Errors: errors, Warnings: object.Warnings,
		}
	}
	e.Status = rules.Status(codes)
	if e.Status >= 400 {
		e.Problem = refusedProblem
	}
	boundErrors(e)
}

// boundErrors cuts the errors and warnings of an entry to store.MaxErrorBytes. The first error of each
// object is kept before further errors of any object.
func boundErrors(e *store.Entry) {
	cost := func(l []dcm.Violation) int {
		const around = 32 // {"pointer":"","detail":""},
		if len(l) == 0 {
			return 0
		}
		return len(l[0].Pointer) + len(l[0].Detail) + around
	}
	left, reserved := store.MaxErrorBytes, 0 // reserved: of left, for first errors
	for i := range e.Results {
		reserved += cost(e.Results[i].Errors.List)
	}
	bound := func(l *dcm.Violations, first int) {
		reserved -= first
		room := left
		for i := range l.List {
			if i > 0 || first == 0 {
				room = left - reserved
			}
			c := cost(l.List[i:])
			if c > room {
				l.More += len(l.List) - i
				l.List = l.List[:i]
				return
			}
			left -= c
		}
	}
	bound(&e.Errors, 0)
	bound(&e.Warnings, 0)
	for i := range e.Results {
		r := &e.Results[i]
		bound(&r.Errors, cost(r.Errors.List))
		bound(&r.Warnings, 0)
	}
}

// WarnOfFuture warns of a changedAt more than a day ahead: every later message with a true changedAt is
// older, and refused. It reports whether it has warned.
func WarnOfFuture(now time.Time, pointer string, changedAt dcm.Timestamp, warnings *dcm.Violations) bool {
	const ahead = 24 * time.Hour
	if !changedAt.After(now.Add(ahead)) {
		return false
	}
	warnings.Add(pointer+"/changedAt", fmt.Sprintf(
		"changedAt is %s, more than a day in the future; messages with an earlier changedAt will be refused from "+
			"now on; "+
			"if that is a mistake, ask the operator of this receiver to unlock the object",
		changedAt.Format(time.RFC3339Nano)))
	return true
}

// checkHeader checks the parties of a header that is valid in form: the sending connector's BPNL, and
// one of ours.
func (rc *Receiver) checkHeader(in *inbound, e *payload.Envelope, ours func(bpnl string) bool) {
	if len(e.MessageID) <= 100 { // longer texts are no IDs
		in.MessageIDAsSent = strings.Clone(e.MessageID) // a copy: the body is not kept
	}
	if id, err := dcm.ParseID(e.MessageID); err == nil {
		in.MessageID = &id
	}
	h := e.Header
	if h == nil {
		return
	}
	if h.SenderBPN != in.Sender {
		e.Errors.Add("/messageHeader/header/senderBpn",
			fmt.Sprintf("senderBpn is %s, but the sending connector is registered for %s", h.SenderBPN, in.Sender))
	}
	if !ours(h.ReceiverBPN) {
		e.Errors.Add("/messageHeader/header/receiverBpn",
			fmt.Sprintf("receiverBpn is %s, which this receiver is not responsible for", h.ReceiverBPN))
	}
}

// unreadable journals a body that is not JSON.
func (rc *Receiver) unreadable(ctx context.Context, in *inbound, err error) (store.Entry, error) {
	detail := err.Error()
	var syntax *payload.SyntaxError
	if errors.As(err, &syntax) {
		detail = syntax.Detail
	}
	return rc.journal(ctx, in, store.Entry{Status: http.StatusUnprocessableEntity, Problem: notJSONProblem,
		Errors: dcm.Violations{List: []dcm.Violation{{Detail: detail}}}})
}

// refuseMessage journals a message that is refused as a whole.
func (rc *Receiver) refuseMessage(ctx context.Context, in *inbound, e store.Entry, found dcm.Violations) (store.Entry,
	error) {
	e.Status, e.Problem, e.Errors = http.StatusBadRequest, refusedProblem, found
	boundErrors(&e)
	return rc.journal(ctx, in, e)
}

// journal stores the entry of a message that changes nothing.
func (rc *Receiver) journal(ctx context.Context, in *inbound, e store.Entry) (store.Entry, error) {
	if rc.limitRecord(in, &e, false); e.Record == store.NotAtAll {
		return e, nil
	}
	return rc.save(ctx, in, store.Decision{Entry: e})
}

// save stores a decision that does not depend on what is stored.
func (rc *Receiver) save(ctx context.Context, in *inbound, d store.Decision) (store.Entry, error) {
	_, err := rc.store.Save(ctx, in.Arrival, nil, func(*store.Snapshot) store.Decision { return d })
	return d.Entry, err
}

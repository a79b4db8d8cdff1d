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

// judge decides on a message and stores it; the entry is what the journal says.
// An error means that the store failed: nothing is stored, or it is
// store.ErrUnknown.
type judge func(context.Context, *inbound) (store.Entry, error)

// objects is how the objects of one endpoint are read, judged and written.
type objects[T any] struct {
	read    func(*inbound) (*payload.Message[T], error)
	table   *rules.Table[T]
	ours    func(bpnl string) bool // BPNLs of the role that receives
	subject func(object *T, sender string) store.Subject
	write   func(s *rules.Situation[T], content store.Content) store.Write // of what the rules let in
	changed func(*T) dcm.Timestamp                                         // changedAt of a valid object
}

// judgeObjects judges messages by the rules of a table, and stores what they
// accept.
func judgeObjects[T any](rc *Receiver, o objects[T]) judge {
	return func(ctx context.Context, in *inbound) (store.Entry, error) {
		m, err := o.read(in)
		if err != nil {
			return rc.unreadable(ctx, in, err)
		}
		rc.checkHeader(in, &m.Envelope, o.ours)
		entry := store.Entry{Objects: len(m.Objects), Warnings: m.Warnings}
		if m.Errors.Any() {
			// A refused header, or no object at all, refuses the message as a whole.
			return rc.refused(ctx, in, entry, m.Errors)
		}
		situations := make([]rules.Situation[T], len(m.Objects))
		contents := make([]store.Content, len(m.Objects)) // of those that may be stored
		var subjects []store.Subject
		for i := range m.Objects {
			object := &m.Objects[i]
			situations[i] = rules.Situation[T]{
				Object: &object.Value, Valid: !object.Errors.Any(), Sender: in.Sender, Ours: o.ours, Now: in.ReceivedAt,
			}
			if situations[i].Valid {
				if WarnOfFuture(in.ReceivedAt, object.Pointer, o.changed(&object.Value), &object.Warnings) {
					in.future++
				}
			}
			if _, early := o.table.DecideEarly(&situations[i]); !early {
				subjects = append(subjects, o.subject(&object.Value, in.Sender))
				contents[i] = store.ContentOf(object.Raw)
			}
		}
		d, err := rc.store.Save(ctx, in.Arrival, subjects, func(snapshot *store.Snapshot) store.Decision {
			e := entry
			decide(&e, snapshot, m.Objects, situations, contents, o)
			rc.limitRecord(in, &e, snapshot.Changes())
			return store.Decision{Entry: e}
		})
		return d.Entry, err
	}
}

// decide runs the rules over the objects in the order sent: what one of them
// stores is known to the next.
func decide[T any](e *store.Entry, snapshot *store.Snapshot, sent []payload.Object[T], situations []rules.Situation[T],
	contents []store.Content, o objects[T]) {
	e.Standard, e.Results = o.table.Standard, make([]store.Result, len(sent))
	codes := make([]int, len(sent))
	ids := make([]uuid.UUID, len(sent)) // of their own: the answer must not hold the objects
	for i := range sent {
		object, s := &sent[i], situations[i]
		verdict, early := o.table.DecideEarly(&s)
		if !early {
			subject := o.subject(&object.Value, s.Sender)
			s.Stored = snapshot.Stored(subject)
			if verdict = o.table.Decide(&s); verdict.Outcome != rules.Ignored {
				snapshot.Write(subject, o.write(&s, contents[i]))
			}
		}
		codes[i] = verdict.ReturnCode
		var id *uuid.UUID
		if object.ID != nil {
			ids[i], id = *object.ID, &ids[i]
		}
		e.Results[i] = store.Result{
			ObjectID: id, Rule: verdict.Rule, Outcome: verdict.Outcome, Errors: object.Errors,
			Warnings: object.Warnings,
		}
		for _, d := range verdict.Details {
			list := &e.Results[i].Errors
			list.List = append(list.List, dcm.Violation{Pointer: object.Pointer + "/" + d.Property,
				Detail: d.Text})
		}
	}
	e.Status = rules.Status(codes)
	if e.Status >= 400 {
		e.Problem = refusedProblem
	}
	boundErrors(e)
}

// boundErrors leaves out of an entry what is beyond store.MaxErrorBytes; the first
// error of each object comes before the others of any.
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

// WarnOfFuture notes a changedAt that locks the object against every honest later
// message: those are older. It reports whether it is so.
func WarnOfFuture(now time.Time, pointer string, changedAt dcm.Timestamp, warnings *dcm.Violations) bool {
	const ahead = 24 * time.Hour
	if !changedAt.After(now.Add(ahead)) {
		return false
	}
	warnings.Add(pointer+"/changedAt", fmt.Sprintf(
		"changedAt is %s, more than a day in the future; messages with an earlier changedAt will be refused from now on; if that is a mistake, ask the operator of this receiver to unlock the object",
		changedAt.Format(time.RFC3339Nano)))
	return true
}

// checkHeader adds what is wrong with a header that is valid by itself: it must
// name the sending connector's BPNL and one of ours.
func (rc *Receiver) checkHeader(in *inbound, e *payload.Envelope, ours func(bpnl string) bool) {
	if len(e.MessageID) <= 100 { // what is longer is no ID, and not worth an echo
		in.MessageIDAsSent = strings.Clone(e.MessageID) // without the body around it
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

// refused journals a message that is refused as a whole.
func (rc *Receiver) refused(ctx context.Context, in *inbound, e store.Entry, found dcm.Violations) (store.Entry,
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

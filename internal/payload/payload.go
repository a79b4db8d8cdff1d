// Package payload reads the body of a message: the JSON text into the words of
// package dcm, or into what is wrong with it.
//
// A body is walked over once. That pass takes a value only if it is sure that
// the JSON Schema takes it too; for an object with any other value the JSON
// Schema is asked, which finds and words every violation. What the model says and a
// schema cannot (sets, units) is checked here, one named check each; what a standard
// demands (Mondays, weeks twice, …) by the checks of Options.
package payload

import (
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/strictjson"
	"dcm-receiver/schemas"

	"github.com/google/uuid"
)

// Limits that keep the cost of a hostile body near its size.
const (
	// minObject is less than the bytes of any valid object. A message that has
	// more objects than could be valid in its size is refused as a whole, because
	// its answer would be many times its size.
	minObject = 200
	// alwaysObjects are judged one by one even so.
	alwaysObjects = 100
	// maxListed is how many errors are listed for one message; beyond it, each
	// object still lists one.
	maxListed = 10_000
	// maxCounted is where counting the violations of one object ends.
	maxCounted = 10_000
)

// Message is a body that is JSON, with objects of one kind.
type Message[T any] struct {
	// Envelope is what all messages have.
	Envelope
	// Objects in the order sent, valid or not.
	Objects []Object[T]
}

// Envelope is what stands around the objects of a message.
type Envelope struct {
	// Header is nil if none was sent or if it is not valid.
	Header *dcm.MessageHeader
	// MessageID is messageId as sent, even where the header is not valid.
	MessageID string
	// IsBare tells that there was none: the body is a list.
	IsBare bool
	// Errors of the message as a whole: its envelope or header is not valid, or
	// it carries no object.
	Errors dcm.Violations
	// Warnings about the message as a whole.
	Warnings dcm.Violations
}

// Object is one object of a message, valid or not.
type Object[T any] struct {
	Value T
	// ID is the object's ID; nil if that could not be read.
	ID *uuid.UUID
	// Pointer is the object's place in the body (RFC 6901).
	Pointer string
	// Raw is the object as sent.
	Raw []byte
	// Errors are the reasons for rule 1; none for a valid object.
	Errors dcm.Violations
	// Warnings about an object, valid or not.
	Warnings dcm.Violations
}

// Options are what one standard asks for and another does not.
type Options struct {
	// HeaderRequired tells that there must be an envelope with a header.
	HeaderRequired bool
	// Model is the URN of the aspect model, with its major version, that the
	// header's context must name; "": it may name anything. OtherModel, if any, is
	// taken too.
	Model, OtherModel string
	// Weeks checks the weeks of one list, as far as they could be read, by their
	// places in it. name is what sentences call one of them. nil: any are taken.
	Weeks func(weeks iter.Seq2[int, dcm.Date], name string, report func(place int, detail string))
	// GroupWeeks and DemandWeeks say what is wrong with all weeks of an object, each
	// of which could be read; "": nothing. nil: any are taken.
	GroupWeeks, DemandWeeks func(weeks iter.Seq2[int, dcm.Date]) string
	// CapacityGroup checks groups that are valid otherwise. report takes the place in
	// the group, as a JSON Pointer. nil: all are taken.
	CapacityGroup func(g *dcm.CapacityGroup, report func(pointer, detail string))
}

// check holds the envelope against the options.
func (m *Envelope) check(o Options) {
	const form = `{"messageHeader": {"header": {…}}, "content": {"informationObject": […]}}`
	switch {
	case m.Errors.Any():
	case o.HeaderRequired && m.IsBare:
		m.Errors.Add("", "the body is a list without envelope; send "+form)
	case o.HeaderRequired && m.Header == nil:
		m.Errors.Add("", "messageHeader is missing; send "+form)
	case o.Model != "" && m.Header != nil && !isVersionOf(m.Header.Context, o.Model) &&
		!(o.OtherModel != "" && isVersionOf(m.Header.Context, o.OtherModel)):
		m.Errors.Add("/messageHeader/header/context", "context must be "+o.Model+".x.x")
	}
}

var minorVersion = regexp.MustCompile(`^\.(x|0|[1-9]\d{0,5})\.(x|0|[1-9]\d{0,5})$`)

// isVersionOf reports whether a context names some version of a model with its
// major version.
func isVersionOf(context, model string) bool {
	minor, ok := strings.CutPrefix(context, model)
	return ok && minorVersion.MatchString(minor)
}

// readObjects reads a body with objects of one kind, each by read, which lists at
// most limit errors. plural and name are what sentences call the objects. The
// error is a *SyntaxError.
func readObjects[T any](body []byte, options Options, plural, name string,
	read func(r *reader, o *Object[T], limit int)) (*Message[T], error) {
	r := newReader(body, options)
	m := &Message[T]{}
	listed := 0
	most := max(alwaysObjects, len(body)/minObject)
	place := r.envelope(&m.Envelope, func(base string, i int) {
		if len(m.Objects) == most {
			r.Skip()
			if !m.Errors.Any() {
				m.Errors.AddUpTo(1, "",
					fmt.Sprintf(
						"there are more than %d objects in %d bytes; they cannot all be %s, so none was judged", most,
						len(body), plural))
			}
			return
		}
		// The object is read where it stays: a copy of its own would double its memory.
		m.Objects = append(m.Objects, Object[T]{Pointer: base + "/" + strconv.Itoa(i)})
		o := &m.Objects[len(m.Objects)-1]
		read(r, o, min(dcm.MaxViolations, max(1, maxListed-listed)))
		if o.ID == nil && o.Errors.Any() && len(m.Objects) <= alwaysObjects {
			o.Errors.AddFirst(o.Pointer, misplaced(name, o.Raw))
		}
		listed += len(o.Errors.List) + len(o.Warnings.List)
	})
	if len(m.Objects) == 0 && !m.Errors.Any() {
		m.Errors.Add(place,
			"there is no "+name+"; a message carries at least one, in a list (also where it is only one)")
	}
	m.check(options)
	return m, r.End()
}

// misplaced says where an object belongs that is of another kind than its endpoint's;
// "" where it looks like none.
func misplaced(object string, raw []byte) (detail string) {
	names := map[string]bool{}
	r := strictjson.New(raw)
	r.Object(func(name string) {
		names[name] = true
		r.Skip()
	})
	for _, e := range dcm.Endpoints {
		of := e.IDName != "" && names[e.IDName]
		if e.Object == dcm.RequestForUpdateEndpoint.Object {
			of = slices.ContainsFunc(requested, func(k requestedList) bool { return names[k.list] })
		}
		if of && e.Object != object {
			detail = "this looks like " + article(e.Object) + " " + e.Object + ": POST it to /" + e.Path
		}
		if of && e.Object == object {
			return ""
		}
	}
	return detail
}

func article(word string) string {
	if strings.ContainsRune("AEIOU", rune(word[0])) {
		return "an"
	}
	return "a"
}

// readObject reads one object: each of its properties by member, which tells whether
// the schema takes it for sure, and whole objects by check. At most limit errors are
// listed. The values of an object that is not valid are dropped: only its ID and its
// errors are needed.
func readObject[T any](r *reader, o *Object[T], schema *schemas.Schema, required []string, limit int,
	member func(c *checks, name string) bool, check func(*T, *checks)) {
	c := &checks{limit: limit, base: o.Pointer}
	valid := false
	o.Raw = r.Raw(func() {
		valid = r.object(required, func(name string) bool { return member(c, name) })
	})
	if r.Failed() {
		return
	}
	r.warn(&o.Warnings, schema, o.Raw, o.Pointer, limit)
	c.unitOmittedOrNot()
	switch {
	case !valid:
		askSchema(&o.Errors, schema, o.Raw, o.Pointer, limit)
	case check != nil:
		check(&o.Value, c)
	}
	if o.Errors.Join(c.errors, limit); o.Errors.Any() {
		var none T
		o.Value = none
	}
}

// envelope reads the whole body and calls item for each object, with the place of their list and the
// object's index; item must consume it. It returns the place where objects are, or should be.
func (r *reader) envelope(m *Envelope, item func(base string, i int)) (place string) {
	if r.Peek() == '[' {
		m.IsBare = true
		r.Array(func(i int) { item("", i) })
		return ""
	}
	hasContent := false
	var others []string // names of other members, a few of them
	isObject := r.Object(func(name string) {
		switch name {
		case "messageHeader":
			r.messageHeader(m)
		case "content":
			place, hasContent = r.content(m, item), true
		case "header":
			// Ignoring it would skip the check of the sender.
			m.Errors.Add("/header", "header stands beside content; it must stand in messageHeader: "+
				"{\"messageHeader\": {\"header\": {…}}, \"content\": {…}}")
			r.Skip()
		default:
			short := strictjson.Shorten(name)
			if schemas.Alike(short, "messageHeader") { // likewise
				m.Errors.Add("", strconv.Quote(short)+" stands in the body; did you mean messageHeader?")
			}
			if len(others) < 3 {
				others = append(others, strconv.Quote(short))
			}
			r.Skip()
		}
	})
	list, bracketed := "", ""
	if !r.options.HeaderRequired { // a list without envelope is a message too
		list = "a list of objects, or "
		bracketed = "a list of objects, in square brackets also if there is only one, or "
	}
	const envelope = "an object with messageHeader and content.informationObject"
	switch {
	case !isObject:
		m.Errors.Add("", "the body must be "+list+envelope)
	case !hasContent && len(others) > 0 && !m.Errors.Any():
		m.Errors.Add("", "the body is an object with "+strings.Join(others, ", ")+" and without content; "+
			"it must be "+bracketed+envelope)
	}
	return place
}

// content reads the member of that name, and returns the place where objects are, or should be.
func (r *reader) content(m *Envelope, item func(base string, i int)) (place string) {
	place = "/content"
	members, meant := 0, ""
	isObject := r.Object(func(name string) {
		members++
		if name != "informationObject" {
			if meant == "" && schemas.Alike(strictjson.Shorten(name), "informationObject") {
				meant = strconv.Quote(strictjson.Shorten(name))
			}
			r.Skip()
			return
		}
		place = "/content/informationObject"
		if !r.Array(func(i int) { item(place, i) }) {
			m.Errors.Add(place, "informationObject must be a list")
		}
	})
	switch {
	case !isObject:
		m.Errors.Add("/content", "content must be an object with the list informationObject")
	case members > 0 && place == "/content":
		detail := "content has no informationObject; the objects stand there, in a list"
		if meant != "" {
			detail += "; did you mean it by " + meant + "?"
		}
		m.Errors.Add("/content", detail)
	case meant != "":
		m.Warnings.Add("/content", meant+" is not a known property and was ignored; did you mean informationObject?")
	}
	return place
}

var (
	requiredOfMessageHeader = []string{"header"}
	requiredOfHeader        = []string{"messageId", "context", "sentDateTime", "senderBpn", "receiverBpn", "version"}
)

func (r *reader) messageHeader(m *Envelope) {
	const base = "/messageHeader"
	var header dcm.MessageHeader
	property := func(name string) (ok bool) {
		switch name {
		case "messageId":
			var id string
			if id, ok = r.string(); ok {
				var err error
				m.MessageID = id
				header.MessageID, err = dcm.ParseID(id)
				ok = err == nil
			}
		case "context":
			header.Context, ok = r.string()
		case "sentDateTime":
			header.SentDateTime, ok = r.timestamp(dcm.ParseXSDDateTime)
		case "senderBpn":
			header.SenderBPN, ok = r.matching(dcm.IsBPNL)
		case "receiverBpn":
			header.ReceiverBPN, ok = r.matching(dcm.IsBPNL)
		case "expectedResponseBy":
			header.ExpectedResponseBy, ok = optional(r.timestamp(dcm.ParseXSDDateTime))
		case "relatedMessageId":
			header.RelatedMessageID, ok = optional(r.id())
		case "version":
			header.Version, ok = r.matching(dcm.IsHeaderVersion)
		default:
			ok = r.unknown()
		}
		return ok
	}
	valid := false
	raw := r.Raw(func() {
		valid = r.object(requiredOfMessageHeader, func(name string) bool {
			if name != "header" {
				r.Skip()
				return true
			}
			return r.object(requiredOfHeader, property)
		})
	})
	if r.Failed() {
		return
	}
	r.warn(&m.Warnings, schemas.MessageHeader, raw, base, dcm.MaxViolations)
	if valid {
		m.Header = &header
		return
	}
	askSchema(&m.Errors, schemas.MessageHeader, raw, base, dcm.MaxViolations)
}

// object consumes a value. It is true if that is an object, member is true for each
// of its properties, and all required ones are there.
func (r *reader) object(required []string, member func(name string) bool) bool {
	found, sure := 0, true
	isObject := r.Object(func(name string) {
		if !member(name) {
			sure = false
		}
		if slices.Contains(required, name) {
			found++ // no name is twice in an object
		}
	})
	return isObject && sure && found == len(required)
}

// unknown consumes the value of a property that no one knows, which is allowed.
func (r *reader) unknown() bool {
	r.strange = true
	r.Skip()
	return true
}

// warn adds which unknown names of an object, if it has any, look like properties
// that are not there.
func (r *reader) warn(warnings *dcm.Violations, schema *schemas.Schema, raw []byte, base string, limit int) {
	if !r.strange {
		return
	}
	r.strange = false
	if limit == 1 {
		return // so much is wrong with the message that no one would read it
	}
	schema.Misspelt(raw, func(v dcm.Violation) bool {
		warnings.AddUpTo(limit, base+v.Pointer, v.Detail)
		return warnings.Count() < maxCounted
	})
}

// askSchema adds every violation that the schema finds in raw.
func askSchema(e *dcm.Violations, schema *schemas.Schema, raw []byte, base string, limit int) {
	before := e.Count()
	schema.Check(raw, limit-len(e.List), func(v dcm.Violation) bool {
		e.AddUpTo(limit, base+v.Pointer, v.Detail)
		return e.Count()-before < maxCounted
	})
	if e.Count() == before {
		// Never seen: the fuzz tests hold the two readings equal. The schema is
		// the truth, but without a value there is nothing to store.
		e.AddUpTo(limit, base, "this object could not be read; please report it to the operator of this receiver")
	}
}

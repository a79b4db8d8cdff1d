package payload

import (
	"strconv"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/strictjson"
	"dcm-receiver/schemas"

	"github.com/google/uuid"
)

// The kinds of object that a request can name, by the list that names them.
var requested = []requestedList{
	{"weekBasedMaterialDemand", "materialDemandId", dcm.MaterialDemandEndpoint.Object},
	{"weekBasedCapacityGroup", "capacityGroupId", dcm.CapacityGroupEndpoint.Object},
}

type requestedList struct{ list, id, object string }

// ReadRequestsForUpdate reads the body of an IdBasedRequestForUpdate message. Its
// objects are what is asked for, without places of their own; where any of them is
// not valid, the message is not. The error is a *SyntaxError.
func ReadRequestsForUpdate(body []byte, o Options) (*Message[dcm.RequestForUpdate], error) {
	r := newReader(body, o)
	m := &Message[dcm.RequestForUpdate]{}
	entries := 0
	all := map[string]bool{}
	r.envelope(&m.Envelope, func(base string, i int) {
		entries++
		r.requestForUpdate(m, base+"/"+strconv.Itoa(i), all)
	})
	for _, kind := range requested {
		if all[kind.object] || entries == 0 && !m.Errors.Any() {
			m.Objects = append(m.Objects,
				Object[dcm.RequestForUpdate]{Value: dcm.RequestForUpdate{Object: kind.object}})
		}
	}
	m.check(o)
	return m, r.End()
}

// requestedObject is an entry of a list, as its set compares it: the same ID with
// another changedAt is another entry (IdBasedRequestForUpdate 3.0, "without duplicates").
type requestedObject struct {
	id        uuid.UUID
	changedAt time.Time // UTC; zero: not sent
}

func requestedObjectOf(r *dcm.RequestForUpdate) requestedObject {
	o := requestedObject{id: *r.ID}
	if r.ChangedAt != nil {
		o.changedAt = r.ChangedAt.UTC()
	}
	return o
}

// requestForUpdate reads one entry of an IdBasedRequestForUpdate.
func (r *reader) requestForUpdate(m *Message[dcm.RequestForUpdate], pointer string, all map[string]bool) {
	isList, members, meant := false, 0, ""
	c := &checks{limit: dcm.MaxViolations, base: pointer}
	valid := false
	raw := r.Raw(func() {
		valid = r.object(nil, func(name string) bool {
			members++
			for _, kind := range requested {
				if name == kind.list {
					isList = true
					return r.requestedObjects(m, c, kind, all)
				}
				if meant == "" && schemas.Alike(strictjson.Shorten(name), kind.list) {
					meant = "; " + strconv.Quote(strictjson.Shorten(name)) + " is there; did you mean " + kind.list +
						"?"
				}
			}
			return r.unknown()
		})
	})
	switch {
	case r.Failed():
		return
	case !isList && members > 0:
		// An empty entry asks for everything; this is something else.
		r.strange = false
		m.Errors.Add(pointer, "there is neither weekBasedMaterialDemand nor weekBasedCapacityGroup; "+
			"name what is to be sent again in one of these lists, or send {} for everything"+meant)
		return
	case !isList:
		for _, kind := range requested {
			all[kind.object] = true
		}
	}
	r.warn(&m.Warnings, schemas.RequestForUpdate, raw, pointer, dcm.MaxViolations)
	if !valid && m.Errors.Count() < maxCounted {
		askSchema(&m.Errors, schemas.RequestForUpdate, raw, pointer, dcm.MaxViolations)
	}
	m.Errors.Join(c.errors, dcm.MaxViolations)
}

// requestedObjects reads the list of one kind of object. An empty one asks for all of them.
func (r *reader) requestedObjects(
	m *Message[dcm.RequestForUpdate], c *checks, kind requestedList, all map[string]bool,
) bool {
	required := []string{kind.id}
	valid, n := true, 0
	var set noEntryTwice[requestedObject]
	isList := r.Array(func(i int) {
		n++
		request := dcm.RequestForUpdate{Object: kind.object}
		if !r.object(required, func(name string) (ok bool) {
			switch name {
			case kind.id:
				request.ID, ok = optional(r.id())
			case "changedAt":
				request.ChangedAt, ok = optional(r.timestamp(dcm.ParseXSDDateTime))
			default:
				ok = r.unknown()
			}
			return ok
		}) {
			valid = false
			return
		}
		set.check(c, requestedObjectOf(&request), kind.list, i)
		m.Objects = append(m.Objects, Object[dcm.RequestForUpdate]{Value: request, ID: request.ID})
	})
	if n == 0 {
		all[kind.object] = true
	}
	return isList && valid
}

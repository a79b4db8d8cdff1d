package payload

import (
	"strconv"

	"github.com/google/uuid"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/schemas"
)

// ReadRequestForUpdate reads the body of an IdBasedRequestForUpdate message.
// The error is a *SyntaxError.
func ReadRequestForUpdate(body []byte) (*Message, error) {
	r := newReader(body)
	m := &Message{}
	entries := 0
	all := map[dcm.RequestKind]bool{}
	r.envelope(m, func(base string, i int) {
		entries++
		r.requestForUpdate(m, base+"/"+strconv.Itoa(i), all)
	})
	if entries == 0 {
		all[dcm.MaterialDemand], all[dcm.Capacities] = true, true
	}
	for _, kind := range []dcm.RequestKind{dcm.MaterialDemand, dcm.Capacities} {
		if all[kind] {
			m.Requests = append(m.Requests, dcm.RequestForUpdate{Kind: kind})
		}
	}
	return m, r.end()
}

// requestForUpdate reads one entry of an IdBasedRequestForUpdate.
func (r *reader) requestForUpdate(m *Message, pointer string, all map[dcm.RequestKind]bool) {
	var have fields
	everything := true
	list := func(kind dcm.RequestKind, idName string) bool {
		everything = false
		valid, n := true, 0
		ok := r.array(func(int) {
			n++
			request := dcm.RequestForUpdate{Kind: kind}
			var id uuid.UUID
			var have fields
			have.sure(r.object(func(name string) {
				var ok bool
				switch name {
				case idName:
					id, ok = r.id()
					request.ID = &id
				case "changedAt":
					var t dcm.Timestamp
					t, ok = r.timestamp(dcm.ParseXSDDateTime)
					request.ChangedAt = &t
				default:
					r.skip()
					return
				}
				have.read(name, ok)
			}))
			if !have.all(idName) {
				valid = false
				return
			}
			m.Requests = append(m.Requests, request)
		})
		if n == 0 {
			all[kind] = true
		}
		return ok && valid
	}
	raw := r.raw(func() {
		have.sure(r.object(func(name string) {
			switch name {
			case "weekBasedMaterialDemand":
				have.read(name, list(dcm.MaterialDemand, "materialDemandId"))
			case "weekBasedCapacityGroup":
				have.read(name, list(dcm.Capacities, "capacityGroupId"))
			default:
				r.skip()
			}
		}))
	})
	if everything {
		all[dcm.MaterialDemand], all[dcm.Capacities] = true, true
	}
	if !r.failed && have.unsure && m.Errors.count() < maxCounted {
		m.Errors.askSchema(schemas.RequestForUpdate, raw, pointer, MaxErrors)
	}
}

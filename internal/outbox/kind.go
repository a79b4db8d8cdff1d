package outbox

import (
	"fmt"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/edc"
)

// kind is a kind of object that goes out.
type kind struct {
	endpoint dcm.Endpoint // of the partner; dcm.delivery has its Object
	write    string       // the statement that makes the JSON of objects, as they are now
	alone    bool         // each object is a message of its own, with the object's ID as messageId
}

// kinds are all kinds of objects that go out.
var kinds = []kind{
	{endpoint: dcm.MaterialDemandEndpoint, write: statement("material_demand")},
	{endpoint: dcm.RequestForUpdateEndpoint, write: statement("request_for_update"), alone: true},
	{endpoint: dcm.CommentEndpoint, write: statement("comment")},
}

// kindOf is the kind of a delivery. A kind that this version does not know is an error, so that it is
// not sent as something else.
func kindOf(object string) (kind, error) {
	for _, k := range kinds {
		if k.endpoint.Object == object {
			return k, nil
		}
	}
	return kind{}, fmt.Errorf("outbox: objects of kind %s cannot be sent by this version", object)
}

// offer is the kind as catalogues offer it.
func (k kind) offer() edc.Kind { return edc.KindOf(k.endpoint) }

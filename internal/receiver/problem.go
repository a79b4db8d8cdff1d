package receiver

import (
	"encoding/json"
	"net/http"

	"dcm-receiver/internal/cx0048"
	"dcm-receiver/internal/store"
	"dcm-receiver/schemas"

	"github.com/google/uuid"
)

// answer is what a sender sees: the body of a 2xx, or the problem document
// (RFC 9457) of a refusal.
type answer struct {
	Type     string `json:"type,omitempty"`
	Title    string `json:"title,omitempty"`
	Status   int    `json:"status,omitempty"`
	Detail   string `json:"detail,omitempty"`
	Instance string `json:"instance,omitempty"` // where GET shows this answer again
	judged
}

// judged is what both kinds of answer say of a message that was judged.
type judged struct {
	MessageID  string              `json:"messageId,omitempty"`
	Results    *[]result           `json:"results,omitempty"` // capacity groups only
	Errors     []schemas.Violation `json:"errors,omitempty"`
	MoreErrors int                 `json:"moreErrors,omitempty"`
}

// result is what became of one object.
type result struct {
	Index           int                 `json:"index"`
	CapacityGroupID *uuid.UUID          `json:"capacityGroupId,omitempty"`
	Rule            int                 `json:"rule"`
	Outcome         cx0048.Outcome      `json:"outcome"`
	Errors          []schemas.Violation `json:"errors,omitempty"`
	MoreErrors      int                 `json:"moreErrors,omitempty"`
}

// refusal is the answer to a request that never gets as far as the rules.
func refusal(status int, word, title, detail string) answer {
	return answer{Type: "urn:dcm-receiver:problem:" + word, Title: title, Status: status, Detail: detail}
}

func write(w http.ResponseWriter, status int, body any) {
	contentType := "application/json"
	if status >= 400 {
		contentType = "application/problem+json"
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(body) // the sender may be gone; what is stored stays
}

// recount is the answer to a judged message, made from its journal entry, so
// that the answer to the POST and the one fetched later are the same.
func (rc *Receiver) recount(id uuid.UUID, messageID, endpoint string, e store.Entry) answer {
	a := answer{Instance: "/messages/" + id.String()}
	a.MessageID = messageID
	a.Errors, a.MoreErrors = e.Errors.Errors, e.Errors.MoreErrors
	if e.Status == http.StatusUnprocessableEntity || e.Status == http.StatusRequestEntityTooLarge {
		// What could not be read was not judged.
		a.Type, a.Title = "urn:dcm-receiver:problem:not-json", "The body is not one JSON text"
		if e.Status == http.StatusRequestEntityTooLarge {
			a.Type, a.Title = "urn:dcm-receiver:problem:too-large", "The body is too large"
		}
		a.Status, a.Detail, a.Errors = rc.status(e), firstDetail(e.Errors.Errors), nil
		return a
	}
	if endpoint == CapacityGroupEndpoint {
		results := make([]result, len(e.Results))
		for i, r := range e.Results {
			results[i] = result{i, r.CapacityGroupID, r.Rule, cx0048.CapacityGroupRules[r.Rule-1].Outcome, r.Errors.Errors, r.Errors.MoreErrors}
		}
		a.Results = &results
	}
	if e.Status < 400 {
		return a
	}
	a.Type, a.Title, a.Status = "urn:dcm-receiver:problem:refused", "The message was refused", e.Status
	a.Detail = whyRefused(e)
	return a
}

// status is the HTTP status of an answer. Where a connector cannot pass a 422
// on, the operator has another one in its place.
func (rc *Receiver) status(e store.Entry) int {
	if e.Status == http.StatusUnprocessableEntity {
		return rc.config.UnparsableStatus
	}
	return e.Status
}

func firstDetail(errors []schemas.Violation) string {
	if len(errors) == 0 {
		return ""
	}
	return errors[0].Detail
}

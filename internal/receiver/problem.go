package receiver

import (
	"fmt"
	"net/http"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/rules"
	"dcm-receiver/internal/store"
	"dcm-receiver/schemas"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
)

// answer is what a sender sees: the body of a 2xx, or the problem document
// (RFC 9457) of a refusal.
type answer struct {
	Type     string `json:"type,omitempty"`
	Title    string `json:"title,omitempty"`
	Status   int    `json:"status,omitzero"`
	Detail   string `json:"detail,omitempty"`
	Instance string `json:"instance,omitempty"` // where GET shows this answer again
	judged
}

// judged is what both kinds of answer say of a message that was judged.
type judged struct {
	MessageID    string              `json:"messageId,omitempty"`
	Standard     string              `json:"standard,omitempty"` // whose numbers the rules have
	Results      *[]result           `json:"results,omitzero"`   // of endpoints whose objects are judged one by one
	Errors       []schemas.Violation `json:"errors,omitempty"`
	MoreErrors   int                 `json:"moreErrors,omitzero"`
	Warnings     []schemas.Violation `json:"warnings,omitempty"`
	MoreWarnings int                 `json:"moreWarnings,omitzero"`
}

// result is what became of one object.
type result struct {
	index  int
	idName string // of the object's ID
	*store.Result
}

// MarshalJSONTo names the ID as the model does.
func (r result) MarshalJSONTo(e *jsontext.Encoder) error {
	members := []struct {
		name  string
		value any
		there bool
	}{
		{"index", r.index, true}, {r.idName, r.ObjectID, r.ObjectID != nil}, {"rule", r.Rule, true}, {"outcome", r.Outcome, true},
		{"errors", r.Errors.Errors, len(r.Errors.Errors) > 0}, {"moreErrors", r.Errors.MoreErrors, r.Errors.MoreErrors > 0},
		{"warnings", r.Warnings.Errors, len(r.Warnings.Errors) > 0}, {"moreWarnings", r.Warnings.MoreErrors, r.Warnings.MoreErrors > 0},
	}
	if err := e.WriteToken(jsontext.BeginObject); err != nil {
		return err
	}
	for _, m := range members {
		if !m.there {
			continue
		}
		if err := e.WriteToken(jsontext.String(m.name)); err != nil {
			return err
		}
		if err := json.MarshalEncode(e, m.value); err != nil {
			return err
		}
	}
	return e.WriteToken(jsontext.EndObject)
}

// paced is an answer on its way. It ends where the reader takes longer than the
// answer's size allows, so that nobody holds memory for long by not reading.
type paced struct {
	http.ResponseWriter
	control *http.ResponseController
	start   time.Time
	written int64
}

func (p *paced) Write(b []byte) (int, error) {
	p.written += int64(len(b))
	_ = p.control.SetWriteDeadline(p.start.Add(grace + time.Duration(p.written)*time.Second/answerRate)) // not every connection has one
	return p.ResponseWriter.Write(b)
}

// The last words of the types of those problems that the journal keeps.
const (
	refusedProblem  = "refused"
	notJSONProblem  = "not-json"
	tooLargeProblem = "too-large"
)

// problemType is what types of problem documents begin with.
const problemType = "urn:dcm-receiver:problem:"

// refusal is the answer to a request that never gets as far as the rules.
func refusal(status int, word, title, detail string) answer {
	return answer{Type: problemType + word, Title: title, Status: status, Detail: detail}
}

func write(w http.ResponseWriter, status int, body any) {
	contentType := "application/json"
	if status >= 400 {
		contentType = "application/problem+json"
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// Piece by piece. The sender may be gone; what is stored stays.
	_ = json.MarshalWrite(&paced{ResponseWriter: w, control: http.NewResponseController(w), start: time.Now()}, body)
}

// answerTo is the answer to a judged message, made from its journal entry, so that
// the answer to the POST and the one fetched later are the same.
func (rc *Receiver) answerTo(id uuid.UUID, messageID string, endpoint dcm.Endpoint, e store.Entry) answer {
	a := answer{Instance: "/messages/" + id.String()}
	if e.Record == store.NotAtAll {
		a.Instance = "" // there is nothing to be fetched
	}
	a.MessageID = messageID
	if e.Problem != "" {
		a.Type, a.Status = problemType+e.Problem, rc.status(e)
	}
	a.Warnings, a.MoreWarnings = e.Warnings.Errors, e.Warnings.MoreErrors
	switch e.Problem {
	case notJSONProblem:
		a.Title, a.Detail = "The body is not one JSON text", firstDetail(e.Errors.Errors)
		return a // what could not be read was not judged
	case tooLargeProblem:
		a.Title, a.Detail = "The body is too large", firstDetail(e.Errors.Errors)
		return a
	case refusedProblem:
		a.Title, a.Detail = whyRefused(e)
	}
	a.Standard = e.Standard
	a.Errors, a.MoreErrors = e.Errors.Errors, e.Errors.MoreErrors
	if endpoint.IDName != "" {
		results := make([]result, len(e.Results))
		for i := range e.Results {
			results[i] = result{i, endpoint.IDName, &e.Results[i]}
		}
		a.Results = &results
	}
	return a
}

// whyRefused is the summary of a refused message for whoever reads one line.
func whyRefused(e store.Entry) (title, detail string) {
	title = "The message was refused"
	if len(e.Errors.Errors) > 0 {
		return title, place(e.Errors.Errors[0]) + e.Errors.Errors[0].Detail
	}
	refused, first := 0, ""
	for _, r := range e.Results {
		if r.Outcome == rules.Ignored {
			if refused++; refused == 1 {
				first = fmt.Sprintf("rule %d", r.Rule)
				if len(r.Errors.Errors) > 0 {
					first += ": " + place(r.Errors.Errors[0]) + r.Errors.Errors[0].Detail
				}
			}
		}
	}
	switch {
	case len(e.Results) == 1:
		return title, first
	case refused == len(e.Results):
		return title, fmt.Sprintf("all %d objects were refused; the first by %s", refused, first)
	default:
		return "Some objects of the message were refused",
			fmt.Sprintf("objects refused: %d of %d, the others stored; the first by %s", refused, len(e.Results), first)
	}
}

func place(v schemas.Violation) string {
	if v.Pointer == "" {
		return ""
	}
	return v.Pointer + ": "
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

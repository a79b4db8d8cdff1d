package receiver

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/rules"
	"dcm-receiver/internal/store"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
)

// answer is what a sender sees: the body of a 2xx, or the problem document
// (RFC 9457) of a refusal.
type answer struct {
	summary
	// Objects are judged one by one where idName, the name of their ID, is not "".
	idName  string
	results []store.Result
	remarks
}

// summary is how an answer begins.
type summary struct {
	Type      string `json:"type,omitempty"`
	Title     string `json:"title,omitempty"`
	Status    int    `json:"status,omitzero"`
	Detail    string `json:"detail,omitempty"`
	Instance  string `json:"instance,omitempty"` // where GET shows this answer again
	MessageID string `json:"messageId,omitempty"`
	Standard  string `json:"standard,omitempty"` // whose numbers the rules have
}

// remarks are about the message as a whole.
type remarks struct {
	Errors       []dcm.Violation `json:"errors,omitzero"`
	MoreErrors   int             `json:"moreErrors,omitzero"`
	Warnings     []dcm.Violation `json:"warnings,omitempty"`
	MoreWarnings int             `json:"moreWarnings,omitzero"`
}

// text is the answer as JSON; it alone is kept until the client has read it.
func (a *answer) text() []byte { return a.appendTo(make([]byte, 0, 512+128*len(a.results))) }

func (a *answer) appendTo(b []byte) []byte {
	begin := len(b)
	b = append(b, marshal(a.summary)...)
	if a.idName != "" {
		b = member(b, begin, "results")
		b = append(b, '[')
		for i := range a.results {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendResult(b, i, a.idName, &a.results[i])
		}
		b = append(b, "]}"...)
	}
	return appendRemarks(b, begin, &a.remarks)
}

// appendRemarks adds remarks, if there are any, to the object that b ends with, which
// began at begin.
func appendRemarks(b []byte, begin int, m *remarks) []byte {
	if len(m.Errors)+m.MoreErrors+len(m.Warnings)+m.MoreWarnings == 0 {
		return b
	}
	if b = b[:len(b)-1]; len(b) > begin+1 {
		b = append(b, ',')
	}
	switch { // an ignored object has errors, even where all of them are only counted
	case len(m.Errors) == 0 && m.MoreErrors > 0:
		m.Errors = []dcm.Violation{}
	case len(m.Errors) == 0:
		m.Errors = nil
	}
	return append(b, marshal(m)[1:]...)
}

// appendResult writes what became of one object. There may be many, so this is not
// left to reflection.
func appendResult(b []byte, index int, idName string, r *store.Result) []byte {
	begin := len(b)
	b = append(b, `{"index":`...)
	b = strconv.AppendInt(b, int64(index), 10)
	if r.ObjectID != nil {
		b = append(append(append(b, `,"`...), idName...), `":"`...)
		b = append(append(b, r.ObjectID.String()...), '"')
	}
	b = append(b, `,"rule":`...)
	b = strconv.AppendInt(b, int64(r.Rule), 10)
	b = append(append(append(b, `,"outcome":"`...), r.Outcome...), `"}`...)
	return appendRemarks(b, begin, &remarks{r.Errors.List, r.Errors.More, r.Warnings.List,
		r.Warnings.More})
}

// member begins another member of the object that b ends with, which began at
// begin: what is appended is its value, and the end of the object.
func member(b []byte, begin int, name string) []byte {
	if b = b[:len(b)-1]; len(b) > begin+1 {
		b = append(b, ',')
	}
	return append(append(append(b, '"'), name...), `":`...)
}

func marshal(value any) []byte {
	text, err := json.Marshal(value, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		panic(err) // strings and numbers only
	}
	return text
}

// send writes an answer. It gives up on a client that reads more slowly than answerRate, so that unread
// answers do not hold memory.
func send(w http.ResponseWriter, status int, text []byte) {
	contentType := "application/json"
	if status >= 400 {
		contentType = "application/problem+json"
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	control, start, written := http.NewResponseController(w), time.Now(), 0
	for piece := range slices.Chunk(text, 64<<10) {
		written += len(piece)
		// not every connection has one
		_ = control.SetWriteDeadline(start.Add(grace + time.Duration(written)*time.Second/answerRate))
		if _, err := w.Write(piece); err != nil {
			return // the sender is gone; what is stored stays
		}
	}
}

// The last words of the types of those problems that the journal keeps.
const (
	refusedProblem  = "refused"
	notJSONProblem  = "not-json"
	tooLargeProblem = "too-large"
)

// problemType is what types of problem documents begin with.
const problemType = "urn:dcm-receiver:problem:"

// refusal answers a request that does not reach the rules.
func refusal(status int, word, title, detail string) answer {
	return answer{summary: summary{Type: problemType + word, Title: title, Status: status, Detail: detail}}
}

// answerTo makes the answer to a judged message from its journal entry, so that the answer to the POST
// and the one fetched later are the same.
func (rc *Receiver) answerTo(id uuid.UUID, messageID string, endpoint dcm.Endpoint, e store.Entry) answer {
	a := answer{summary: summary{Instance: "/messages/" + id.String(), MessageID: messageID}}
	if e.Record == store.NotAtAll {
		a.Instance = "" // there is nothing to be fetched
	}
	if e.Problem != "" {
		a.Type, a.Status = problemType+e.Problem, rc.status(e)
	}
	a.Warnings, a.MoreWarnings = e.Warnings.List, e.Warnings.More
	switch e.Problem {
	case notJSONProblem:
		a.Title, a.Detail = "The body is not one JSON text", firstDetail(e.Errors.List)
		return a // what could not be read was not judged
	case tooLargeProblem:
		a.Title, a.Detail = "The body is too large", firstDetail(e.Errors.List)
		return a
	case refusedProblem:
		a.Title, a.Detail = whyRefused(e)
	}
	a.Standard = e.Standard
	a.Errors, a.MoreErrors = e.Errors.List, e.Errors.More
	a.idName, a.results = endpoint.IDName, e.Results
	return a
}

// whyRefused sums up a refused message in one line.
func whyRefused(e store.Entry) (title, detail string) {
	title = "The message was refused"
	if len(e.Errors.List) > 0 {
		return title, place(e.Errors.List[0]) + e.Errors.List[0].Detail
	}
	refused, first := 0, ""
	for _, r := range e.Results {
		if r.Outcome == rules.Ignored {
			if refused++; refused == 1 {
				first = fmt.Sprintf("rule %d", r.Rule)
				if len(r.Errors.List) > 0 {
					first += ": " + place(r.Errors.List[0]) + r.Errors.List[0].Detail
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

func place(v dcm.Violation) string {
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

func firstDetail(errors []dcm.Violation) string {
	if len(errors) == 0 {
		return ""
	}
	return errors[0].Detail
}

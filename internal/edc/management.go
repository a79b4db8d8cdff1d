package edc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// Management is the Management API v3 of one's own connector: the customer's
// for registering, the supplier's for sending.
type Management struct {
	URL    string // base URL, as far as before /v3
	Key    string // sent as X-Api-Key
	Client *http.Client
}

// answerLimit bounds what is read of an answer: a catalogue of some thousand
// offers is far below it.
const answerLimit = 64 << 20

// NewManagement checks the URL, which may end in /v3, and returns the client.
func NewManagement(base, key string) (*Management, error) {
	u, err := url.Parse(base)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, errors.New("DCM_EDC_MANAGEMENT_URL must be the http(s) URL of your connector's Management API, such as https://connector.example.com/management")
	}
	base = strings.TrimSuffix(strings.TrimRight(base, "/"), "/v3")
	return &Management{URL: base, Key: key, Client: &http.Client{
		// a redirect is a login page, or http for https: a POST would be repeated there as a GET
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// What an error of this package is about, where a command or a queue must know.
var (
	ErrUnreachable = errors.New("not reachable")    // a connector or data plane that does not answer, or fails: it may pass
	ErrSettings    = errors.New("a wrong setting")  // of ours: key, address
	errEnded       = errors.New("ended")            // a negotiation or transfer
	errSeveral     = errors.New("several on offer") // an ErrNoOffer too
	ErrNoOffer     = errors.New("nothing on offer") // the partner shows us no asset of the kind, or several
)

// about is an error in words, of a kind.
type about struct {
	error
	kind error
}

func (e about) Is(target error) bool { return target == e.kind }
func (e about) Unwrap() error        { return e.error }

// refusal is an answer of the connector other than 2xx, already put into a
// sentence that says what to do.
type refusal struct {
	status   int
	sentence string
	absent   bool // the path is none of this version's
}

func (r *refusal) Error() string { return r.sentence }

func (r *refusal) Is(target error) bool {
	switch target {
	case ErrSettings:
		return r.status == http.StatusUnauthorized || r.status == http.StatusForbidden || r.status/100 == 3 || r.status == 0
	case ErrUnreachable:
		return r.status/100 == 5
	}
	return false
}

func notFound(err error) bool {
	r, ok := errors.AsType[*refusal](err)
	return ok && r.status == http.StatusNotFound
}

// call sends in as JSON (none where nil) to /v3 + path and reads the answer
// into out (not where nil).
func (m *Management) call(ctx context.Context, method, path string, in, out any) error {
	return m.callAt(ctx, "/v3", method, path, in, out)
}

// callAt is call at a version of the API of which only some paths are used.
func (m *Management) callAt(ctx context.Context, version, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, m.URL+version+path, body)
	if err != nil {
		return fmt.Errorf("DCM_EDC_MANAGEMENT_URL is no URL: %w", err)
	}
	req.Header.Set("X-Api-Key", m.Key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := m.Client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		// the URL is in the sentence already, and a password in it must not be
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		return about{fmt.Errorf("your connector's Management API at %s cannot be reached (%w): start the connector, or correct DCM_EDC_MANAGEMENT_URL", m.where(), err), ErrUnreachable}
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit))
	if err != nil {
		return about{fmt.Errorf("your connector at %s broke off its answer to %s /v3%s: try again (%w)", m.where(), method, path, err), ErrUnreachable}
	}
	if resp.StatusCode/100 != 2 {
		return m.refused(method, path, resp, data)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return about{fmt.Errorf("%s answered %s /v3%s with something that is no Management API answer: DCM_EDC_MANAGEMENT_URL must be the Management API of your connector (%w)", m.where(), method, path, err), ErrSettings}
	}
	return nil
}

// where is the URL without what may be secret in it.
func (m *Management) where() string {
	u, err := url.Parse(m.URL)
	if err != nil {
		return "DCM_EDC_MANAGEMENT_URL"
	}
	return u.Redacted()
}

func (m *Management) refused(method, path string, resp *http.Response, data []byte) error {
	said, isJSON := said(data)
	r := &refusal{status: resp.StatusCode}
	switch {
	case r.status == http.StatusUnauthorized || r.status == http.StatusForbidden:
		r.sentence = fmt.Sprintf("your connector at %s does not take the key (%d): set DCM_EDC_MANAGEMENT_KEY to its API key", m.where(), r.status)
	case r.status/100 == 3:
		r.sentence = fmt.Sprintf("your connector at %s redirects to %s: set DCM_EDC_MANAGEMENT_URL to the Management API itself, not to a login or another address", m.where(), resp.Header.Get("Location"))
	// an object that is not there is answered in JSON; a path that is not there is not
	case r.status == http.StatusNotFound && isJSON:
		r.sentence = fmt.Sprintf("your connector knows nothing of %s: %s", path, said)
	case r.status == http.StatusNotFound || r.status == http.StatusMethodNotAllowed:
		r.status, r.absent = 0, true // not to be taken for a missing object
		r.sentence = fmt.Sprintf("there is no Management API v3 at %s/v3 (%d for %s): DCM_EDC_MANAGEMENT_URL must end before /v3 (often in /management), and the connector must be a tractusx-edc of version 0.7 or later", m.where(), resp.StatusCode, path)
	case r.status/100 == 5:
		r.sentence = fmt.Sprintf("your connector failed at %s /v3%s (%d): %s; its log says more", method, path, r.status, said)
	default:
		r.sentence = fmt.Sprintf("your connector refused %s /v3%s (%d): %s", method, path, r.status, said)
	}
	return r
}

var tags = regexp.MustCompile(`(?s)<(?:script|style|title).*?</(?:script|style|title)>|<[^>]*>`)

// said is the reason in an answer of the connector: the messages of its JSON,
// or the words of an HTML page of its web server.
func said(data []byte) (text string, isJSON bool) {
	var list []struct{ Message string }
	if json.Unmarshal(data, &list) == nil {
		var messages []string
		for _, e := range list {
			// the other connector's answer may be an HTML page within the message
			if m := plain(e.Message); m != "" {
				messages = append(messages, m)
			}
		}
		text, isJSON = strings.Join(messages, "; "), true
	} else {
		text = plain(string(data))
	}
	if text == "" {
		text = "it gives no reason, its log may"
	}
	return text, isJSON
}

func plain(s string) string {
	if strings.Contains(s, "<") {
		s = tags.ReplaceAllString(s, " ")
	}
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > 300 {
		s = string(r[:300]) + "…"
	}
	return s
}

// query reads all objects of a collection that satisfy the criteria, page by page.
func (m *Management) query(ctx context.Context, collection string, filter []criterion) ([]map[string]any, error) {
	const page = 500
	var all []map[string]any
	for {
		var some []map[string]any
		err := m.call(ctx, "POST", "/"+collection+"/request", map[string]any{
			"@context": edcContext, "@type": "QuerySpec", "offset": len(all), "limit": page, "filterExpression": filter,
		}, &some)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
		if len(some) < page {
			return all, nil
		}
	}
}

// criterion is one condition of a query; all must hold.
type criterion struct {
	OperandLeft  any    `json:"operandLeft"`
	Operator     any    `json:"operator"`
	OperandRight any    `json:"operandRight"`
	Type         string `json:"@type,omitempty"`
}

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
	"strings"
	"time"

	"dcm-receiver/internal/fair"
)

// Management is the Management API v3 of one's own connector: the customer's
// for registering, the supplier's for sending.
type Management struct {
	URL    string // base URL, as far as before /v3
	Key    string // sent as X-Api-Key
	Client *http.Client
	Names  Names // of URL and Key

	room *fair.Share // of what is read and sent; nil: as much as the limits allow
	who  string      // the partner for whom something is read, as room knows it
}

const (
	answerLimit     = 1 << 20  // bytes that are read of a partner's answer; the rest counts for nothing
	managementLimit = 4 << 20  // bytes of a Management API answer: a catalogue of some thousand offers
	manyValues      = 50_000   // in one answer: 500 objects of 100 values
	headerLimit     = 64 << 10 // bytes of an answer's header
	alwaysRead      = 4 << 10  // bytes of an answer for which there is always room
	roomPatience    = 5 * time.Second
)

// errTooLarge is an answer of the Management API that is larger than is read.
var errTooLarge = errors.New("too large")

// NewManagement checks the URL, which may end in /v3, and returns the client.
func NewManagement(base, key string, names Names) (*Management, error) {
	u, err := url.Parse(base)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil,
			errors.New(names.of("URL") +
				" must be the http(s) URL of your connector's Management API, such as " +
				"https://connector.example.com/management")
	}
	base = strings.TrimSuffix(strings.TrimRight(base, "/"), "/v3")
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxResponseHeaderBytes = headerLimit
	return &Management{URL: base, Key: key, Names: names, Client: &http.Client{
		Transport: transport,
		// a redirect is a login page, or http for https: a POST would be repeated there as a GET
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Names says what sentences call a setting: by the field of Management or Registration, how its user
// sets it, such as the name of a variable.
type Names map[string]string

func (n Names) of(field string) string {
	if name := n[field]; name != "" {
		return name
	}
	return "setting " + field
}

// What an error of this package is about, where a command or a queue must know.
var (
	// a connector or data plane that does not answer, or fails: it may pass
	ErrUnreachable = errors.New("not reachable")
	ErrSettings    = errors.New("a wrong setting")  // of ours: key, address
	errEnded       = errors.New("ended")            // a negotiation or transfer
	errWaited      = errors.New("not ended yet")    // a negotiation or transfer that may be lost, or go on
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
	ofWay    bool // it is about one negotiation, transfer or token
}

func (r *refusal) Error() string { return r.sentence }

func (r *refusal) Is(target error) bool {
	switch target {
	case ErrSettings:
		// 403 for a token is the partner's refusal to refresh it; a wrong key is 401 there.
		isKey := r.status == http.StatusUnauthorized || r.status == http.StatusForbidden && !r.ofWay
		return isKey || r.status/100 == 3 || r.status == 0
	case ErrUnreachable:
		return r.status/100 == 5
	}
	return false
}

// passes: the answer says nothing about what was asked for. It is about our settings, or
// the connector takes no more at present.
func (r *refusal) passes() bool {
	switch r.status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return errors.Is(r, ErrSettings)
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
	return m.fetch(ctx, version, method, path, in, func(data []byte) error {
		if out == nil {
			return nil
		}
		return decode(data, manyValues, out)
	})
}

// fetch sends in as JSON (none where nil) and has read take a 2xx answer, which it
// must not keep.
func (m *Management) fetch(
	ctx context.Context, version, method, path string, in any, read func(data []byte) error,
) error {
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
		return fmt.Errorf(m.Names.of("URL")+" is no URL: %w", err)
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
		return about{fmt.Errorf(
			"your connector's Management API at %s cannot be reached (%w): start the connector, or correct "+m.Names.of(
				"URL"), m.where(), err), ErrUnreachable}
	}
	defer resp.Body.Close()
	return m.judge(ctx, method, path, resp, read)
}

// judge has read take a 2xx answer, and words what is wrong with any other.
func (m *Management) judge(
	ctx context.Context, method, path string, resp *http.Response, read func(data []byte) error,
) error {
	limit := managementLimit
	if resp.StatusCode/100 != 2 {
		limit = answerLimit
	}
	data, held, whole, err := m.read(ctx, resp.Body, limit)
	defer m.give(held)
	switch {
	case err != nil:
		return about{fmt.Errorf("your connector at %s broke off its answer to %s /v3%s: try again (%w)",
			m.where(), method, path, err), ErrUnreachable}
	case resp.StatusCode/100 != 2:
		return m.refused(method, path, resp, data)
	case isPage(&Answer{Status: resp.StatusCode, ContentType: resp.Header.Get("Content-Type"), Body: data}):
		err = errors.New("a web page: " + pageWords(data))
	case !whole:
		err = errTooLarge
	default:
		err = read(data)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errTooLarge) && len(data) < managementLimit && !whole:
		return fmt.Errorf(
			"there is no memory to read your connector's answer to %s /v3%s, too many others are being read: "+
				"it is tried again later", method, path)
	case errors.Is(err, errTooLarge):
		return about{fmt.Errorf(
			"your connector's answer to %s /v3%s is over the limit of %d MiB, or of %d values, and is not read",
			method, path, managementLimit>>20, manyValues), errTooLarge}
	}
	return about{fmt.Errorf("%s answered %s /v3%s with something that is no Management API answer: "+
		m.Names.of("URL")+" must be the Management API of your connector (%w)", m.where(), method, path,
		err), ErrSettings}
}

// read reads an answer of at most limit bytes. What it holds beyond alwaysRead is taken
// from the room and must be given back. whole is false where there is more than limit,
// or than there has been room for.
func (m *Management) read(
	ctx context.Context, body io.Reader, limit int,
) (data []byte, held int64, whole bool, err error) {
	data = make([]byte, 0, alwaysRead)
	for {
		var n int
		n, err = body.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		switch {
		case err == io.EOF:
			return data, held, true, nil
		case err != nil:
			return data, held, false, err
		case len(data) < cap(data):
			continue
		}
		more := min(cap(data), limit-cap(data))
		if more <= 0 {
			_, err = io.ReadFull(body, make([]byte, 1))
			return data, held, err == io.EOF, nil
		}
		if !m.take(ctx, int64(more)) {
			return data, held, false, nil
		}
		held += int64(more)
		data = append(make([]byte, 0, cap(data)+more), data...)
	}
}

// take waits a moment for room.
func (m *Management) take(ctx context.Context, n int64) bool {
	if m.room == nil {
		return true
	}
	for end := time.Now().Add(roomPatience); !m.room.Take(m.who, n); {
		if sleep(ctx, 50*time.Millisecond) != nil || time.Now().After(end) {
			return false
		}
	}
	return true
}

func (m *Management) give(n int64) {
	if m.room != nil && n > 0 {
		m.room.Give(m.who, n)
	}
}

// where is the URL without what may be secret in it.
func (m *Management) where() string {
	u, err := url.Parse(m.URL)
	if err != nil {
		return m.Names.of("URL")
	}
	return u.Redacted()
}

func (m *Management) refused(method, path string, resp *http.Response, data []byte) error {
	said, isJSON := said(data)
	r := &refusal{status: resp.StatusCode, ofWay: path != checkPath && isOfWay(path)}
	switch {
	case errors.Is(r, ErrSettings) && r.status/100 == 4:
		r.sentence = fmt.Sprintf(
			"your connector at %s does not take the key (%d): set "+m.Names.of("Key")+" to its API key", m.where(),
			r.status)
	case r.status/100 == 3:
		r.sentence = fmt.Sprintf("your connector at %s redirects to %s: "+
			"set "+m.Names.of("URL")+" to the Management API itself, not to a login or another address",
			m.where(), shortened(resp.Header.Get("Location"), longestInside))
	// an object that is not there is answered in JSON; a path that is not there is not
	case r.status == http.StatusNotFound && isJSON:
		r.sentence = fmt.Sprintf("your connector knows nothing of %s: %s", path, said)
	case r.status == http.StatusNotFound || r.status == http.StatusMethodNotAllowed:
		r.status, r.absent = 0, true // not to be taken for a missing object
		r.sentence = fmt.Sprintf(
			"there is no Management API v3 at %s/v3 (%d for %s): "+m.Names.of("URL")+" must end before /v3 (often "+
				"in /management), and the connector must be a tractusx-edc of version 0.7 or later", m.where(),
			resp.StatusCode, path)
	case r.status/100 == 5:
		r.sentence = fmt.Sprintf("your connector failed at %s /v3%s (%d): %s; its log says more", method, path,
			r.status, said)
	default:
		r.sentence = fmt.Sprintf("your connector refused %s /v3%s (%d): %s", method, path, r.status, said)
	}
	return r
}

// isOfWay: an answer to this path is about one negotiation, transfer or token.
func isOfWay(path string) bool {
	for _, collection := range []string{"/edrs/", "/contractnegotiations", "/transferprocesses"} {
		if strings.HasPrefix(path, collection) {
			return true
		}
	}
	return false
}

// said is the reason in an answer of the connector: the messages of its JSON,
// or the words of an HTML page of its web server.
func said(data []byte) (text string, isJSON bool) {
	w := wordsOf(data)
	if text = strings.Join(w.messages, "; "); !w.isList {
		text = plain(string(data))
	} else if w.more > 0 {
		text += fmt.Sprintf("; and %d more", w.more)
	}
	if text == "" {
		text = "it gives no reason, its log may"
	}
	return text, w.isList
}

// query reads all objects of a collection that satisfy the criteria, page by page.
func (m *Management) query(ctx context.Context, collection string, filter []criterion) ([]map[string]any, error) {
	page := 500
	var all []map[string]any
	for {
		var some []map[string]any
		err := m.call(ctx, "POST", "/"+collection+"/request", map[string]any{
			"@context": edcContext, "@type": "QuerySpec", "offset": len(all), "limit": page, "filterExpression": filter,
		}, &some)
		if errors.Is(err, errTooLarge) && page > 1 {
			page /= 2
			continue
		}
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

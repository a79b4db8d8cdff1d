package edc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"
)

// The dataspace protocols that we speak.
const (
	DSP08   = "dataspace-protocol-http"
	DSP2025 = "dataspace-protocol-http:2025-1" // partners are DIDs, and a catalogue has no prefixes
)

// line is our connector's line to a partner's connector: the steps from the catalogue to the data plane.
type line struct {
	Management *Management // of our own connector
	partner    string      // the partner's BPNL; its DID where the protocol is DSP2025
	address    string      // DSP address of the partner's connector
	protocol   string      // DSP08 or DSP2025
	say        func(format string, args ...any)
	pause      time.Duration // between two looks at a negotiation or transfer
}

// Answer is what came back for one message.
type Answer struct {
	Status      int
	ContentType string
	Body        []byte // its first MiB
	Took        time.Duration
	RetryAfter  time.Duration // as asked for; 0: not

	held int64 // of Body, in the room of the Management
}

// Accepted reports whether the receiver took the message: the status is 2xx, and what
// came with it is no web page. Where it is one, words say what it shows.
func (a *Answer) Accepted() (accepted bool, words string) {
	if a.Status/100 == 2 && isPage(a) {
		return false, fmt.Sprintf("a login page or gateway answered in place of the partner's receiver "+
			"(%d, a web page: %s): nothing was stored; the partner's operations must look at what stands before it",
			a.Status, pageWords(a.Body))
	}
	return a.Status/100 == 2, ""
}

// Stored is an answer as the receiver keeps it for fetching (GET /messages).
type Stored struct {
	ID         string          `json:"id"`
	MessageID  string          `json:"messageId"`
	Endpoint   string          `json:"endpoint"`
	ReceivedAt string          `json:"receivedAt"`
	Status     int             `json:"status"`
	Answer     json.RawMessage `json:"answer"`
}

// MessageID is the messageId in the header of a message, "" where it has none.
func MessageID(body []byte) string {
	var m struct {
		MessageHeader struct {
			Header struct{ MessageID any }
		}
	}
	_ = json.Unmarshal(body, &m) // a message need not be readable to be sent
	id, _ := m.MessageHeader.Header.MessageID.(string)
	return id
}

// AnsweredCode finds the receiver's own status in the 500 that an asset of
// type HttpData makes of it, 0 where it is not said. denied: it was 401, 403 or
// 404, which the data plane does not tell apart.
func AnsweredCode(a *Answer) (code int, denied bool) {
	if a.Status != http.StatusInternalServerError {
		return 0, false
	}
	said := wordsOf(a.Body)
	switch {
	case !said.isPlane: // the page of a data plane that could not reach the receiver
		return 0, false
	case len(said.strings) == 0:
		return 0, true
	}
	if m := answered.FindStringSubmatch(said.strings[0]); m != nil {
		code, _ = strconv.Atoi(m[1])
	}
	return code, false
}

var answered = regexp.MustCompile(`^Received code transferring HTTP data: (\d{3}) `)

func (l *line) request(ctx context.Context, method, to, token string, body []byte) (*Answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, to, bytes.NewReader(body))
	if err != nil { // its words have the address, which may have a password in it
		return nil, about{errors.New("the partner's connector names an address of its data plane that is no URL: " +
			"its operations must correct it"), errEnded}
	}
	req.Header.Set("Authorization", token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	start := time.Now()
	resp, err := l.Management.Client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil,
				about{fmt.Errorf(
					"no answer from the partner's data plane in time (%w): the message may have been stored; send "+
						"it again, a repeat does no harm", ctx.Err()), ErrUnreachable}
		}
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		return nil,
			about{fmt.Errorf(
				"the partner's data plane at %s cannot be reached from here (%w): send from a machine that may "+
					"reach it, or ask the partner whether it is up", req.URL.Host, err), ErrUnreachable}
	}
	defer resp.Body.Close()
	data, held, _, err := l.Management.read(ctx, resp.Body, answerLimit)
	if err != nil {
		l.Management.give(held)
		return nil,
			about{fmt.Errorf("the partner's data plane broke off its answer (%w): send again, a repeat does no harm",
				err), ErrUnreachable}
	}
	seconds, _ := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 16) // a date is not what receivers send
	return &Answer{Status: resp.StatusCode, ContentType: resp.Header.Get("Content-Type"), Body: data,
		Took: time.Since(start), RetryAfter: time.Duration(seconds) * time.Second, held: held}, nil
}

// edr is where to send, and a token for it, renewed where it has run out. fresh: the transfer has just
// started.
func (l *line) edr(ctx context.Context, transfer string, fresh bool) (endpoint, token string, err error) {
	tries := 1
	if fresh {
		tries = 50 // the token is there a moment after the start of the transfer
	}
	for range tries {
		var got map[string]any
		err = l.Management.call(ctx, "GET", "/edrs/"+url.PathEscape(transfer)+"/dataaddress?auto_refresh=true", nil,
			&got)
		if err == nil {
			address, _ := terms{}.expand(got).(map[string]any)
			endpoint, token = stringIn(address, "endpoint"), stringIn(address, "authorization")
			if endpoint == "" || token == "" || strings.ContainsFunc(token, unicode.IsControl) {
				return "", "", about{errors.New("your connector gave no endpoint and token for the transfer"), errEnded}
			}
			return endpoint, token, nil
		}
		if !notFound(err) {
			break
		}
		if err := l.sleep(ctx, 0); err != nil {
			return "", "", err
		}
	}
	return "", "", fmt.Errorf("your connector has no token for the transfer, or cannot refresh it (%w)", err)
}

// patience is how many waits, each of a minute at most, a negotiation or transfer has to
// end or start.
const patience = 3

// negotiate finds the asset and begins a negotiation about it.
func (l *line) negotiate(ctx context.Context, kind Kind, asset string) (id, negotiation string, err error) {
	l.say("1. Looking into the catalogue of %s for its %s.", l.partner, kind.words)
	id, offer, context, err := l.find(ctx, kind, asset)
	if err != nil {
		return "", "", err
	}
	policy, _ := terms{}.with(context).expand(offer).(map[string]any)
	l.say("   Found asset %s; its conditions: %s.", id, Clean(rules(policy)))

	l.say("2. Agreeing on a contract for it.")
	offer = maps.Clone(offer)
	// the offer is sent back as it came, so its own context comes along
	contexts := append(list(context), map[string]any{"@vocab": edcNS, "odrl": odrlNS})
	if l.protocol == DSP2025 {
		offer["assigner"], offer["target"] = l.partner, id
		contexts = []any{dspaceProfile, policyContext, edcContext}
	} else {
		offer["odrl:assigner"] = map[string]any{"@id": l.partner}
		offer["odrl:target"] = map[string]any{"@id": id}
	}
	var started struct {
		ID string `json:"@id"`
	}
	err = l.Management.call(ctx, "POST", "/contractnegotiations", map[string]any{
		"@context": contexts, "@type": "ContractRequest", "protocol": l.protocol,
		"counterPartyAddress": l.address, "counterPartyId": l.partner, "policy": offer,
	}, &started)
	if err == nil {
		err = checkID(started.ID)
	}
	if err != nil {
		return "", "", fmt.Errorf("the negotiation could not be started: %w", err)
	}
	return id, started.ID, nil
}

// agreed waits for the end of a negotiation.
func (l *line) agreed(ctx context.Context, negotiation string) (agreement string, err error) {
	got, err := l.wait(ctx, "/contractnegotiations/"+url.PathEscape(negotiation), "FINALIZED")
	if errors.Is(err, context.Canceled) {
		return "", err
	} else if err != nil {
		return "",
			fmt.Errorf(
				"no contract came about: %w. Your wallet must hold the credentials for the conditions above, the "+
					"partner's BPNL must be the one of the connector at %s, and that connector must be able to "+
					"reach yours", err, l.address)
	}
	agreement = string(got.Agreement)
	if err := checkID(agreement); err != nil {
		return "", fmt.Errorf("no contract came about: %w", about{err, errEnded})
	}
	l.say("   Agreed: contract agreement %s.", agreement)
	return agreement, nil
}

// begin begins a transfer under an agreement.
func (l *line) begin(ctx context.Context, asset, agreement string) (id string, err error) {
	l.say("3. Starting a transfer, which opens the way to the partner's data plane.")
	var started struct {
		ID string `json:"@id"`
	}
	err = l.Management.call(ctx, "POST", "/transferprocesses", map[string]any{
		"@context": edcContext, "@type": "TransferRequest", "protocol": l.protocol,
		"counterPartyAddress": l.address, "connectorId": l.partner, "contractId": agreement, "assetId": asset,
		"transferType": "HttpData-PULL", "dataDestination": map[string]any{"type": "HttpProxy"},
	}, &started)
	if err == nil {
		err = checkID(started.ID)
	}
	if err != nil {
		return "", fmt.Errorf("the transfer could not be started: %w", err)
	}
	return started.ID, nil
}

// started waits until a transfer runs.
func (l *line) started(ctx context.Context, transfer string) error {
	if _, err := l.wait(ctx, "/transferprocesses/"+url.PathEscape(transfer), "STARTED"); errors.Is(err,
		context.Canceled) {
		return err
	} else if err != nil {
		return fmt.Errorf(
			"the transfer did not start: %w. The partner's data plane may be down: its operations must look", err)
	}
	l.say("   Open: transfer %s.", transfer)
	return nil
}

// checkID: an ID is kept, so it must be one, and fit to be stored.
func checkID(id string) error {
	if id == "" || len(id) > longest || !isClean(id) {
		return errors.New("the connector gave no ID, or one that cannot be kept")
	}
	return nil
}

// find asks the catalogue by today's property and by CX-0048's, or by ID. It
// returns the asset's ID, its offer as it came, and the context to read it by.
func (l *line) find(ctx context.Context, kind Kind, asset string) (string, map[string]any, any, error) {
	filters := []criterion{{OperandLeft: "'" + dctNS + "type'.'@id'", Operator: "=", OperandRight: kind.dct}}
	if kind.dcm != "" {
		filters = append(filters, criterion{OperandLeft: dcmProperty, Operator: "=", OperandRight: kind.dcm})
	}
	if asset != "" {
		filters = []criterion{{OperandLeft: edcNS + "id", Operator: "=", OperandRight: asset}}
	}
	offers := map[string]offered{}
	for _, f := range filters {
		err := l.Management.fetch(ctx, "/v3", "POST", "/catalog/request", map[string]any{
			"@context": edcContext, "@type": "CatalogRequest", "protocol": l.protocol,
			"counterPartyAddress": l.address, "counterPartyId": l.partner,
			"querySpec": map[string]any{"@type": "QuerySpec", "offset": 0, "limit": 50,
				"filterExpression": []criterion{f}},
		}, func(data []byte) error { return readCatalogue(data, asset != "", offers) })
		if r, ok := errors.AsType[*refusal](err); ok && r.status/100 == 5 {
			return "", nil, nil,
				fmt.Errorf(
					"your connector could not get the catalogue of %s: the DSP address %s must be that of the "+
						"partner's connector (often ending in /api/v1/dsp) and reachable from yours (%w)", l.partner,
					l.address, err)
		}
		if errors.Is(err, errTooLarge) {
			return "", nil, nil,
				fmt.Errorf("the catalogue of %s is too large: the partner must show you fewer assets (%w)",
					l.partner, err)
		}
		if err != nil {
			return "", nil, nil, err
		}
	}
	// of several versions the highest that we speak
	highest := -1
	for _, o := range offers {
		highest = max(highest, o.version)
	}
	maps.DeleteFunc(offers, func(_ string, o offered) bool { return o.version < highest })
	ids := slices.Sorted(maps.Keys(offers))
	switch {
	case len(ids) == 1:
		return offers[ids[0]].decoded(ids[0])
	case len(ids) > 1:
		return "", nil, nil,
			&SeveralAssets{ids}
	case asset != "":
		return "", nil, nil,
			noOffer("the catalogue of %s shows your connector no asset %s: it is not registered, or not for your BPNL",
				l.partner, asset)
	}
	return "", nil, nil,
		noOffer("the catalogue of %s shows your connector no %s: the partner has not registered it, or not for "+
			"your BPNL; ask the partner to register it and to allow your BPNL", l.partner, kind.words)
}

// SeveralAssets means that a partner shows several assets of one kind: it may show only one (CX-0048
// §3.2.5), and which of them is meant is not known. It is an ErrNoOffer too.
type SeveralAssets struct{ IDs []string }

func (e *SeveralAssets) Error() string {
	return fmt.Sprintf("the partner shows you several assets of this kind: %s; tell the partner, who may show "+
		"only one "+
		"(CX-0048 §3.2.5)", strings.Join(e.IDs, ", "))
}

// Is makes it an ErrNoOffer.
func (e *SeveralAssets) Is(target error) bool { return target == ErrNoOffer }

func noOffer(format string, args ...any) error { return about{fmt.Errorf(format, args...), ErrNoOffer} }

// speaks is the highest major version of the endpoints that we speak (CX-0128 §4.1.2.5).
const speaks = 2

// majorOf is the first number of a version, 0 where there is none.
func majorOf(version string) int {
	major, _, _ := strings.Cut(version, ".")
	n, _ := strconv.Atoi(major)
	return n
}

// offered is the first offer of an asset, as it came.
type offered struct {
	policy, context jsontext.Value
	version         int
}

const (
	manyOffers      = 100    // assets of one kind: more than one is too many
	manyOfferValues = 10_000 // of one offer
)

// decoded is what find returns of the offer of an asset.
func (o offered) decoded(id string) (string, map[string]any, any, error) {
	var policy map[string]any
	var context any
	err := decode(o.policy, manyOfferValues, &policy)
	if err == nil && o.context != nil {
		err = decode(o.context, manyOfferValues, &context)
	}
	if err != nil {
		return "", nil, nil, fmt.Errorf("the offer of asset %s cannot be read (%w): the partner must correct it", id,
			err)
	}
	return id, policy, context, nil
}

// readCatalogue adds the assets of a catalogue that have an offer, one after the other:
// what else is in it takes no memory. named: whatever their version.
func readCatalogue(data []byte, named bool, offers map[string]offered) error {
	d := decoder(data)
	if d.PeekKind() != '{' {
		return errors.New("not a catalogue")
	}
	var context jsontext.Value
	found := map[string]offered{}
	err := members(d, func(name string) (err error) {
		switch {
		case name == "@context":
			context, err = clonedValue(d)
		case isNamed(name, "dataset"):
			err = elements(d, func() error {
				id, o, err := readDataset(d)
				isOffer := o.policy != nil && checkID(id) == nil && (named || o.version <= speaks)
				if err == nil && isOffer && len(found) < manyOffers {
					found[id] = o
				}
				return err
			})
		}
		return err
	})
	for id, o := range found {
		o.context = context
		offers[id] = o
	}
	return err
}

func readDataset(d *jsontext.Decoder) (id string, o offered, err error) {
	err = members(d, func(name string) error {
		switch {
		case name == "@id":
			id = textOf(d)
		case isNamed(name, "version"):
			o.version = max(o.version, majorOf(textOf(d)))
		case isNamed(name, "hasPolicy"):
			return elements(d, func() (err error) {
				if o.policy == nil && d.PeekKind() == '{' {
					o.policy, err = clonedValue(d)
				}
				return err
			})
		}
		return nil
	})
	return id, o, err
}

// isNamed: a name, whatever prefix the connector puts before it.
func isNamed(k, name string) bool {
	return k == name || strings.HasSuffix(k, ":"+name) || strings.HasSuffix(k, "#"+name) ||
		strings.HasSuffix(k, "/"+name)
}

func clonedValue(d *jsontext.Decoder) (jsontext.Value, error) {
	v, err := d.ReadValue()
	return v.Clone(), err
}

// progress is how far a negotiation or transfer has come.
type progress struct {
	State       optional
	ErrorDetail optional
	Agreement   optional `json:"contractAgreementId"`
}

// optional is a text, or "" where there is another value.
type optional string

// UnmarshalJSON takes any value.
func (o *optional) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) == nil {
		*o = optional(text)
	}
	return nil
}

// wait asks until the state is the one wanted.
func (l *line) wait(ctx context.Context, path, state string) (*progress, error) {
	caller := ctx
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	now := "not begun"
	begun := time.Now()
	next := begun.Add(5 * time.Second)
	for {
		var got progress
		if err := l.Management.call(ctx, "GET", path, nil, &got); err != nil && ctx.Err() == nil {
			return nil, err
		} else if err == nil {
			now = shortened(string(got.State), 40)
			switch now {
			case state:
				return &got, nil
			case "TERMINATED":
				detail := plain(string(got.ErrorDetail))
				if detail == "" {
					detail = "no reason given"
				}
				return nil, about{fmt.Errorf("ended by the connectors (%s)", detail), errEnded}
			}
		}
		if time.Now().After(next) {
			l.say("   Still %s after %.0f s; waiting for a minute at most.", now, time.Since(begun).Seconds())
			next = next.Add(5 * time.Second)
		}
		// Many may wait at once, of partners that do not answer: the longer, the seldomer.
		if l.sleep(ctx, time.Since(begun)/20) != nil {
			if errors.Is(caller.Err(), context.Canceled) {
				return nil,
					fmt.Errorf(
						"interrupted while the connectors were still at %s; the next call goes on from there (%w)", now,
						caller.Err())
			}
			err := fmt.Errorf("still %s after %.0f s", now, time.Since(begun).Seconds())
			return nil, about{about{err, ErrUnreachable}, errWaited}
		}
	}
}

func (l *line) sleep(ctx context.Context, more time.Duration) error {
	pause := l.pause
	if pause == 0 {
		pause = 200 * time.Millisecond
	}
	return sleep(ctx, pause+more)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

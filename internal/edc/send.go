package edc

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The dataspace protocols that we speak.
const (
	DSP08   = "dataspace-protocol-http"
	DSP2025 = "dataspace-protocol-http:2025-1" // partners are DIDs, and a catalogue has no prefixes
)

// Supplier sends through its own connector to a customer's. Once a way is
// open, several goroutines may use it.
type Supplier struct {
	Management *Management // of the supplier's own connector
	Customer   string      // the customer's BPNL; its DID where Protocol is 2025-1
	Address    string      // DSP address of the customer's connector
	Protocol   string      // dataspace-protocol-http, or dataspace-protocol-http:2025-1
	Cache      string      // folder in which open transfers are remembered, "" for none
	Say        func(format string, args ...any)

	pause time.Duration        // between two questions how far the connectors are
	lock  sync.Mutex           // of ways
	ways  map[string]*transfer // opened by this process
}

// transfer is an open way to an asset. The token for it is not kept: the
// connector holds it and hands out a fresh one.
type transfer struct {
	Asset     string `json:"asset"`
	Agreement string `json:"agreement,omitempty"`
	ID        string `json:"transfer,omitempty"`

	// Negotiation is one that was begun; while there is no Agreement, its end was not seen.
	Negotiation string `json:"negotiation,omitempty"`

	used bool      // before, so it may have ended since
	kept time.Time // in its file
}

// Answer is what came back for one message.
type Answer struct {
	Status      int
	ContentType string
	Body        []byte
	Took        time.Duration
	RetryAfter  time.Duration // as asked for; 0: not
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

// Open finds the customer's asset of a kind, or the one named, agrees on a
// contract and starts a transfer; or it reuses what an earlier call opened, unless
// anew.
func (s *Supplier) Open(ctx context.Context, kind Kind, asset string, anew bool) error {
	_, endpoint, _, err := s.ready(ctx, kind, asset, anew)
	if err == nil {
		s.Say("Ready: the partner's data plane is at %s.", endpoint)
	}
	return err
}

// Post sends one message. The first one opens the way.
func (s *Supplier) Post(ctx context.Context, kind Kind, asset string, body []byte) (*Answer, error) {
	return s.through(ctx, kind, asset, "POST", "", body)
}

// Reason fetches the stored answer to a message: by its messageId or, where it
// had none, the sender's latest refused one. Most connectors turn every refusal
// into a bare 500, so this is how the reason arrives.
func (s *Supplier) Reason(ctx context.Context, messageID string) (*Stored, error) {
	rest := "?refused=true&limit=1"
	if messageID != "" {
		rest = "/" + url.PathEscape(messageID)
	}
	a, err := s.through(ctx, Messages, "", "GET", rest, nil)
	switch {
	case err != nil:
		return nil, fmt.Errorf("the reason cannot be fetched: %w", err)
	case a.Status != http.StatusOK:
		return nil, fmt.Errorf("the receiver has no answer to this message (%d), so whether it was stored is not known: send it again, a repeat does no harm; if that goes on, the partner's operations must look", a.Status)
	}
	var one Stored
	var page struct{ Messages []Stored }
	if messageID != "" {
		err = json.Unmarshal(a.Body, &one)
	} else if err = json.Unmarshal(a.Body, &page); err == nil {
		if len(page.Messages) == 0 {
			return nil, errors.New("the receiver has no refused message of yours, so what became of this one is not known: send it again, a repeat does no harm")
		}
		one = page.Messages[0]
	}
	if err != nil || one.Status == 0 {
		return nil, errors.New("what the partner offers for fetching answers is not dcm-receiver's")
	}
	return &one, nil
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
	var said struct{ Errors []string }
	if a.Status != http.StatusInternalServerError || json.Unmarshal(a.Body, &said) != nil || said.Errors == nil {
		return 0, false // the page of a data plane that could not reach the receiver
	}
	if len(said.Errors) == 0 {
		return 0, true
	}
	if m := answered.FindStringSubmatch(said.Errors[0]); m != nil {
		code, _ = strconv.Atoi(m[1])
	}
	return code, false
}

var answered = regexp.MustCompile(`^Received code transferring HTTP data: (\d{3}) `)

// through sends one request on the way to an asset, opening it where needed.
func (s *Supplier) through(ctx context.Context, kind Kind, asset, method, rest string, body []byte) (*Answer, error) {
	for anew := false; ; anew = true {
		t, endpoint, token, err := s.ready(ctx, kind, asset, anew)
		if err != nil {
			return nil, err
		}
		a, err := s.request(ctx, method, strings.TrimRight(endpoint, "/")+rest, token, body)
		if err != nil {
			return nil, err
		}
		// the receiver words its refusals as problem documents; this one is the data plane's own
		refused := (a.Status == http.StatusUnauthorized || a.Status == http.StatusForbidden) && !strings.HasPrefix(a.ContentType, "application/problem+json")
		if !refused {
			return a, nil
		}
		if !t.used {
			return nil, fmt.Errorf("the partner's data plane refused the token (%d: %s): send again with --new; if that does not help, the partner has withdrawn the contract", a.Status, plain(string(a.Body)))
		}
		s.Say("The partner's data plane no longer accepts this transfer: opening a new one.")
	}
}

// ready is an open way, with where it leads and the token for it. One that the
// customer has ended since is opened anew.
func (s *Supplier) ready(ctx context.Context, kind Kind, asset string, anew bool) (t *transfer, endpoint, token string, err error) {
	if t, err = s.open(ctx, kind, asset, anew); err != nil {
		return nil, "", "", err
	}
	endpoint, token, err = s.edr(ctx, t)
	if _, refused := errors.AsType[*refusal](err); refused && t.used {
		s.Say("Your connector no longer knows this transfer, or cannot refresh its token: opening a new one.")
		if t, err = s.open(ctx, kind, asset, true); err != nil {
			return nil, "", "", err
		}
		endpoint, token, err = s.edr(ctx, t)
	}
	return t, endpoint, token, err
}

func (s *Supplier) request(ctx context.Context, method, to, token string, body []byte) (*Answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, to, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	start := time.Now()
	resp, err := s.Management.Client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, about{fmt.Errorf("no answer from the partner's data plane in time (%w): the message may have been stored; send it again, a repeat does no harm", ctx.Err()), ErrUnreachable}
		}
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		return nil, about{fmt.Errorf("the partner's data plane at %s cannot be reached from here (%w): send from a machine that may reach it, or ask the partner whether it is up", req.URL.Host, err), ErrUnreachable}
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit))
	if err != nil {
		return nil, about{fmt.Errorf("the partner's data plane broke off its answer (%w): send again, a repeat does no harm", err), ErrUnreachable}
	}
	seconds, _ := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 16) // a date is not what receivers send
	return &Answer{resp.StatusCode, resp.Header.Get("Content-Type"), data, time.Since(start), time.Duration(seconds) * time.Second}, nil
}

// edr is where to send and the token for it, a fresh one where the old has run out.
func (s *Supplier) edr(ctx context.Context, t *transfer) (endpoint, token string, err error) {
	tries := 1
	if !t.used {
		tries = 50 // after the start of a transfer it takes a moment until the token is there
	}
	for range tries {
		var got map[string]any
		err = s.Management.call(ctx, "GET", "/edrs/"+url.PathEscape(t.ID)+"/dataaddress?auto_refresh=true", nil, &got)
		if err == nil {
			address, _ := terms{}.expand(got).(map[string]any)
			endpoint, _ = address[edcNS+"endpoint"].(string)
			token, _ = address[edcNS+"authorization"].(string)
			if endpoint == "" || token == "" {
				return "", "", errors.New("your connector gave no endpoint and token for the transfer: send again with --new")
			}
			return endpoint, token, nil
		}
		if !notFound(err) {
			break
		}
		if err := s.sleep(ctx, 0); err != nil {
			return "", "", err
		}
	}
	return "", "", fmt.Errorf("your connector has no token for the transfer, or cannot refresh it: send again with --new (%w)", err)
}

func (s *Supplier) open(ctx context.Context, kind Kind, asset string, anew bool) (*transfer, error) {
	file := s.file(kind, asset)
	way := kind.dct + " " + asset
	if !anew {
		s.lock.Lock()
		t := s.ways[way]
		s.lock.Unlock()
		if t != nil {
			return t, nil
		}
		if t := remembered(file); t != nil && t.ID != "" {
			s.Say("Reusing contract agreement %s and transfer %s of %s for asset %s.", t.Agreement, t.ID, t.kept.UTC().Format("2006-01-02 15:04 UTC"), t.Asset)
			s.keep(way, t)
			return t, nil
		}
	}
	t := &transfer{}
	if begun := remembered(file); begun != nil && begun.ID == "" && !anew {
		t = begun
	}
	err := s.handshake(ctx, kind, asset, t, func() {
		if file != "" {
			if err := remember(file, t); err != nil {
				s.Say("Agreement and transfer cannot be kept for later calls: %v", err)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	t.used = false
	s.keep(way, t)
	return t, nil
}

func (s *Supplier) keep(way string, t *transfer) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if s.ways == nil {
		s.ways = map[string]*transfer{}
	}
	used := *t
	used.used = true
	s.ways[way] = &used
}

// handshake is catalogue, negotiation and transfer. It fills t, goes on where an
// earlier call that was interrupted had come to, and calls done after each step.
func (s *Supplier) handshake(ctx context.Context, kind Kind, asset string, t *transfer, done func()) (err error) {
	if t.Negotiation != "" && t.Agreement == "" {
		s.Say("Going on with the negotiation %s that was begun.", t.Negotiation)
		if t.Agreement, err = s.agreed(ctx, t.Negotiation); ended(err) {
			s.Say("It has come to nothing: beginning another one.")
			*t = transfer{}
		} else if err != nil {
			return err
		}
	}
	if t.Agreement == "" {
		if t.Asset, t.Negotiation, err = s.negotiate(ctx, kind, asset); err != nil {
			return err
		}
		done()
		if t.Agreement, err = s.agreed(ctx, t.Negotiation); err != nil {
			return err
		}
	}
	if t.ID, err = s.start(ctx, t.Asset, t.Agreement); err != nil {
		return err
	}
	done()
	return nil
}

// negotiate finds the asset and begins a negotiation about it.
func (s *Supplier) negotiate(ctx context.Context, kind Kind, asset string) (id, negotiation string, err error) {
	s.Say("1. Looking into the catalogue of %s for its %s.", s.Customer, kind.words)
	id, offer, context, err := s.find(ctx, kind, asset)
	if err != nil {
		return "", "", err
	}
	policy, _ := terms{}.with(context).expand(offer).(map[string]any)
	s.Say("   Found asset %s; its conditions: %s.", id, rules(policy))

	s.Say("2. Agreeing on a contract for it.")
	offer = maps.Clone(offer)
	// the offer is sent back as it came, so its own context comes along
	contexts := append(list(context), map[string]any{"@vocab": edcNS, "odrl": odrlNS})
	if s.Protocol == DSP2025 {
		offer["assigner"], offer["target"] = s.Customer, id
		contexts = []any{dspaceProfile, policyContext, edcContext}
	} else {
		offer["odrl:assigner"] = map[string]any{"@id": s.Customer}
		offer["odrl:target"] = map[string]any{"@id": id}
	}
	var started struct {
		ID string `json:"@id"`
	}
	err = s.Management.call(ctx, "POST", "/contractnegotiations", map[string]any{
		"@context": contexts, "@type": "ContractRequest", "protocol": s.Protocol,
		"counterPartyAddress": s.Address, "counterPartyId": s.Customer, "policy": offer,
	}, &started)
	if err != nil {
		return "", "", fmt.Errorf("the negotiation could not be started: %w", err)
	}
	return id, started.ID, nil
}

// agreed waits for the end of a negotiation.
func (s *Supplier) agreed(ctx context.Context, negotiation string) (agreement string, err error) {
	got, err := s.wait(ctx, "/contractnegotiations/"+url.PathEscape(negotiation), "FINALIZED")
	if errors.Is(err, context.Canceled) {
		return "", err
	} else if err != nil {
		return "", fmt.Errorf("no contract came about: %w. Your wallet must hold the credentials for the conditions above, the partner's BPNL must be the one of the connector at %s, and that connector must be able to reach yours", err, s.Address)
	}
	agreement, _ = got["contractAgreementId"].(string)
	s.Say("   Agreed: contract agreement %s.", agreement)
	return agreement, nil
}

// start begins a transfer under an agreement and waits until it runs.
func (s *Supplier) start(ctx context.Context, asset, agreement string) (id string, err error) {
	s.Say("3. Starting a transfer, which opens the way to the partner's data plane.")
	var started struct {
		ID string `json:"@id"`
	}
	err = s.Management.call(ctx, "POST", "/transferprocesses", map[string]any{
		"@context": edcContext, "@type": "TransferRequest", "protocol": s.Protocol,
		"counterPartyAddress": s.Address, "connectorId": s.Customer, "contractId": agreement, "assetId": asset,
		"transferType": "HttpData-PULL", "dataDestination": map[string]any{"type": "HttpProxy"},
	}, &started)
	if err != nil {
		return "", fmt.Errorf("the transfer could not be started: %w", err)
	}
	if _, err := s.wait(ctx, "/transferprocesses/"+url.PathEscape(started.ID), "STARTED"); errors.Is(err, context.Canceled) {
		return "", err
	} else if err != nil {
		return "", fmt.Errorf("the transfer did not start: %w. The partner's data plane may be down: its operations must look", err)
	}
	s.Say("   Open: transfer %s.", started.ID)
	return started.ID, nil
}

// find asks the catalogue by today's property and by CX-0048's, or by ID. It
// returns the asset's ID, its offer as it came, and the context to read it by.
func (s *Supplier) find(ctx context.Context, kind Kind, asset string) (string, map[string]any, any, error) {
	filters := []criterion{{OperandLeft: "'" + dctNS + "type'.'@id'", Operator: "=", OperandRight: kind.dct}}
	if kind.dcm != "" {
		filters = append(filters, criterion{OperandLeft: dcmProperty, Operator: "=", OperandRight: kind.dcm})
	}
	if asset != "" {
		filters = []criterion{{OperandLeft: edcNS + "id", Operator: "=", OperandRight: asset}}
	}
	type found struct {
		offer   map[string]any
		context any
		version int
	}
	offers := map[string]found{}
	for _, f := range filters {
		var catalog map[string]any
		err := s.Management.call(ctx, "POST", "/catalog/request", map[string]any{
			"@context": edcContext, "@type": "CatalogRequest", "protocol": s.Protocol,
			"counterPartyAddress": s.Address, "counterPartyId": s.Customer,
			"querySpec": map[string]any{"@type": "QuerySpec", "offset": 0, "limit": 50, "filterExpression": []criterion{f}},
		}, &catalog)
		if r, ok := errors.AsType[*refusal](err); ok && r.status/100 == 5 {
			return "", nil, nil, fmt.Errorf("your connector could not get the catalogue of %s: the DSP address %s must be that of the partner's connector (often ending in /api/v1/dsp) and reachable from yours (%w)", s.Customer, s.Address, err)
		}
		if err != nil {
			return "", nil, nil, err
		}
		for _, e := range list(field(catalog, "dataset")) {
			d, _ := e.(map[string]any)
			id, _ := d["@id"].(string)
			policies := list(field(d, "hasPolicy"))
			if id == "" || len(policies) == 0 {
				continue
			}
			offer, ok := policies[0].(map[string]any)
			if major := majorOf(field(d, "version")); ok && (asset != "" || major <= speaks) {
				offers[id] = found{offer, catalog["@context"], major}
			}
		}
	}
	// of several versions the highest that we speak
	highest := -1
	for _, o := range offers {
		highest = max(highest, o.version)
	}
	maps.DeleteFunc(offers, func(_ string, o found) bool { return o.version < highest })
	ids := slices.Sorted(maps.Keys(offers))
	switch {
	case len(ids) == 1:
		return ids[0], offers[ids[0]].offer, offers[ids[0]].context, nil
	case len(ids) > 1:
		return "", nil, nil, about{noOffer("the partner shows you several assets of this kind: %s; choose one with --asset, and tell the partner, who may show only one (CX-0048 §3.2.5)", strings.Join(ids, ", ")), errSeveral}
	case asset != "":
		return "", nil, nil, noOffer("the catalogue of %s shows your connector no asset %s: it is not registered, or not for your BPNL", s.Customer, asset)
	}
	return "", nil, nil, noOffer("the catalogue of %s shows your connector no %s: the partner has not registered it, or not for your BPNL; ask the partner to register it and to allow your BPNL", s.Customer, kind.words)
}

func noOffer(format string, args ...any) error { return about{fmt.Errorf(format, args...), ErrNoOffer} }

// speaks is the highest major version of the endpoints that we speak (CX-0128 §4.1.2.5).
const speaks = 2

// majorOf is the first number of a version, 0 where there is none.
func majorOf(v any) int {
	major, _, _ := strings.Cut(text(v), ".")
	n, _ := strconv.Atoi(major)
	return n
}

// field is the value under a name, whatever prefix the connector puts before it.
func field(m map[string]any, name string) any {
	for k, v := range m {
		if k == name || strings.HasSuffix(k, ":"+name) || strings.HasSuffix(k, "#"+name) || strings.HasSuffix(k, "/"+name) {
			return v
		}
	}
	return nil
}

// wait asks until the state is the one wanted.
func (s *Supplier) wait(ctx context.Context, path, state string) (map[string]any, error) {
	caller := ctx
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	now := "not begun"
	begun := time.Now()
	next := begun.Add(5 * time.Second)
	for {
		var got map[string]any
		if err := s.Management.call(ctx, "GET", path, nil, &got); err != nil && ctx.Err() == nil {
			return nil, err
		} else if err == nil {
			now, _ = got["state"].(string)
			switch now {
			case state:
				return got, nil
			case "TERMINATED":
				detail, _ := got["errorDetail"].(string)
				if detail = plain(detail); detail == "" {
					detail = "no reason given"
				}
				return nil, about{fmt.Errorf("ended by the connectors (%s)", detail), errEnded}
			}
		}
		if time.Now().After(next) {
			s.Say("   Still %s after %.0f s; waiting for a minute at most.", now, time.Since(begun).Seconds())
			next = next.Add(5 * time.Second)
		}
		// Many may wait at once, of partners that do not answer: the longer, the seldomer.
		if s.sleep(ctx, time.Since(begun)/20) != nil {
			if errors.Is(caller.Err(), context.Canceled) {
				return nil, fmt.Errorf("interrupted while the connectors were still at %s; the next call goes on from there (%w)", now, caller.Err())
			}
			return nil, about{fmt.Errorf("still %s after %.0f s", now, time.Since(begun).Seconds()), ErrUnreachable}
		}
	}
}

func (s *Supplier) sleep(ctx context.Context, more time.Duration) error {
	pause := s.pause
	if pause == 0 {
		pause = 200 * time.Millisecond
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(pause + more):
		return nil
	}
}

// file is where the way to an asset is remembered.
func (s *Supplier) file(kind Kind, asset string) string {
	if s.Cache == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{s.Management.URL, s.Customer, s.Address, kind.dct, asset}, "\n")))
	return filepath.Join(s.Cache, "edr-"+hex.EncodeToString(sum[:8])+".json")
}

func remembered(file string) *transfer {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	t := transfer{used: true}
	if info, err := os.Stat(file); err == nil {
		t.kept = info.ModTime()
	}
	if json.Unmarshal(data, &t) != nil || t.ID == "" && t.Negotiation == "" {
		return nil
	}
	return &t
}

func remember(file string, t *transfer) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	data, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o600)
}

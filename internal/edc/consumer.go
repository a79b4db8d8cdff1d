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
	"slices"
	"strings"
	"time"

	"dcm-receiver/internal/fair"
)

// Partner is a company whose endpoints are called through its connector.
type Partner struct {
	BPNL     string
	Address  string // DSP address of its connector
	DID      string // as which DSP 2025-1 knows it; "" to ask
	Protocol string // DSP08 or DSP2025; "" to ask
	Entry    string // another one each time the partner is entered or changed: what was open before is void
}

// Session is what is kept between two messages to one endpoint of a partner: the agreement and the
// transfer to reuse. Several processes may share it. It holds no secret: the token stays with the
// connector, which hands out a fresh one. The zero Session has nothing open.
type Session struct {
	Asked        string // the partner as it was given; for another one the session is void
	Counterparty string // BPNL or DID, whichever the protocol wants
	Address      string
	Protocol     string
	Asset        string
	Negotiation  string // begun; its end has not been seen while there is no Agreement
	Agreement    string
	Transfer     string

	Starting string    `json:",omitempty"` // transfer that was begun; its start has not been seen
	Waits    int       `json:",omitempty"` // for Negotiation to end, or for Starting to start
	AgreedAt time.Time `json:",omitzero"`  // Agreement
	Worked   bool      `json:",omitempty"` // a request under Agreement reached the partner's receiver
	Failed   int       `json:",omitempty"` // transfers under Agreement that led nowhere since
}

// An agreement that has worked is replaced as soon as a new transfer under it fails. One
// that never has is kept, so that an end of the trouble is waited for with one agreement:
// for an hour, or until the connectors have refused some transfers over some time.
const (
	unusedAgreement  = time.Hour
	refusedAgreement = time.Minute
)

func (w *Session) mayRenew(refused bool) bool {
	age := time.Since(w.AgreedAt)
	return w.Worked || age >= unusedAgreement || refused && w.Failed >= patience && age >= refusedAgreement
}

// waited counts a wait without result, and reports whether it was the last one: what was begun is
// begun anew then, as the partner may have lost it.
func (w *Session) waited(err error) bool {
	refused, ok := errors.AsType[*refusal](err)
	if errors.Is(err, errWaited) || ok && refused.status/100 == 5 {
		w.Waits++
	}
	return w.Waits >= patience
}

// Outcome is what became of a message.
type Outcome string

// The outcomes. What is refused stays refused, however often it is sent.
const (
	Delivered Outcome = "delivered"
	Refused   Outcome = "refused"
	Later     Outcome = "later" // try again
)

// Delivery is what became of one message.
type Delivery struct {
	Outcome Outcome
	// of the receiver, where it is known: 400 also where the data plane made a 500 of it. 0: it
	// never came so far
	Status     int
	Answer     *Answer       // as it came; nil where none did
	Err        error         // why none did
	Details    string        // what a problem document says
	RetryAfter time.Duration // as the partner asked for; 0: as you like
	// Denied: Later, once the partner grants us access. It is about us, not about the message.
	Denied bool
	Reason string        // "" where delivered; else in words that say who has to do what
	Took   time.Duration // from POST to answer
}

// Consumer sends through our connector to partners', in either role. It holds
// nothing between two calls, so any number of goroutines may use it, and two
// of them that send to the same endpoint of a partner open a session each unless
// the caller hands the same to both.
type Consumer struct {
	Management *Management                      // of our own connector
	Say        func(format string, args ...any) // progress; nil: not wanted
	Room       *fair.Share                      // of what is read, by the partner's BPNL; nil: not counted
	Asset      string                           // of the partner, where its catalogue shows several; "": the only one

	Whole bool // deliveries have the whole body of an answer, up to a MiB, not its beginning alone

	pause time.Duration
}

// Send posts a message to the partner's endpoint of a kind. It takes up the session
// it is given, goes on with a step that was waited for, opens anew what the
// partner has ended since, and returns the session as it stands now, to be kept
// whatever became of the message.
func (c *Consumer) Send(ctx context.Context, p Partner, kind Kind, session Session, body []byte) (Delivery, Session) {
	c = c.counting(p)
	d, session := c.request(ctx, p, kind, session, "POST", "", body)
	c.release(d)
	return d, session
}

// release gives back the room of an answer.
func (c *Consumer) release(d Delivery) {
	if a := d.Answer; a != nil {
		c.Management.give(a.held)
		if a.held = 0; !c.Whole {
			a.Body = bytes.Clone(a.Body[:min(len(a.Body), alwaysRead)])
		}
	}
}

// counting is the consumer with what it reads counted as the partner's.
func (c *Consumer) counting(p Partner) *Consumer {
	counting, m := *c, *c.Management
	m.room, m.who = c.Room, p.BPNL
	counting.Management = &m
	return &counting
}

// Reason fetches the answer that a partner's receiver keeps of our message: through HttpData a refusal
// comes without its reason. Without a messageID it is that of our latest refused message. session is the
// one to the partner's Messages.
func (c *Consumer) Reason(ctx context.Context, p Partner, session Session, messageID string) (*Stored, Session, error) {
	c = c.counting(p)
	rest := "?refused=true&limit=1"
	if messageID != "" {
		rest = "/" + url.PathEscape(messageID)
	}
	d, session := c.request(ctx, p, Messages, session, "GET", rest, nil)
	defer c.release(d)
	switch {
	case d.Answer == nil:
		return nil, session, fmt.Errorf("the reason cannot be fetched: %w", d.Err)
	case d.Answer.Status != http.StatusOK:
		return nil, session, fmt.Errorf("the receiver has no answer to this message (%d), so whether it was stored is "+
			"not known: "+
			"send it again, a repeat does no harm; if that goes on, the partner's operations must look",
			d.Answer.Status)
	}
	var one Stored
	var page struct{ Messages [1]*Stored } // the others are skipped
	var err error
	if messageID != "" {
		err = json.Unmarshal(d.Answer.Body, &one)
	} else if err = json.Unmarshal(d.Answer.Body, &page); err == nil {
		if page.Messages[0] == nil {
			return nil, session,
				errors.New("the receiver has no refused message of yours, so what became of this one " +
					"is not " +
					"known: send it again, a repeat does no harm")
		}
		one = *page.Messages[0]
	}
	if err != nil || one.Status == 0 {
		return nil, session, errors.New("what the partner offers for fetching answers is not dcm-receiver's")
	}
	return &one, session, nil
}

// Open makes a session ready without sending. It returns where messages will go.
func (c *Consumer) Open(ctx context.Context, p Partner, kind Kind, session Session) (Session, string, error) {
	c = c.counting(p)
	opened := session.of(p).Transfer == ""
	session, err := c.ready(ctx, p, kind, session)
	if err != nil {
		return session, "", err
	}
	endpoint, _, err := c.line(session).edr(ctx, session.Transfer, opened)
	if !isLost(err) || opened {
		return session, endpoint, err
	}
	session.Transfer = "" // it has ended since
	if session, err = c.ready(ctx, p, kind, session); err == nil {
		endpoint, _, err = c.line(session).edr(ctx, session.Transfer, true)
	}
	return session, endpoint, err
}

// request is one request in a session. What was opened long ago may have ended: a
// token that is refused, or cannot be refreshed (its refresh token is used up
// where an answer was lost), takes a new transfer under the same agreement, and
// a new transfer that does no better a new agreement, where mayRenew. A partner that
// is not where it was found is looked for once.
func (c *Consumer) request(ctx context.Context, p Partner, kind Kind, session Session, method, rest string,
	body []byte) (Delivery, Session) {
	for looked := false; ; {
		session = session.of(p)
		opened := session.Transfer == ""
		now, err := c.ready(ctx, p, kind, session)
		session = now
		var d Delivery
		var lost bool
		if err != nil {
			d = later(err)
		} else {
			d, lost = c.post(ctx, kind, session, opened, method, rest, body)
		}
		if err == nil && c.goesOn(ctx, p, kind, &session, d, lost, opened) {
			c.release(d)
			continue
		}
		if looked || !d.isNobodyThere() {
			return d, session
		}
		if looked = true; !c.followed(ctx, p, &session) || ctx.Err() != nil {
			return d, session
		}
		c.release(d)
	}
}

// goesOn records the result of a request, and reports whether to open the session again now.
func (c *Consumer) goesOn(ctx context.Context, p Partner, kind Kind, session *Session, d Delivery, lost,
	opened bool) bool {
	if !lost {
		if d.Status != 0 {
			session.Worked, session.Failed = true, 0
		}
		return false
	}
	session.Transfer = ""
	if !opened || ctx.Err() != nil {
		return ctx.Err() == nil
	}
	if session.Failed++; !session.mayRenew(false) {
		return false
	}
	next, err := c.negotiate(ctx, p, kind, *session)
	*session = next
	return err == nil
}

// isNobodyThere: the message came to no receiver, perhaps because the partner has
// another address since.
func (d Delivery) isNobodyThere() bool {
	return d.Outcome == Later && !d.Denied && slices.Contains([]int{0, http.StatusNotFound, http.StatusBadGateway,
		http.StatusGatewayTimeout}, d.Status)
}

// lookUpLimit bounds the search for a partner that has given no answer in time.
const lookUpLimit = 15 * time.Second

// followed looks up anew where the partner's connector is, unless somebody entered
// that, and says whether it is somewhere else now. Its agreement is as good there;
// what was opened is not.
func (c *Consumer) followed(ctx context.Context, p Partner, session *Session) bool {
	if session.Agreement == "" && session.Negotiation == "" || errors.Is(ctx.Err(), context.Canceled) {
		return false // it was looked for just now, or no one waits for it
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookUpLimit)
	defer cancel()
	now, err := c.place(limited, p)
	if err != nil || now.Address == session.Address && now.Counterparty == session.Counterparty &&
		now.Protocol == session.Protocol {
		return false
	}
	c.line(now).say("The partner's connector is at %s now, no longer at %s.", now.Address, session.Address)
	if now.Counterparty == session.Counterparty && now.Protocol == session.Protocol && session.Agreement != "" {
		now.Asset, now.Agreement, now.AgreedAt = session.Asset, session.Agreement, session.AgreedAt
		now.Worked, now.Failed = session.Worked, session.Failed
	}
	*session = now
	return true
}

// place finds the partner's connector. The session that it returns has nothing open.
func (c *Consumer) place(ctx context.Context, p Partner) (Session, error) {
	session := Session{}.of(p)
	found, err := c.discover(ctx, p)
	if err != nil {
		return session, err
	}
	session.Counterparty, session.Address, session.Protocol = found.BPNL, found.Address, found.Protocol
	if found.Protocol == DSP2025 {
		session.Counterparty = found.DID
	}
	return session, nil
}

// post makes the request with a token. lost: the session leads nowhere any more.
func (c *Consumer) post(ctx context.Context, kind Kind, session Session, opened bool, method, rest string,
	body []byte) (d Delivery, lost bool) {
	s := c.line(session)
	endpoint, token, err := s.edr(ctx, session.Transfer, opened)
	if err != nil {
		if lost = isLost(err); lost {
			s.say("Your connector has no token for this transfer, or cannot refresh it: opening a new one.")
		}
		return later(err), lost
	}
	a, err := s.request(ctx, method, strings.TrimRight(endpoint, "/")+rest, token, body)
	if err != nil {
		return later(err), isLost(err)
	}
	if words, refuses := planeRefuses(a); refuses {
		s.say("The partner's data plane no longer accepts this transfer: opening a new one.")
		d := later(fmt.Errorf("the partner's data plane refuses the token that it gave out (%d: %s): "+
			"its operations must look, or the partner has withdrawn the contract", a.Status, words))
		c.Management.give(a.held)
		d.Took = a.Took
		return d, true
	}
	d = judge(a, kind)
	// A gateway before the data plane may have ended what was open; a new transfer
	// shows that. What goes on then has another reason.
	lost = d.Denied && !opened && (a.Status == http.StatusUnauthorized || a.Status == http.StatusForbidden) &&
		!isProblem(a)
	return d, lost
}

// of is the session as far as it still leads to where the partner is said to be.
func (w Session) of(p Partner) Session {
	asked := strings.Join([]string{p.Address, p.DID, p.Protocol}, " ")
	if p.Entry != "" && w.Asked == asked { // kept by a version that knew no entries
		w.Asked += " " + p.Entry
	}
	if p.Entry != "" {
		asked += " " + p.Entry
	}
	if w.Asked != asked {
		return Session{Asked: asked}
	}
	return w
}

// ready takes the steps of the session that are not done. Where one fails, those
// before it are kept.
func (c *Consumer) ready(ctx context.Context, p Partner, kind Kind, session Session) (Session, error) {
	session = session.of(p)
	for {
		if session.Agreement == "" {
			var err error
			if session, err = c.agree(ctx, p, kind, session); err != nil {
				return session, err
			}
		}
		if session.Transfer != "" {
			return session, nil
		}
		err := c.transfer(ctx, &session)
		if err == nil || session.Starting != "" || ctx.Err() != nil || !ended(err) && !errors.Is(err, errWaited) {
			return session, err
		}
		if session.Failed++; !session.mayRenew(true) {
			return session, err
		}
		c.line(session).say("The partner does not let us use the agreement any more: asking for a new one.")
		if session, err = c.negotiate(ctx, p, kind, session); err != nil {
			return session, err
		}
	}
}

// negotiate begins a negotiation. Where that fails, the session stays as it was.
func (c *Consumer) negotiate(ctx context.Context, p Partner, kind Kind, session Session) (Session, error) {
	next, err := c.place(ctx, p)
	if err == nil {
		next.Asset, next.Negotiation, err = c.line(next).negotiate(ctx, kind, c.Asset)
	}
	if err != nil {
		return session, err
	}
	return next, nil
}

// agree waits for the end of the negotiation, and begins one where there is none, or where
// that of an earlier call has come to nothing since.
func (c *Consumer) agree(ctx context.Context, p Partner, kind Kind, session Session) (Session, error) {
	for earlier := session.Negotiation != ""; ; earlier = false {
		if session.Negotiation == "" {
			var err error
			if session, err = c.negotiate(ctx, p, kind, session); err != nil {
				return session, err
			}
		}
		agreement, err := c.line(session).agreed(ctx, session.Negotiation)
		if err == nil {
			session.Agreement, session.AgreedAt, session.Waits = agreement, time.Now(), 0
			return session, nil
		}
		if ended(err) || session.waited(err) {
			session.Negotiation, session.Waits = "", 0
		}
		if !earlier || !ended(err) {
			return session, err
		}
	}
}

// transfer waits for a transfer to start, and begins one where there is none, or where
// that of an earlier call has come to nothing since.
func (c *Consumer) transfer(ctx context.Context, session *Session) error {
	s := c.line(*session)
	for earlier := session.Starting != ""; ; earlier = false {
		if session.Starting == "" {
			var err error
			if session.Starting, err = s.begin(ctx, session.Asset, session.Agreement); err != nil {
				return err
			}
		}
		err := s.started(ctx, session.Starting)
		if err == nil {
			session.Transfer, session.Starting, session.Waits = session.Starting, "", 0
			return nil
		}
		if ended(err) || session.waited(err) {
			session.Starting, session.Waits = "", 0
		}
		if !earlier || !ended(err) {
			return err
		}
	}
}

// ended: the connectors will not go on with this step, however long we wait.
func ended(err error) bool {
	refused, ok := errors.AsType[*refusal](err)
	return errors.Is(err, errEnded) || errors.Is(err, errTooLarge) || ok && refused.status/100 == 4 && !refused.passes()
}

// isLost: there is no token for the transfer, nor will there be one.
func isLost(err error) bool {
	refused, ok := errors.AsType[*refusal](err)
	return errors.Is(err, errEnded) || errors.Is(err, errTooLarge) || ok && !refused.passes()
}

// txNS is the namespace of Tractus-X's own requests.
const txNS = "https://w3id.org/tractusx/v0.0.1/ns/"

// askConnector asks our connector about a partner's: whether it cannot say, the
// error tells.
func (c *Consumer) askConnector(ctx context.Context, path string, about map[string]any, answer any) (unknown bool,
	err error) {
	about["@context"] = map[string]any{"edc": edcNS, "tx": txNS}
	for _, version := range []string{"/v3", "/v4alpha"} { // from 0.13 on, and before
		err = c.Management.callAt(ctx, version, "POST", "/connectordiscovery/"+path, about, answer)
		if refused, ok := errors.AsType[*refusal](err); !ok || !refused.absent {
			break
		}
	}
	refused, ok := errors.AsType[*refusal](err)
	return ok && (refused.absent || refused.status == http.StatusNotFound || refused.status == http.StatusBadRequest),
		err
}

// locate asks our connector where the partner's is, which stands in the
// partner's DID document. Connectors before 0.11 cannot be asked.
func (c *Consumer) locate(ctx context.Context, p Partner) (Partner, error) {
	who := p.DID
	if who == "" {
		who = p.BPNL
	}
	var got []map[string]any
	unknown, err := c.askConnector(ctx, "connectors", map[string]any{"@type": "tx:ConnectorServiceDiscoveryRequest",
		"edc:counterPartyId": who}, &got)
	switch {
	case unknown:
		return p, &Unknown{p.BPNL, Address, fmt.Sprintf("the DSP address of %s is not known, and your connector "+
			"cannot "+
			"find it out", p.BPNL)}
	case err != nil:
		return p, fmt.Errorf("your connector could not find out where that of %s is: %w", p.BPNL, err)
	}
	found := map[string]Partner{}
	for _, g := range got {
		answer, _ := terms{}.expand(g).(map[string]any)
		at := Partner{BPNL: p.BPNL, DID: p.DID, Address: stringIn(answer, "counterPartyAddress"),
			Protocol: stringIn(answer, "protocol")}
		if at.Protocol == DSP2025 {
			at.DID = stringIn(answer, "counterPartyId")
		}
		isSpoken := at.Protocol == DSP08 || at.Protocol == DSP2025 && checkID(at.DID) == nil
		if checkID(at.Address) == nil && isSpoken && (p.Protocol == "" || p.Protocol == at.Protocol) {
			found[at.Address] = at
		}
	}
	switch addresses := slices.Sorted(maps.Keys(found)); len(addresses) {
	case 1:
		return found[addresses[0]], nil
	case 0:
		return p, &Unknown{p.BPNL, Address, fmt.Sprintf("the DID document of %s names no connector that this "+
			"program can "+
			"speak to", p.BPNL)}
	default:
		return p, &Unknown{p.BPNL, Address, fmt.Sprintf("%s has several connectors (%s)", p.BPNL,
			strings.Join(addresses, ", "))}
	}
}

// discover asks our connector which protocol the partner's speaks, and under
// which address and name. Connectors before 0.11 cannot be asked: then it is
// DSP 0.8 and the BPNL.
func (c *Consumer) discover(ctx context.Context, p Partner) (Partner, error) {
	switch {
	case p.Address == "":
		return c.locate(ctx, p)
	case p.Protocol == DSP2025 && p.DID != "", p.Protocol == DSP08:
		return p, nil
	}
	var got map[string]any
	unknown, err := c.askConnector(ctx, "dspversionparams", map[string]any{
		"@type": "tx:ConnectorParamsDiscoveryRequest", "tx:bpnl": p.BPNL, "edc:counterPartyAddress": p.Address}, &got)
	switch {
	case unknown:
		if p.Protocol == DSP2025 {
			return p, &Unknown{p.BPNL, DID, fmt.Sprintf("the DID of %s is not known, and your connector cannot "+
				"find it out",
				p.BPNL)}
		}
		p.Protocol = DSP08
		return p, nil
	case err != nil:
		return p, fmt.Errorf("your connector could not find out how to speak to %s at %s: %w", p.BPNL, p.Address, err)
	}
	answer, _ := terms{}.expand(got).(map[string]any)
	if answer[edcNS+"protocol"] == nil {
		return p, &Unknown{p.BPNL, Protocol, fmt.Sprintf("your connector does not say what the connector of %s speaks",
			p.BPNL)}
	}
	if protocol := text(answer[edcNS+"protocol"]); protocol == DSP08 || protocol == DSP2025 &&
		(p.Protocol == "" || p.Protocol == DSP2025) {
		p.Protocol = protocol
	} else {
		return p, fmt.Errorf("the connector of %s speaks %s, which this program does not: update it",
			p.BPNL, plain(shown(answer[edcNS+"protocol"])))
	}
	if address := stringIn(answer, "counterPartyAddress"); checkID(address) == nil {
		p.Address = address
	}
	if id := stringIn(answer, "counterPartyId"); checkID(id) == nil && p.Protocol == DSP2025 {
		p.DID = id
	}
	if p.Protocol == DSP2025 && p.DID == "" {
		return p, &Unknown{p.BPNL, DID, fmt.Sprintf("your connector names no DID of %s", p.BPNL)}
	}
	return p, nil
}

// Field is a part of a Partner.
type Field string

// The parts of a partner that may be unknown.
const (
	Address  Field = "DSP address"
	DID      Field = "DID"
	Protocol Field = "protocol"
)

// Unknown means that a part of a partner is not known and could not be found out, so it has to be
// entered.
type Unknown struct {
	BPNL string
	What Field
	why  string
}

func (e *Unknown) Error() string { return e.why }

// Is makes it an ErrSettings: only a person can help.
func (e *Unknown) Is(target error) bool { return target == ErrSettings }

// stringIn is a property of an expanded answer, "" where it is no text.
func stringIn(answer map[string]any, property string) string {
	s, _ := answer[edcNS+property].(string)
	return s
}

func later(err error) Delivery { return Delivery{Outcome: Later, Reason: Clean(err.Error()), Err: err} }

// planeRefuses: the data plane itself does not take the token. What the receiver
// behind it says of a sender is worded otherwise.
func planeRefuses(a *Answer) (words string, refuses bool) {
	if a.Status != http.StatusUnauthorized && a.Status != http.StatusForbidden {
		return "", false
	}
	said := wordsOf(a.Body)
	return plain(strings.Join(said.strings, "; ")), said.isPlane
}

// isProblem: the answer is worded as our own receiver, and by RFC 9457 others, word theirs.
func isProblem(a *Answer) bool { return strings.HasPrefix(a.ContentType, "application/problem+json") }

// judge says what an answer means for the sender.
func judge(a *Answer, kind Kind) Delivery {
	d := Delivery{Status: a.Status, Answer: a, RetryAfter: a.RetryAfter, Took: a.Took}
	code, denied := AnsweredCode(a)
	switch {
	case denied:
		return d.deny(kind, "the partner's receiver answered 401, 403 or 404 (its connector does not say which): "+
			"the partner must allow your BPNL, or correct key and path of its asset")
	case code != 0:
		d.Status = code
	case a.Status == http.StatusInternalServerError &&
		bytes.Contains(a.Body, []byte("Response status must not be 'null'")):
		d.Status = http.StatusUnprocessableEntity // ProxyHttpData has no name for 422
	}
	name := fmt.Sprintf("%d %s", d.Status, http.StatusText(d.Status))
	d.Outcome = Later
	switch s := d.Status; {
	case s/100 == 2:
		accepted, words := a.Accepted()
		if d.Reason = words; accepted {
			d.Outcome = Delivered
		}
	case s == http.StatusUnauthorized || s == http.StatusForbidden || s == http.StatusNotFound:
		return d.notLetIn(kind, isProblem(a))
	case s == http.StatusRequestTimeout || s == http.StatusTooEarly || s == http.StatusTooManyRequests || s/100 == 3:
		d.Reason = fmt.Sprintf("the partner's receiver does not take the message now (%s); it is sent again", name)
	case s == http.StatusRequestEntityTooLarge:
		d.Outcome, d.Details = Refused, Details(a.Body)
		d.Reason = "the message is too large for the partner (413): send it in parts"
	case s/100 == 4:
		d.Outcome, d.Details = Refused, Details(a.Body)
		d.Reason = fmt.Sprintf("the partner's receiver refuses the message (%s): correct what it names", name)
	case s == http.StatusServiceUnavailable:
		d.Reason = "the partner's receiver is busy, or its store is down (503); it is sent again"
	case a.Status == http.StatusInternalServerError && d.Status == a.Status && !isProblem(a):
		d.Reason = "the partner's data plane could not reach its receiver, or that failed (500); it is sent again, " +
			"and the partner's operations must look if that goes on"
	default:
		d.Reason = fmt.Sprintf("the partner's receiver failed (%s); it is sent again, "+
			"and the partner's operations must look if that goes on", name)
	}
	return d
}

// notLetIn judges 401, 403 and 404, which are about the sender and not about the message: the partner has
// to grant access, and then it arrives. isProblem: the receiver worded it, not a gateway before it.
func (d Delivery) notLetIn(kind Kind, isProblem bool) Delivery {
	switch {
	case d.Status == http.StatusNotFound && !isProblem:
		d.Outcome = Later
		d.Reason = "nothing is behind the partner's asset (404): the partner must correct the address in it, " +
			"or start its receiver"
		return d
	case d.Status == http.StatusNotFound:
		return d.deny(kind, "the partner's receiver has no such endpoint (404): "+
			"the partner must correct the path in its asset")
	case !isProblem:
		return d.deny(kind, fmt.Sprintf("the partner's receiver, or a gateway before it, does not let you in (%d %s): "+
			"ask the partner to allow your BPNL and to check the key that its connector shows", d.Status,
			http.StatusText(d.Status)))
	case d.Status == http.StatusUnauthorized:
		return d.deny(kind, "the partner's receiver does not take the key that its own connector shows (401): "+
			"the partner must correct it")
	case kind == Comment:
		return d.deny(kind, "the partner's receiver refuses the comment (403): it knows no such object of yours, "+
			"or does not let your BPNL send")
	}
	return d.deny(kind, "the partner's receiver does not let your BPNL send (403): ask the partner to allow it")
}

// deny makes a delivery wait for the partner's permission. Only comments are refused for their content so
// (CX-0128 §4.4.2.7, rule 4).
func (d Delivery) deny(kind Kind, reason string) Delivery {
	d.Outcome, d.Denied, d.Reason = Later, true, reason
	if kind == Comment {
		d.Outcome, d.Denied = Refused, false
	}
	return d
}

// line is the line to the connector that a session leads to.
func (c *Consumer) line(session Session) *line {
	say := c.Say
	if say == nil {
		say = func(string, ...any) {}
	}
	return &line{
		Management: c.Management, partner: session.Counterparty, address: session.Address, protocol: session.Protocol,
		say:   say,
		pause: c.pause,
	}
}

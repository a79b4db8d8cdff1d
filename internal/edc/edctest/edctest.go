// Package edctest is a stand-in for the connectors on both sides, for tests
// without Java: the Management API of one's own connector, and of each partner
// the catalogue, the contracts and the data plane in front of its receiver.
// What it answers has the form of what real connectors answered: 0.10.0 over
// DSP 0.8, and 0.12.1 over DSP 2025-1. Policies it does not evaluate.
package edctest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dcm-receiver/internal/dcm"
)

// Key is what the Management API wants to be shown.
const Key = "management-key"

// The words of the answers.
const (
	edcNS   = "https://w3id.org/edc/v0.0.1/ns/"
	typeKey = "http://purl.org/dc/terms/type"
	version = "https://w3id.org/catenax/ontology/common#version"
	dsp2025 = "dataspace-protocol-http:2025-1"
)

// Offer is an asset in a partner's catalogue.
type Offer struct {
	Asset    string
	Type     string // value of dct:type, "" for none
	Property string // value of asset:prop:dcm, "" for none
	Version  string
	Path     string // on the receiver
}

// OfferOf is how a partner offers an endpoint as the standards want it.
func OfferOf(e dcm.Endpoint) Offer {
	return Offer{"asset-" + e.Path, "https://w3id.org/catenax/taxonomy#" + e.Taxonomy, e.Property, "2.0", "/" + e.Path}
}

// Partner is a partner: its connector, and the receiver behind it.
type Partner struct {
	BPNL    string
	Backend http.Handler // its receiver; called with Sender's BPNL and Key, as a data plane does
	Sender  string       // ours
	Key     string       // X-Api-Key that its data plane shows
	Offers  []Offer

	// until the connectors have agreed on a contract, and again until a transfer runs: half of it
	// each
	Handshake time.Duration

	Proxy bool // ProxyHttpData: the answer as it is; else HttpData: 2xx become 200, all others 500
	DSP25 bool // speaks DSP 2025-1, and only that

	lock        sync.Mutex
	down        bool // neither connector nor data plane answer
	refusing    bool // no contract comes about
	stuck       bool // negotiations do not end
	delay       time.Duration
	moved       int             // how often its connector went to another address
	ended       map[string]bool // agreements and transfers
	lost        map[string]bool // transfers whose refresh token is used up
	posts       int
	negotiated  int
	transferred int
}

func (p *Partner) set(change func()) { p.lock.Lock(); defer p.lock.Unlock(); change() }

// Down: nothing of the partner answers, or it does again.
func (p *Partner) Down(down bool) { p.set(func() { p.down = down }) }

// Refuse: no contract comes about, or does again.
func (p *Partner) Refuse(refuse bool) { p.set(func() { p.refusing = refuse }) }

// Stall: negotiations do not come to an end, or do again, those begun before too.
func (p *Partner) Stall(stall bool) { p.set(func() { p.stuck = stall }) }

// Delay makes the data plane slow.
func (p *Partner) Delay(d time.Duration) { p.set(func() { p.delay = d }) }

// Counts are the requests that reached the receiver, and the negotiations and
// transfers that were begun.
func (p *Partner) Counts() (posts, negotiations, transfers int) {
	p.lock.Lock()
	defer p.lock.Unlock()
	return p.posts, p.negotiated, p.transferred
}

// Connector is our connector, and the session to the partners'.
type Connector struct {
	URL      string // of the Management API
	partners []*Partner
	at       map[string]*Partner // by DSP address

	lock         sync.Mutex
	next         int
	negotiations map[string]negotiation
	transfers    map[string]transfer
	tokens       map[string]token
	instead      func(w http.ResponseWriter, r *http.Request) bool
	server       *httptest.Server
}

type negotiation struct {
	partner *Partner
	begun   time.Time
}

type transfer struct {
	partner          *Partner
	asset, agreement string
	token            string
	begun            time.Time
	moved            int // of the partner then
}

type token struct {
	transfer string
	expired  bool
}

// New starts the connectors; they end with the test.
func New(t testing.TB, partners ...*Partner) *Connector {
	c := Start(partners...)
	t.Cleanup(c.Close)
	return c
}

// Close ends the connectors.
func (c *Connector) Close() {
	c.server.CloseClientConnections() // else a slow partner's would be waited for
	c.server.Close()
}

// Start starts the connectors; they end with Close.
func Start(partners ...*Partner) *Connector {
	c := &Connector{partners: partners, at: map[string]*Partner{}, negotiations: map[string]negotiation{},
		transfers: map[string]transfer{}, tokens: map[string]token{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /management/{version}/connectordiscovery/dspversionparams", c.versions)
	mux.HandleFunc("POST /management/{version}/connectordiscovery/connectors", c.connectors)
	mux.HandleFunc("POST /management/v3/catalog/request", c.catalogue)
	mux.HandleFunc("POST /management/v3/contractnegotiations", c.negotiate)
	mux.HandleFunc("GET /management/v3/contractnegotiations/{id}", c.negotiation)
	mux.HandleFunc("POST /management/v3/transferprocesses", c.start)
	mux.HandleFunc("GET /management/v3/transferprocesses/{id}", c.started)
	mux.HandleFunc("GET /management/v3/edrs/{id}/dataaddress", c.edr)
	mux.HandleFunc("/public", c.plane)
	mux.HandleFunc("/public/{rest...}", c.plane)
	c.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/management/") && r.Header.Get("X-Api-Key") != Key {
			refuse(w, http.StatusUnauthorized, "Request could not be authenticated")
			return
		}
		c.lock.Lock()
		instead := c.instead
		c.lock.Unlock()
		if instead == nil || !instead(w, r) {
			mux.ServeHTTP(w, r)
		}
	}))
	c.URL = c.server.URL + "/management"
	for _, p := range partners {
		c.at[c.Address(p)] = p
		p.ended, p.lost = map[string]bool{}, map[string]bool{}
	}
	return c
}

// Instead has f look at each request that shows the right key, or a token, and answer it
// where it returns true: as a gateway, or a connector with a fault.
func (c *Connector) Instead(f func(w http.ResponseWriter, r *http.Request) bool) {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.instead = f
}

// Address is the DSP address of a partner's connector.
func (c *Connector) Address(p *Partner) string {
	address := c.server.URL + "/dsp/" + p.BPNL
	p.set(func() {
		if p.moved > 0 {
			address += fmt.Sprintf("-%d", p.moved)
		}
	})
	return address
}

// Move takes a partner's connector with its data plane to another address; at the
// old one, which what is open leads to, there is no one. Contracts stand.
func (c *Connector) Move(p *Partner) {
	old := c.Address(p)
	p.set(func() { p.moved++ })
	now := c.Address(p)
	c.lock.Lock()
	defer c.lock.Unlock()
	delete(c.at, old)
	c.at[now] = p
}

// EndTransfers: the partner ends all that run; their agreements stay.
func (c *Connector) EndTransfers(p *Partner) { c.end(p, false) }

// EndContracts: the partner ends all transfers and agreements.
func (c *Connector) EndContracts(p *Partner) { c.end(p, true) }

func (c *Connector) end(p *Partner, agreements bool) {
	c.lock.Lock()
	defer c.lock.Unlock()
	p.set(func() {
		for id, t := range c.transfers {
			if t.partner == p {
				p.ended[id] = true
				p.ended[t.agreement] = p.ended[t.agreement] || agreements
			}
		}
	})
}

// ExpireTokens: all tokens for the partner have run out; they can be refreshed.
func (c *Connector) ExpireTokens(p *Partner) {
	c.lock.Lock()
	defer c.lock.Unlock()
	for id, t := range c.tokens {
		if c.transfers[t.transfer].partner == p {
			c.tokens[id] = token{transfer: t.transfer, expired: true}
		}
	}
}

// LoseRefresh: the answer to a refresh is lost, so no token of the transfers
// that run can be refreshed any more, and the old ones have run out.
func (c *Connector) LoseRefresh(p *Partner) {
	c.lock.Lock()
	defer c.lock.Unlock()
	p.set(func() {
		for id, t := range c.transfers {
			if t.partner == p {
				p.lost[id] = true
				delete(c.tokens, t.token)
			}
		}
	})
}

func (c *Connector) id(kind string) string {
	c.next++
	return fmt.Sprintf("%s-%d", kind, c.next)
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// refuse is how the Management API words an error.
func refuse(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode([]map[string]any{{"message": message, "type": "ObjectNotFound", "path": nil,
		"invalidValue": nil}})
}

// request is what of the Management API's requests is looked at.
type request struct {
	Address   string         `json:"counterPartyAddress"`
	Asked     string         `json:"edc:counterPartyAddress"`
	ID        string         `json:"counterPartyId"`
	Connector string         `json:"connectorId"`
	Protocol  string         `json:"protocol"`
	Contract  string         `json:"contractId"`
	Asset     string         `json:"assetId"`
	Policy    map[string]any `json:"policy"`
	QuerySpec struct {
		FilterExpression []struct{ OperandLeft, OperandRight string }
	} `json:"querySpec"`
}

// read finds whom a request is for; ok is false where it has been answered: by
// no one at that address, or one that is down or does not speak this protocol.
func (c *Connector) read(w http.ResponseWriter, r *http.Request) (q request, p *Partner, ok bool) {
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return q, nil, false
	}
	c.lock.Lock()
	p = c.at[strings.TrimSuffix(q.Address+q.Asked, "/2025-1")]
	c.lock.Unlock()
	if p == nil {
		refuse(w, http.StatusBadGateway, "nobody at "+q.Address)
		return q, nil, false
	}
	p.lock.Lock()
	defer p.lock.Unlock()
	name, speaks := p.BPNL, "dataspace-protocol-http"
	if p.DSP25 {
		name, speaks = did(p), dsp2025
	}
	switch {
	case p.down:
		refuse(w, http.StatusBadGateway, "connection refused")
	case q.Asked == "" && q.Protocol != speaks:
		refuse(w, http.StatusBadGateway, "the partner does not speak "+q.Protocol)
	case q.Asked == "" && q.ID+q.Connector != name:
		refuse(w, http.StatusBadGateway, "the partner is not "+q.ID+q.Connector)
	default:
		return q, p, true
	}
	return q, nil, false
}

func did(p *Partner) string { return "did:web:" + p.BPNL }

// versions exists from 0.11 on, under /v4alpha; older connectors have no such path.
func (c *Connector) versions(w http.ResponseWriter, r *http.Request) {
	if r.PathValue("version") != "v4alpha" || !slices.ContainsFunc(c.partners,
		func(p *Partner) bool { return p.DSP25 }) {
		http.NotFound(w, r)
		return
	}
	q, p, ok := c.read(w, r)
	switch {
	case !ok:
	case p.DSP25:
		answer(w, map[string]any{"@context": map[string]any{"edc": edcNS}, "edc:protocol": dsp2025,
			"edc:counterPartyId": did(p), "edc:counterPartyAddress": q.Asked + "/2025-1"})
	default:
		answer(w, map[string]any{"@context": map[string]any{"edc": edcNS}, "edc:protocol": "dataspace-protocol-http",
			"edc:counterPartyId": p.BPNL, "edc:counterPartyAddress": q.Asked})
	}
}

// connectors are those in a partner's DID document; where versions is not, it is not either.
func (c *Connector) connectors(w http.ResponseWriter, r *http.Request) {
	var q struct {
		ID string `json:"edc:counterPartyId"`
	}
	i := -1
	if err := json.NewDecoder(r.Body).Decode(&q); err == nil {
		i = slices.IndexFunc(c.partners, func(p *Partner) bool { return p.DSP25 && (q.ID == p.BPNL || q.ID == did(p)) })
	}
	switch {
	case r.PathValue("version") != "v4alpha" || !slices.ContainsFunc(c.partners,
		func(p *Partner) bool { return p.DSP25 }):
		http.NotFound(w, r)
	case i < 0:
		refuse(w, http.StatusNotFound, "the DID document of "+q.ID+" could not be resolved")
	default:
		p := c.partners[i]
		answer(w, []any{map[string]any{"@context": map[string]any{"edc": edcNS}, "edc:protocol": dsp2025,
			"edc:counterPartyId": did(p), "edc:counterPartyAddress": c.Address(p) + "/2025-1"}})
	}
}

func (c *Connector) catalogue(w http.ResponseWriter, r *http.Request) {
	q, p, ok := c.read(w, r)
	if !ok {
		return
	}
	datasets := []any{}
	for _, o := range p.Offers {
		matches := true
		for _, f := range q.QuerySpec.FilterExpression {
			value := map[string]string{"'" + typeKey + "'.'@id'": o.Type, "asset:prop:dcm": o.Property,
				edcNS + "id": o.Asset}[f.OperandLeft]
			matches = matches && value == f.OperandRight
		}
		if !matches {
			continue
		}
		dataset := map[string]any{"@id": o.Asset, "id": o.Asset, version: o.Version,
			"dct:type": map[string]any{"@id": o.Type}}
		if o.Property != "" {
			dataset["asset:prop:dcm"] = o.Property
		}
		if p.DSP25 {
			dataset["@type"] = "Dataset"
			dataset["hasPolicy"] = []any{map[string]any{"@id": "offer:" + o.Asset, "@type": "Offer",
				"permission": []any{map[string]any{"action": "use",
					"constraint": []any{map[string]any{"leftOperand": "UsagePurpose", "operator": "isAnyOf",
						"rightOperand": "cx.dcm.base:1"}}}}}}
		} else {
			dataset["@type"] = "dcat:Dataset"
			dataset["odrl:hasPolicy"] = map[string]any{"@id": "offer:" + o.Asset, "@type": "odrl:Offer",
				"odrl:permission": map[string]any{"odrl:action": map[string]any{"@id": "odrl:use"}}}
		}
		datasets = append(datasets, dataset)
	}
	if p.DSP25 {
		answer(w, map[string]any{"@type": "Catalog", "dataset": datasets,
			"@context": []any{"https://w3id.org/tractusx/auth/v1.0.0",
				"https://w3id.org/catenax/2025/9/policy/context.jsonld",
				"https://w3id.org/dspace/2025/1/context.jsonld",
				"https://w3id.org/edc/dspace/v0.0.1"}})
		return
	}
	answer(w, map[string]any{"@type": "dcat:Catalog", "dcat:dataset": datasets,
		"@context": map[string]any{"@vocab": edcNS, "edc": edcNS,
			"dcat": "http://www.w3.org/ns/dcat#", "dct": "http://purl.org/dc/terms/",
			"odrl": "http://www.w3.org/ns/odrl/2/"}})
}

func (c *Connector) negotiate(w http.ResponseWriter, r *http.Request) {
	q, p, ok := c.read(w, r)
	if !ok {
		return
	}
	assigner, target := q.Policy["odrl:assigner"], q.Policy["odrl:target"]
	if p.DSP25 {
		assigner, target = q.Policy["assigner"], q.Policy["target"]
	}
	if assigner == nil || target == nil {
		refuse(w, http.StatusBadRequest, "mandatory property 'assigner' or 'target' is missing")
		return
	}
	c.lock.Lock()
	defer c.lock.Unlock()
	id := c.id("negotiation")
	c.negotiations[id] = negotiation{p, time.Now()}
	p.set(func() { p.negotiated++ })
	answer(w, map[string]any{"@type": "IdResponse", "@id": id})
}

func (c *Connector) negotiation(w http.ResponseWriter, r *http.Request) {
	c.lock.Lock()
	n := c.negotiations[r.PathValue("id")]
	p := n.partner
	c.lock.Unlock()
	if p == nil {
		refuse(w, http.StatusNotFound, "Object of type ContractNegotiation with ID="+r.PathValue("id")+" was not found")
		return
	}
	p.lock.Lock()
	defer p.lock.Unlock()
	switch {
	case p.stuck || p.down || time.Since(n.begun) < p.Handshake/2:
		answer(w, map[string]any{"@id": r.PathValue("id"), "state": "REQUESTED"})
	case p.refusing:
		answer(w, map[string]any{"@id": r.PathValue("id"), "state": "TERMINATED",
			"errorDetail": "Policy in scope contract.negotiation not fulfilled"})
	default:
		answer(w, map[string]any{"@id": r.PathValue("id"), "state": "FINALIZED",
			"contractAgreementId": "agreement-" + r.PathValue("id")})
	}
}

func (c *Connector) start(w http.ResponseWriter, r *http.Request) {
	q, p, ok := c.read(w, r)
	if !ok {
		return
	}
	c.lock.Lock()
	defer c.lock.Unlock()
	id := c.id("transfer")
	p.set(func() {
		c.transfers[id] = transfer{partner: p, asset: q.Asset, agreement: q.Contract, begun: time.Now(), moved: p.moved}
		p.transferred++
		p.ended[id] = p.ended[q.Contract]
	})
	answer(w, map[string]any{"@type": "IdResponse", "@id": id})
}

func (c *Connector) find(id string) (t transfer, ended, lost bool) {
	c.lock.Lock()
	t = c.transfers[id]
	c.lock.Unlock()
	if t.partner != nil {
		t.partner.set(func() { ended, lost = t.partner.ended[id], t.partner.lost[id] })
	}
	return t, ended, lost
}

func (c *Connector) started(w http.ResponseWriter, r *http.Request) {
	t, ended, _ := c.find(r.PathValue("id"))
	switch {
	case t.partner == nil:
		refuse(w, http.StatusNotFound, "Object of type TransferProcess with ID="+r.PathValue("id")+" was not found")
	case ended:
		answer(w, map[string]any{"@id": r.PathValue("id"), "state": "TERMINATED",
			"errorDetail": "agreement is not valid"})
	case time.Since(t.begun) < t.partner.Handshake/2:
		answer(w, map[string]any{"@id": r.PathValue("id"), "state": "REQUESTED"})
	default:
		answer(w, map[string]any{"@id": r.PathValue("id"), "state": "STARTED"})
	}
}

func (c *Connector) edr(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	t, _, lost := c.find(id)
	c.lock.Lock()
	defer c.lock.Unlock()
	current, known := c.tokens[t.token]
	fresh := known && !current.expired
	switch {
	case t.partner == nil:
		refuse(w, http.StatusNotFound, "Object of type EDR with ID="+id+" was not found")
		return
	case lost:
		refuse(w, http.StatusForbidden, "Unauthorized") // as recorded; a wrong key is 401
		return
	case !fresh:
		t.token = c.id("token")
		c.tokens[t.token], c.transfers[id] = token{transfer: id}, t
	}
	endpoint := c.server.URL + "/public"
	t.partner.set(func() {
		if t.moved != t.partner.moved {
			endpoint = "http://127.0.0.1:1/public" // nobody
		}
	})
	answer(w, map[string]any{"@type": "DataAddress", "type": "https://w3id.org/idsa/v4.1/HTTP", "endpoint": endpoint,
		"authorization":     t.token,
		"tx-auth:expiresIn": "300", "@context": map[string]any{"tx-auth": "https://w3id.org/tractusx/auth/",
			"@vocab": edcNS, "edc": edcNS}})
}

// plane is the partners' data plane.
func (c *Connector) plane(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body) // it buffers a message before it calls the receiver
	if err != nil {
		return
	}
	c.lock.Lock()
	current, known := c.tokens[r.Header.Get("Authorization")]
	c.lock.Unlock()
	t, ended, _ := c.find(current.transfer)
	switch {
	case !known:
		errors(w, http.StatusForbidden, "Failed to decode token")
		return
	case ended:
		errors(w, http.StatusForbidden, "AccessTokenData with ID '"+current.transfer+"' does not exist.")
		return
	case current.expired:
		errors(w, http.StatusForbidden, "Token has expired (exp)")
		return
	}
	p := t.partner
	var down bool
	var delay time.Duration
	p.set(func() { p.posts++; down, delay = p.down, p.delay })
	select {
	case <-time.After(delay):
	case <-r.Context().Done():
		return
	}
	i := slices.IndexFunc(p.Offers, func(o Offer) bool { return o.Asset == t.asset })
	if down || i < 0 {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = io.WriteString(w, "<html><h1>HTTP ERROR 500</h1></html>")
		return
	}
	p.answer(w, p.forward(r, p.Offers[i], t.agreement, body))
}

// forward calls the receiver behind an offer, as a data plane does.
func (p *Partner) forward(r *http.Request, offer Offer, agreement string, body []byte) *httptest.ResponseRecorder {
	forward := httptest.NewRequest(r.Method, offer.Path+strings.TrimPrefix(r.URL.Path, "/public"),
		bytes.NewReader(body))
	forward.URL.RawQuery = r.URL.RawQuery
	forward.ContentLength = -1 // chunked, always
	forward.Header = http.Header{"Edc-Bpn": {p.Sender}, "Edc-Contract-Agreement-Id": {agreement},
		"X-Api-Key": {p.Key}}
	if ct := r.Header.Get("Content-Type"); ct != "" {
		forward.Header.Set("Content-Type", "application/json;charset=UTF-8")
	}
	got := httptest.NewRecorder()
	p.Backend.ServeHTTP(got, forward.WithContext(r.Context()))
	return got
}

// answer passes an answer of the receiver on, as the type of the asset does.
func (p *Partner) answer(w http.ResponseWriter, got *httptest.ResponseRecorder) {
	switch {
	case got.Code == http.StatusUnprocessableEntity && p.Proxy:
		errors(w, http.StatusInternalServerError,
			"Unhandled exception occurred during data transfer: java.lang.IllegalArgumentException: Response "+
				"status must not be 'null'")
	case p.Proxy:
		for name, values := range got.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(got.Code)
		_, _ = w.Write(got.Body.Bytes())
	case got.Code/100 == 2:
		w.Header().Set("Content-Type", got.Header().Get("Content-Type"))
		_, _ = w.Write(got.Body.Bytes())
	case got.Code == http.StatusUnauthorized || got.Code == http.StatusForbidden || got.Code == http.StatusNotFound:
		errors(w, http.StatusInternalServerError)
	default:
		errors(w, http.StatusInternalServerError, fmt.Sprintf("Received code transferring HTTP data: %d - %s.",
			got.Code, http.StatusText(got.Code)))
	}
}

// errors is how a data plane words its own.
func errors(w http.ResponseWriter, status int, words ...string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": append([]string{}, words...)})
}

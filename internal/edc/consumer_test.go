package edc_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/edc"
	"dcm-receiver/internal/edc/edctest"
)

const (
	us   = "BPNL00000000CUST"
	them = "BPNL00000000SUPP"
)

// receiver answers with the status that the body names.
func receiver(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	status := 200
	if _, err := fmt.Sscanf(string(body), "[%d]", &status); err != nil || r.Header.Get("X-Api-Key") != "their-key" ||
		r.Header.Get("Edc-Bpn") != us {
		status = http.StatusUnauthorized
	}
	w.Header().Set("Content-Type", "application/problem+json")
	if status/100 == 2 {
		w.Header().Set("Content-Type", "application/json")
	}
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "7")
	}
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"status":%d,"path":%q}`, status, r.URL.Path)
}

func supplier() *edctest.Partner {
	return &edctest.Partner{BPNL: them, Backend: http.HandlerFunc(receiver), Sender: us, Key: "their-key",
		Offers: []edctest.Offer{edctest.OfferOf(dcm.MaterialDemandEndpoint),
			edctest.OfferOf(dcm.RequestForUpdateEndpoint)}}
}

func consumer(t *testing.T, c *edctest.Connector) *edc.Consumer {
	t.Helper()
	m, err := edc.NewManagement(c.URL, edctest.Key, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &edc.Consumer{Management: m, Say: t.Logf}
}

// What an answer means, through both types of asset.
func TestConsumerOutcomes(t *testing.T) {
	for _, c := range []struct {
		status  int
		outcome edc.Outcome
		plain   int    // what is known of the status through HttpData
		reason  string // is in the words
	}{
		{200, edc.Delivered, 200, ""},
		{201, edc.Delivered, 200, ""},
		{400, edc.Refused, 400, "refuses the message (400 Bad Request)"},
		{401, edc.Later, 500, "the partner must"},
		{403, edc.Later, 500, "allow"},
		{404, edc.Later, 500, "path"},
		{409, edc.Refused, 409, "409 Conflict"},
		{413, edc.Refused, 413, "send it in parts"},
		{415, edc.Refused, 415, ""},
		{422, edc.Refused, 422, ""},
		{429, edc.Later, 429, "not take the message now"},
		{500, edc.Later, 500, "operations must look"},
		{503, edc.Later, 503, "busy"},
	} {
		for _, proxy := range []bool{false, true} {
			t.Run(fmt.Sprint(c.status, " proxy ", proxy), func(t *testing.T) {
				p := supplier()
				p.Proxy = proxy
				connector := edctest.New(t, p)
				d, session := consumer(t, connector).Send(t.Context(),
					edc.Partner{BPNL: them, Address: connector.Address(p)}, edc.MaterialDemand, edc.Session{},
					fmt.Appendf(nil, "[%d]", c.status))
				want := c.plain
				if proxy {
					want = c.status
				}
				if denied := c.status == 401 || c.status == 403 || c.status == 404; d.Denied != denied {
					t.Errorf("denied %v", d.Denied)
				}
				if d.Outcome != c.outcome || d.Status != want || !strings.Contains(d.Reason, c.reason) ||
					(d.Reason == "") != (d.Outcome == edc.Delivered) {
					t.Errorf("%+v, want %s %d", d, c.outcome, want)
				}
				if proxy && c.status == 503 && d.RetryAfter != 7*time.Second {
					t.Errorf("Retry-After %v", d.RetryAfter)
				}
				if d.Outcome == edc.Delivered && !strings.Contains(string(d.Answer.Body),
					"/week-based-material-demand") {
					t.Errorf("arrived at %s", d.Answer.Body)
				}
				if posts, negotiations, transfers := p.Counts(); posts != 1 || negotiations != 1 || transfers != 1 ||
					session.Transfer == "" {
					t.Errorf("%d posts, %d negotiations, %d transfers, %+v", posts, negotiations, transfers, session)
				}
			})
		}
	}
}

// A comment is refused with 403 for what it says; a gateway that lets a new
// transfer in ended the old one.
func TestConsumerDenied(t *testing.T) {
	p := supplier()
	p.Proxy, p.Offers = true, append(p.Offers, edctest.OfferOf(dcm.CommentEndpoint))
	gateway := 0 // requests that a gateway before the receiver refuses
	p.Backend = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if gateway > 0 {
			gateway--
			http.Error(w, "session has ended", http.StatusForbidden)
			return
		}
		receiver(w, r)
	})
	connector := edctest.New(t, p)
	c, to := consumer(t, connector), edc.Partner{BPNL: them, Address: connector.Address(p)}
	if d, _ := c.Send(t.Context(), to, edc.Comment, edc.Session{}, []byte("[403]")); d.Outcome != edc.Refused ||
		d.Denied || !strings.Contains(d.Reason, "refuses the comment (403)") {
		t.Errorf("%+v", d)
	}
	d, session := c.Send(t.Context(), to, edc.MaterialDemand, edc.Session{}, []byte("[200]"))
	if d.Outcome != edc.Delivered {
		t.Fatalf("%+v", d)
	}
	_, negotiations, transfers := p.Counts()
	for _, refused := range []int{1, 2} {
		gateway = refused
		d, session = c.Send(t.Context(), to, edc.MaterialDemand, session, []byte("[200]"))
		if want := refused == 2; d.Denied != want || (d.Outcome == edc.Delivered) == want || want &&
			!strings.Contains(d.Reason, "a gateway before it") {
			t.Errorf("refused %d times: %+v", refused, d)
		}
	}
	if _, n, s := p.Counts(); n != negotiations || s != transfers+2 {
		t.Errorf("%d negotiations, %d transfers more; want 0 and 2", n-negotiations, s-transfers)
	}
}

// Without its DSP address the partner is looked for in its DID document.
func TestConsumerLocates(t *testing.T) {
	for _, c := range []struct {
		name   string
		dsp25  bool
		to     edc.Partner
		reason string
	}{
		{"by BPNL", true, edc.Partner{BPNL: them}, ""},
		{"by DID", true, edc.Partner{BPNL: them, DID: "did:web:" + them, Protocol: edc.DSP2025}, ""},
		{"another protocol", true, edc.Partner{BPNL: them, Protocol: edc.DSP08},
			"names no connector that this program can speak to"},
		{"unknown", true, edc.Partner{BPNL: us}, "the DSP address of " + us +
			" is not known, and your connector cannot find it out"},
		{"a connector that cannot say", false, edc.Partner{BPNL: them}, "cannot find it out"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := supplier()
			p.DSP25 = c.dsp25
			d, _ := consumer(t, edctest.New(t, p)).Send(t.Context(), c.to, edc.MaterialDemand, edc.Session{},
				[]byte("[200]"))
			if (d.Outcome == edc.Delivered) != (c.reason == "") || d.Outcome == edc.Refused ||
				!strings.Contains(d.Reason, c.reason) {
				t.Errorf("%+v", d)
			}
		})
	}
}

// TestConsumerFollows: where the address was found out and the partner is not there any
// more, it is looked up anew; its agreements stand. An address that was entered stays.
func TestConsumerFollows(t *testing.T) {
	p := supplier()
	p.DSP25 = true
	connector := edctest.New(t, p)
	c := consumer(t, connector)
	for _, to := range []edc.Partner{{BPNL: them, Address: connector.Address(p) + "/2025-1", Protocol: edc.DSP2025,
		DID: "did:web:" + them}, {BPNL: them}} {
		var session edc.Session
		send := func(body string) (d edc.Delivery) {
			d, session = c.Send(t.Context(), to, edc.MaterialDemand, session, []byte(body))
			return d
		}
		if d := send("[200]"); d.Outcome != edc.Delivered {
			t.Fatalf("%+v", d)
		}
		_, negotiations, transfers := p.Counts()
		connector.Move(p)
		d := send("[200]")
		if to.Address != "" {
			if d.Outcome != edc.Later || !strings.Contains(d.Reason, "cannot be reached") {
				t.Errorf("at the address that was entered: %+v", d)
			}
			continue
		}
		if _, n, s := p.Counts(); d.Outcome != edc.Delivered || n != negotiations || s != transfers+1 {
			t.Errorf("%+v, %d negotiations and %d transfers more; want 0 and 1", d, n-negotiations, s-transfers)
		}
		if want := connector.Address(p) + "/2025-1"; session.Address != want {
			t.Errorf("the way leads to %s, want %s", session.Address, want)
		}
		// Its transfers have ended too, or a negotiation is under way: likewise.
		connector.EndTransfers(p)
		connector.Move(p)
		if d := send("[200]"); d.Outcome != edc.Delivered {
			t.Errorf("with the transfer ended: %+v", d)
		}
		session.Agreement, session.Transfer, session.Negotiation = "", "", "negotiation-1"
		connector.Move(p)
		if d := send("[200]"); d.Outcome != edc.Delivered {
			t.Errorf("with a negotiation of before: %+v", d)
		}
		// Where the old address gives no answer, it is looked up for the next time.
		p.Delay(time.Hour)
		time.AfterFunc(50*time.Millisecond, func() { connector.Move(p) })
		limited, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		d, session = c.Send(limited, to, edc.MaterialDemand, session, []byte("[200]"))
		cancel()
		if want := connector.Address(p) + "/2025-1"; d.Outcome != edc.Later || session.Address != want ||
			session.Agreement == "" {
			t.Errorf("%+v, the way leads to %+v, want %s", d, session, want)
		}
		p.Delay(0)
		if d := send("[200]"); d.Outcome != edc.Delivered {
			t.Errorf("after it hung: %+v", d)
		}
	}
}

// What the partner ended is opened anew, as far back as it has to be.
func TestConsumerKeepsTheWay(t *testing.T) {
	for _, protocol := range []string{edc.DSP08, edc.DSP2025} {
		t.Run(protocol, func(t *testing.T) {
			p := supplier()
			p.DSP25 = protocol == edc.DSP2025
			connector := edctest.New(t, p)
			c := consumer(t, connector)
			to := edc.Partner{BPNL: them, Address: connector.Address(p)}
			var session edc.Session
			for _, step := range []struct {
				name                    string
				before                  func()
				negotiations, transfers int
			}{
				{"the first", func() {}, 1, 1},
				{"the next", func() {}, 1, 1},
				{"token run out", func() { connector.ExpireTokens(p) }, 1, 1},
				{"refresh lost", func() { connector.LoseRefresh(p) }, 1, 2},
				{"transfer ended", func() { connector.EndTransfers(p) }, 1, 3},
				// the transfer under the old one is tried
				{"contract ended", func() { connector.EndContracts(p) }, 2, 5},
				{"the next again", func() {}, 2, 5},
				{"another entry for the partner", func() { to.DID = "did:web:" + them }, 3, 6},
			} {
				step.before()
				var d edc.Delivery
				d, session = c.Send(t.Context(), to, edc.MaterialDemand, session, []byte("[201]"))
				_, negotiations, transfers := p.Counts()
				if d.Outcome != edc.Delivered || negotiations != step.negotiations || transfers != step.transfers {
					t.Errorf("%s: %+v, %d negotiations, %d transfers; want %d, %d", step.name, d, negotiations,
						transfers, step.negotiations, step.transfers)
				}
			}
			if session.Protocol != protocol {
				t.Errorf("%+v", session)
			}
		})
	}
}

// Nothing that may pass is final, and the words say who has to do what.
func TestConsumerLater(t *testing.T) {
	p := supplier()
	connector := edctest.New(t, p)
	c := consumer(t, connector)
	to := edc.Partner{BPNL: them, Address: connector.Address(p)}
	var session edc.Session
	send := func(kind edc.Kind, outcome edc.Outcome, reason string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		var d edc.Delivery
		if d, session = c.Send(ctx, to, kind, session, []byte("[200]")); d.Outcome != outcome ||
			!strings.Contains(d.Reason, reason) {
			t.Errorf("%+v; want %s %q", d, outcome, reason)
		}
	}
	p.Down(true)
	send(edc.MaterialDemand, edc.Later, "could not get the catalogue of "+them)
	p.Down(false)
	p.Refuse(true)
	send(edc.MaterialDemand, edc.Later,
		"no contract came about: ended by the connectors (Policy in scope contract.negotiation not fulfilled)")
	p.Refuse(false)
	p.Stall(true)
	send(edc.MaterialDemand, edc.Later, "still REQUESTED")
	_, before, _ := p.Counts()
	p.Stall(false)
	send(edc.MaterialDemand, edc.Delivered, "")
	if _, after, _ := p.Counts(); after != before {
		t.Errorf("the negotiation that was waited for was not taken up: %d, then %d", before, after)
	}
	p.Down(true)
	send(edc.MaterialDemand, edc.Later, "could not reach its receiver")
	p.Down(false)
	p.Delay(time.Hour)
	send(edc.MaterialDemand, edc.Later, "may have been stored")
	p.Delay(0)
	send(edc.MaterialDemand, edc.Delivered, "")
	session = edc.Session{}
	send(edc.Comment, edc.Later, "shows your connector no IdBasedComment endpoint")
	to.Address = ""
	send(edc.MaterialDemand, edc.Later, "cannot find it out")
	c.Management.Key = "wrong"
	to.Address = connector.Address(p)
	send(edc.MaterialDemand, edc.Later, "setting Key")
}

// edc send, interrupted while it waits for the contract, goes on with the same
// negotiation when it is called again; one that has come to nothing is begun anew.
func TestSendGoesOn(t *testing.T) {
	p := supplier()
	connector := edctest.New(t, p)
	var session edc.Session
	open := func() (err error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		session, _, err = consumer(t, connector).Open(ctx, edc.Partner{
			BPNL: them, Address: connector.Address(p), Protocol: edc.DSP08,
		}, edc.MaterialDemand, session)
		return err
	}
	negotiations := func(want int) {
		t.Helper()
		if _, n, _ := p.Counts(); n != want {
			t.Errorf("%d negotiations, want %d", n, want)
		}
	}
	p.Stall(true)
	if err := open(); err == nil || !strings.Contains(err.Error(), "still REQUESTED") {
		t.Errorf("got %v", err)
	}
	p.Stall(false)
	p.Refuse(true)
	if err := open(); err == nil || !strings.Contains(err.Error(), "not fulfilled") {
		t.Errorf("got %v", err)
	}
	negotiations(2)
	p.Stall(true)
	p.Refuse(false)
	if err := open(); err == nil {
		t.Error("opened")
	}
	p.Stall(false)
	if err := open(); err != nil {
		t.Error(err)
	}
	if err := open(); err != nil { // by what was remembered
		t.Error(err)
	}
	negotiations(3)
}

// Found by either property; of several versions the highest that we speak.
func TestConsumerFinds(t *testing.T) {
	demand := edctest.OfferOf(dcm.MaterialDemandEndpoint)
	for _, c := range []struct {
		name   string
		offers []edctest.Offer
		asset  string
		reason string
	}{
		{"by type", []edctest.Offer{{Asset: "a", Type: demand.Type, Version: "2.0"}}, "a", ""},
		{"by CX-0048's property", []edctest.Offer{{Asset: "a", Property: demand.Property}}, "a", ""},
		{"the highest", []edctest.Offer{{Asset: "a", Type: demand.Type, Version: "1.0"},
			{Asset: "b", Type: demand.Type, Version: "2.0"}}, "b", ""},
		{"none that is too high", []edctest.Offer{{Asset: "a", Type: demand.Type, Version: "2.0"},
			{Asset: "b", Type: demand.Type, Version: "3.0"}}, "a", ""},
		{"two alike", []edctest.Offer{{Asset: "a", Type: demand.Type, Version: "2.0"},
			{Asset: "b", Type: demand.Type, Version: "2.0"}}, "", "several assets of this kind: a, b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := supplier()
			p.Offers = nil
			for _, o := range c.offers {
				o.Path = demand.Path
				p.Offers = append(p.Offers, o)
			}
			connector := edctest.New(t, p)
			d, session := consumer(t, connector).Send(t.Context(),
				edc.Partner{BPNL: them, Address: connector.Address(p)},
				edc.MaterialDemand, edc.Session{}, []byte("[200]"))
			if session.Asset != c.asset || !strings.Contains(d.Reason, c.reason) ||
				(d.Outcome == edc.Delivered) != (c.asset != "") {
				t.Errorf("%+v %+v", d, session)
			}
		})
	}
}

// One consumer serves many goroutines and partners; one that is down holds up no one.
func TestConsumerConcurrent(t *testing.T) {
	var partners []*edctest.Partner
	for i := range 8 {
		p := supplier()
		p.BPNL = fmt.Sprintf("BPNL0000000SUP%02d", i)
		partners = append(partners, p)
	}
	connector := edctest.New(t, partners...)
	partners[0].Down(true)
	c := consumer(t, connector)
	c.Say = nil
	var delivered atomic.Int32
	var group sync.WaitGroup
	for _, p := range partners {
		for range 4 {
			group.Go(func() {
				var session edc.Session
				for range 3 {
					var d edc.Delivery
					if d, session = c.Send(t.Context(), edc.Partner{BPNL: p.BPNL, Address: connector.Address(p)},
						edc.RequestForUpdate, session, []byte("[200]")); d.Outcome == edc.Delivered {
						delivered.Add(1)
					}
				}
			})
		}
	}
	group.Wait()
	if n := delivered.Load(); n != 7*4*3 {
		t.Errorf("%d delivered", n)
	}
	if !slices.ContainsFunc(partners, func(p *edctest.Partner) bool { posts, _, _ := p.Counts(); return posts == 12 }) {
		t.Error("the posts did not reach the receivers")
	}
}

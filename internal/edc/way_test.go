package edc_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"dcm-receiver/internal/edc"
	"dcm-receiver/internal/edc/edctest"
)

// sending is a partner that is sent to again and again, in a session that is kept between as
// the database keeps it.
type sending struct {
	t         *testing.T
	partner   *edctest.Partner
	connector *edctest.Connector
	consumer  *edc.Consumer
	to        edc.Partner
	kept      []byte
}

func newSending(t *testing.T) *sending {
	p := supplier()
	connector := edctest.New(t, p)
	return &sending{t, p, connector, consumer(t, connector),
		edc.Partner{BPNL: them, Address: connector.Address(p), Entry: "1"}, []byte("{}")}
}

// send waits for connectors as long as is given, instead of a minute.
func (s *sending) send(patience time.Duration) edc.Delivery {
	s.t.Helper()
	var session edc.Session
	if err := json.Unmarshal(s.kept, &session); err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	d, session := s.consumer.Send(ctx, s.to, edc.MaterialDemand, session, []byte("[200]"))
	var err error
	if s.kept, err = json.Marshal(session); err != nil {
		s.t.Fatal(err)
	}
	return d
}

func (s *sending) counts(what string, negotiations, transfers int) {
	s.t.Helper()
	if _, n, m := s.partner.Counts(); n != negotiations || m != transfers {
		s.t.Errorf("%s: %d negotiations, %d transfers; want %d and %d; the way is %s", what, n, m, negotiations,
			transfers, s.kept)
	}
}

// age makes the agreement older.
func (s *sending) age(d time.Duration) {
	var session edc.Session
	_ = json.Unmarshal(s.kept, &session)
	session.AgreedAt = session.AgreedAt.Add(-d)
	s.kept, _ = json.Marshal(session)
}

// What the connector answers about a token. The first is recorded: the partner refuses to
// refresh it.
var noToken = []struct {
	status int
	body   string
}{
	{403, `[{"message":"Unauthorized","type":"NotAuthorized","path":null,"invalidValue":null}]`},
	{403, ``},
	{403, `<html>Forbidden</html>`},
	{404, `[{"message":"Object of type EndpointDataReferenceEntry with ID=x was not found","type":"ObjectNotFound"}]`},
	{400, `[{"message":"no"}]`},
	{409, `[{"message":"no"}]`},
	{410, `gone`},
	{500, `[{"message":"no"}]`},
	{502, `[{"message":"no"}]`},
	{200, `{}`},
	{200, `{"endpoint":"http://x"}`},
	{200, `{"@context":{"@vocab":"https://w3id.org/edc/v0.0.1/ns/"},"endpoint":"http://x\u0000","authorization":"t"}`},
	{200, `{"@context":{"@vocab":"https://w3id.org/edc/v0.0.1/ns/"},"endpoint":"http://x","authorization":"t\nu"}`},
}

// TestNoToken: where the token of a transfer cannot be had, a new transfer is started, then
// a new agreement made; while that does not help, one agreement is kept.
func TestNoToken(t *testing.T) {
	for _, c := range noToken {
		t.Run(fmt.Sprint(c.status, c.body), func(t *testing.T) {
			t.Parallel()
			s := newSending(t)
			refuse := func(path string) {
				instead(s.connector, path, func(w http.ResponseWriter, r *http.Request) {
					w.WriteHeader(c.status)
					_, _ = io.WriteString(w, c.body)
				})
			}
			if d := s.send(time.Minute); d.Outcome != edc.Delivered {
				t.Fatalf("%+v", d)
			}
			refuse("/edrs/transfer-2/")
			if d := s.send(time.Minute); d.Outcome != edc.Delivered {
				t.Fatalf("%+v", d)
			}
			s.counts("one transfer has no token", 1, 2)
			if c.status == 404 {
				return // after a start that is waited for, for 10 s each
			}
			refuse("/edrs/")
			for range 6 {
				if d := s.send(time.Minute); d.Outcome != edc.Later || d.Denied || d.Reason == "" ||
					strings.Contains(d.Reason, "setting ") {
					t.Errorf("%+v", d)
				}
			}
			s.counts("no transfer has one", 2, 9)
			s.age(2 * time.Hour)
			s.send(time.Minute)
			s.counts("an hour later", 3, 11)
			s.connector.Instead(nil)
			if d := s.send(time.Minute); d.Outcome != edc.Delivered {
				t.Errorf("%+v", d)
			}
			s.counts("it has one again", 3, 12)
		})
	}
}

// TestNoTokenFromTheBeginning: one agreement, and a transfer an attempt.
func TestNoTokenFromTheBeginning(t *testing.T) {
	s := newSending(t)
	instead(s.connector, "/edrs/", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(403) })
	for range 6 {
		s.send(time.Minute)
	}
	s.counts("six attempts", 1, 6)
}

// TestOurFault: what is about us ends nothing that is open, and the reason says what to set.
func TestOurFault(t *testing.T) {
	for _, c := range []struct {
		status int
		path   string
		reason string
	}{
		{401, "/management/", "set setting Key"},
		{302, "/management/", "set setting URL"},
		{429, "/management/", "(429)"},
	} {
		t.Run(fmt.Sprint(c.status), func(t *testing.T) {
			s := newSending(t)
			s.send(time.Minute)
			instead(s.connector, c.path, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Location", "/login")
				w.WriteHeader(c.status)
			})
			for range 3 {
				if d := s.send(time.Minute); d.Outcome != edc.Later || !strings.Contains(d.Reason, c.reason) {
					t.Errorf("%+v, want %s", d, c.reason)
				}
			}
			s.connector.Instead(nil)
			if d := s.send(time.Minute); d.Outcome != edc.Delivered {
				t.Errorf("%+v", d)
			}
			s.counts("the way of before", 1, 1)
		})
	}
	// A gateway that refuses everything with 403 is told from a token that is refused.
	s := newSending(t)
	instead(s.connector, "/management/", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(403) })
	if d := s.send(time.Minute); d.Outcome != edc.Later || !strings.Contains(d.Reason, "set setting Key") {
		t.Errorf("%+v", d)
	}
}

// TestNeverEnds: a negotiation, or transfer, that stays as it is is waited for three times
// and begun anew then. So is one of which the connector only says that it failed.
func TestNeverEnds(t *testing.T) {
	stays := func(state string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprintf(w, `{"state":%q}`, state) }
	}
	fails := func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) }
	for _, c := range []struct {
		name, path                       string
		answer                           http.HandlerFunc
		waiting, negotiations, transfers int // transfers begun during the waits; both in the end
	}{
		{"negotiation requested", "/contractnegotiations/negotiation-1", stays("REQUESTED"), 0, 2, 1},
		{"negotiation in error", "/contractnegotiations/negotiation-1", stays("ERROR"), 0, 2, 1},
		{"negotiation fails", "/contractnegotiations/negotiation-1", fails, 0, 2, 1},
		{"transfer requested", "/transferprocesses/transfer-2", stays("REQUESTED"), 1, 1, 2},
		{"transfer fails", "/transferprocesses/transfer-2", fails, 1, 1, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSending(t)
			instead(s.connector, c.path, c.answer)
			for range 3 {
				if d := s.send(300 * time.Millisecond); d.Outcome != edc.Later {
					t.Errorf("%+v", d)
				}
			}
			s.counts("three waits", 1, c.waiting)
			if d := s.send(time.Minute); d.Outcome != edc.Delivered {
				t.Errorf("%+v", d)
			}
			s.counts("then", c.negotiations, c.transfers)
		})
	}
}

// TestRetiredAgreement: one that has worked is replaced at once; one that never has is kept
// for some attempts.
func TestRetiredAgreement(t *testing.T) {
	s := newSending(t)
	s.send(time.Minute)
	instead(s.connector, "/transferprocesses", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(409)
		_, _ = io.WriteString(w, `[{"message":"agreement is retired"}]`)
	})
	s.connector.LoseRefresh(s.partner) // no token: a new transfer is needed
	s.connector.EndTransfers(s.partner)
	for range 6 {
		if d := s.send(time.Minute); d.Outcome != edc.Later {
			t.Errorf("%+v", d)
		}
	}
	_, n, _ := s.partner.Counts()
	if n > 2 {
		t.Errorf("%d negotiations in seven attempts", n)
	}
	s.age(2 * time.Minute)
	s.send(time.Minute)
	if _, after, _ := s.partner.Counts(); after != n+1 {
		t.Errorf("%d negotiations, and %d after some attempts and minutes", n, after)
	}
	s.connector.Instead(nil)
	if d := s.send(time.Minute); d.Outcome != edc.Delivered {
		t.Errorf("%+v", d)
	}
}

// TestEntry: who enters a partner again, or as it is, has all begun anew.
func TestEntry(t *testing.T) {
	s := newSending(t)
	s.send(time.Minute)
	s.send(time.Minute)
	s.counts("one entry", 1, 1)
	s.to.Entry = "2"
	s.send(time.Minute)
	s.counts("entered again", 2, 2)
	// A way that a version without entries kept is taken up.
	s.kept = []byte(strings.Replace(string(s.kept), `   2"`, `  "`, 1))
	s.send(time.Minute)
	s.counts("after an update of the program", 2, 2)
}

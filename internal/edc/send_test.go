package edc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// backend plays the receiver while the supplier's conversation is recorded:
// what is kept is what the data plane made of its answers.
func backend(t *testing.T) {
	const problem = `{"type":"urn:dcm-receiver:problem:rule","title":"Bad Request","status":400,"messageId":"8d0e0b5c-9f2a-4d55-b2ad-4cbd6bb1a001"}`
	const stored = `{"id":"0198","messageId":"8d0e0b5c-9f2a-4d55-b2ad-4cbd6bb1a001","endpoint":"week-based-capacity-group","receivedAt":"2026-11-23T07:00:00Z","status":400,"answer":` + problem + `}`
	listener, err := net.Listen("tcp", "127.0.0.1:9100")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.Method == "POST" && strings.Contains(string(body), "refused"):
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, problem)
		case r.Method == "POST":
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, `{"results":[]}`)
		case r.URL.Path == "/messages/8d0e0b5c-9f2a-4d55-b2ad-4cbd6bb1a001":
			_, _ = io.WriteString(w, stored)
		case r.URL.Path == "/messages":
			_, _ = io.WriteString(w, `{"messages":[`+stored+`]}`)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
}

func TestSend(t *testing.T) {
	ctx := context.Background()
	atCustomer, err := NewManagement(customer+"/management", labKey)
	if err != nil {
		t.Fatal(err)
	}
	registration := sample()
	registration.Prefix, registration.Backend = "send", "http://127.0.0.1:9100"
	register := func() {
		t.Helper()
		if !recording {
			return
		}
		if _, err := Register(ctx, atCustomer, registration, true); err != nil {
			t.Fatal(err)
		}
	}
	if recording {
		backend(t)
	}
	c := converse(t, "send", supplier)
	register()
	cache := filepath.Join(t.TempDir(), "dcm-receiver")
	var said []string
	start := func() *Supplier { // as another call of the command would
		said = nil
		s := &Supplier{Management: c.management(), Customer: customerID, Address: "http://127.0.0.1:19102/dsp",
			Protocol: "dataspace-protocol-http", Cache: cache,
			Say: func(f string, a ...any) { said = append(said, fmt.Sprintf(f, a...)) }}
		if !recording {
			s.pause = time.Nanosecond
		}
		return s
	}
	post := func(s *Supplier, body string) *Answer {
		t.Helper()
		a, err := s.Post(ctx, CapacityGroup, "", []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	fails := func(err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}

	s := start()
	if a := post(s, `[]`); a.Status != 200 || string(a.Body) != `{"results":[]}` {
		t.Errorf("first: %d %s", a.Status, a.Body)
	}
	words := strings.Join(said, "\n")
	for _, w := range []string{"1. Looking into the catalogue of BPNL00000000CUST for its WeekBasedCapacityGroup endpoint.", "Found asset send-capacity-group; its conditions: \"use if FrameworkAgreement eq DataExchangeGovernance:1.0 and Membership eq active and UsagePurpose eq cx.dcm.base:1\"", "Agreed: contract agreement ", "Open: transfer "} {
		if !strings.Contains(words, w) {
			t.Errorf("%q is not in\n%s", w, words)
		}
	}
	files, err := filepath.Glob(filepath.Join(cache, "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("remembered: %v, %v", files, err)
	}
	if i, err := os.Stat(files[0]); err != nil || i.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", i.Mode(), err)
	}
	if data, err := os.ReadFile(files[0]); err != nil || strings.Contains(string(data), "token") {
		t.Errorf("%s, %v", data, err)
	}

	// HttpData makes a bare 500 of a 400; the reason can be fetched
	s = start()
	a := post(s, `[{"refused":true}]`)
	if code, denied := AnsweredCode(a); a.Status != 500 || code != 400 || denied || len(said) != 1 ||
		!strings.HasPrefix(said[0], "Reusing contract agreement ") ||
		!strings.HasSuffix(said[0], " UTC for asset send-capacity-group.") {
		t.Errorf("refused: %d %s, having said %q", a.Status, a.Body, said)
	}
	for _, id := range []string{"8d0e0b5c-9f2a-4d55-b2ad-4cbd6bb1a001", ""} {
		stored, err := s.Reason(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		var answer struct{ Type string }
		if err := json.Unmarshal(stored.Answer, &answer); err != nil || stored.Status != 400 ||
			answer.Type != "urn:dcm-receiver:problem:rule" {
			t.Errorf("%+v, %v", stored, err)
		}
	}
	_, err = s.Reason(ctx, "urn:uuid:00000000-0000-4000-8000-000000000000")
	fails(err, "the receiver has no answer to this message")

	// the way is gone: another one is opened, without a word of the user's
	var way transfer
	data, err := os.ReadFile(files[0])
	if err != nil || json.Unmarshal(data, &way) != nil {
		t.Fatal(err)
	}
	if recording {
		lastToken = ""
	}
	err = s.Management.call(ctx, "POST", "/transferprocesses/"+url.PathEscape(way.ID)+"/terminate",
		map[string]any{"@context": edcContext, "@type": "TerminateTransfer", "reason": "test"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if recording {
		time.Sleep(2 * time.Second)
	}
	s = start()
	if a := post(s, `[]`); a.Status != 200 || !strings.Contains(strings.Join(said, "\n"),
		"opening a new one.\n1. Looking into") {
		t.Errorf("after the end of the transfer: %d %s, having said %q", a.Status, a.Body, said)
	}

	_, err = s.Post(ctx, CapacityGroup, "another-asset", nil)
	fails(err, "the catalogue of BPNL00000000CUST shows your connector no asset another-asset")
	registration.Partners = []string{"BPNL00000000OTHR"}
	register()
	err = s.Open(ctx, CapacityGroup, "", true)
	fails(err,
		"shows your connector no WeekBasedCapacityGroup endpoint: the partner has not registered it, or not for your BPNL; ask the partner")
	s.Address = "http://127.0.0.1:19109/dsp"
	err = s.Open(ctx, RequestForUpdate, "", false)
	fails(err,
		"your connector could not get the catalogue of BPNL00000000CUST: the DSP address http://127.0.0.1:19109/dsp must be")
}

func TestAnsweredCode(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		code   int
		denied bool
	}{
		{500, `{"errors":["Received code transferring HTTP data: 503 - Service Unavailable."]}`, 503, false},
		{500, `{"errors":[]}`, 0, true},
		{500, `<html>`, 0, false},
		{500, `{"errors":["Unhandled exception occurred during data transfer"]}`, 0, false},
		{500, `{"title":"ours"}`, 0, false},
		{400, `{"errors":[]}`, 0, false},
	} {
		code, denied := AnsweredCode(&Answer{Status: c.status, Body: []byte(c.body)})
		if code != c.code || denied != c.denied {
			t.Errorf("%d %s: %d, %v", c.status, c.body, code, denied)
		}
	}
}

func TestMessageID(t *testing.T) {
	for body, want := range map[string]string{
		`{"messageHeader":{"header":{"messageId":"urn:uuid:1"}},"content":{}}`: "urn:uuid:1",
		`{"messageHeader":{"header":{"messageId":7}}}`:                         "",
		`{"messageHeader":{"header":{}}}`:                                      "",
		`[{"capacityGroupId":"x"}]`:                                            "",
		`{`:                                                                    "",
	} {
		if got := MessageID([]byte(body)); got != want {
			t.Errorf("%s: %q", body, got)
		}
	}
}

func TestWaitEnds(t *testing.T) {
	// neither was recorded: a refusal of the contract by the customer's policy, and an interrupt
	c := &conversation{t: t, exchanges: []exchange{
		{Method: "GET", Path: "/management/v3/x", Status: 200,
			Answer: `{"state":"TERMINATED","errorDetail":"<p>Policy not\n fulfilled</p>"}`},
		{Method: "GET", Path: "/management/v3/x", Status: 200, Answer: `{"state":"REQUESTED"}`},
		{Method: "GET", Path: "/management/v3/x", Status: 200, Answer: `{"state":"REQUESTED"}`},
	}}
	server := http.Server{Handler: c}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()
	c.URL = "http://" + listener.Addr().String()
	s := &Supplier{Management: c.management(), pause: time.Hour}
	if _, err := s.wait(context.Background(), "/x", "FINALIZED"); err == nil ||
		err.Error() != "ended by the connectors (Policy not fulfilled)" {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.wait(ctx, "/x", "FINALIZED"); !errors.Is(err, ErrUnreachable) ||
		!strings.Contains(err.Error(), "still REQUESTED") {
		t.Errorf("got %v", err)
	}
	ctx, interrupt := context.WithCancel(context.Background())
	time.AfterFunc(50*time.Millisecond, interrupt)
	if _, err := s.wait(ctx, "/x", "FINALIZED"); !errors.Is(err, context.Canceled) ||
		!strings.Contains(err.Error(),
			"interrupted while the connectors were still at REQUESTED; the next call goes on from there") {
		t.Errorf("got %v", err)
	}
}

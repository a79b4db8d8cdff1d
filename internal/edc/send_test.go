package edc

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

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
	s := &line{Management: c.management(), say: t.Logf, pause: time.Hour}
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

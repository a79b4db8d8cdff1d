package edc_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"dcm-receiver/internal/edc"
	"dcm-receiver/internal/edc/edctest"
	"dcm-receiver/internal/fair"
)

// huge writes begin, and part again and again up to so many bytes.
func huge(w io.Writer, begin, part string, size int) {
	chunk := []byte(strings.Repeat(part, 32<<10/len(part)))
	n, err := io.WriteString(w, begin)
	for ; n < size && err == nil; n += len(chunk) {
		_, err = w.Write(chunk)
	}
}

// instead answers requests whose path contains what is given.
func instead(c *edctest.Connector, path string, answer http.HandlerFunc) {
	c.Instead(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, path) {
			answer(w, r)
			return true
		}
		return false
	})
}

// TestHugeAnswers: 60 MiB, wherever they come from, take a few MiB of memory, are judged by
// their status, and leave a reason of at most 4,000 characters.
func TestHugeAnswers(t *testing.T) {
	const negotiation, plane = "/contractnegotiations/", "/public"
	for _, c := range []struct {
		name, path  string
		status      int
		begin, part string
		outcome     edc.Outcome
		reason      string
	}{
		{"empty errors", plane, 400, `{"errors":[`, `{},`, edc.Refused, "refuses the message (400 Bad Request)"},
		{"errors of results", plane, 400, `{"results":[`, `{"errors":[{"detail":"x"}]},`, edc.Refused,
			"refuses the message"},
		{"a long detail", plane, 400, `{"detail":"`, `lorem `, edc.Refused, "refuses the message"},
		{"a long name", plane, 400, `{"`, `lorem `, edc.Refused, "refuses the message"},
		{"empty words of a 403", plane, 403, `{"errors":[`, `"",`, edc.Later, "refuses the token"},
		{"empty words of a 500", plane, 500, `{"errors":["Received code transferring HTTP data: 400 - Bad Request.",`,
			`"",`, edc.Refused, "400"},
		{"depth", plane, 400, ``, `[`, edc.Refused, "refuses the message"},
		{"delivered", plane, 200, `{"x":[`, `{},`, edc.Delivered, ""},
		{"a page", plane, 200, `<html><title>Sign in</title>`, `<p>`, edc.Later, "Sign in"},
		{"titles", plane, 200, `<html>`, `<title>`, edc.Later, "web page"},
		{"a catalogue of empty datasets", "/catalog/", 200, `{"dcat:dataset":[`, `{},`, edc.Later,
			"the catalogue of " + them + " is too large"},
		{"a refused catalogue", "/catalog/", 502, `[`, `{"message":""},`, edc.Later, "could not get the catalogue"},
		{"a page for a catalogue", "/catalog/", 200, `<!doctype html>`, `<p>x`, edc.Later, "no Management API answer"},
		{"the reason of a negotiation", negotiation, 200, `{"state":"TERMINATED","errorDetail":"`, `lorem `,
			edc.Later, "over the limit"},
		{"a refused negotiation", negotiation, 400, `[{"message":"`, `lorem `, edc.Later, "no contract came about"},
		{"a transfer", "/transferprocesses/", 200, `{"state":[`, `{},`, edc.Later, "over the limit"},
		{"a token", "/edrs/", 200, `{"authorization":[`, `{},`, edc.Later, "over the limit"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := supplier()
			p.Proxy = true
			connector := edctest.New(t, p)
			instead(connector, c.path, func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(c.status)
				huge(w, c.begin, c.part, 60<<20)
			})
			consumer := consumer(t, connector)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			begun := time.Now()
			d, _ := consumer.Send(t.Context(), edc.Partner{BPNL: them, Address: connector.Address(p)},
				edc.MaterialDemand, edc.Session{}, []byte("[200]"))
			runtime.ReadMemStats(&after)
			if mib := (after.TotalAlloc - before.TotalAlloc) >> 20; mib > 40 {
				t.Errorf("%d MiB were allocated, in %s", mib, time.Since(begun))
			}
			if d.Outcome != c.outcome || !strings.Contains(d.Reason, c.reason) ||
				utf8.RuneCountInString(d.Reason+d.Details) > 4000 || len(bodyOf(d)) > 4<<10 {
				t.Errorf("%s %.300q, %d bytes of details, %d of the body", d.Outcome, d.Reason, len(d.Details),
					len(bodyOf(d)))
			}
		})
	}
}

// TestParsingIsBounded: an answer of 4 MiB of small things takes a few times that.
func TestParsingIsBounded(t *testing.T) {
	for _, part := range []string{`{},`, `{"@id":"a"},`, `{"@id":"a","odrl:hasPolicy":{"a":[{},{},{},{},{},{},{}]}},`,
		`[[]],`, `"",`, `null,`} {
		t.Run(part, func(t *testing.T) {
			p := supplier()
			connector := edctest.New(t, p)
			instead(connector, "/catalog/", func(w http.ResponseWriter, r *http.Request) {
				huge(w, `{"dcat:dataset":[`, part, 4<<20-64<<10)
				_, _ = io.WriteString(w, `{}]}`)
			})
			consumer := consumer(t, connector)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			d, _ := consumer.Send(t.Context(), edc.Partner{BPNL: them, Address: connector.Address(p)},
				edc.MaterialDemand, edc.Session{}, []byte("[200]"))
			runtime.ReadMemStats(&after)
			// two catalogues, each read in growing buffers
			if mib := (after.TotalAlloc - before.TotalAlloc) >> 20; mib > 48 {
				t.Errorf("%d MiB were allocated", mib)
			}
			if d.Outcome != edc.Later {
				t.Errorf("%+v", d)
			}
		})
	}
}

// TestAnswersAtOnce: what many partners' answers take is bounded by the room, which is
// given back, and none waits for ever.
func TestAnswersAtOnce(t *testing.T) {
	const partners = 32
	p := supplier()
	p.Proxy = true
	connector := edctest.New(t, p)
	var all sync.WaitGroup
	all.Add(partners)
	instead(connector, "/public", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(400)
		huge(w, `{"detail":"`, "lorem ", 600<<10)
		_ = http.NewResponseController(w).Flush()
		all.Done()
		all.Wait() // all are being read at once
	})
	c := consumer(t, connector)
	c.Say, c.Room = nil, fair.NewShare(2<<20, 64<<10)
	ctx, stop := context.WithCancel(t.Context())
	most := make(chan int64)
	go func() {
		var n int64
		for ctx.Err() == nil {
			n = max(n, c.Room.Held())
			time.Sleep(time.Millisecond)
		}
		most <- n
	}()
	var group sync.WaitGroup
	for i := range partners {
		group.Go(func() {
			to := edc.Partner{BPNL: fmt.Sprintf("BPNL0000000000%02d", i), Address: connector.Address(p),
				Protocol: edc.DSP08}
			session, _, err := c.Open(t.Context(), edc.Partner{BPNL: them, Address: to.Address, Protocol: edc.DSP08},
				edc.MaterialDemand, edc.Session{})
			if err != nil {
				t.Error(err)
			}
			d, _ := c.Send(t.Context(), to, edc.MaterialDemand, session, []byte("[400]"))
			if d.Outcome != edc.Refused || !strings.HasPrefix(d.Details, "lorem lorem") {
				t.Errorf("%s %s %.60s", d.Outcome, d.Reason, d.Details)
			}
		})
	}
	group.Wait()
	stop()
	if n := <-most; n == 0 || n > 2<<20 {
		t.Errorf("%d bytes were held at most; want some, and not more than the room", n)
	}
	if n := c.Room.Held(); n != 0 {
		t.Errorf("%d bytes are still held", n)
	}
}

func TestClean(t *testing.T) {
	for given, want := range map[string]string{
		"a\x00b":                        "a b",
		"a\r\nb\tc\n":                   "a b c",
		"a\u202eb\u200b\ufeffc\u2066":   "abc",
		"a\x1b[31mb\u009bc":             "a [31mb c",
		"a\xffb\xc3":                    "a b",
		"a\u2028b\u00a0c":               "a b c",
		"Straße, 東京, الدار ✓":           "Straße, 東京, الدار ✓",
		"":                              "",
		strings.Repeat("é", 4000):       strings.Repeat("é", 4000),
		strings.Repeat("é", 4001):       strings.Repeat("é", 3999) + "…",
		strings.Repeat("\u200b", 1<<20): "",
		strings.Repeat("a ", 4000):      strings.TrimSpace(strings.Repeat("a ", 2000)) + "…",
	} {
		if got := edc.Clean(given); got != want {
			t.Errorf("%.50q: %.50q (%d), want %.50q (%d)", given, got, utf8.RuneCountInString(got), want,
				utf8.RuneCountInString(want))
		}
	}
}

// TestDirtyWords: nothing that is kept holds what Postgres or a screen takes amiss.
func TestDirtyWords(t *testing.T) {
	const dirty = "a\x00b\u202ec\nd"
	words, _ := json.Marshal(dirty)
	for _, c := range []struct {
		name, path string
		status     int
		body       string
		outcome    edc.Outcome
		said       string
	}{
		{"detail", "/public", 400, `{"detail":%s}`, edc.Refused, "a bc d"},
		{"violation", "/public", 400, `{"errors":[{"pointer":%s,"detail":%[1]s}]}`, edc.Refused, "a bc d: a bc d"},
		{"violation of an object", "/public", 422, `{"results":[{"errors":[{"detail":%s}]}]}`, edc.Refused, "a bc d"},
		{"words of a 403", "/public", 403, `{"errors":[%s]}`, edc.Later, "a bc d"},
		{"a page", "/public", 200, "<html>a\x00b\u202ec\nd", edc.Later, "a bc d"},
		{"reason of a negotiation", "/contractnegotiations/", 200, `{"state":"TERMINATED","errorDetail":%s}`,
			edc.Later, "a bc d"},
		{"refusal of a negotiation", "/contractnegotiations/", 400, `[{"message":%s}]`, edc.Later, "a bc d"},
		{"state of a negotiation", "/contractnegotiations/", 200, `{"state":%s}`, edc.Later, "a bc d"},
		{"ID of an agreement", "/contractnegotiations/", 200, `{"state":"FINALIZED","contractAgreementId":%s}`,
			edc.Later, "no ID"},
		{"no ID of an agreement", "/contractnegotiations/", 200, `{"state":"FINALIZED"}`, edc.Later, "no ID"},
		{"ID of an asset", "/catalog/", 200, `{"dcat:dataset":{"@id":%s,"odrl:hasPolicy":{"@id":"o"}}}`, edc.Later,
			"shows your connector no"},
		{"refused catalogue", "/catalog/", 502, "<html>a\x00b\u202ec\nd", edc.Later, "a bc d"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := supplier()
			connector := edctest.New(t, p)
			instead(connector, c.path, func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(c.status)
				if strings.Contains(c.body, "%") {
					_, _ = fmt.Fprintf(w, c.body, words)
				} else {
					_, _ = io.WriteString(w, c.body)
				}
			})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			d, session := consumer(t, connector).Send(ctx, edc.Partner{BPNL: them, Address: connector.Address(p)},
				edc.MaterialDemand, edc.Session{}, []byte("[200]"))
			said := d.Reason + ": " + d.Details
			if d.Outcome != c.outcome || !strings.Contains(said, c.said) || edc.Clean(d.Reason) != d.Reason ||
				edc.Clean(d.Details) != d.Details {
				t.Errorf("%s %q, want %s %q", d.Outcome, said, c.outcome, c.said)
			}
			if kept, err := json.Marshal(session); err != nil || bytes.Contains(kept, []byte(`\u0000`)) {
				t.Errorf("Postgres takes no %s %v", kept, err)
			}
		})
	}
}

// TestWebPages: a 2xx that is a page did not reach the receiver; any other did.
func TestWebPages(t *testing.T) {
	for _, c := range []struct {
		kind, body string
		words      string // "" where it is delivered
	}{
		{"text/html", "<html><head><title>Sign in</title></head><body>Please log in</body></html>",
			"Sign in Please log in"},
		{"text/html; charset=utf-8", "OK", "OK"},
		{"TEXT/HTML", "x", "x"},
		{"application/xhtml+xml", "<x/>", "it has no text"},
		{"application/json", "<!DOCTYPE html><title>Sign in</title>", "Sign in"},
		{"", "<html\nlang=en><p>Welcome", "Welcome"},
		{"text/plain",
			"\xef\xbb\xbf \r\n<!-- a > b -->\n<!-- -->\n<!doctype HTML PUBLIC \"x\"><BODY>Maintenance</BODY>",
			"Maintenance"},
		{"application/json",
			"<?xml version=\"1.0\"?>\n<!DOCTYPE html PUBLIC \"x\"><html xmlns=\"y\"><p>Hello</p></html>", "Hello"},
		{"application/octet-stream", "<script>location='/login'</script>", "it has no text"},
		{"application/json", "\xff\xfe<\x00H\x00t\x00m\x00l\x00>\x00", "it has no text"},
		{"application/json", `{"results":[]}`, ""},
		{"application/json", `{"x":"<html>"}`, ""},
		{"application/problem+json", `{}`, ""},
		{"application/xml", "<?xml version=\"1.0\"?><answer/>", ""},
		{"text/plain", "OK", ""},
		{"", "", ""},
		{"application/json", "<headers/>", ""},
	} {
		for _, proxy := range []bool{true, false} {
			t.Run(fmt.Sprint(c.kind, c.body, proxy), func(t *testing.T) {
				p := supplier()
				p.Proxy = proxy
				p.Backend = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header()["Content-Type"] = []string{c.kind}
					w.WriteHeader(http.StatusCreated)
					_, _ = io.WriteString(w, c.body)
				})
				connector := edctest.New(t, p)
				d, _ := consumer(t, connector).Send(t.Context(), edc.Partner{BPNL: them,
					Address: connector.Address(p)}, edc.MaterialDemand, edc.Session{}, []byte("[]"))
				switch {
				case c.words == "" && d.Outcome != edc.Delivered:
					t.Errorf("%+v", d)
				case c.words != "" && (d.Outcome != edc.Later || d.Denied ||
					!strings.Contains(d.Reason, "a login page or gateway answered") ||
					!strings.Contains(d.Reason, c.words+")")):
					t.Errorf("%+v, want %q", d, c.words)
				}
			})
		}
	}
}

// TestManagementPages: a page of the Management API is no answer of it.
func TestManagementPages(t *testing.T) {
	p := supplier()
	connector := edctest.New(t, p)
	for path, words := range map[string]string{"/catalog/": "Sign in", "/edrs/": "Sign in"} {
		instead(connector, path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, "<html><title>Sign in</title>")
		})
		d, _ := consumer(t, connector).Send(t.Context(), edc.Partner{BPNL: them, Address: connector.Address(p)},
			edc.MaterialDemand, edc.Session{}, []byte("[]"))
		if d.Outcome != edc.Later || !strings.Contains(d.Reason, words) ||
			!strings.Contains(d.Reason, "setting URL") {
			t.Errorf("%s: %+v", path, d)
		}
	}
}

// bodyOf is the body of the answer; nil where none came.
func bodyOf(d edc.Delivery) []byte {
	if d.Answer == nil {
		return nil
	}
	return d.Answer.Body
}

package outbox_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"dcm-receiver/internal/edc"
)

// answering has requests to a path answered so, and counts them.
func (w *world) answering(path string, status int, body string) {
	w.connector.Instead(func(rw http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, path) {
			return false
		}
		_, _ = io.Copy(io.Discard, r.Body)
		rw.WriteHeader(status)
		_, _ = io.WriteString(rw, body)
		return true
	})
}

// TestDirtyReasons: whatever a partner says, what became of the object is kept with a clean
// reason, and the next attempt waits as for any other answer.
func TestDirtyReasons(t *testing.T) {
	t.Parallel()
	const words = `"a\u0000b\u202ec\nd"`
	for _, c := range []struct{ name, path, body, state string }{
		{"detail", "/public", `{"detail":` + words + `}`, "refused"},
		{"violation", "/public", `{"errors":[{"pointer":` + words + `,"detail":` + words + `}]}`, "refused"},
		{"long detail", "/public", `{"detail":"a b` + strings.Repeat("é", 1<<20) + `"}`, "refused"},
		{"token", "/edrs/", `[{"message":` + words + `}]`, "waiting"},
		{"negotiation", "/contractnegotiations/", `[{"message":` + words + `}]`, "waiting"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.answering(c.path, http.StatusBadRequest, c.body)
			w.release("A", 1)
			w.run(w.sender())
			w.eventually("three attempts, or the end", func() bool {
				return w.text(
					"select (count(*) filter (where attempts >= 3 and state = 'waiting' or state = "+
						"'refused'))::text from planning.delivery") == "1"
			})
			if state := w.text("select state from planning.delivery"); state != c.state {
				t.Errorf("%s, want %s", state, c.state)
			}
			reason := w.text("select coalesce(reason, '') from planning.delivery")
			if !strings.Contains(reason, "a b") || reason != edc.Clean(reason) ||
				utf8.RuneCountInString(reason) > 4000 {
				t.Errorf("%d characters: %.200q", utf8.RuneCountInString(reason), reason)
			}
			if took := w.text(
				"select coalesce(extract(epoch from max(last_attempt_at) - min(queued_at)), 0)::int::text from " +
					"planning.delivery where state = 'waiting'"); c.state == "waiting" && took < "2" {
				t.Errorf("three attempts within %s s: without back-off", took)
			}
		})
	}
}

// TestForgottenWays: anyone who writes or removes the entry of a partner has what is open
// begun anew; what a sender still keeps of before counts for nothing.
func TestForgottenWays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ways := func() string { return w.text("select count(*)::text from dcm.way") }
	negotiations := func(want int) {
		t.Helper()
		if _, n, _ := w.partner.Counts(); n != want {
			t.Errorf("%d negotiations, want %d", n, want)
		}
	}
	w.release("A", 1)
	w.run(w.sender())
	w.reach("A delivered 200")
	negotiations(1)
	if n := ways(); n != "1" {
		t.Fatalf("%s ways", n)
	}
	kept := w.text("select way::text from dcm.way")
	w.exec("update outbox.partner set dsp_url = dsp_url")
	if n := ways(); n != "0" {
		t.Errorf("%s ways after an update", n)
	}
	// a sender was in the middle
	w.exec("insert into dcm.way values ($1, 'week-based-material-demand', $2::text::jsonb)", them, kept)
	w.release("A", 2)
	w.reach("A delivered 200", "A delivered 200")
	negotiations(2)
	address := w.text("delete from outbox.partner returning dsp_url")
	if n := ways(); n != "0" {
		t.Errorf("%s ways of a partner that is removed", n)
	}
	w.exec("insert into outbox.partner (bpnl, dsp_url) values ($1, $2)", them, address)
	w.release("A", 3)
	w.reach("A delivered 200", "A delivered 200", "A delivered 200")
	negotiations(3)
}

// TestPageIsNotDelivered: what a login page answered is sent again until the receiver has it.
func TestPageIsNotDelivered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.answering("/public", http.StatusOK, "<!DOCTYPE html><title>Sign in</title>")
	w.release("A", 1)
	w.run(w.sender())
	w.eventually("an attempt", func() bool {
		return w.text(
			"select (count(*) filter (where state = 'waiting' and status = 200 and reason like '%Sign "+
				"in%'))::text from planning.delivery") == "1"
	})
	w.connector.Instead(nil)
	w.reach("A delivered 200")
	if got := w.receiver.last()["A"]; got != "1" {
		t.Errorf("%q arrived", got)
	}
}

// TestTokenThatCannotBeHad: attempts are apart, and one agreement is used.
func TestTokenThatCannotBeHad(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.answering("/edrs/", http.StatusForbidden, `[{"message":"Unauthorized","type":"NotAuthorized"}]`)
	w.release("A", 1)
	begun := time.Now()
	w.run(w.sender())
	w.eventually("four attempts", func() bool {
		return w.text(
			"select max(attempts)::text from planning.delivery") >= "4"
	})
	if _, n, transfers := w.partner.Counts(); n != 1 || transfers > 5 || time.Since(begun) < 3*time.Second {
		t.Errorf("%d negotiations and %d transfers in %s", n, transfers, time.Since(begun))
	}
	if reason := w.text("select reason from planning.delivery"); strings.Contains(reason, "DCM_EDC") ||
		!strings.Contains(reason, "(403): Unauthorized") {
		t.Errorf("%q", reason)
	}
	w.connector.Instead(nil)
	w.exec("update dcm.delivery set next_attempt_at = now() where state = 'waiting'")
	w.eventually("the demand", func() bool { return w.receiver.last()["A"] == "1" })
	if _, n, _ := w.partner.Counts(); n != 1 {
		t.Error(fmt.Sprint(n, " negotiations"))
	}
}

package receiver

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"mime"
	"net/http"
	"slices"
	"strconv"

	"dcm-receiver/internal/edc"
	"dcm-receiver/internal/fair"
	"dcm-receiver/internal/store"
)

// admit checks method, key and sender, and fills in the sender.
func (rc *Receiver) admit(w http.ResponseWriter, r *http.Request, a *store.Arrival, method string) *answer {
	refuse := func(status int, word, title, detail string) *answer {
		refused := refusal(status, word, title, detail)
		return &refused
	}
	if r.Method != method {
		w.Header().Set("Allow", method)
		return refuse(http.StatusMethodNotAllowed, "method-not-allowed", "Method not allowed",
			"this endpoint takes "+method+" only")
	}
	if !rc.keyMatches(r.Header.Values("X-Api-Key")) {
		w.Header().Set("WWW-Authenticate", `ApiKey header="X-Api-Key"`)
		return refuse(http.StatusUnauthorized, "no-key", "No or wrong API key",
			"the header X-Api-Key is missing or wrong; the data address of the EDC asset must carry the key of "+
				"this receiver")
	}
	var ok bool
	if a.Sender, a.Agreement, ok = edc.Sender(r.Header, rc.config.SenderHeader); !ok {
		w.Header().Set("WWW-Authenticate", `ApiKey header="`+rc.config.SenderHeader+`"`)
		return refuse(http.StatusUnauthorized, "no-sender", "The sender is unknown",
			"the header "+rc.config.SenderHeader+" must name the sender by one BPNL; an EDC data plane sets it")
	}
	if rc.config.Partners != nil && !slices.Contains(rc.config.Partners, a.Sender) {
		return refuse(http.StatusForbidden, "partner-not-allowed", "This partner may not send here",
			a.Sender+" is not among the partners that this receiver takes messages from")
	}
	return nil
}

// keyMatches compares in constant time with every key.
func (rc *Receiver) keyMatches(sent []string) bool {
	if rc.keys == nil {
		return true
	}
	if len(sent) != 1 {
		return false
	}
	sum := sha256.Sum256([]byte(sent[0]))
	match := 0
	for _, key := range rc.keys {
		match |= subtle.ConstantTimeCompare(sum[:], key[:])
	}
	return match == 1
}

// checkContent checks content type and encoding. Any charset is accepted: data planes add their own.
func checkContent(r *http.Request) *answer {
	contentType := r.Header.Get("Content-Type")
	mediaType, _, err := mime.ParseMediaType(contentType)
	if errors.Is(err, mime.ErrInvalidMediaParameter) {
		err = nil // the type itself was read
	}
	if contentType != "" && (err != nil || mediaType != "application/json") {
		a := refusal(http.StatusUnsupportedMediaType, "content-type", "Unsupported content type",
			"send Content-Type: application/json")
		return &a
	}
	// also identity, which is no encoding to name here (RFC 9110 §8.4.1)
	if len(r.Header.Values("Content-Encoding")) > 0 {
		a := refusal(http.StatusUnsupportedMediaType, "content-encoding", "Unsupported content encoding",
			"send the body as it is, without Content-Encoding")
		return &a
	}
	return nil
}

// begin waits for the sender's turn. Small messages have processors and memory of their own, so that
// they never wait for large ones.
func (rc *Receiver) begin(ctx context.Context, sender string, load fair.Load) (done func(), err error) {
	const small, memory = fair.Largest / 16, 1 << 20
	if load.Cost <= small && load.Memory <= memory {
		return rc.small.Begin(ctx, sender, load)
	}
	return rc.work.Begin(ctx, sender, load)
}

// heldBack refuses a message whose sender has used up its quota of bytes, messages or work.
func (rc *Receiver) heldBack(w http.ResponseWriter, sender, share string) *answer {
	rc.metrics.holdBack(sender, share)
	w.Header().Set("Retry-After", retryAfter)
	a := unavailable(
		"the receiver has as many of your messages at work, or of your answers unread, as it can take; " +
			"nothing of this one was stored, send it again")
	return &a
}

// refuse answers a request that has no journal entry.
func (rc *Receiver) refuse(w http.ResponseWriter, endpoint string, a answer) {
	rc.metrics.messages.WithLabelValues(endpoint, strconv.Itoa(a.Status)).Inc()
	send(w, a.Status, a.text())
}

// retryAfter is in seconds.
const retryAfter = "5"

func unavailable(detail string) answer {
	return refusal(http.StatusServiceUnavailable, "unavailable", "The receiver cannot take messages at present", detail)
}

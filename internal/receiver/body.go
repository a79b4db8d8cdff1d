package receiver

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// errNoShare means that the sender has used up its quota of bytes.
var errNoShare = errors.New("read body: the sender has used up its quota of bytes")

// bodyTooLarge is a body over MaxBody.
type bodyTooLarge struct{ read int64 }

func (e bodyTooLarge) Error() string { return fmt.Sprintf("read body: over %d bytes", MaxBody) }

const (
	// grace is added to the time that a body or an answer of its size may take.
	grace = 10 * time.Second
	// bodyRate and answerRate are the minimum rates after that, in bytes a second: slower transfers hold
	// memory for too long.
	bodyRate, answerRate = 32 << 10, 128 << 10
	// longestBody is how long any body may take.
	longestBody = 60 * time.Second
	// overQuotaRate limits the bytes a second that are discarded for a sender over its quota: reading
	// them as fast as they come would cost the others.
	overQuotaRate = 1 << 20
	// mostDrained is how many bytes beyond MaxBody are discarded of a refused body: many clients read the
	// answer only after they have sent everything.
	mostDrained = 64 << 20
)

// readBody reads the whole body. Its memory counts against the sender's quota until release is called.
func (rc *Receiver) readBody(w http.ResponseWriter, r *http.Request, sender string) (body []byte, release func(),
	err error) {
	held := int64(0)
	release = func() { rc.bytes.Give(sender, held) }
	incoming := newIncoming(w, r)
	if r.ContentLength > MaxBody {
		return nil, release, bodyTooLarge{incoming.drain(w, r)}
	}
	most := int64(MaxBody)
	if r.ContentLength >= 0 {
		most = r.ContentLength
	}
	most++ // room to see the end
	// The buffer grows as it fills, whatever length was announced: a sender that makes us hold memory
	// must send at least a quarter of it.
	size := min(most, 16<<10)
	for {
		if !rc.bytes.Take(sender, size-held) {
			rc.bytes.Give(sender, held)
			held, body = 0, nil
			incoming.rate = overQuotaRate
			incoming.drain(w, r)
			return nil, release, errNoShare
		}
		held = size
		grown := make([]byte, size)
		n := copy(grown, body)
		body = grown[:n]
		for len(body) < cap(body) {
			n, err := incoming.next(body[len(body):cap(body)])
			body = body[:len(body)+n]
			switch {
			case err == io.EOF && len(body) <= MaxBody:
				return body, release, nil
			case err != nil && err != io.EOF:
				return body, release, err
			}
		}
		if len(body) > MaxBody {
			rc.bytes.Give(sender, held)
			held = 0
			return nil, release, bodyTooLarge{incoming.drain(w, r)}
		}
		size = min(size*4, most)
	}
}

// incoming is a request body with a minimum transfer rate.
type incoming struct {
	body     io.Reader
	control  *http.ResponseController
	start    time.Time
	deadline time.Time
	read     int64
	rate     int64 // bytes a second that are drained; 0: as fast as they come
}

func newIncoming(w http.ResponseWriter, r *http.Request) *incoming {
	return &incoming{body: r.Body, control: http.NewResponseController(w), start: time.Now()}
}

// next reads the next piece.
func (b *incoming) next(into []byte) (int, error) {
	until := b.start.Add(min(longestBody, grace+time.Duration(b.read)*time.Second/bodyRate))
	if until.Sub(b.deadline) > time.Second { // setting it for each piece would be slow
		b.deadline = until
		_ = b.control.SetReadDeadline(until) // not every connection has one
	}
	n, err := b.body.Read(into)
	b.read += int64(n)
	return n, err
}

// drain discards the rest of a refused body. It returns how many bytes were read in all, at least 1.
func (b *incoming) drain(w http.ResponseWriter, r *http.Request) int64 {
	if b.read == 0 && r.Header.Get("Expect") != "" {
		w.Header().Set("Connection", "close")
		return 1 // the client waits for our permission to send
	}
	size := int64(8 << 10)
	if b.rate > 0 {
		size = min(64<<10, max(r.ContentLength, size)) // fewer and longer pauses
	}
	buffer := make([]byte, size)
	for b.read <= MaxBody+mostDrained {
		n, err := b.next(buffer)
		if b.rate > 0 && err == nil {
			time.Sleep(time.Duration(n) * time.Second / time.Duration(b.rate))
		}
		switch {
		case err == io.EOF:
			return max(b.read, 1)
		case err != nil:
			w.Header().Set("Connection", "close")
			return max(b.read, 1)
		}
	}
	w.Header().Set("Connection", "close")
	return b.read
}

// leftToServer is how much of a body net/http discards before it answers.
const leftToServer = 128 << 10

// drainBody discards the body of a message that is refused before it is read, so that clients that
// write before they read see the answer.
func drainBody(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength < 0 || r.ContentLength > leftToServer {
		newIncoming(w, r).drain(w, r)
	}
}

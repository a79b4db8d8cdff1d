package payload

import (
	"strings"

	"dcm-receiver/internal/dcm"
)

// longList is the size of a body, in bytes, from which processors share it.
const longList = 256 << 10

// piece is a part of a long list that is read while those before it are. Where it
// begins is a guess: whoever has read all before it comes to an object at that
// very byte, or else leaves the piece unused.
type piece struct {
	from, to int             // bytes: its first one, and that behind the last object read
	groups   []CapacityGroup // valid ones, without their place; it ends at another
	read     chan struct{}   // closed when it has ended
}

// pieces are those of one list that nobody came to yet, in their order.
type pieces []*piece

// next returns the groups of the piece that begins at the very next byte, and
// moves the reader behind them: none if there is no such piece, or if it has more
// than most.
func (ps *pieces) next(r *reader, most int) []CapacityGroup {
	for len(*ps) > 0 && (*ps)[0].from <= r.at {
		p := (*ps)[0]
		*ps = (*ps)[1:]
		<-p.read
		if p.from == r.at && len(p.groups) <= most && len(p.groups) > 0 {
			r.at = p.to
			return p.groups
		}
	}
	return nil
}

// wait waits until no piece is being read any more.
func (ps pieces) wait() {
	for _, p := range ps {
		<-p.read
	}
}

// readAhead begins to read what follows the next object, which is the first of
// its list, up to n-1 pieces at once.
func (r *reader) readAhead(n int, today dcm.Date) (pieces pieces) {
	const longest = 100 // of what objects begin with
	first, _, ok := strings.Cut(r.body[r.at:min(r.at+longest, len(r.body))], ":")
	if !ok {
		return nil
	}
	for i := 1; i < n; i++ {
		from := r.at + (len(r.body)-r.at)/n*i
		// Objects from one program begin alike.
		at := strings.Index(r.body[from:], first)
		if at < 0 {
			break
		}
		pieces = append(pieces, &piece{from: from + at, read: make(chan struct{})})
	}
	for i, p := range pieces {
		until := len(r.body)
		if i+1 < len(pieces) {
			until = pieces[i+1].from
		}
		go p.readUntil(until, *r, today)
	}
	return pieces
}

func (p *piece) readUntil(end int, r reader, today dcm.Date) {
	defer close(p.read)
	// A fault in the program is for whoever reads the same object in its turn.
	defer func() { _ = recover() }()
	for r.at = p.from; r.at < end; r.at++ {
		r.peek()
		group := r.capacityGroup("", today, 1)
		if r.failed || group.Errors.Any() {
			return
		}
		p.groups, p.to = append(p.groups, group), r.at
		if r.peek() != ',' {
			return
		}
	}
}

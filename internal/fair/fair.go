// Package fair decides who may hold how much, and who is next, so that one
// partner's worst costs the others nothing. It knows partners by their names
// only, and neither HTTP nor messages.
//
// What is held (bytes, messages) is shared out by dynamic thresholds, as switches
// share their buffers: a partner may hold as much as is still free. One partner
// alone can take half, so there is always room for the next one, without a
// setting for each.
//
// Work is handed out, as far as processors and memory go, by start-time fair
// queueing: each partner's messages wait in a queue of their own, and the partner that
// has been served least is next.
// However much one of them sends, another's message waits for what is at work, not
// for what is queued.
package fair

import (
	"context"
	"sync"
)

// Share is an amount that partners share: bytes that are held, or messages that
// are there. It is safe for concurrent use.
type Share struct {
	total int64
	floor int64 // a partner that holds nothing may take this much if it is free

	mu   sync.Mutex // owns the fields below
	all  int64
	held map[string]int64
}

// NewShare shares out a total. floor is what a partner that holds nothing may take
// even where that is more than what is then still free.
func NewShare(total, floor int64) *Share {
	return &Share{total: total, floor: floor, held: map[string]int64{}}
}

// Take takes n more for the partner; false if that is more than its share.
func (s *Share) Take(partner string, n int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	free, mine := s.total-s.all, s.held[partner]
	if n > free || mine+n > s.floor && mine+n > free-n {
		return false
	}
	s.add(partner, n)
	return true
}

// Force takes n for the partner whatever its share: for what is owed to it
// already. It counts, so that the partner gets nothing more until it is back.
func (s *Share) Force(partner string, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(partner, n)
}

// Give gives n back.
func (s *Share) Give(partner string, n int64) { s.Force(partner, -n) }

func (s *Share) add(partner string, n int64) {
	s.all += n
	if s.held[partner] += n; s.held[partner] == 0 {
		delete(s.held, partner)
	}
}

// Held is how much all partners hold.
func (s *Share) Held() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all
}

// Unit is the cost of the least piece of work.
const Unit = 1

// Load is what a piece of work takes while it is at work.
type Load struct {
	Cost   int64 // of processors
	Memory int64 // bytes, as far as they can be estimated before
}

func (l Load) plus(other Load) Load { return Load{l.Cost + other.Cost, l.Memory + other.Memory} }

func (l Load) minus(other Load) Load { return Load{l.Cost - other.Cost, l.Memory - other.Memory} }

// within reports whether neither part is more than that of the limit.
func (l Load) within(limit Load) bool { return l.Cost <= limit.Cost && l.Memory <= limit.Memory }

// Queue hands out work: as much as keeps the processors busy and fits into the
// memory. It is safe for concurrent use.
type Queue struct {
	capacity Load // that may be at work at once

	mu      sync.Mutex // owns the fields below
	atWork  Load
	now     float64 // start of the work that was handed out last
	flows   map[string]*flow
	waiting int
}

// flow is the work of one partner.
type flow struct {
	atWork Load
	finish float64 // when its last work would end, had it the queue's speed
	queue  []*ticket
}

// ticket is work that waits.
type ticket struct {
	load  Load
	start float64
	ready chan struct{} // closed when it may begin
	begun bool
}

// NewQueue makes a queue for a machine with so many processors, and so many bytes of
// memory for all work. The costs of messages follow from Cost.
func NewQueue(processors int, memory int64) *Queue {
	return &Queue{capacity: Load{max(int64(processors), 2) * Largest, memory}, flows: map[string]*flow{}}
}

// Largest is the cost of the largest work: as much as keeps one processor at it.
const Largest = 64

// Cost is the cost of a message with a body of so many bytes. There is no step at
// which a larger one becomes cheaper.
func Cost(bytes int64) int64 { return min(Largest, Unit+bytes>>14) }

// Begin waits for the partner's turn. done must be called when the work has ended;
// it is nil if ctx ended first.
func (q *Queue) Begin(ctx context.Context, partner string, load Load) (done func(), err error) {
	t := q.enter(partner, load)
	select {
	case <-t.ready:
	case <-ctx.Done():
		if q.leave(partner, t) {
			return nil, ctx.Err()
		}
		// Its turn came at the same moment.
	}
	return func() { q.end(partner, load) }, nil
}

func (q *Queue) enter(partner string, load Load) *ticket {
	q.mu.Lock()
	defer q.mu.Unlock()
	f := q.flows[partner]
	if f == nil {
		f = &flow{}
		q.flows[partner] = f
	}
	t := &ticket{load: load, start: max(q.now, f.finish), ready: make(chan struct{})}
	f.finish = t.start + float64(load.Cost)
	f.queue = append(f.queue, t)
	q.waiting++
	q.dispatch()
	return t
}

// leave takes work back that has not begun.
func (q *Queue) leave(partner string, t *ticket) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if t.begun {
		return false
	}
	f := q.flows[partner]
	for i := range f.queue {
		if f.queue[i] == t {
			f.queue = append(f.queue[:i], f.queue[i+1:]...)
			q.waiting--
			break
		}
	}
	q.forget(partner, f)
	q.dispatch()
	return true
}

func (q *Queue) end(partner string, load Load) {
	q.mu.Lock()
	defer q.mu.Unlock()
	f := q.flows[partner]
	f.atWork = f.atWork.minus(load)
	q.atWork = q.atWork.minus(load)
	q.forget(partner, f)
	q.dispatch()
}

// forget drops a partner of whom nothing is left to know.
func (q *Queue) forget(partner string, f *flow) {
	if f.atWork == (Load{}) && len(f.queue) == 0 && f.finish <= q.now {
		delete(q.flows, partner)
	}
}

// dispatch begins what may begin, of the partner that was served least first. What
// does not fit yet is not overtaken, or it would wait for as long as smaller work
// keeps coming.
func (q *Queue) dispatch() {
	for q.waiting > 0 {
		var next *flow
		for partner, f := range q.flows {
			switch {
			case len(f.queue) > 0 && q.mayHave(f, f.queue[0].load):
				if next == nil || f.queue[0].start < next.queue[0].start {
					next = f
				}
			case len(f.queue) == 0 && f.atWork == (Load{}) && f.finish <= q.now:
				delete(q.flows, partner)
			}
		}
		if next == nil || !q.fits(next.queue[0].load) {
			return
		}
		t := next.queue[0]
		next.queue = next.queue[1:]
		q.waiting--
		t.begun = true
		q.now = max(q.now, t.start)
		q.atWork = q.atWork.plus(t.load)
		next.atWork = next.atWork.plus(t.load)
		close(t.ready)
	}
}

// mayHave reports whether a partner may have this work too: half of the capacity at
// most, so that another's work never waits for all of it, but always one piece.
func (q *Queue) mayHave(f *flow, load Load) bool {
	return f.atWork == (Load{}) || f.atWork.plus(load).within(Load{q.capacity.Cost / 2, q.capacity.Memory / 2})
}

// fits reports whether there is room for this work now. What is estimated at more
// than the capacity begins when nothing else is at work.
func (q *Queue) fits(load Load) bool {
	return q.atWork == (Load{}) || q.atWork.plus(load).within(q.capacity)
}

// Waiting is how much work waits.
func (q *Queue) Waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.waiting
}

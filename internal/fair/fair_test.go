package fair_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dcm-receiver/internal/fair"
)

// TestShare: one partner alone takes half; the next one takes half of the rest.
func TestShare(t *testing.T) {
	s := fair.NewShare(96, 15)
	greedy := 0
	for s.Take("greedy", 1) {
		greedy++
	}
	if greedy != 48 {
		t.Errorf("one partner alone takes %d of 96", greedy)
	}
	second := 0
	for s.Take("second", 1) {
		second++
	}
	if second != 24 {
		t.Errorf("the second takes %d of the other 48", second)
	}
	for i := range 2 {
		if !s.Take(fmt.Sprint("other", i), 1) {
			t.Errorf("partner %d gets nothing", i)
		}
	}
	s.Give("greedy", 48)
	s.Give("second", 24)
	if !s.Take("large", 15) || s.Take("large", 60) {
		t.Error("the floor does not hold")
	}
}

// TestFloor: a partner that holds nothing gets a large message through even where
// little more is free, but never more than is free.
func TestFloor(t *testing.T) {
	s := fair.NewShare(32, 15)
	s.Force("others", 16)
	if !s.Take("large", 15) {
		t.Error("15 of 16 free are refused to one that holds nothing")
	}
	if s.Take("late", 15) {
		t.Error("more than is free was given")
	}
}

// TestForce: what is owed counts.
func TestForce(t *testing.T) {
	s := fair.NewShare(10, 1)
	s.Force("slow reader", 100)
	if s.Take("slow reader", 1) || s.Held() != 100 {
		t.Errorf("%d are held", s.Held())
	}
	s.Give("slow reader", 100)
	if !s.Take("slow reader", 1) {
		t.Error("what was given back is not free")
	}
}

// TestLeastServedIsNext: behind a long queue of one partner, another's work begins
// when the next place is free.
func TestLeastServedIsNext(t *testing.T) {
	q := fair.NewQueue(1, 100)
	large := fair.Load{Cost: fair.Largest, Memory: 1}
	ctx := context.Background()
	var order []string
	var mu sync.Mutex
	var all sync.WaitGroup
	begin := func(partner string) {
		all.Go(func() {
			done, err := q.Begin(ctx, partner, large)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			order = append(order, partner)
			mu.Unlock()
			time.Sleep(time.Millisecond)
			done()
		})
	}
	first, err := q.Begin(ctx, "greedy", large)
	if err != nil {
		t.Fatal(err)
	}
	second, err := q.Begin(ctx, "also greedy", large)
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		begin("greedy")
	}
	for q.Waiting() < 50 {
		time.Sleep(time.Millisecond)
	}
	begin("other")
	for q.Waiting() < 51 {
		time.Sleep(time.Millisecond)
	}
	second()
	first()
	all.Wait()
	if order[0] != "other" && order[1] != "other" {
		t.Errorf("the other's work was not among the first two: %s", order[:5])
	}
}

// TestWhatDoesNotFitWaits: neither processors nor memory are given out twice, a
// partner has half of the memory, and who leaves waits no more.
func TestWhatDoesNotFitWaits(t *testing.T) {
	for _, c := range []struct {
		name  string
		cost  fair.Load
		begin int // how many of three partners, and of three messages of the first
		alone int
	}{
		{"all processors are at work", fair.Load{Cost: fair.Largest, Memory: 1}, 2, 1},
		{"all memory is taken, on many processors", fair.Load{Cost: 1, Memory: 50}, 2, 1},
		{"more memory than there is", fair.Load{Cost: 1, Memory: 1000}, 1, 1},
		{"a quarter of the memory each", fair.Load{Cost: 1, Memory: 25}, 3, 2},
	} {
		for _, alone := range []bool{true, false} {
			q := fair.NewQueue(2, 100)
			begun, want := 0, c.begin
			if alone {
				want = c.alone
			}
			for i := range 3 {
				partner := fmt.Sprint("partner", i)
				if alone {
					partner = "the same"
				}
				ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
				if _, err := q.Begin(ctx, partner, c.cost); err == nil {
					begun++
				} else if !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
				cancel()
			}
			if begun != want || q.Waiting() != 0 {
				t.Errorf("%s, one partner alone: %t: %d begin, want %d; %d wait", c.name, alone, begun, want,
					q.Waiting())
			}
		}
	}
}

// TestLargeIsNotOvertaken: work that does not fit yet begins although smaller work
// that would fit keeps coming.
func TestLargeIsNotOvertaken(t *testing.T) {
	q := fair.NewQueue(8, 100)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	small := fair.Load{Cost: 1, Memory: 10}
	var all sync.WaitGroup
	begun := make(chan struct{})
	for i := range 6 {
		all.Go(func() {
			for over := false; !over; {
				done, err := q.Begin(ctx, fmt.Sprint("small", i), small)
				if err != nil {
					t.Error("small work waits for ever")
					return
				}
				time.Sleep(time.Millisecond)
				done()
				select {
				case <-begun:
					over = true
				default:
				}
			}
		})
	}
	done, err := q.Begin(ctx, "large", fair.Load{Cost: 1, Memory: 100})
	close(begun)
	if err != nil {
		t.Fatal("the large work never began")
	}
	done()
	all.Wait()
}

// TestNoMoreThanTheCapacity under many at once, and all of it ends.
func TestNoMoreThanTheCapacity(t *testing.T) {
	const memory = 1000
	q := fair.NewQueue(8, memory)
	var atWork, most atomic.Int64
	var all sync.WaitGroup
	for i := range 400 {
		all.Go(func() {
			load := fair.Load{Cost: int64(1 + i%8), Memory: int64(1 + i*7%memory)}
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+i%50)*time.Millisecond)
			defer cancel()
			done, err := q.Begin(ctx, fmt.Sprint(i%7), load)
			if err != nil {
				return
			}
			if now := atWork.Add(load.Memory); now > most.Load() {
				most.Store(now)
			}
			time.Sleep(time.Millisecond)
			atWork.Add(-load.Memory)
			done()
		})
	}
	all.Wait()
	if most.Load() > memory || q.Waiting() != 0 {
		t.Errorf("%d were at work at once, %d wait", most.Load(), q.Waiting())
	}
}

// TestCost: no body is cheaper for being larger.
func TestCost(t *testing.T) {
	before := int64(0)
	for bytes := int64(0); bytes < 16<<20; bytes += 1000 {
		cost := fair.Cost(bytes)
		if cost < before || cost > fair.Largest {
			t.Fatalf("%d bytes cost %d, fewer %d", bytes, cost, before)
		}
		before = cost
	}
}

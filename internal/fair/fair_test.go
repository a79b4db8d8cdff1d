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
	q := fair.NewQueue(1)
	ctx := context.Background()
	var order []string
	var mu sync.Mutex
	var all sync.WaitGroup
	begin := func(partner string, cost int64) {
		all.Go(func() {
			done, err := q.Begin(ctx, partner, cost)
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
	first, err := q.Begin(ctx, "greedy", fair.Largest)
	if err != nil {
		t.Fatal(err)
	}
	second, err := q.Begin(ctx, "also greedy", fair.Largest)
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		begin("greedy", fair.Largest)
	}
	for q.Waiting() < 50 {
		time.Sleep(time.Millisecond)
	}
	begin("other", fair.Largest)
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

// TestSmallWorkPasses: while large work fills the capacity, small work begins at
// once.
func TestSmallWorkPasses(t *testing.T) {
	q := fair.NewQueue(2)
	for i := range 2 {
		if _, err := q.Begin(context.Background(), fmt.Sprint("large", i), fair.Largest); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if _, err := q.Begin(ctx, "small", fair.Cost(10_000)); err != nil {
		t.Error("small work waits for large work")
	}
	late, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if _, err := q.Begin(late, "third", fair.Largest); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("large work began beyond the capacity: %v", err)
	}
	if q.Waiting() != 0 {
		t.Error("who left still waits")
	}
}

// TestNoMoreThanTheCapacity under many at once, and all of it ends.
func TestNoMoreThanTheCapacity(t *testing.T) {
	q := fair.NewQueue(2)
	var atWork, most atomic.Int64
	var all sync.WaitGroup
	for i := range 400 {
		all.Go(func() {
			cost := int64(1 + i%fair.Largest)
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+i%50)*time.Millisecond)
			defer cancel()
			done, err := q.Begin(ctx, fmt.Sprint(i%7), cost)
			if err != nil {
				return
			}
			if now := atWork.Add(cost); now > most.Load() {
				most.Store(now)
			}
			time.Sleep(time.Millisecond)
			atWork.Add(-cost)
			done()
		})
	}
	all.Wait()
	if limit := int64(2*fair.Largest + fair.Largest/2); most.Load() > limit || q.Waiting() != 0 {
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

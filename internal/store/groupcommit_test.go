package store_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/privatepg/pgtest"
	"dcm-receiver/internal/rules"
	"dcm-receiver/internal/store"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// sending is a store that many small messages are sent to at once.
type sending struct {
	*testing.T
	store *store.Store
	conn  *pgx.Conn // of somebody else
}

func newSending(t *testing.T, url string) sending {
	s, err := store.Open(url, 8, 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return sending{t, s, connect(t, url)}
}

// save sends a message about one group, and says by which rule it was stored:
// 5 or, where the group is known, 4.
func (s sending) save(g *dcm.CapacityGroup) (rule int, err error) {
	key := store.Key{Supplier: g.Supplier, Customer: g.Customer, ID: g.ID}
	id := uuid.New()
	a := store.Arrival{ID: uuid.Must(uuid.NewV7()), Sender: g.Supplier, Endpoint: dcm.CapacityGroupEndpoint.Path,
		ReceivedAt: time.Now(), MessageID: &id}
	subject := store.Subject{Key: key}
	d, err := s.store.Save(context.Background(), a, []store.Subject{subject},
		func(snapshot *store.Snapshot) store.Decision {
			result := store.Result{ObjectID: &key.ID, Rule: 5, Outcome: rules.Created}
			if stored := snapshot.Stored(subject); stored.Known() {
				result.Rule, result.Outcome = 4, rules.Overwritten
			}
			snapshot.Write(subject, store.WriteCapacityGroup(g, store.ContentOf([]byte(g.Name))))
			return store.Decision{Entry: store.Entry{Status: 200, Objects: 1, Results: []store.Result{result}}}
		})
	if err != nil {
		return 0, err
	}
	return d.Entry.Results[0].Rule, nil
}

func newGroup(supplier int, id uuid.UUID, name string) *dcm.CapacityGroup {
	return &dcm.CapacityGroup{ID: id, Supplier: fmt.Sprintf("BPNL%012d", supplier), Customer: "BPNL8888888888XX",
		Name: name, UnitOfMeasureIsOmitted: true, ChangedAt: dcm.Timestamp{Time: time.Now()}}
}

func (s sending) count(sql string, args ...any) (n int) {
	s.Helper()
	if err := s.conn.QueryRow(context.Background(), sql, args...).Scan(&n); err != nil {
		s.Fatal(err)
	}
	return n
}

// TestMessagesShareTransactions, where they come at once.
func TestMessagesShareTransactions(t *testing.T) {
	s := newSending(t, pgtest.New(t))
	const messages = 500
	var all sync.WaitGroup
	for i := range messages {
		all.Go(func() {
			if rule, err := s.save(newGroup(i%50, uuid.New(), "x")); err != nil || rule != 5 {
				t.Errorf("rule %d, %v", rule, err)
			}
		})
	}
	all.Wait()
	if n := s.count(
		"select count(*) from planning.message m join planning.message_object o on o.sender = m.sender and " +
			"o.message = m.id join planning.capacity_group g using (capacity_group_id)"); n != messages {
		t.Errorf("%d of %d messages are there", n, messages)
	}
	if committed, failed := s.store.GroupCommits(); committed == 0 || committed > messages/2 || failed > 0 {
		t.Errorf("%d batches were committed, %d failed", committed, failed)
	}
	// xmin is the transaction that wrote a row.
	if n := s.count("select count(distinct xmin::text) from dcm.message"); n > messages/2 {
		t.Errorf("%d messages were saved in %d transactions", messages, n)
	}
	if n := s.count(
		"select count(*) from dcm.message m join dcm.capacity_group g on g.capacity_group_id = m.object_id[1] " +
			"where m.xmin <> g.xmin"); n > 0 {
		t.Errorf("%d messages were saved in another transaction than their groups", n)
	}
}

// TestABatchIsNoVerdict: a message that the database refuses spoils nothing for
// those that share its transaction.
func TestABatchIsNoVerdict(t *testing.T) {
	s := newSending(t, pgtest.New(t))
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			g, bad := newGroup(i, uuid.New(), "good"), i%10 == 0
			if bad {
				g.Name = "a NUL: \x00"
			}
			if _, err := s.save(g); (err != nil) != bad {
				t.Errorf("message %d: %v", i, err)
			}
		})
	}
	all.Wait()
	if _, failed := s.store.GroupCommits(); failed == 0 {
		t.Error("no batch failed")
	}
	if groups, entries := s.count("select count(*) from dcm.capacity_group"),
		s.count("select count(*) from dcm.message"); groups != 90 || entries != 90 {
		t.Errorf("%d groups and %d entries are stored, want 90", groups, entries)
	}
}

// TestALockedGroupHoldsNobodyElseUp: who waits for a group that another
// transaction holds waits alone.
func TestALockedGroupHoldsNobodyElseUp(t *testing.T) {
	s := newSending(t, pgtest.New(t))
	ctx := context.Background()
	locked := newGroup(1, uuid.New(), "locked")
	if _, err := s.save(locked); err != nil {
		t.Fatal(err)
	}
	tx, err := s.conn.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(ctx) }()
	if _, err := tx.Exec(ctx, "select from dcm.capacity_group for update"); err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error, 1)
	go func() {
		changed := *locked
		changed.Name = "changed meanwhile"
		rule, err := s.save(&changed)
		if err == nil && rule != 4 {
			err = fmt.Errorf("rule %d", rule)
		}
		waiting <- err
	}()
	var others sync.WaitGroup
	for i := range 200 {
		others.Go(func() {
			if _, err := s.save(newGroup(i, uuid.New(), "other")); err != nil {
				t.Error(err)
			}
		})
	}
	others.Wait()
	select {
	case err := <-waiting:
		t.Fatalf("the group is locked, but its message is saved: %v", err)
	default:
	}
	if err := tx.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-waiting; err != nil {
		t.Fatal(err)
	}
}

// TestOneGroupAtATime: of first messages for one group that come at once,
// exactly one creates it.
func TestOneGroupAtATime(t *testing.T) {
	url := pgtest.New(t)
	s, other := newSending(t, url), newSending(t, url) // two replicas
	for range 20 {
		id := uuid.New()
		var mu sync.Mutex
		byRule := map[int]int{}
		var all sync.WaitGroup
		for i := range 16 {
			all.Go(func() {
				rule, err := []sending{s, other}[i%2].save(newGroup(7, id, fmt.Sprint(i)))
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				byRule[rule]++
			})
		}
		all.Wait()
		if byRule[5] != 1 || byRule[4] != 15 {
			t.Fatalf("rules %v", byRule)
		}
	}
}

// TestAFaultMeetsItsOwnMessage: a fault in the program, in the decision on one
// message, ends in the goroutine that sent it.
func TestAFaultMeetsItsOwnMessage(t *testing.T) {
	s := newSending(t, pgtest.New(t))
	defer func() {
		if recover() == nil {
			t.Error("the fault was not passed on")
		}
		if _, err := s.save(newGroup(1, uuid.New(), "x")); err != nil {
			t.Error(err)
		}
	}()
	_, _ = s.store.Save(context.Background(), store.Arrival{ID: uuid.New(), Sender: "BPNL000000000001",
		Endpoint: dcm.CapacityGroupEndpoint.Path, ReceivedAt: time.Now()}, nil,
		func(*store.Snapshot) store.Decision { panic("a fault") })
}

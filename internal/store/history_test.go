package store_test

import (
	"context"
	"testing"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/store"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// TestRemovingHistoryLocksNobodyOut: while a piece of old states is being removed,
// messages change the same groups and demands without waiting for it, and keep what
// they replace.
func TestRemovingHistoryLocksNobodyOut(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	begin := w.now
	round := 0
	change := func() { // everything that has a history
		round++
		quantity := dcm.Decimal([]string{"1", "2", "3", "4", "5", "6", "7", "8", "9"}[round])
		w.receive(dcm.CapacityGroup{ID: uuid.UUID{1}, Name: "g",
			Capacities: []dcm.Capacity{{PointInTime: week(0), ActualCapacity: quantity, MaximumCapacity: "9"}},
			DemandVolatility: &dcm.DemandVolatilityParameters{StartReferenceDateTime: dcm.Timestamp{Time: begin},
				MeasurementInterval: quantity}})
		d := demandOf(uuid.UUID{2}, "M", quantity)
		d.IsInactive = round%2 == 0
		w.demand(d)
	}
	for range 4 { // three earlier states, each in a minute, and so in a piece, of its own
		change()
		w.now = w.now.Add(2 * time.Minute)
	}
	url := w.conn.Config().ConnString()
	impatient, err := store.Open(url+"&lock_timeout=1s", 4, 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer impatient.Close()
	patient := w.store
	old := w.now
	for _, table := range []string{"capacity_group_history", "demand_series_history", "measurement_history",
		"activity_history"} {
		// Somebody holds one of the states, so that the removal stops within its piece,
		// with the locks that it has by then.
		holder, err := pgx.Connect(ctx, url)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = holder.Close(ctx) }()
		tx, err := holder.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		tag, err := tx.Exec(ctx,
			"select from dcm."+table+" where superseded_at < $1 order by superseded_at limit 1 for update", old)
		if err != nil || tag.RowsAffected() != 1 {
			t.Fatalf("%s has no old state: %v", table, err)
		}
		removed := make(chan error, 1)
		go func() {
			_, err := patient.RemoveHistory(ctx, old)
			removed <- err
		}()
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			waits := w.query(
				"select query from pg_stat_activity where datname = current_database() and wait_event_type = " +
					"'Lock' and query like 'delete from dcm." + table + "%'")
			if len(waits) == 1 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("nothing is removed from %s", table)
			}
		}
		w.store = impatient
		change() // fails if it waits for a second
		w.store = patient
		if err := tx.Rollback(ctx); err != nil {
			t.Fatal(err)
		}
		if err := <-removed; err != nil {
			t.Fatal(err)
		}
		if n := w.query("select count(*)::text from dcm."+table+" where superseded_at < $1", old); n[0] != "0" {
			t.Errorf("%s old states are left in %s", n[0], table)
		}
		// For the next table there are old states again.
		w.now = w.now.Add(2 * time.Minute)
		old = w.now
	}
	if n := w.query("select count(*)::text from dcm.capacity_group_history"); n[0] != "1" {
		t.Errorf("%s states that messages replaced meanwhile are kept, want that of the last", n[0])
	}
}

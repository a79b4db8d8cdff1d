package store

import (
	"context"
	"fmt"
	"time"
)

// Record is how much of a message the journal keeps.
type Record int

// What it can keep.
const (
	InFull   Record = iota
	InBrief         // without verdicts on objects and errors
	NotAtAll        // the message changes nothing, and is only counted
)

// CountKey is what messages are counted by.
type CountKey struct {
	Sender   string
	Endpoint string // path
	Status   int
	Hour     time.Time // its beginning
}

// Count is how many messages there were, and the size of their bodies together.
type Count struct{ Messages, Bytes int64 }

var (
	addCounts       = load("add_counts")
	removeOldCounts = load("remove_old_message_count")
)

// AddCounts adds to what is counted of messages that are not recorded one by one.
func (s *Store) AddCounts(ctx context.Context, counts map[CountKey]Count) error {
	var senders, endpoints []string
	var statuses []int16
	var hours []time.Time
	var messages, bytes []int64
	for key, c := range counts {
		senders, endpoints, statuses, hours = append(senders, key.Sender), append(endpoints, key.Endpoint),
			append(statuses, int16(key.Status)), append(hours, key.Hour)
		messages, bytes = append(messages, c.Messages), append(bytes, c.Bytes)
	}
	_, err := s.pool.Exec(ctx, addCounts.SQL, addCounts.Args(values{
		"senders": senders, "endpoints": endpoints, "statuses": statuses, "hours": hours, "messages": messages,
		"bytes": bytes,
	})...)
	if err != nil {
		return fmt.Errorf("count messages: %w", err)
	}
	return nil
}

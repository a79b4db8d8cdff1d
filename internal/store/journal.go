package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"dcm-receiver/migrations"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// Recorded is a journal entry that is read back.
type Recorded struct {
	Entry
	ID         uuid.UUID
	MessageID  string // as sent; "" if none
	Endpoint   string
	ReceivedAt time.Time
	// Complete is false where Messages left out Results, because they are large.
	Complete bool
}

// Messages reads the sender's newest entries, newest first; before, if not nil,
// leaves out that entry and newer ones, refused those that were accepted.
func (s *Store) Messages(ctx context.Context, sender string, refused bool, before *uuid.UUID, limit int) ([]Recorded, error) {
	rows, err := s.pool.Query(ctx, messages.sql, messages.args(given(map[string]any{
		"sender": sender, "before": pgUUID(before), "refused": refused, "limit": limit,
	}))...)
	return collect(rows, err)
}

// Message reads the sender's entry with the given ID: ours, or its own
// messageId, of which the latest is read. There may be none.
func (s *Store) Message(ctx context.Context, sender string, id uuid.UUID) (*Recorded, error) {
	rows, err := s.pool.Query(ctx, message.sql, message.args(given(map[string]any{"sender": sender, "id": pgUUID(&id)}))...)
	entries, err := collect(rows, err)
	if err != nil || len(entries) == 0 {
		return nil, err
	}
	return &entries[0], nil
}

func collect(rows pgx.Rows, err error) ([]Recorded, error) {
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	entries, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r Recorded, err error) {
		var messageID *uuid.UUID
		var asSent *string
		var ids []*uuid.UUID
		var rules []int
		var errors, objectErrors []byte
		if err = row.Scan(&r.ID, &messageID, &asSent, &r.Endpoint, &r.ReceivedAt, &r.Status, &r.Objects, &errors, &r.Errors.MoreErrors, &ids, &rules, &objectErrors, &r.Complete); err != nil {
			return r, err
		}
		switch {
		case asSent != nil:
			r.MessageID = *asSent
		case messageID != nil:
			r.MessageID = messageID.String()
		}
		if errors != nil {
			if err = json.Unmarshal(errors, &r.Errors.Errors); err != nil {
				return r, err
			}
		}
		perObject := map[int]ErrorList{}
		if objectErrors != nil {
			if err = json.Unmarshal(objectErrors, &perObject); err != nil {
				return r, err
			}
		}
		for i := range ids {
			r.Results = append(r.Results, Result{CapacityGroupID: ids[i], Rule: rules[i], Errors: perObject[i]})
		}
		return r, nil
	})
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	return entries, nil
}

// RemoveOld removes journal entries and requests that were received before the
// given time, and returns how many of both it removed. It removes what arrived
// within a minute at a time, so that no statement takes long.
func (s *Store) RemoveOld(ctx context.Context, before time.Time) (removed int64, err error) {
	for _, of := range []struct{ oldest, remove statement }{{oldestMessage, removeOldMessages}, {oldestRequest, removeOldRequests}} {
		for {
			// As text: the plan then is made for this very time, and reads no more
			// than the pages that old entries are on.
			var oldest *time.Time
			if err := s.pool.QueryRow(ctx, of.oldest.sql, pgx.QueryExecModeSimpleProtocol, before).Scan(&oldest); err != nil {
				return removed, fmt.Errorf("find old journal entries: %w", err)
			}
			if oldest == nil {
				break
			}
			until := oldest.Add(time.Minute)
			if until.After(before) {
				until = before
			}
			tag, err := s.pool.Exec(ctx, of.remove.sql, pgx.QueryExecModeSimpleProtocol, until)
			if err != nil {
				return removed, fmt.Errorf("remove old journal entries: %w", err)
			}
			removed += tag.RowsAffected()
		}
	}
	return removed, nil
}

// LastAccepted is when the last message of each sender was accepted, as far as
// the journal reaches back.
func (s *Store) LastAccepted(ctx context.Context) (map[string]time.Time, error) {
	rows, err := s.pool.Query(ctx, lastAccepted.sql)
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	last := map[string]time.Time{}
	var sender string
	var at time.Time
	_, err = pgx.ForEachRow(rows, []any{&sender, &at}, func() error {
		last[sender] = at
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	return last, nil
}

// Ready fails if the store cannot take a message now: unreachable, not
// migrated, or only readable.
func (s *Store) Ready(ctx context.Context) error {
	var version int
	var readOnly bool
	err := s.pool.QueryRow(ctx, ready.sql).Scan(&version, &readOnly)
	switch {
	case err != nil && pgError(err) != nil && pgError(err).Code == "42P01":
		return fmt.Errorf("the database is not migrated")
	case err != nil:
		return fmt.Errorf("the database does not answer: %s", Kind(err))
	case version < migrations.Version:
		return fmt.Errorf("the database is at migration %d, this version needs %d", version, migrations.Version)
	case readOnly:
		return fmt.Errorf("the database is read-only")
	}
	return nil
}

// value is what an arrival says of a message.
func (a Arrival) value(name string) (any, bool) {
	switch name {
	case "sender":
		return a.Sender, true
	case "id":
		return pgUUID(&a.ID), true
	case "received_at", "first_received_at":
		return a.ReceivedAt, true
	case "endpoint":
		return a.Endpoint, true
	case "message_id":
		return pgUUID(a.MessageID), true
	case "message_id_as_sent":
		if a.MessageID != nil && a.MessageIDAsSent == a.MessageID.String() {
			return nil, true // nearly always
		}
		return nullable(a.MessageIDAsSent), true
	case "contract_agreement_id":
		return nullable(a.Agreement), true
	case "bytes":
		return a.Bytes, true
	}
	return nil, false
}

// value is what the journal says of a judged message.
func (e Entry) value(a Arrival) value {
	ids, rules := make([]pgtype.UUID, len(e.Results)), make([]int16, len(e.Results))
	perObject := make(map[int]ErrorList)
	for i, r := range e.Results {
		ids[i], rules[i] = pgUUID(r.CapacityGroupID), int16(r.Rule)
		if len(r.Errors.Errors) > 0 {
			perObject[i] = r.Errors
		}
	}
	return func(name string) (any, bool) {
		switch name {
		case "status":
			return int16(e.Status), true
		case "objects":
			return int32(e.Objects), true
		case "duration":
			return time.Since(a.ReceivedAt), true
		case "errors":
			if len(e.Errors.Errors) == 0 {
				return nil, true
			}
			return asJSON(e.Errors.Errors), true
		case "more_errors":
			return int32(e.Errors.MoreErrors), true
		case "capacity_group_ids":
			return ids, true
		case "rules":
			return rules, true
		case "object_errors":
			if len(perObject) == 0 {
				return nil, true
			}
			return asJSON(perObject), true
		}
		return nil, false
	}
}

func nullable(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func asJSON(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // strings and numbers only
	}
	return string(text)
}

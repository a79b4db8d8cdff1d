package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"dcm-receiver/internal/database"
	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/rules"
	"dcm-receiver/migrations"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
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
func (s *Store) Messages(ctx context.Context, sender string, refused bool, before *uuid.UUID, limit int) ([]Recorded,
	error) {
	rows, err := s.pool.Query(ctx, messages.SQL, messages.Args(values{
		"sender": sender, "before": pgUUID(before), "refused": refused, "limit": limit,
	})...)
	return collect(rows, err)
}

// MostListed is about how many bytes Messages reads of an entry at most: where its
// errors and its objects take more, they are left out.
const MostListed = 32 << 10

// Place is where an entry is, and how large.
type Place struct {
	ID         uuid.UUID
	Objects    int
	ErrorBytes int64 // at most
}

// Find looks for the sender's entry with the given ID: ours, or its own messageId,
// of which the latest is found. There may be none.
func (s *Store) Find(ctx context.Context, sender string, id uuid.UUID) (*Place, error) {
	var p Place
	err := s.pool.QueryRow(ctx, findMessage.SQL, findMessage.Args(values{"sender": sender,
		"id": pgUUID(&id)})...).Scan(&p.ID, &p.Objects, &p.ErrorBytes)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("find journal entry: %w", err)
	}
	return &p, nil
}

// Message reads the sender's entry with the given ID of ours. There may be none. It
// is read in pieces: a connection keeps the memory of the largest value that it has
// read. What is more than a mebibyte of errors is counted only.
func (s *Store) Message(ctx context.Context, sender string, id uuid.UUID) (*Recorded, error) {
	rows, err := s.pool.Query(ctx, message.SQL, message.Args(values{"sender": sender, "id": pgUUID(&id)})...)
	entries, err := collect(rows, err)
	if err != nil || len(entries) == 0 {
		return nil, err
	}
	m := &entries[0]
	if err = s.readResults(ctx, sender, m); err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	return m, nil
}

func (s *Store) readResults(ctx context.Context, sender string, m *Recorded) error {
	const piece = 8192
	of := values{"sender": sender, "id": pgUUID(&m.ID)}
	for begin := 1; ; begin += piece {
		of["begin"], of["until"] = begin, begin+piece-1
		var ids []*uuid.UUID
		var ruleNumbers []int
		var outcomes []rules.Outcome
		err := s.pool.QueryRow(ctx, messageVerdicts.SQL, messageVerdicts.Args(of)...).Scan(&ids, &ruleNumbers,
			&outcomes)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) { // it may have been removed meanwhile
			return err
		}
		if begin == 1 && len(ids) == piece {
			m.Results = make([]Result, 0, max(m.Objects, piece))
		}
		for i := range ids {
			m.Results = append(m.Results, Result{ObjectID: ids[i], Rule: ruleNumbers[i], Outcome: outcomes[i]})
		}
		if len(ids) < piece {
			break
		}
	}
	read := 0
	for _, warnings := range []bool{false, true} {
		of["warnings"] = warnings
		rows, err := s.pool.Query(ctx, messageErrors.SQL, messageErrors.Args(of)...)
		if err != nil {
			return err
		}
		var i int
		var text []byte
		_, err = pgx.ForEachRow(rows, []any{&i, &text}, func() error {
			if i < 0 || i >= len(m.Results) {
				return nil
			}
			list := &m.Results[i].Errors
			if warnings {
				list = &m.Results[i].Warnings
			}
			if err := json.Unmarshal(text, list); err != nil {
				return err
			}
			if read += len(text); read > MaxErrorText { // of an earlier version, that had no limit
				list.More += len(list.List)
				list.List = nil
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func collect(rows pgx.Rows, err error) ([]Recorded, error) {
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	entries, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r Recorded, err error) {
		var messageID *uuid.UUID
		var asSent, problem, standard *string
		var ids []*uuid.UUID
		var ruleNumbers []int
		var outcomes []rules.Outcome
		var messageErrors, warnings, objectErrors, objectWarnings []byte
		if err = row.Scan(&r.ID, &messageID, &asSent, &r.Endpoint, &r.ReceivedAt, &r.Status, &problem, &standard,
			&r.Objects,
			&messageErrors, &r.Errors.More, &warnings, &r.Warnings.More, &ids, &ruleNumbers, &outcomes,
			&objectErrors, &objectWarnings, &r.Complete); err != nil {
			return r, err
		}
		switch {
		case asSent != nil:
			r.MessageID = *asSent
		case messageID != nil:
			r.MessageID = messageID.String()
		}
		if problem != nil {
			r.Problem = *problem
		}
		if standard != nil {
			r.Standard = *standard
		}
		perError, perWarning := map[int]dcm.Violations{}, map[int]dcm.Violations{}
		for _, field := range []struct {
			text []byte
			into any
		}{{messageErrors, &r.Errors.List}, {warnings, &r.Warnings.List}, {objectErrors, &perError},
			{objectWarnings, &perWarning}} {
			if field.text != nil {
				if err = json.Unmarshal(field.text, field.into); err != nil {
					return r, err
				}
			}
		}
		for i := range ids {
			r.Results = append(r.Results, Result{ObjectID: ids[i], Rule: ruleNumbers[i], Outcome: outcomes[i],
				Errors: perError[i], Warnings: perWarning[i]})
		}
		return r, nil
	})
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	return entries, nil
}

// RemoveOld removes journal entries and requests that were received before the
// given time, and deliveries that were over by then, but not the last one of an
// object. It returns how many of all three it removed. It removes a part at a
// time, so that no statement takes long.
func (s *Store) RemoveOld(ctx context.Context, before time.Time) (removed int64, err error) {
	removed, err = s.remove(ctx, before, removal{oldestMessage, removeOldMessages},
		removal{oldestRequest, removeOldRequests})
	for err == nil {
		tag, failed := s.pool.Exec(ctx, removeDeliveries.SQL, before)
		if failed != nil {
			return removed, fmt.Errorf("remove old deliveries: %w", failed)
		}
		if tag.RowsAffected() == 0 {
			break
		}
		removed += tag.RowsAffected()
	}
	return removed, err
}

// RemoveHistory removes states of groups and demands that were superseded before
// the given time, and returns how many.
func (s *Store) RemoveHistory(ctx context.Context, before time.Time) (removed int64, err error) {
	return s.remove(ctx, before, removal{oldestGroupState, removeGroupStates},
		removal{oldestDemandState, removeDemandStates},
		removal{oldestMeasurement, removeMeasurements}, removal{oldestActivity, removeActivities})
}

// removal is how old rows of a table are found and removed.
type removal struct{ oldest, remove statement }

func (s *Store) remove(ctx context.Context, before time.Time, removals ...removal) (removed int64, err error) {
	for _, of := range removals {
		for {
			// As text: the plan then is made for this very time, and reads no more
			// than the pages that old entries are on.
			var oldest *time.Time
			if err := s.pool.QueryRow(ctx, of.oldest.SQL, pgx.QueryExecModeSimpleProtocol,
				before).Scan(&oldest); err != nil {
				return removed, fmt.Errorf("find old rows: %w", err)
			}
			if oldest == nil {
				break
			}
			until := oldest.Add(time.Minute)
			if until.After(before) {
				until = before
			}
			tag, err := s.pool.Exec(ctx, of.remove.SQL, pgx.QueryExecModeSimpleProtocol, until)
			if err != nil {
				return removed, fmt.Errorf("remove old rows: %w", err)
			}
			removed += tag.RowsAffected()
		}
	}
	if _, err := s.pool.Exec(ctx, removeOldCounts.SQL, before); err != nil {
		return removed, fmt.Errorf("remove old counts: %w", err)
	}
	return removed, nil
}

// LastAccepted is when the last message of each sender was accepted, as far as
// the journal reaches back.
func (s *Store) LastAccepted(ctx context.Context) (map[string]time.Time, error) {
	rows, err := s.pool.Query(ctx, lastAccepted.SQL)
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

// Ready fails if the store cannot take a message now: unreachable, not migrated or
// migrated too far, without a right, only readable, or full.
func (s *Store) Ready(ctx context.Context) error {
	var version, oldest int
	var readOnly, asyncCommit bool
	var encoding string
	var missing *string
	err := s.pool.QueryRow(ctx, ready.SQL, tables()).Scan(&version, &oldest, &readOnly, &encoding, &asyncCommit,
		&missing)
	switch {
	case err != nil && pgError(err) != nil && slices.Contains([]string{"42P01", "42703", "3F000"}, pgError(err).Code):
		return errors.New("the database is not migrated")
	case err != nil && pgError(err) != nil && pgError(err).Code == "42501":
		return fmt.Errorf("a right is missing: %s", pgError(err).Message)
	case err != nil && pgError(err) != nil && database.IsWrong(err):
		return fmt.Errorf("the database does not take what DATABASE_URL says: %s", pgError(err).Message)
	case err != nil:
		return fmt.Errorf("the database does not answer: %s", Kind(err))
	}
	if asyncCommit { // since the connections were opened
		s.asyncCommit.Store(true)
	}
	switch {
	case version < migrations.Version:
		return fmt.Errorf("the database is at migration %d, this version needs %d", version, migrations.Version)
	case oldest > migrations.Version:
		return fmt.Errorf(
			"the database is at migration %d, which needs a program that knows migration %d; this one knows %d",
			version, oldest, migrations.Version)
	case encoding != "UTF8":
		return fmt.Errorf("the database is in %s, it must be in UTF8", encoding)
	case readOnly:
		return errors.New("the database is read-only")
	case missing != nil:
		return fmt.Errorf("a right is missing: %s", *missing)
	}
	// Whether something can be written, only writing shows: a disk may be full.
	err = s.once(ctx, func(conn *pgxpool.Conn) error {
		var b pgx.Batch
		s.begin(&b)
		b.Queue("set local work_mem = '64kB'") // what is more goes to a file
		b.Queue(probeSpace.SQL)
		b.Queue(probe.SQL)
		b.Queue("commit")
		return conn.SendBatch(ctx, &b).Close()
	})
	if err != nil {
		return fmt.Errorf("the database takes no changes: %s", Kind(err))
	}
	return nil
}

// journalRow is a message on its way into the journal.
type journalRow struct {
	*Arrival
	*Entry
}

var messageColumns = []column[journalRow]{
	{"sender", func(r journalRow) any { return r.Sender }},
	{"id", func(r journalRow) any { return pgUUID(&r.ID) }},
	{"received_at", func(r journalRow) any { return r.ReceivedAt }},
	{"endpoint", func(r journalRow) any { return r.Endpoint }},
	{"message_id", func(r journalRow) any { return pgUUID(r.MessageID) }},
	{"message_id_as_sent", func(r journalRow) any {
		if r.MessageID != nil && r.MessageIDAsSent == r.MessageID.String() {
			return nil // nearly always
		}
		return nullable(r.MessageIDAsSent)
	}},
	{"contract_agreement_id", func(r journalRow) any { return nullable(r.Agreement) }},
	{"status", func(r journalRow) any { return int16(r.Status) }},
	{"problem", func(r journalRow) any { return nullable(r.Problem) }},
	{"standard", func(r journalRow) any { return nullable(r.Standard) }},
	{"objects", func(r journalRow) any { return int32(r.Objects) }},
	{"bytes", func(r journalRow) any { return r.Bytes }},
	{"duration", func(r journalRow) any { return time.Since(r.ReceivedAt) }},
	{"errors", func(r journalRow) any { return listJSON(r.Entry.Errors) }},
	{"more_errors", func(r journalRow) any { return int32(r.Entry.Errors.More) }},
	{"warnings", func(r journalRow) any { return listJSON(r.Warnings) }},
	{"more_warnings", func(r journalRow) any { return int32(r.Warnings.More) }},
	{"object_id", func(r journalRow) any {
		return mapSlice(r.Results, func(o *Result) pgtype.UUID { return pgUUID(o.ObjectID) })
	}},
	{"rule", func(r journalRow) any {
		return mapSlice(r.Results, func(o *Result) int16 { return int16(o.Rule) })
	}},
	{"outcome", func(r journalRow) any {
		return mapSlice(r.Results, func(o *Result) string { return string(o.Outcome) })
	}},
	{"object_errors", func(r journalRow) any {
		return perObject(r.Results, func(o *Result) dcm.Violations { return o.Errors })
	}},
	{"object_warnings", func(r journalRow) any {
		return perObject(r.Results, func(o *Result) dcm.Violations { return o.Warnings })
	}},
}

var insertMessages = insertInto("message", messageColumns, "")

// writeJournal stores the entries of messages.
func writeJournal(b *batches, messages []*saving) error {
	rows := make([]journalRow, len(messages))
	for i, m := range messages {
		entry := &m.decision.Entry
		if entry.Record == InBrief {
			brief := *entry
			brief.Errors, brief.Warnings, brief.Results = dcm.Violations{}, dcm.Violations{}, nil
			entry = &brief
		}
		rows[i] = journalRow{&m.Arrival, entry}
	}
	return insertMessages.write(b, rows)
}

// listJSON is the list without its count; NULL if it is empty.
func listJSON(l dcm.Violations) any {
	if len(l.List) == 0 {
		return nil
	}
	return asJSON(l.List)
}

// perObject is an object with the lists that are not empty, by the place of their
// object; NULL if there is none.
func perObject(results []Result, of func(*Result) dcm.Violations) any {
	lists := map[int]dcm.Violations{}
	for i := range results {
		if l := of(&results[i]); len(l.List) > 0 || l.More > 0 {
			l.List = notNull(l.List)
			lists[i] = l
		}
	}
	if len(lists) == 0 {
		return nil
	}
	return asJSON(lists)
}

func asJSON(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // strings and numbers only
	}
	return string(text)
}

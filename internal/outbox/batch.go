package outbox

import (
	"context"
	"fmt"
	"time"

	"dcm-receiver/internal/edc"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// job is a row of dcm.delivery.
type job struct {
	Object     string
	ID         pgtype.UUID
	ChangedAt  time.Time
	Supplier   string
	Customer   string
	Answers    pgtype.UUID
	Attempts   int
	QueuedAt   time.Time
	Superseded bool

	body string // the object as JSON
}

// serve sends to one partner until nothing is due or stopping ends.
func (s *Sender) serve(stopping, ctx context.Context, partner string) error {
	// Objects that a killed replica was sending are due again.
	if _, err := s.exec(ctx, takeBack, partner, pgUUID(s.id), 0); err != nil {
		return fmt.Errorf("take over: %w", err)
	}
	if err := s.settleUnstored(ctx, partner); err != nil {
		return err
	}
	room := &space{sender: s, partner: partner}
	for stopping.Err() == nil {
		jobs, err := s.take(ctx, partner)
		if err != nil {
			return err
		}
		if len(jobs) == 0 {
			return nil
		}
		lists, order, superseded := group(jobs)
		if len(superseded) > 0 {
			if err := s.settle(ctx, partner, superseded, "superseded", 0, ""); err != nil {
				return err
			}
		}
		for _, k := range order {
			if err := s.sendAll(stopping, ctx, partner, room, lists[k]); err != nil {
				return err
			}
		}
	}
	return nil
}

// group makes lists of jobs that can be one message: objects of one kind and relationship that answer
// the same request.
func group(jobs []*job) (lists map[[4]string][]*job, order [][4]string, superseded []*job) {
	lists = map[[4]string][]*job{}
	for _, j := range jobs {
		if j.Superseded {
			superseded = append(superseded, j)
			continue
		}
		key := [4]string{j.Object, j.Customer + j.Supplier, uuid.UUID(j.Answers.Bytes).String()}
		if k, err := kindOf(j.Object); err == nil && k.alone {
			key[3] = uuid.UUID(j.ID.Bytes).String()
		}
		if lists[key] == nil {
			order = append(order, key)
		}
		lists[key] = append(lists[key], j)
	}
	return lists, order, superseded
}

// take takes the objects of a partner that are due.
func (s *Sender) take(ctx context.Context, partner string) ([]*job, error) {
	limited, cancel := context.WithTimeout(ctx, statementLimit)
	defer cancel()
	rows, err := s.DB.Query(limited, take, partner, maxObjects, pgUUID(s.id))
	if err != nil {
		return nil, fmt.Errorf("take what is due: %w", err)
	}
	jobs, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (j *job, err error) {
		j = &job{}
		return j, row.Scan(&j.Object, &j.ID, &j.ChangedAt, &j.Supplier, &j.Customer, &j.Answers, &j.Attempts,
			&j.QueuedAt, &j.Superseded)
	})
	if err != nil {
		return nil, fmt.Errorf("take what is due: %w", err)
	}
	return jobs, nil
}

// space is the memory that a partner's messages may use.
type space struct {
	sender   *Sender
	partner  string
	answered bool // the partner has answered since it is served
}

// get waits for room, and returns how many bytes there are.
func (r *space) get(ctx context.Context) (n int64, err error) {
	for {
		if r.answered && r.sender.room.Take(r.partner, maxMessage) {
			return maxMessage, nil
		}
		if r.sender.room.Take(r.partner, roomOfOne) {
			return roomOfOne, nil
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// sendAll sends objects of one kind in as few messages as possible.
func (s *Sender) sendAll(stopping, ctx context.Context, partner string, room *space, jobs []*job) error {
	k, err := kindOf(jobs[0].Object)
	if err != nil { // of a later version, whose replicas send it
		return s.postpone(ctx, partner, message{jobs: jobs, attempts: jobs[0].Attempts}, 0,
			edc.Delivery{Reason: err.Error()})
	}
	for len(jobs) > 0 {
		if stopping.Err() != nil {
			return stopping.Err()
		}
		n, err := room.get(ctx)
		if err != nil {
			return err
		}
		var written []*job
		if written, jobs, err = s.write(ctx, k, partner, int(n)-reserve, jobs); err == nil && len(written) > 0 {
			held := int64(reserve)
			for _, j := range written {
				held += int64(len(j.body))
			}
			if held < n { // the rest is for others, however long this one takes
				s.room.Give(partner, n-held)
				n = held
			}
			err = s.send(ctx, k, partner, written)
		}
		s.room.Give(partner, n)
		if err != nil {
			return err
		}
		if len(written) == 0 {
			continue
		}
		room.answered = true
		s.mu.Lock()
		if c := s.serving[partner]; c != nil {
			c.since = time.Now()
		}
		s.mu.Unlock()
	}
	return nil
}

// write makes the JSON of objects, as they are now, up to limit bytes, but of one object at least. It
// settles objects with nothing to send: a newer state has a job of its own, or the object is gone.
func (s *Sender) write(
	ctx context.Context, k kind, partner string, limit int, jobs []*job,
) (written, rest []*job, err error) {
	ids, left := []pgtype.UUID{}, map[uuid.UUID]*job{}
	for _, j := range jobs {
		ids, left[j.ID.Bytes] = append(ids, j.ID), j
	}
	limited, cancel := context.WithTimeout(ctx, statementLimit)
	defer cancel()
	rows, err := s.DB.Query(limited, k.write, partner, jobs[0].Customer, ids)
	if err != nil {
		return nil, nil, fmt.Errorf("write objects: %w", err)
	}
	var superseded []*job
	all := true
	for size := 0; rows.Next(); {
		var id pgtype.UUID
		var changedAt time.Time
		var body string
		if err := rows.Scan(&id, &changedAt, &body); err != nil {
			return nil, nil, fmt.Errorf("write objects: %w", err)
		}
		if size += len(body) + 1; size > limit && len(written) > 0 {
			all = false
			break
		}
		j := left[id.Bytes]
		delete(left, id.Bytes)
		if changedAt.After(j.ChangedAt) {
			superseded = append(superseded, j)
			continue
		}
		j.body = body
		written = append(written, j)
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return nil, nil, fmt.Errorf("write objects: %w", err)
	}
	if len(superseded) > 0 {
		if err := s.settle(ctx, partner, superseded, "superseded", 0, ""); err != nil {
			return nil, nil, err
		}
	}
	for _, j := range jobs {
		if left[j.ID.Bytes] != nil {
			rest = append(rest, j)
		}
	}
	if all && len(rest) > 0 {
		err, rest = s.settle(ctx, partner, rest, "superseded", 0,
			"it was removed here before it was sent; nothing is to be done"), nil
	}
	return written, rest, err
}

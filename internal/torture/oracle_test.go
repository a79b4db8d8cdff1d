//go:build linux && torture

package torture

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// findings are what a round must not have.
type findings struct {
	lost        []string // acknowledged, but not there
	unexplained []string // there, but no order of the history leads to it
}

// state is what the model knows of a capacity group; the zero state is none.
type state struct {
	changedAt int64
	name      string
}

// step is an object that came in a message, and the rule that decided on it.
type step struct {
	state
	rule int
}

// model is CX-0048 §3.2.7, rules 4 to 7, for one capacity group. An operation is
// what one message does to it, in the order of its objects, or the look at the
// store at the end.
var model = porcupine.Model{
	Init: func() any { return state{} },
	Step: func(before, input, output any) (bool, any) {
		s := before.(state)
		if seen, look := output.(state); look {
			return seen == s, s
		}
		for _, step := range input.([]step) {
			rule := 0
			switch {
			case s == (state{}):
				rule = 5
			case step.changedAt > s.changedAt:
				rule = 4
			case step.changedAt < s.changedAt:
				rule = 6
			default:
				rule = 7
			}
			if rule != step.rule {
				return false, s
			}
			if rule != 6 {
				s = step.state
			}
		}
		return true, s
	},
}

// entry is a message in the journal.
type entry struct {
	ID        uuid.UUID
	Agreement string
	Sender    string
	Endpoint  string
	MessageID *uuid.UUID
	Status    int
	Rules     []int
	IDs       []*uuid.UUID
}

// judge compares a history with the store that url leads to.
func (h *history) judge(url string) (f findings, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return f, err
	}
	defer conn.Close(ctx)
	lost := func(format string, args ...any) { f.lost = append(f.lost, fmt.Sprintf(format, args...)) }
	unexplained := func(format string, args ...any) { f.unexplained = append(f.unexplained, fmt.Sprintf(format, args...)) }
	for _, wrong := range h.wrong {
		unexplained("%s", wrong)
	}

	rows, err := conn.Query(ctx, `
		select m.id, m.contract_agreement_id, m.sender, m.endpoint, m.message_id, m.status,
			array(select o.rule from planning.message_object o where o.sender = m.sender and o.message = m.id order by o.index),
			array(select o.capacity_group_id from planning.message_object o where o.sender = m.sender and o.message = m.id order by o.index)
		from planning.message m where m.sender = any($1)`, h.suppliers)
	if err != nil {
		return f, err
	}
	entries, err := pgx.CollectRows(rows, pgx.RowToStructByPos[entry])
	if err != nil {
		return f, err
	}
	journal := map[string]*entry{}
	for i, e := range entries {
		if journal[e.Agreement] != nil {
			unexplained("%s is in the journal twice", e.Agreement)
		}
		journal[e.Agreement] = &entries[i]
	}

	// What the clients saw, and what the journal says of what they did not see.
	end := time.Now()
	operations := map[key][]porcupine.Operation{}
	written := map[key]bool{} // acknowledged
	recorded := map[uuid.UUID]*message{}
	objects := map[string]object{}
	var never []*message // requests for update that may not be there
	for _, a := range h.attempts {
		e := journal[a.agreement]
		delete(journal, a.agreement)
		for _, o := range a.objects {
			objects[o.name] = o
		}
		until := a.answered
		switch {
		case e == nil:
			if a.acknowledged() {
				lost("%s was answered %d and is not in the journal", a.agreement, a.status)
			}
			if a.endpoint == requestForUpdate {
				never = append(never, a.message)
			}
			continue
		case a.refusedAtTheDoor():
			unexplained("%s is in the journal, though it was refused before it could be a message", a.agreement)
		case !a.acknowledged():
			until = end // its transaction may have been committed at any time
		case e.ID != a.instance || e.Status != a.status || !slices.Equal(e.Rules, a.rules):
			unexplained("%s was answered %d %v, but the journal says %d %v", a.agreement, a.status, a.rules, e.Status, e.Rules)
		}
		if e.Sender != a.supplier || e.Endpoint != a.endpoint || len(e.Rules) != len(a.objects) || e.MessageID != nil && a.id != uuid.Nil && *e.MessageID != a.id {
			unexplained("%s is not in the journal as it was sent: %+v", a.agreement, *e)
			continue
		}
		if a.endpoint == requestForUpdate && e.Status == 200 {
			recorded[a.id] = a.message
		}
		steps := map[key][]step{}
		for i, o := range a.objects {
			if e.IDs[i] == nil || *e.IDs[i] != o.key.id {
				unexplained("%s: object %d is another in the journal", a.agreement, i)
			}
			if rule := e.Rules[i]; rule > 3 {
				steps[o.key] = append(steps[o.key], step{state{o.changedAt, o.name}, rule})
				written[o.key] = written[o.key] || a.acknowledged()
			}
		}
		if err := checkStatus(e.Status, e.Rules, a.objects); err != nil && a.message.status == 0 {
			unexplained("%s in the journal: %v", a.agreement, err)
		}
		for k, s := range steps {
			operations[k] = append(operations[k], porcupine.Operation{Input: s, Call: a.sent.UnixNano(), Output: true, Return: until.UnixNano()})
		}
	}
	for agreement := range journal {
		unexplained("%s is in the journal, and nobody sent it", agreement)
	}

	// What planners see.
	stored := map[key]state{}
	rows, err = conn.Query(ctx, `
		select g.supplier, g.customer, g.capacity_group_id, g.name, g.message_id,
			(extract(epoch from g.changed_at) * 1000000)::bigint * 1000 + g.changed_at_nanosecond, c.weeks, c.least, c.most
		from planning.capacity_group g
		cross join lateral (
			select count(*) as weeks, min(least(actual_capacity, maximum_capacity))::bigint as least, max(greatest(actual_capacity, maximum_capacity))::bigint as most
			from planning.capacity c where c.supplier = g.supplier and c.customer = g.customer and c.capacity_group_id = g.capacity_group_id) c
		where g.supplier = any($1)`, h.suppliers)
	if err != nil {
		return f, err
	}
	var k key
	var s state
	var messageID *uuid.UUID
	var weeks, least, most int
	_, err = pgx.ForEachRow(rows, []any{&k.supplier, &k.customer, &k.id, &s.name, &messageID, &s.changedAt, &weeks, &least, &most}, func() error {
		stored[k] = s
		if o := objects[s.name]; o.key != k || o.changedAt != s.changedAt || o.weeks != weeks || o.quantity != least || o.quantity != most {
			unexplained("%v is stored as nobody sent it: %q", k, s.name)
		}
		if operations[k] == nil {
			unexplained("%v is stored, but no message in the journal brought it", k)
		}
		return nil
	})
	if err != nil {
		return f, err
	}
	for k, history := range operations {
		if written[k] && stored[k] == (state{}) {
			lost("%v was acknowledged and is not stored", k)
			continue
		}
		now := end.UnixNano() + 1
		history = append(history, porcupine.Operation{Call: now, Output: stored[k], Return: now})
		if porcupine.CheckOperationsTimeout(model, history, 20*time.Second) != porcupine.Ok {
			unexplained("%v: no order of its %d messages leads to %+v", k, len(history)-1, stored[k])
		}
	}

	requests := map[uuid.UUID][]uuid.UUID{}
	rows, err = conn.Query(ctx, "select message_id, material_demand_id from planning.request_for_update where supplier = any($1)", h.suppliers)
	if err != nil {
		return f, err
	}
	var request *uuid.UUID
	_, err = pgx.ForEachRow(rows, []any{&messageID, &request}, func() error {
		requests[*messageID] = append(requests[*messageID], value(request))
		return nil
	})
	if err != nil {
		return f, err
	}
	for id, m := range recorded {
		want := m.requests
		if len(want) == 0 {
			want = []uuid.UUID{uuid.Nil} // one that asks for all
		}
		if !sameIDs(want, requests[id]) {
			lost("request for update %v: %d of %d are there", id, len(requests[id]), len(want))
		}
	}
	for _, m := range never {
		if recorded[m.id] == nil && requests[m.id] != nil {
			unexplained("request for update %v is there without an entry in the journal", m.id)
		}
	}
	return f, nil
}

func value(id *uuid.UUID) uuid.UUID {
	if id == nil {
		return uuid.Nil
	}
	return *id
}

func sameIDs(a, b []uuid.UUID) bool {
	compare := func(x, y uuid.UUID) int { return slices.Compare(x[:], y[:]) }
	a, b = slices.SortedFunc(slices.Values(a), compare), slices.SortedFunc(slices.Values(b), compare)
	return slices.Equal(a, b)
}

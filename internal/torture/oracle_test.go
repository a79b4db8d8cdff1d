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
	untrue      []string // answered 503, nothing stored; but it was
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

// oracle compares a history with what is in the store.
type oracle struct {
	*history
	findings
	conn       *pgx.Conn
	end        time.Time                     // no operation comes later
	operations map[key][]porcupine.Operation // what messages did to each group
	written    map[key]bool                  // groups that an acknowledged message wrote
	asked      map[uuid.UUID]bool            // messageIds of requests for update: is it in the journal?
}

func (o *oracle) lose(format string, args ...any) {
	o.lost = append(o.lost, fmt.Sprintf(format, args...))
}

func (o *oracle) wonder(format string, args ...any) {
	o.unexplained = append(o.unexplained, fmt.Sprintf(format, args...))
}

// judge compares the history with the store that url leads to.
func (h *history) judge(url string) (findings, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return findings{}, err
	}
	defer conn.Close(ctx)
	o := &oracle{history: h, findings: findings{unexplained: h.wrong}, conn: conn, end: time.Now(),
		operations: map[key][]porcupine.Operation{}, written: map[key]bool{}, asked: map[uuid.UUID]bool{}}
	for _, compare := range []func(context.Context) error{o.compareJournal, o.compareGroups, o.compareRequests} {
		if err := compare(ctx); err != nil {
			return o.findings, err
		}
	}
	return o.findings, nil
}

// compareJournal compares what the clients saw with what the journal says, which
// also tells what became of messages without an answer.
func (o *oracle) compareJournal(ctx context.Context) error {
	rows, err := o.conn.Query(ctx, `
		select m.id, m.contract_agreement_id, m.sender, m.endpoint, m.message_id, m.status,
			array(select o.rule from planning.message_object o where o.sender = m.sender and o.message = m.id order
			by o.index),
			array(select o.capacity_group_id from planning.message_object o where o.sender = m.sender and o.message
			= m.id order by o.index)
		from planning.message m where m.sender = any($1)`, o.suppliers)
	if err != nil {
		return err
	}
	entries, err := pgx.CollectRows(rows, pgx.RowToStructByPos[entry])
	if err != nil {
		return err
	}
	journal := map[string]*entry{}
	for i, e := range entries {
		if journal[e.Agreement] != nil {
			o.wonder("%s is in the journal twice", e.Agreement)
		}
		journal[e.Agreement] = &entries[i]
	}
	for _, a := range o.attempts {
		e := journal[a.agreement]
		delete(journal, a.agreement)
		if a.endpoint == requestForUpdate && !a.refusedAtTheDoor() && a.message.status == 200 {
			o.asked[a.id] = o.asked[a.id] || e != nil
		}
		switch {
		case e != nil:
			o.compareEntry(a, e)
		case a.acknowledged():
			o.lose("%s was answered %d and is not in the journal", a.agreement, a.status)
		}
	}
	for agreement := range journal {
		o.wonder("%s is in the journal, and nobody sent it", agreement)
	}
	return nil
}

func (o *oracle) compareEntry(a *attempt, e *entry) {
	until := a.answered
	if a.nothingStored {
		o.untrue = append(o.untrue, fmt.Sprintf("%s was answered 503, nothing stored, and the journal says %d %v",
			a.agreement, e.Status, e.Rules))
	}
	switch {
	case a.refusedAtTheDoor():
		o.wonder("%s is in the journal, though it was refused before it could be a message", a.agreement)
	case !a.acknowledged():
		until = o.end // its transaction may have been committed at any time
	case e.ID != a.instance || e.Status != a.status || !slices.Equal(e.Rules, a.rules):
		o.wonder("%s was answered %d %v, but the journal says %d %v", a.agreement, a.status, a.rules, e.Status, e.Rules)
	}
	if e.Sender != a.supplier || e.Endpoint != a.endpoint || len(e.Rules) != len(a.objects) || e.MessageID != nil &&
		*e.MessageID != a.id {
		o.wonder("%s is not in the journal as it was sent: %+v", a.agreement, *e)
		return
	}
	steps := map[key][]step{}
	for i, object := range a.objects {
		if e.IDs[i] == nil || *e.IDs[i] != object.key.id {
			o.wonder("%s: object %d is another in the journal", a.agreement, i)
		}
		if rule := e.Rules[i]; rule > 3 {
			steps[object.key] = append(steps[object.key], step{state{object.changedAt, object.name}, rule})
			o.written[object.key] = o.written[object.key] || a.acknowledged()
		}
	}
	if err := checkStatus(e.Status, e.Rules, a.objects); err != nil && a.message.status == 0 {
		o.wonder("%s in the journal: %v", a.agreement, err)
	}
	for k, s := range steps {
		o.operations[k] = append(o.operations[k], porcupine.Operation{Input: s, Call: a.sent.UnixNano(), Output: true,
			Return: until.UnixNano()})
	}
}

// compareGroups looks for an order of the messages that leads to what planners
// see.
func (o *oracle) compareGroups(ctx context.Context) error {
	sent := map[string]object{} // by name
	for _, a := range o.attempts {
		for _, object := range a.objects {
			sent[object.name] = object
		}
	}
	rows, err := o.conn.Query(ctx, `
		select g.supplier, g.customer, g.capacity_group_id, g.name,
			(extract(epoch from g.changed_at) * 1000000)::bigint * 1000 + g.changed_at_nanosecond, c.weeks, c.least,
			c.most
		from planning.capacity_group g
		cross join lateral (
			select count(*) as weeks, min(least(actual_capacity, maximum_capacity))::bigint as least,
			max(greatest(actual_capacity, maximum_capacity))::bigint as most
			from planning.capacity c where c.supplier = g.supplier and c.customer = g.customer and
			c.capacity_group_id = g.capacity_group_id) c
		where g.supplier = any($1)`, o.suppliers)
	if err != nil {
		return err
	}
	stored := map[key]state{}
	var k key
	var s state
	var weeks, least, most int
	_, err = pgx.ForEachRow(rows, []any{&k.supplier, &k.customer, &k.id, &s.name, &s.changedAt, &weeks, &least,
		&most}, func() error {
		stored[k] = s
		if want := sent[s.name]; want.key != k || want.changedAt != s.changedAt || want.weeks != weeks ||
			want.quantity != least || want.quantity != most {
			o.wonder("%v is stored as nobody sent it: %q", k, s.name)
		}
		if o.operations[k] == nil {
			o.wonder("%v is stored, but no message in the journal brought it", k)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for k, history := range o.operations {
		if o.written[k] && stored[k] == (state{}) {
			o.lose("%v was acknowledged and is not stored", k)
			continue
		}
		now := o.end.UnixNano() + 1
		history = append(history, porcupine.Operation{Call: now, Output: stored[k], Return: now})
		if porcupine.CheckOperationsTimeout(model, history, 20*time.Second) != porcupine.Ok {
			o.wonder("%v: no order of its %d messages leads to %+v", k, len(history)-1, stored[k])
		}
	}
	return nil
}

// compareRequests compares the requests for update with their journal entries.
func (o *oracle) compareRequests(ctx context.Context) error {
	rows, err := o.conn.Query(ctx, `
		select message_id, coalesce(material_demand_id, '00000000-0000-0000-0000-000000000000')
		from planning.request_for_update where supplier = any($1)`, o.suppliers)
	if err != nil {
		return err
	}
	stored := map[uuid.UUID][]uuid.UUID{}
	var messageID, request uuid.UUID
	_, err = pgx.ForEachRow(rows, []any{&messageID, &request}, func() error {
		stored[messageID] = append(stored[messageID], request)
		return nil
	})
	if err != nil {
		return err
	}
	for _, a := range o.attempts {
		inJournal, is := o.asked[a.id]
		if !is {
			continue
		}
		delete(o.asked, a.id) // once for all attempts
		want := a.requests
		if len(want) == 0 {
			want = []uuid.UUID{uuid.Nil} // one that asks for all
		}
		switch found := stored[a.id]; {
		case inJournal && !sameIDs(want, found):
			o.lose("request for update %v: %d of %d are there", a.id, len(found), len(want))
		case !inJournal && found != nil:
			o.wonder("request for update %v is there without an entry in the journal", a.id)
		}
	}
	return nil
}

func sameIDs(a, b []uuid.UUID) bool {
	compare := func(x, y uuid.UUID) int { return slices.Compare(x[:], y[:]) }
	a, b = slices.SortedFunc(slices.Values(a), compare), slices.SortedFunc(slices.Values(b), compare)
	return slices.Equal(a, b)
}

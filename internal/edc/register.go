package edc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Change is one thing that is, or was, not as registered.
type Change struct {
	Object      string // "asset dcm-capacity-group"
	Action      string // create | update | withdraw
	Differences []string
}

// Register compares what the connector holds with what r wants and says what
// differs; with apply it makes it so, and says what it has done, also where it could
// not do all of it: the next call does the rest. It creates and replaces only objects that
// carry our mark. What it made and does not want any more it withdraws: the
// contract definition goes, so that no one sees the asset, while asset and
// policies stay, because agreements and EDRs in use may hang on them.
//
// An object of somebody else's under one of our IDs, and a second asset of a
// kind that a contract definition shows (CX-0048 §3.2.5: only one may be
// visible to a supplier), are errors; then no offer is made.
func Register(ctx context.Context, m *Management, r Registration, apply bool) ([]Change, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	wanted := r.Objects()
	var changes []Change
	ids := map[string]bool{}
	missing := map[string]bool{}
	for _, o := range wanted {
		ids[o.Collection+"/"+o.ID] = true
		change, err := compare(ctx, m, r, o)
		if err != nil {
			return nil, err
		}
		if change != nil {
			changes = append(changes, *change)
			missing[o.String()] = change.Action == "create"
		}
	}
	others, stale, err := definitions(ctx, m, r, ids)
	if err != nil {
		return nil, err
	}
	for _, id := range stale {
		changes = append(changes, Change{"contract definition " + id, "withdraw", nil})
	}
	var made []Change
	of := func(object string) int {
		return slices.IndexFunc(changes, func(c Change) bool { return c.Object == object })
	}
	did := func(object string) { made = append(made, changes[of(object)]) }
	write := func(offers bool) error {
		for _, o := range wanted {
			if (o.Collection == contractDefinitions) != offers || of(o.String()) < 0 {
				continue
			}
			if err := put(ctx, m, r, o, missing[o.String()]); err != nil {
				return err
			}
			did(o.String())
		}
		return nil
	}
	if !apply {
		return changes, ambiguous(ctx, m, r, wanted, others)
	}
	if err := write(false); err != nil {
		return made, err
	}
	if err := ambiguous(ctx, m, r, wanted, others); err != nil {
		return made, err
	}
	for _, id := range stale {
		if err := m.call(ctx, "DELETE", "/"+contractDefinitions+"/"+url.PathEscape(id), nil, nil); err != nil &&
			!notFound(err) {
			return made, err
		}
		did("contract definition " + id)
	}
	return made, write(true)
}

// definitions are the contract definitions of others, and the IDs of ours that are not wanted any more.
func definitions(
	ctx context.Context, m *Management, r Registration, wanted map[string]bool,
) (others []map[string]any, stale []string, err error) {
	all, err := m.query(ctx, contractDefinitions, nil)
	for _, d := range all {
		id, _ := d["@id"].(string)
		switch {
		case !isOurs(d, r.mark()):
			others = append(others, d)
		case !wanted[contractDefinitions+"/"+id]:
			stale = append(stale, id)
		}
	}
	return others, stale, err
}

// compare reads the object and says what must change, nil where nothing.
func compare(ctx context.Context, m *Management, r Registration, o Object) (*Change, error) {
	var got map[string]any
	err := m.call(ctx, "GET", "/"+o.Collection+"/"+url.PathEscape(o.ID), nil, &got)
	switch {
	case notFound(err):
		return &Change{o.String(), "create", nil}, nil
	case err != nil:
		return nil, err
	case !isOurs(got, r.mark()):
		return nil,
			fmt.Errorf(
				"%s exists on your connector and was not made by this receiver: set "+r.Names.of("Prefix")+
					" to another name than %q, or remove the other one", o, r.Prefix)
	}
	var want map[string]any
	if err := json.Unmarshal(o.JSON(), &want); err != nil {
		return nil, err
	}
	if d := differences("", terms{}.expand(got), terms{}.expand(want), false); len(d) > 0 {
		return &Change{o.String(), "update", d}, nil
	}
	return nil, nil
}

func isOurs(object map[string]any, mark string) bool {
	expanded, _ := terms{}.expand(object).(map[string]any)
	private, _ := expanded[edcNS+"privateProperties"].(map[string]any)
	return private[edcNS+markName] == mark
}

func put(ctx context.Context, m *Management, r Registration, o Object, create bool) error {
	if create {
		err := m.call(ctx, "POST", "/"+o.Collection, o.Body, nil)
		if refused, ok := errors.AsType[*refusal](err); !ok || refused.status != http.StatusConflict {
			return err
		}
		// somebody was quicker: another replica of ours, or a stranger
		if change, err := compare(ctx, m, r, o); change == nil || err != nil {
			return err
		}
	}
	path := "/" + o.Collection
	if o.Collection == policies {
		path += "/" + url.PathEscape(o.ID) // the other two take the ID from the body
	}
	return m.call(ctx, "PUT", path, o.Body, nil)
}

// ambiguous finds assets of our kinds that are not ours but offered, and
// others' offers of our assets under rules that are not ours. Whether two
// offers meet at one supplier depends on policies that only the connector can
// evaluate, so an operator who knows that they do not can name the asset.
func ambiguous(ctx context.Context, m *Management, r Registration, wanted []Object, others []map[string]any) error {
	subject := map[string]string{} // asset ID → kind; ours: ""
	for _, k := range r.searched() {
		filters := [][]criterion{{{OperandLeft: "'" + dctNS + "type'.'@id'", Operator: "=", OperandRight: k.dct}}}
		if k.dcm != "" {
			filters = append(filters, []criterion{{OperandLeft: dcmProperty, Operator: "=", OperandRight: k.dcm}})
		}
		for _, f := range filters {
			found, err := m.query(ctx, assets, f)
			if err != nil {
				return err
			}
			for _, a := range found {
				if id, _ := a["@id"].(string); !slices.Contains(r.Tolerated, id) {
					subject[id] = k.words
				}
			}
		}
	}
	for _, o := range wanted {
		if o.Collection == assets {
			subject[o.ID] = ""
		}
	}
	var ids []string
	for id := range subject {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, d := range others {
		selector := selectorOf(d)
		if len(selector) == 1 && selector[0].OperandLeft == edcNS+"id" && selector[0].Operator == "=" {
			if id, ok := selector[0].OperandRight.(string); ok && !slices.Contains(ids, id) {
				continue // the usual case, without asking
			}
		}
		found, err := m.query(ctx, assets, append(selector,
			criterion{OperandLeft: edcNS + "id", Operator: "in", OperandRight: ids}))
		if err != nil {
			return err
		}
		slices.SortFunc(found, func(a, b map[string]any) int { return strings.Compare(text(a["@id"]), text(b["@id"])) })
		for _, a := range found {
			id, _ := a["@id"].(string)
			kind, known := subject[id]
			switch {
			case !known:
			case kind == "":
				return fmt.Errorf(
					"contract definition %v, which this receiver did not make, also offers our asset %s, to "+
						"whomever its own policies admit: narrow its assetsSelector or remove it", d["@id"], id)
			default:
				return fmt.Errorf(
					"asset %s, offered by contract definition %v, is a %s too, and a supplier may see only one "+
						"(CX-0048 §3.2.5): remove that contract definition, or, if other suppliers than ours see "+
						"it, add the asset to "+r.Names.of("Tolerated"), id, d["@id"], kind)
			}
		}
	}
	return nil
}

// selectorOf is a contract definition's choice of assets; an empty one means all.
func selectorOf(definition map[string]any) []criterion {
	var out []criterion
	for _, e := range list(definition["assetsSelector"]) { // a list of one comes without the list
		if c, ok := e.(map[string]any); ok {
			out = append(out, criterion{OperandLeft: c["operandLeft"], Operator: c["operator"],
				OperandRight: c["operandRight"]})
		}
	}
	return out
}

// State is how the registration stands, for metrics and readiness details.
type State struct {
	Name    string // off | pending | registered | failed
	Err     error  // why it failed, one sentence; nil otherwise
	Changes []Change
	At      time.Time
}

// States are all names a State can have.
var States = []string{"off", "pending", "registered", "failed"}

// Keep registers until it succeeds, and then again every hour, so that what
// was changed or lost on the connector comes back. It returns when ctx ends.
// report is called from the same goroutine after every attempt.
func Keep(ctx context.Context, m *Management, r Registration, report func(State)) {
	keep(ctx, m, r, report, 2*time.Second, time.Hour)
}

func keep(ctx context.Context, m *Management, r Registration, report func(State), retry, again time.Duration) {
	report(State{Name: "pending", At: time.Now()})
	wait := retry
	for {
		attempt, cancel := context.WithTimeout(ctx, 2*time.Minute)
		changes, err := Register(attempt, m, r, true)
		cancel()
		if ctx.Err() != nil {
			return
		}
		next := again
		if err != nil {
			report(State{Name: "failed", Err: err, At: time.Now()})
			next, wait = wait, min(2*wait, again, 5*time.Minute)
		} else {
			report(State{Name: "registered", Changes: changes, At: time.Now()})
			wait = retry
		}
		// replicas that started together do not ask together for ever
		next += time.Duration(rand.Int64N(int64(next)/5 + 1))
		select {
		case <-ctx.Done():
			return
		case <-time.After(next):
		}
	}
}

// Summary is a change in a line, and its differences in lines below it.
func (c Change) Summary() string {
	return strings.Join(append([]string{c.Action + " " + c.Object}, c.Differences...), "\n    ")
}

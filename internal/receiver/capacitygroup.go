package receiver

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"dcm-receiver/internal/cx0048"
	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/payload"
	"dcm-receiver/internal/store"
	"dcm-receiver/schemas"
)

// judgeCapacityGroups judges a WeekBasedCapacityGroup message by the rules of
// CX-0048 §3.2.7 and stores what they accept.
func (rc *Receiver) judgeCapacityGroups(ctx context.Context, in *inbound) (store.Entry, error) {
	m, err := payload.ReadCapacityGroups(in.body, dcm.DateOf(in.ReceivedAt.UTC()))
	if err != nil {
		return rc.unreadable(ctx, in, err)
	}
	rc.checkHeader(in, m)
	if m.Errors.Any() {
		// A refused header, or no object at all, refuses the message as a whole.
		return rc.journal(ctx, in, store.Entry{
			Status: http.StatusBadRequest, Objects: len(m.CapacityGroups), Errors: listed(m.Errors),
		})
	}
	situations := make([]cx0048.CapacityGroupSituation, len(m.CapacityGroups))
	writes := make([]store.Write, len(m.CapacityGroups))
	var keys []store.Key
	for i := range m.CapacityGroups {
		g := &m.CapacityGroups[i]
		situations[i] = cx0048.CapacityGroupSituation{
			Valid: !g.Errors.Any(), Supplier: g.Supplier, Customer: g.Customer,
			Sender: in.Sender, Ours: rc.ours, ChangedAt: g.ChangedAt,
		}
		if situations[i].NeedsStore() {
			keys = append(keys, keyOf(g))
			writes[i] = store.NewWrite(&g.CapacityGroup, g.Raw)
		}
	}
	decision, err := rc.store.Save(ctx, in.Arrival, keys, func(stored map[store.Key]store.Stored) store.Decision {
		return decide(m.CapacityGroups, situations, writes, stored)
	})
	return decision.Entry, err
}

func keyOf(g *payload.CapacityGroup) store.Key {
	return store.Key{Customer: g.Customer, ID: g.ID}
}

// decide runs the rules over the objects in the order sent: what one of them
// stores is known to the next. writes are the objects as they would be stored.
func decide(groups []payload.CapacityGroup, situations []cx0048.CapacityGroupSituation, writes []store.Write, stored map[store.Key]store.Stored) store.Decision {
	d := store.Decision{Writes: make(map[store.Key]store.Write)}
	rules := make([]cx0048.Rule, len(groups))
	d.Entry.Objects = len(groups)
	d.Entry.Results = make([]store.Result, len(groups))
	for i := range groups {
		g, s, key := &groups[i], situations[i], keyOf(&groups[i])
		if s.NeedsStore() {
			if before, known := stored[key]; known {
				s.Stored = &before.ChangedAt
			}
			if before, known := d.Writes[key]; known {
				s.Stored = &before.Group.ChangedAt
			}
		}
		rules[i] = cx0048.DecideCapacityGroup(s)
		result := store.Result{Rule: rules[i].Number, Errors: why(rules[i].Number, g, s)}
		if g.HasID {
			result.CapacityGroupID = &g.ID
		}
		d.Entry.Results[i] = result
		if rules[i].Outcome != cx0048.Ignored {
			d.Writes[key] = writes[i]
		}
	}
	d.Entry.Status = cx0048.Status(rules)
	return d
}

// why words the reasons of the rules that refuse.
func why(rule int, g *payload.CapacityGroup, s cx0048.CapacityGroupSituation) store.ErrorList {
	one := func(property, detail string) store.ErrorList {
		return store.ErrorList{Errors: []schemas.Violation{{Pointer: g.Pointer + "/" + property, Detail: detail}}}
	}
	switch rule {
	case 1:
		return listed(g.Errors)
	case 2:
		return one("supplier", fmt.Sprintf("supplier is %s, but the sending connector is registered for %s; a supplier sends its own capacity groups only", s.Supplier, s.Sender))
	case 3:
		return one("customer", fmt.Sprintf("customer is %s, which this receiver is not responsible for", s.Customer))
	case 6:
		return one("changedAt", fmt.Sprintf("changedAt is %s, older than %s of the capacity group that was received before; nothing was changed", format(s.ChangedAt), format(*s.Stored)))
	}
	return store.ErrorList{}
}

func format(t dcm.Timestamp) string { return t.Format(time.RFC3339Nano) }

func listed(e payload.Errors) store.ErrorList {
	return store.ErrorList{Errors: e.List, MoreErrors: e.More}
}

// whyRefused is the summary of a refused message for whoever reads one line.
func whyRefused(e store.Entry) string {
	if len(e.Errors.Errors) > 0 {
		return place(e.Errors.Errors[0]) + e.Errors.Errors[0].Detail
	}
	refused, first := 0, ""
	for _, r := range e.Results {
		if len(r.Errors.Errors) > 0 {
			if refused++; refused == 1 {
				first = fmt.Sprintf("rule %d: %s%s", r.Rule, place(r.Errors.Errors[0]), r.Errors.Errors[0].Detail)
			}
		}
	}
	switch {
	case len(e.Results) == 1:
		return first
	case refused == len(e.Results):
		return fmt.Sprintf("all %d objects were refused; the first by %s", refused, first)
	default:
		return fmt.Sprintf("objects refused: %d of %d, the others stored; the first by %s", refused, len(e.Results), first)
	}
}

func place(v schemas.Violation) string {
	if v.Pointer == "" {
		return ""
	}
	return v.Pointer + ": "
}

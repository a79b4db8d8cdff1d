package store

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// sortOut makes the rows of what messages write of one kind: those to be inserted, and
// those that overwrite, each in the order of their keys: two transactions that insert
// the same keys then wait for each other in one direction only. row is false for what
// is of another kind. Of what came again as it is stored, touchOne and touchMany note
// that it came, unless they are empty.
func sortOut[R any](b *batches, messages []*saving, touchOne, touchMany statement,
	row func(*saving, Key, Write) (R, bool)) (insertions, overwriting []R) {
	type keyed struct {
		Key
		row R
	}
	var of [same][]keyed // created and changed
	for _, m := range messages {
		unchanged := map[owner][]pgtype.UUID{}
		m.ground.changes(func(k Key, w Write, c change) {
			r, ok := row(m, k, w)
			switch {
			case !ok:
			case c == same:
				o := owner{k.Supplier, k.Customer}
				unchanged[o] = append(unchanged[o], pgUUID(&k.ID))
			default:
				of[c] = append(of[c], keyed{k, r})
			}
		})
		if touchOne.SQL != "" {
			touch(&b.next, touchOne, touchMany, unchanged, m)
		}
	}
	rows := func(all []keyed) []R {
		slices.SortFunc(all, func(a, b keyed) int {
			return cmp.Or(strings.Compare(a.Supplier, b.Supplier), strings.Compare(a.Customer, b.Customer),
				bytes.Compare(a.ID[:], b.ID[:]))
		})
		return texts(all, func(k *keyed) R { return k.row })
	}
	return rows(of[created]), rows(of[changed])
}

// touch notes that objects came again as they are stored. Of many, the plan is made for
// the list at hand: one that is kept may compare each of the list with each that the
// partner has.
func touch(b *pgx.Batch, one, many statement, ids map[owner][]pgtype.UUID, m *saving) {
	const few = 32
	for o, ids := range ids {
		args := values{"supplier": o.supplier, "customer": o.customer, "received_at": m.ReceivedAt,
			"message_id": pgUUID(m.MessageID)}
		if len(ids) <= few {
			for _, id := range ids {
				args["id"] = id
				one.Queue(b, args)
			}
			continue
		}
		args["ids"] = ids
		b.Queue("set local plan_cache_mode = force_custom_plan")
		many.Queue(b, args)
		b.Queue("set local plan_cache_mode to default")
	}
}

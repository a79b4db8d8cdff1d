package store

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"dcm-receiver/internal/dcm"
)

// kind says how the objects of one endpoint are stored. Everything that differs between kinds of
// objects is here or behind here.
type kind struct {
	endpoint dcm.Endpoint
	// lock queues the statements that read and lock what decisions about the subjects of one owner
	// stand on; nil where they stand on nothing.
	lock func(*batches, owner, []Subject, *locked)
	// write queues the statements that store what messages of this kind write.
	write func(*batches, []*saving) error
	// conflicts are the beginnings of names of constraints. A violation means that another transaction
	// stored the same object first, so that the message is decided again.
	conflicts []string
	tables    []string // of schema dcm, whose rows the statements read and write
	columns   []string // of these tables, which a change of the object's meaning touches
}

// kinds are all kinds of objects. Open fails where an endpoint has none, or where one lacks a part.
var kinds = []kind{capacityGroups, materialDemands, comments, requests}

func kindOf(endpoint string) (*kind, error) {
	for i := range kinds {
		if kinds[i].endpoint.Path == endpoint {
			return &kinds[i], nil
		}
	}
	return nil, fmt.Errorf("store: endpoint %s has no kind of object", endpoint)
}

// checkKinds fails unless each endpoint has exactly one kind, and each kind all its parts.
func checkKinds(kinds []kind, endpoints []dcm.Endpoint) error {
	for _, e := range endpoints {
		n := 0
		for _, k := range kinds {
			if k.endpoint.Path == e.Path {
				n++
			}
		}
		if n != 1 {
			return fmt.Errorf("endpoint %s has %d kinds of objects in package store; it must have one", e.Path, n)
		}
	}
	for _, k := range kinds {
		for part, missing := range map[string]bool{
			"write": k.write == nil, "tables": len(k.tables) == 0, "columns": len(k.columns) == 0,
			// objects with an ID are compared with the stored one
			"lock":      k.lock == nil && k.endpoint.IDName != "",
			"conflicts": len(k.conflicts) == 0 && k.endpoint.IDName != "",
		} {
			if missing {
				return fmt.Errorf("the kind of objects of endpoint %s has no %s", k.endpoint.Path, part)
			}
		}
	}
	return nil
}

// tables are all tables that receiving reads and writes, with their schema.
func tables() []string {
	all := []string{
		"message", "message_count",
		// Triggers write these with the rights of the statement's user.
		"capacity_group_history", "demand_series_history", "measurement_history", "activity_history",
	}
	for _, k := range kinds {
		all = append(all, k.tables...)
	}
	for i := range all {
		all[i] = "dcm." + all[i]
	}
	return all
}

// contentVersion is part of every content hash. It changes with the columns that are stored, so that
// a re-send of the same bytes then fills a new column.
var contentVersion = versionOf(kinds)

func versionOf(kinds []kind) []byte {
	h := sha256.New()
	for _, k := range kinds {
		fmt.Fprintln(h, k.endpoint.Path, k.columns)
	}
	return h.Sum(nil)
}

// partition makes the rows of what messages write: those to insert, and those that overwrite. Both are
// sorted by key, so that two transactions with the same keys wait for each other in one direction only.
// row is false for an object of another type. touchOne and touchMany record that an object came again
// unchanged, unless they are empty.
func partition[R any](b *batches, messages []*saving, touchOne, touchMany statement,
	row func(*saving, Key, Write) (R, bool)) (insertions, overwriting []R, err error) {
	type keyed struct {
		Key
		row R
	}
	var of [same][]keyed // created and changed
	for _, m := range messages {
		unchanged := map[owner][]pgtype.UUID{}
		m.snapshot.changes(func(k Key, w Write, c change) {
			r, ok := row(m, k, w)
			switch {
			case !ok:
				err = fmt.Errorf("store: a message to %s writes a %T", m.Endpoint, w.object)
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
		return mapSlice(all, func(k *keyed) R { return k.row })
	}
	return rows(of[created]), rows(of[changed]), err
}

// touch records that objects came again unchanged. For a long list the statement is planned for that
// list: a generic plan may compare each entry with every object of the partner.
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

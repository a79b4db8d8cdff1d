package store

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"slices"
	"strings"
	"time"

	"dcm-receiver/internal/dcm"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// capacityGroups is the kind of capacity groups.
var capacityGroups = kind{
	endpoint: dcm.CapacityGroupEndpoint, lock: lockGroups, write: writeGroups,
	conflicts: []string{"capacity_group_pkey"}, tables: []string{"capacity_group"},
	columns: insertCapacityGroups.names(),
}

// WriteCapacityGroup stores a group with the given content.
func WriteCapacityGroup(g *dcm.CapacityGroup, content Content) Write {
	// Weeks and links are sets: sorted, a set in another order is the same state.
	sortUnlessSorted(g.Capacities, func(a, b dcm.Capacity) int { return cmp.Compare(a.PointInTime, b.PointInTime) })
	sortUnlessSorted(g.LinkedDemandSeries, func(a, b dcm.LinkedDemandSeries) int {
		return cmp.Or(strings.Compare(a.MaterialNumberCustomer, b.MaterialNumberCustomer),
			strings.Compare(a.CustomerLocation, b.CustomerLocation),
			strings.Compare(a.DemandCategoryCode, b.DemandCategoryCode))
	})
	sortUnlessSorted(g.LinkedCapacityGroups, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	w := Write{state: state{changedAt: g.ChangedAt, hash: content}, object: g}
	if g.DemandVolatility != nil {
		w.start = &g.DemandVolatility.StartReferenceDateTime
	}
	return w
}

func sortUnlessSorted[T any](list []T, compare func(a, b T) int) {
	if !slices.IsSortedFunc(list, compare) {
		slices.SortStableFunc(list, compare)
	}
}

// groupRow is a group on its way into its table.
type groupRow struct {
	*dcm.CapacityGroup
	hash    [sha256.Size]byte
	message *Arrival
}

// volatility is what the group says of demand volatility, or nothing of it.
func (r groupRow) volatility() dcm.DemandVolatilityParameters {
	if r.DemandVolatility == nil {
		return dcm.DemandVolatilityParameters{}
	}
	return *r.DemandVolatility
}

var capacityGroupColumns = []column[groupRow]{
	{"supplier", func(r groupRow) any { return r.Supplier }},
	{"customer", func(r groupRow) any { return r.Customer }},
	{"capacity_group_id", func(r groupRow) any { return pgUUID(&r.ID) }},
	{"changed_at", func(r groupRow) any { return r.ChangedAt.Time }},
	{"changed_at_nanosecond", func(r groupRow) any { return nanosecond(r.ChangedAt) }},
	{"first_received_at", func(r groupRow) any { return r.message.ReceivedAt }},
	{"received_at", func(r groupRow) any { return r.message.ReceivedAt }},
	{"message_id", func(r groupRow) any { return pgUUID(r.message.MessageID) }},
	{"content_hash", func(r groupRow) any { return r.hash[:] }},
	{"unit_of_measure_is_omitted", func(r groupRow) any { return r.UnitOfMeasureIsOmitted }},
	{"is_inactive", func(r groupRow) any { return r.IsInactive }},
	{"is_unlocked", func(groupRow) any { return false }},
	{"start_reference_date_time", func(r groupRow) any {
		if r.DemandVolatility == nil {
			return nil
		}
		return r.DemandVolatility.StartReferenceDateTime.Time
	}},
	{"start_reference_date_time_nanosecond", func(r groupRow) any {
		if r.DemandVolatility == nil {
			return nil
		}
		return nanosecond(r.DemandVolatility.StartReferenceDateTime)
	}},
	{"measurement_interval", func(r groupRow) any { return nullable(string(r.volatility().MeasurementInterval)) }},
	{"name", func(r groupRow) any { return r.Name }},
	{"unit_of_measure", func(r groupRow) any { return nullable(r.UnitOfMeasure) }},
	{"supplier_locations", func(r groupRow) any { return notNull(r.SupplierLocations) }},
	{"linked_capacity_groups", func(r groupRow) any { return pgUUIDs(r.LinkedCapacityGroups) }},
	{"point_in_time", func(r groupRow) any {
		return days{len(r.Capacities), func(i int) dcm.Date { return r.Capacities[i].PointInTime }}
	}},
	{"actual_capacity", func(r groupRow) any {
		return numbers(r.Capacities, func(c *dcm.Capacity) dcm.Decimal { return c.ActualCapacity })
	}},
	{"maximum_capacity", func(r groupRow) any {
		return numbers(r.Capacities, func(c *dcm.Capacity) dcm.Decimal { return c.MaximumCapacity })
	}},
	{"agreed_capacity", func(r groupRow) any {
		return optionalNumbers(r.Capacities, func(c *dcm.Capacity) dcm.Decimal { return c.AgreedCapacity })
	}},
	{"delta_production_result", func(r groupRow) any {
		return optionalNumbers(r.Capacities, func(c *dcm.Capacity) dcm.Decimal { return c.DeltaProductionResult })
	}},
	{"material_number_customer", func(r groupRow) any {
		return mapSlice(r.LinkedDemandSeries,
			func(s *dcm.LinkedDemandSeries) string { return s.MaterialNumberCustomer })
	}},
	{"material_number_supplier", func(r groupRow) any {
		return mapSlice(r.LinkedDemandSeries,
			func(s *dcm.LinkedDemandSeries) *string { return s.MaterialNumberSupplier })
	}},
	{"customer_location", func(r groupRow) any {
		return mapSlice(r.LinkedDemandSeries, func(s *dcm.LinkedDemandSeries) string { return s.CustomerLocation })
	}},
	{"demand_category_code", func(r groupRow) any {
		return mapSlice(r.LinkedDemandSeries, func(s *dcm.LinkedDemandSeries) string { return s.DemandCategoryCode })
	}},
	{"load_factor", func(r groupRow) any {
		return optionalNumbers(r.LinkedDemandSeries,
			func(s *dcm.LinkedDemandSeries) dcm.Decimal { return s.LoadFactor })
	}},
	{"sequence_number", func(r groupRow) any {
		return numbers(r.volatility().AlertThresholds,
			func(t *dcm.AlertThreshold) dcm.Decimal { return t.SequenceNumber })
	}},
	{"subhorizon_length", func(r groupRow) any {
		return numbers(r.volatility().AlertThresholds,
			func(t *dcm.AlertThreshold) dcm.Decimal { return t.SubhorizonLength })
	}},
	{"relative_positive_deviation", func(r groupRow) any {
		return optionalNumbers(r.volatility().AlertThresholds,
			func(t *dcm.AlertThreshold) dcm.Decimal { return t.RelativePositiveDeviation })
	}},
	{"relative_negative_deviation", func(r groupRow) any {
		return optionalNumbers(r.volatility().AlertThresholds,
			func(t *dcm.AlertThreshold) dcm.Decimal { return t.RelativeNegativeDeviation })
	}},
	{"absolute_positive_deviation", func(r groupRow) any {
		return optionalNumbers(r.volatility().AlertThresholds,
			func(t *dcm.AlertThreshold) dcm.Decimal { return t.AbsolutePositiveDeviation })
	}},
	{"absolute_negative_deviation", func(r groupRow) any {
		return optionalNumbers(r.volatility().AlertThresholds,
			func(t *dcm.AlertThreshold) dcm.Decimal { return t.AbsoluteNegativeDeviation })
	}},
}

var (
	// Fails if another message inserted the same key meanwhile: then the messages
	// of this transaction are decided again.
	insertCapacityGroups    = insertInto("capacity_group", capacityGroupColumns, "")
	overwriteCapacityGroups = insertCapacityGroups.overwriting([]string{"supplier", "customer", "capacity_group_id"},
		"first_received_at")

	lockCapacityGroup   = load("lock_capacity_group")
	lockCapacityGroups  = load("lock_capacity_groups")
	touchCapacityGroup  = load("touch_capacity_group")
	touchCapacityGroups = load("touch_capacity_groups")
)

// lockGroups reads and locks the stored groups of one supplier and customer.
func lockGroups(b *batches, o owner, subjects []Subject, into *locked) {
	// Postgres plans the statement for a single ID once instead of every time.
	s, args := lockCapacityGroups, values{"supplier": o.supplier, "customer": o.customer}
	if len(subjects) == 1 {
		s, args["id"] = lockCapacityGroup, pgUUID(&subjects[0].ID)
	} else {
		args["ids"] = sortedIDs(subjects)
	}
	s.Queue(&b.next, args).Query(func(rows pgx.Rows) error {
		var id pgtype.UUID
		var at time.Time
		var start *time.Time
		var ns int16
		var startNS *int16
		var hash []byte
		var isUnlocked bool
		_, err := pgx.ForEachRow(rows, []any{&id, &at, &ns, &start, &startNS, &hash, &isUnlocked}, func() error {
			known := state{changedAt: instant(at, ns), hash: hashIn(hash), unlocked: isUnlocked}
			if start != nil && startNS != nil {
				s := instant(*start, *startNS)
				known.start = &s
			}
			into.objects[Key{o.supplier, o.customer, id.Bytes}] = known
			return nil
		})
		return err
	})
	if b.asRequested {
		lookUpRequested(b, o, subjects, into)
	}
}

var requestedGroups = load("requested_groups")

// lookUpRequested reads which of one supplier's and customer's groups we asked for.
func lookUpRequested(b *batches, o owner, subjects []Subject, into *locked) {
	requestedGroups.Queue(&b.next, values{"supplier": o.supplier, "customer": o.customer,
		"ids": sortedIDs(subjects)}).Query(func(rows pgx.Rows) error {
		var id pgtype.UUID
		_, err := pgx.ForEachRow(rows, []any{&id}, func() error {
			if into.requested == nil {
				into.requested, into.allRequested = map[Key]bool{}, map[owner]bool{}
			}
			if id.Valid {
				into.requested[Key{o.supplier, o.customer, id.Bytes}] = true
			} else {
				into.allRequested[o] = true
			}
			return nil
		})
		return err
	})
}

// writeGroups stores the groups that messages write.
func writeGroups(b *batches, messages []*saving) error {
	insertions, changes, err := partition(b, messages, touchCapacityGroup, touchCapacityGroups,
		func(m *saving, _ Key, w Write) (groupRow, bool) {
			g, ok := w.object.(*dcm.CapacityGroup)
			return groupRow{g, w.hash, &m.Arrival}, ok
		})
	if err != nil {
		return err
	}
	if err := overwriteCapacityGroups.write(b, changes); err != nil {
		return err
	}
	return insertCapacityGroups.copy(b, insertions)
}

// owner is whose objects one statement is about.
type owner struct{ supplier, customer string }

func (o owner) compare(other owner) int {
	return cmp.Or(strings.Compare(o.supplier, other.supplier), strings.Compare(o.customer, other.customer))
}

// sortedIDs are the subjects' IDs in the order in which all transactions lock.
func sortedIDs(subjects []Subject) []pgtype.UUID {
	ids := make([]pgtype.UUID, len(subjects))
	for i := range subjects {
		ids[i] = pgUUID(&subjects[i].ID)
	}
	slices.SortFunc(ids, func(a, b pgtype.UUID) int { return bytes.Compare(a.Bytes[:], b.Bytes[:]) })
	return ids
}

// hashIn is a stored content hash; the zero value, which no content has, where
// there is none.
func hashIn(stored []byte) (hash [sha256.Size]byte) {
	copy(hash[:], stored)
	return hash
}

// instant puts together what nanosecond took apart.
func instant(at time.Time, ns int16) dcm.Timestamp {
	return dcm.Timestamp{Time: at.Add(time.Duration(ns))}
}

// nanosecond is what timestamptz, which ends at the microsecond, cannot keep.
// Postgres' driver rounds down, also before 1970.
func nanosecond(t dcm.Timestamp) int16 { return int16(t.Nanosecond() % 1000) }

// numbers is one column of an object's table of things.
func numbers[T any](rows []T, of func(*T) dcm.Decimal) decimals {
	return decimals{len(rows), func(i int) dcm.Decimal { return of(&rows[i]) }}
}

// optionalNumbers is a column that is empty where no row has a value.
func optionalNumbers[T any](rows []T, of func(*T) dcm.Decimal) decimals {
	for i := range rows {
		if of(&rows[i]) != "" {
			return numbers(rows, of)
		}
	}
	return decimals{}
}

func mapSlice[T, V any](rows []T, of func(*T) V) []V {
	values := make([]V, len(rows))
	for i := range rows {
		values[i] = of(&rows[i])
	}
	return values
}

// notNull is an empty list in the place of none.
func notNull[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func nullable(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

package store

import (
	"cmp"
	"crypto/sha256"
	"maps"
	"slices"
	"strings"
	"time"

	"dcm-receiver/internal/dcm"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// contentVersion is part of every content hash. It changes when the same object
// is to be stored in another way, so that a re-send then is written in full.
const contentVersion = "1"

func contentHash(raw []byte) [sha256.Size]byte {
	h := sha256.New()
	h.Write([]byte(contentVersion))
	h.Write(raw)
	return [sha256.Size]byte(h.Sum(nil))
}

// groupRow is a group on its way into the table.
type groupRow struct {
	*dcm.CapacityGroup
	hash [sha256.Size]byte
}

// row prepares a write, and says what has to be done with it.
func (w Write) row(stored map[Key]Stored, key Key) (row groupRow, known, same bool) {
	row = groupRow{w.Group, contentHash(w.Raw)}
	before, known := stored[key]
	return row, known, known && before.hash == row.hash
}

// saveGroups stores the groups, new ones in the order of their keys: two
// messages that insert the same keys then wait for each other in one direction
// only.
func saveGroups(b *batches, a Arrival, writes map[Key]Write, stored map[Key]Stored) error {
	keys := slices.SortedFunc(maps.Keys(writes), func(x, y Key) int {
		return cmp.Or(strings.Compare(x.Customer, y.Customer), slices.Compare(x.ID[:], y.ID[:]))
	})
	var fresh []groupRow
	for _, key := range keys {
		row, known, same := writes[key].row(stored, key)
		s := overwriteCapacityGroup
		switch {
		case !known:
			fresh = append(fresh, row)
			continue
		case same:
			s = touchCapacityGroup
		}
		if err := b.add(s, row.value, a.value); err != nil {
			return err
		}
	}
	const few = 8
	if len(fresh) > few { // then COPY is faster, as it runs while rows are made
		if err := b.send(); err != nil {
			return err
		}
		_, err := b.conn.CopyFrom(b.ctx, pgx.Identifier{"dcm", "capacity_group"}, insertCapacityGroup.names,
			pgx.CopyFromSlice(len(fresh), func(i int) ([]any, error) { return insertCapacityGroup.args(fresh[i].value, a.value), nil }))
		return err
	}
	for _, row := range fresh {
		if err := b.add(insertCapacityGroup, row.value, a.value); err != nil {
			return err
		}
	}
	return nil
}

// value is a column of dcm.capacity_group that the group itself fills.
func (g groupRow) value(name string) (any, bool) {
	volatility := g.DemandVolatility
	if volatility == nil {
		volatility = &dcm.DemandVolatilityParameters{}
	}
	switch name {
	case "supplier":
		return g.Supplier, true
	case "customer":
		return g.Customer, true
	case "capacity_group_id":
		return pgUUID(&g.ID), true
	case "changed_at":
		return g.ChangedAt.Time, true
	case "changed_at_nanosecond":
		return nanosecond(g.ChangedAt), true
	case "content_hash":
		return g.hash[:], true
	case "unit_of_measure_is_omitted":
		return g.UnitOfMeasureIsOmitted, true
	case "is_inactive":
		return g.IsInactive, true
	case "start_reference_date_time":
		if g.DemandVolatility == nil {
			return nil, true
		}
		return volatility.StartReferenceDateTime.Time, true
	case "start_reference_date_time_nanosecond":
		if g.DemandVolatility == nil {
			return nil, true
		}
		return nanosecond(volatility.StartReferenceDateTime), true
	case "measurement_interval":
		return nullable(string(volatility.MeasurementInterval)), true
	case "name":
		return g.Name, true
	case "unit_of_measure":
		return nullable(g.UnitOfMeasure), true
	case "supplier_locations":
		if g.SupplierLocations == nil {
			return []string{}, true
		}
		return g.SupplierLocations, true
	case "linked_capacity_groups":
		return pgUUIDs(g.LinkedCapacityGroups), true
	case "point_in_time":
		return days{len(g.Capacities), func(i int) dcm.Date { return g.Capacities[i].PointInTime }}, true
	case "actual_capacity":
		return column(g.Capacities, func(c *dcm.Capacity) dcm.Decimal { return c.ActualCapacity }), true
	case "maximum_capacity":
		return column(g.Capacities, func(c *dcm.Capacity) dcm.Decimal { return c.MaximumCapacity }), true
	case "agreed_capacity":
		return optionalColumn(g.Capacities, func(c *dcm.Capacity) dcm.Decimal { return c.AgreedCapacity }), true
	case "delta_production_result":
		return optionalColumn(g.Capacities, func(c *dcm.Capacity) dcm.Decimal { return c.DeltaProductionResult }), true
	case "material_number_customer":
		return texts(g.LinkedDemandSeries, func(s *dcm.LinkedDemandSeries) string { return s.MaterialNumberCustomer }), true
	case "material_number_supplier":
		numbers := make([]*string, len(g.LinkedDemandSeries))
		for i := range g.LinkedDemandSeries {
			numbers[i] = g.LinkedDemandSeries[i].MaterialNumberSupplier
		}
		return numbers, true
	case "customer_location":
		return texts(g.LinkedDemandSeries, func(s *dcm.LinkedDemandSeries) string { return s.CustomerLocation }), true
	case "demand_category_code":
		return texts(g.LinkedDemandSeries, func(s *dcm.LinkedDemandSeries) string { return s.DemandCategoryCode }), true
	case "load_factor":
		return optionalColumn(g.LinkedDemandSeries, func(s *dcm.LinkedDemandSeries) dcm.Decimal { return s.LoadFactor }), true
	case "sequence_number":
		return column(volatility.AlertThresholds, func(t *dcm.AlertThreshold) dcm.Decimal { return t.SequenceNumber }), true
	case "subhorizon_length":
		return column(volatility.AlertThresholds, func(t *dcm.AlertThreshold) dcm.Decimal { return t.SubhorizonLength }), true
	case "relative_positive_deviation":
		return optionalColumn(volatility.AlertThresholds, func(t *dcm.AlertThreshold) dcm.Decimal { return t.RelativePositiveDeviation }), true
	case "relative_negative_deviation":
		return optionalColumn(volatility.AlertThresholds, func(t *dcm.AlertThreshold) dcm.Decimal { return t.RelativeNegativeDeviation }), true
	case "absolute_positive_deviation":
		return optionalColumn(volatility.AlertThresholds, func(t *dcm.AlertThreshold) dcm.Decimal { return t.AbsolutePositiveDeviation }), true
	case "absolute_negative_deviation":
		return optionalColumn(volatility.AlertThresholds, func(t *dcm.AlertThreshold) dcm.Decimal { return t.AbsoluteNegativeDeviation }), true
	}
	return nil, false
}

// nanosecond is what timestamptz, which ends at the microsecond, cannot keep.
// Postgres' driver rounds down, also before 1970.
func nanosecond(t dcm.Timestamp) int16 { return int16(t.Nanosecond() % 1000) }

// column is one column of a group's table of things.
func column[T any](rows []T, of func(*T) dcm.Decimal) decimals {
	return decimals{len(rows), func(i int) dcm.Decimal { return of(&rows[i]) }}
}

// optionalColumn is a column that is empty where no row has a value.
func optionalColumn[T any](rows []T, of func(*T) dcm.Decimal) decimals {
	for i := range rows {
		if of(&rows[i]) != "" {
			return column(rows, of)
		}
	}
	return decimals{}
}

func texts[T any](rows []T, of func(*T) string) []string {
	values := make([]string, len(rows))
	for i := range rows {
		values[i] = of(&rows[i])
	}
	return values
}

// queueRequests queues the statement that stores the requested objects.
func queueRequests(b *batches, a Arrival, customer string, responseBy *dcm.Timestamp, requests []dcm.RequestForUpdate) {
	n := len(requests)
	kinds, forAll, ids := make([]string, n), make([]bool, n), make([]uuid.UUID, n)
	changedAt, nanoseconds := make([]*time.Time, n), make([]*int16, n)
	for i, r := range requests {
		kinds[i] = string(r.Kind)
		if r.ID == nil {
			forAll[i] = true
		} else {
			ids[i] = *r.ID
		}
		if r.ChangedAt != nil {
			ns := nanosecond(*r.ChangedAt)
			changedAt[i], nanoseconds[i] = &r.ChangedAt.Time, &ns
		}
	}
	insertRequestsForUpdate.queue(b.next, a.value, func(name string) (any, bool) {
		switch name {
		case "message_key":
			if a.MessageID != nil {
				return pgUUID(a.MessageID), true
			}
			return pgUUID(&a.ID), true
		case "customer":
			return nullable(customer), true
		case "expected_response_by":
			if responseBy == nil {
				return nil, true
			}
			return responseBy.Time, true
		case "kinds":
			return kinds, true
		case "asks_for_all":
			return forAll, true
		case "requested_ids":
			return pgUUIDs(ids), true
		case "changed_at":
			return changedAt, true
		case "changed_at_nanosecond":
			return nanoseconds, true
		}
		return nil, false
	})
}

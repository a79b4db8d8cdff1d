package store

import (
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

// contentVersion is part of every content hash. It changes when the same object
// is to be stored in another way, so that a re-send then is written in full.
const contentVersion = "1"

// NewWrite prepares a group for being stored. raw is the object as sent: the
// same again needs no writing.
func NewWrite(g *dcm.CapacityGroup, raw []byte) Write {
	h := sha256.New()
	h.Write([]byte(contentVersion))
	h.Write(raw)
	return Write{g, [sha256.Size]byte(h.Sum(nil))}
}

// groupRow is a group on its way into the table.
type groupRow struct {
	Write
	Arrival // of its message
}

// groupRows are the groups that a transaction stores.
type groupRows struct {
	created, changed []groupRow
	same             []sameGroups
}

// sameGroups are the groups of a message and customer that came as they are stored.
type sameGroups struct {
	ids []pgtype.UUID
	of  value
}

// add adds what a message writes.
func (r *groupRows) add(a Arrival, writes map[Key]Write, stored map[Key]Stored) {
	same := map[string][]pgtype.UUID{} // by customer
	for key, w := range writes {
		row := groupRow{w, a}
		switch before, known := stored[key]; {
		case !known:
			r.created = append(r.created, row)
		case before.hash != w.hash:
			r.changed = append(r.changed, row)
		default:
			same[key.Customer] = append(same[key.Customer], pgUUID(&key.ID))
		}
	}
	for customer, ids := range same {
		r.same = append(r.same, sameGroups{ids, either(owner{a.Sender, customer}.value, a.value)})
	}
}

func (r groupRow) compare(other groupRow) int {
	return cmp.Or(strings.Compare(r.Group.Supplier, other.Group.Supplier), strings.Compare(r.Group.Customer, other.Group.Customer),
		slices.Compare(r.Group.ID[:], other.Group.ID[:]))
}

// save stores the groups, new ones in the order of their keys: two transactions
// that insert the same keys then wait for each other in one direction only.
func (r *groupRows) save(b *batches) error {
	for _, same := range r.same {
		touchCapacityGroups.queue(&b.next, same.ids, same.of)
	}
	if err := b.addRows(overwriteCapacityGroup, values(r.changed)); err != nil {
		return err
	}
	slices.SortFunc(r.created, groupRow.compare)
	const few = 32
	if len(r.created) <= few {
		return b.addRows(insertCapacityGroup, values(r.created))
	}
	// COPY is faster for many, as it runs while rows are made.
	if err := b.send(); err != nil {
		return err
	}
	_, err := b.conn.CopyFrom(b.ctx, pgx.Identifier{"dcm", "capacity_group"}, insertCapacityGroup.names,
		pgx.CopyFromSlice(len(r.created), func(i int) ([]any, error) { return insertCapacityGroup.args(r.created[i].value), nil }))
	return err
}

func values(rows []groupRow) []value {
	values := make([]value, len(rows))
	for i := range rows {
		values[i] = rows[i].value
	}
	return values
}

// value is a column of dcm.capacity_group.
func (r groupRow) value(name string) (any, bool) {
	g := r.Group
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
		return r.hash[:], true
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
	return r.Arrival.value(name)
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

// value is an argument of the statement that stores the requests.
func (u *UpdateRequests) value(a Arrival) value {
	n := len(u.Requests)
	kinds, forAll, ids := make([]string, n), make([]bool, n), make([]uuid.UUID, n)
	changedAt, nanoseconds := make([]*time.Time, n), make([]*int16, n)
	for i, r := range u.Requests {
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
	return func(name string) (any, bool) {
		switch name {
		case "message_key":
			if a.MessageID != nil {
				return pgUUID(a.MessageID), true
			}
			return pgUUID(&a.ID), true
		case "customer":
			return nullable(u.Customer), true
		case "expected_response_by":
			if u.ResponseBy == nil {
				return nil, true
			}
			return u.ResponseBy.Time, true
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
	}
}

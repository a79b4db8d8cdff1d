package store

import (
	"crypto/sha256"
	"slices"
	"strings"
	"time"

	"dcm-receiver/internal/dcm"

	"github.com/google/uuid"
)

// contentVersion is part of every content hash. It changes when the same object
// is to be stored in another way, so that a re-send then is written in full.
const contentVersion = "1"

func contentHash(raw string) [sha256.Size]byte {
	h := sha256.New()
	h.Write([]byte(contentVersion))
	h.Write([]byte(raw))
	return [sha256.Size]byte(h.Sum(nil))
}

// queueGroups queues the statements that store the groups, in the order of
// their keys: two messages that insert the same keys then wait for each other
// in one direction only.
func queueGroups(b *batches, a Arrival, writes map[Key]Write, stored map[Key]Stored) error {
	keys := make([]Key, 0, len(writes))
	for key := range writes {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(x, y Key) int {
		if c := strings.Compare(x.Customer, y.Customer); c != 0 {
			return c
		}
		return slices.Compare(x.ID[:], y.ID[:])
	})
	for _, key := range keys {
		w := writes[key]
		hash := contentHash(w.Raw)
		before, known := stored[key]
		s := insertCapacityGroup
		switch {
		case known && before.hash == hash:
			s = touchCapacityGroup
		case known:
			s = overwriteCapacityGroup
		}
		if err := b.add(s, groupArguments(a, w.Group, hash[:])); err != nil {
			return err
		}
	}
	return nil
}

// groupArguments are the columns of dcm.capacity_group.
func groupArguments(a Arrival, g *dcm.CapacityGroup, hash []byte) func(string) any {
	volatility := g.DemandVolatility
	if volatility == nil {
		volatility = &dcm.DemandVolatilityParameters{}
	}
	return func(name string) any {
		switch name {
		case "supplier":
			return g.Supplier
		case "customer":
			return g.Customer
		case "capacity_group_id":
			return pgUUID(&g.ID)
		case "changed_at":
			return g.ChangedAt.Time
		case "changed_at_nanosecond":
			return nanosecond(g.ChangedAt)
		case "received_at":
			return a.ReceivedAt
		case "message_id":
			return pgUUID(a.MessageID)
		case "content_hash":
			return hash
		case "unit_of_measure_is_omitted":
			return g.UnitOfMeasureIsOmitted
		case "is_inactive":
			return g.IsInactive
		case "start_reference_date_time":
			if g.DemandVolatility == nil {
				return nil
			}
			return volatility.StartReferenceDateTime.Time
		case "start_reference_date_time_nanosecond":
			if g.DemandVolatility == nil {
				return nil
			}
			return nanosecond(volatility.StartReferenceDateTime)
		case "measurement_interval":
			return nullable(string(volatility.MeasurementInterval))
		case "name":
			return g.Name
		case "unit_of_measure":
			return nullable(g.UnitOfMeasure)
		case "supplier_locations":
			if g.SupplierLocations == nil {
				return []string{}
			}
			return g.SupplierLocations
		case "linked_capacity_groups":
			return pgUUIDs(g.LinkedCapacityGroups)
		case "point_in_time":
			weeks := make(days, len(g.Capacities))
			for i := range g.Capacities {
				weeks[i] = g.Capacities[i].PointInTime
			}
			return weeks
		case "actual_capacity":
			return column(g.Capacities, func(c *dcm.Capacity) dcm.Decimal { return c.ActualCapacity })
		case "maximum_capacity":
			return column(g.Capacities, func(c *dcm.Capacity) dcm.Decimal { return c.MaximumCapacity })
		case "agreed_capacity":
			return optionalColumn(g.Capacities, func(c *dcm.Capacity) dcm.Decimal { return c.AgreedCapacity })
		case "delta_production_result":
			return optionalColumn(g.Capacities, func(c *dcm.Capacity) dcm.Decimal { return c.DeltaProductionResult })
		case "material_number_customer":
			return texts(g.LinkedDemandSeries, func(s *dcm.LinkedDemandSeries) string { return s.MaterialNumberCustomer })
		case "material_number_supplier":
			numbers := make([]*string, len(g.LinkedDemandSeries))
			for i := range g.LinkedDemandSeries {
				numbers[i] = g.LinkedDemandSeries[i].MaterialNumberSupplier
			}
			return numbers
		case "customer_location":
			return texts(g.LinkedDemandSeries, func(s *dcm.LinkedDemandSeries) string { return s.CustomerLocation })
		case "demand_category_code":
			return texts(g.LinkedDemandSeries, func(s *dcm.LinkedDemandSeries) string { return s.DemandCategoryCode })
		case "load_factor":
			return optionalColumn(g.LinkedDemandSeries, func(s *dcm.LinkedDemandSeries) dcm.Decimal { return s.LoadFactor })
		case "sequence_number":
			return column(volatility.AlertThresholds, func(t *dcm.AlertThreshold) dcm.Decimal { return t.SequenceNumber })
		case "subhorizon_length":
			return column(volatility.AlertThresholds, func(t *dcm.AlertThreshold) dcm.Decimal { return t.SubhorizonLength })
		case "relative_positive_deviation":
			return optionalColumn(volatility.AlertThresholds, func(t *dcm.AlertThreshold) dcm.Decimal { return t.RelativePositiveDeviation })
		case "relative_negative_deviation":
			return optionalColumn(volatility.AlertThresholds, func(t *dcm.AlertThreshold) dcm.Decimal { return t.RelativeNegativeDeviation })
		case "absolute_positive_deviation":
			return optionalColumn(volatility.AlertThresholds, func(t *dcm.AlertThreshold) dcm.Decimal { return t.AbsolutePositiveDeviation })
		case "absolute_negative_deviation":
			return optionalColumn(volatility.AlertThresholds, func(t *dcm.AlertThreshold) dcm.Decimal { return t.AbsoluteNegativeDeviation })
		}
		panic("no argument " + name)
	}
}

// nanosecond is what timestamptz, which ends at the microsecond, cannot keep.
// Postgres' driver rounds down, also before 1970.
func nanosecond(t dcm.Timestamp) int16 { return int16(t.Nanosecond() % 1000) }

// column is one column of a group's table of things.
func column[T any](rows []T, of func(*T) dcm.Decimal) decimals {
	values := make(decimals, len(rows))
	for i := range rows {
		values[i] = of(&rows[i])
	}
	return values
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
	insertRequestsForUpdate.queue(b.next, func(name string) any {
		switch name {
		case "supplier":
			return a.Sender
		case "message_key":
			if a.MessageID != nil {
				return pgUUID(a.MessageID)
			}
			return pgUUID(&a.ID)
		case "message_id":
			return pgUUID(a.MessageID)
		case "customer":
			return nullable(customer)
		case "requested_at":
			return a.ReceivedAt
		case "expected_response_by":
			if responseBy == nil {
				return nil
			}
			return responseBy.Time
		case "kinds":
			return kinds
		case "asks_for_all":
			return forAll
		case "requested_ids":
			return pgUUIDs(ids)
		case "changed_at":
			return changedAt
		case "changed_at_nanosecond":
			return nanoseconds
		}
		panic("no argument " + name)
	})
}

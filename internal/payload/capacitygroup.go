package payload

import (
	"slices"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/schemas"
)

// maxQuantity is the largest capacity (field list of WeekBasedCapacityGroup 3.0).
const maxQuantity = "1000000000000000000"

// ReadCapacityGroups reads the body of a WeekBasedCapacityGroup message: the
// envelope of the API 3.0, or the bare list of CX-0048 §3.2.2. The error is a
// *SyntaxError.
func ReadCapacityGroups(body []byte, o Options) (*Message[dcm.CapacityGroup], error) {
	return readObjects(body, o, "capacity groups", "WeekBasedCapacityGroup", (*reader).capacityGroup)
}

// The properties that objects must have, for the fast pass; the truth is in schemas.
var (
	requiredOfCapacityGroup = []string{"capacityGroupId", "name", "customer", "supplier", "changedAt",
		"unitOfMeasureIsOmitted", "capacityGroupIsInactive"}
	requiredOfCapacity         = []string{"pointInTime", "actualCapacity", "maximumCapacity"}
	requiredOfLinkedSeries     = []string{"materialNumberCustomer", "customerLocation", "demandCategory"}
	requiredOfDemandCategory   = []string{"demandCategoryCode"}
	requiredOfDemandVolatility = []string{"startReferenceDateTime", "measurementInterval"}
	requiredOfAlertThreshold   = []string{"sequenceNumber", "subhorizonLength"}
)

func (r *reader) capacityGroup(o *Object[dcm.CapacityGroup], limit int) {
	readObject(r, o, schemas.CapacityGroup, requiredOfCapacityGroup, limit, func(c *checks, name string) (ok bool) {
		g := &o.Value
		switch name {
		case "capacityGroupId":
			if g.ID, ok = r.id(); ok {
				id := g.ID // on its own: the answer needs it longer than the object
				o.ID = &id
			}
		case "name":
			g.Name, ok = r.string()
		case "customer":
			g.Customer, ok = r.matching(dcm.IsBPNL)
		case "supplier":
			g.Supplier, ok = r.matching(dcm.IsBPNL)
		case "changedAt":
			g.ChangedAt, ok = r.timestamp(dcm.ParseTimestamp)
		case "unitOfMeasure":
			c.unitSent = true
			g.UnitOfMeasure, ok = r.matching(isUnit)
		case "unitOfMeasureIsOmitted":
			if g.UnitOfMeasureIsOmitted, ok = r.Bool(); ok {
				c.omitted = &g.UnitOfMeasureIsOmitted
			}
		case "capacityGroupIsInactive":
			g.IsInactive, ok = r.Bool()
		case "supplierLocations":
			g.SupplierLocations, ok = scalarSet(r, c, name, func() (string, bool) { return r.matching(dcm.IsBPNS) })
		case "linkedCapacityGroups":
			g.LinkedCapacityGroups, ok = scalarSet(r, c, name, r.id)
		case "linkedDemandSeries":
			g.LinkedDemandSeries, ok = r.linkedDemandSeries(c)
		case "capacities":
			g.Capacities, ok = r.capacities(c)
		case "demandVolatilityParameters":
			g.DemandVolatility, ok = r.demandVolatility(c)
		default:
			ok = r.unknown()
		}
		return ok
	}, func(g *dcm.CapacityGroup, c *checks) {
		if r.options.CapacityGroup != nil {
			r.options.CapacityGroup(g, func(at, detail string) { c.errors.AddUpTo(limit, o.Pointer+at, detail) })
		}
	})
}

// scalarSet reads a list of which each entry is one value, and none is there
// twice. entry must consume a value.
func scalarSet[T comparable](r *reader, c *checks, name string, entry func() (T, bool)) (values []T, ok bool) {
	valid := true
	var set noEntryTwice[T]
	ok = r.Array(func(i int) {
		value, ok := entry()
		if !ok {
			valid = false
			return
		}
		set.check(c, value, name, i)
		values = append(values, value)
	})
	return values, ok && valid
}

func (r *reader) linkedDemandSeries(c *checks) (series []dcm.LinkedDemandSeries, ok bool) {
	type entry struct { // comparable: two entries are equal if this is
		series      dcm.LinkedDemandSeries // without MaterialNumberSupplier, a pointer
		supplier    string
		hasSupplier bool
	}
	valid := true
	var set noEntryTwice[entry]
	ok = r.Array(func(i int) {
		var s dcm.LinkedDemandSeries
		if !r.object(requiredOfLinkedSeries, func(name string) (ok bool) {
			switch name {
			case "materialNumberCustomer":
				s.MaterialNumberCustomer, ok = r.string()
			case "materialNumberSupplier":
				s.MaterialNumberSupplier, ok = optional(r.string())
			case "customerLocation":
				s.CustomerLocation, ok = r.matching(dcm.IsBPNS)
			case "demandCategory":
				s.DemandCategoryCode, ok = r.demandCategory()
			case "loadFactor":
				s.LoadFactor, ok = r.decimal()
			default:
				ok = r.unknown()
			}
			return ok
		}) {
			valid = false
			return
		}
		e := entry{series: s, hasSupplier: s.MaterialNumberSupplier != nil}
		if e.hasSupplier {
			e.supplier, e.series.MaterialNumberSupplier = *s.MaterialNumberSupplier, nil
		}
		set.check(c, e, "linkedDemandSeries", i)
		series = append(series, s)
	})
	return series, ok && valid
}

// demandCategory consumes a value; ok is true if it is an object with a code that
// there is.
func (r *reader) demandCategory() (code string, ok bool) {
	ok = r.object(requiredOfDemandCategory, func(name string) (ok bool) {
		if name != "demandCategoryCode" {
			return r.unknown()
		}
		code, ok = r.matching(func(s string) bool { return slices.Contains(dcm.DemandCategoryCodes, s) })
		return ok
	})
	return code, ok
}

func isUnit(s string) bool { return slices.Contains(dcm.UnitsOfMeasure, s) }

func (r *reader) capacities(checks *checks) (capacities []dcm.Capacity, ok bool) {
	valid := true
	if r.capacityRoom == nil {
		const horizon = 104 // weeks that a usual message has
		r.capacityRoom, r.weekRoom = make([]dcm.Capacity, 0, horizon), make(weeks, 0, horizon)
	}
	list, weeks := r.capacityRoom[:0], r.weekRoom[:0]
	// Outside the loop: a message has hundreds of capacities.
	var c *dcm.Capacity
	var i int
	member := func(name string) (ok bool) {
		switch name {
		case "pointInTime":
			if c.PointInTime, ok = r.date(); ok {
				weeks = append(weeks, week{i, c.PointInTime})
			}
		case "actualCapacity":
			c.ActualCapacity, ok = r.quantity(maxQuantity)
		case "maximumCapacity":
			c.MaximumCapacity, ok = r.quantity(maxQuantity)
		case "agreedCapacity":
			c.AgreedCapacity, ok = r.quantity(maxQuantity)
		case "deltaProductionResult":
			c.DeltaProductionResult, ok = r.decimal()
		default:
			ok = r.unknown()
		}
		return ok
	}
	ok = r.Array(func(index int) {
		list = append(list, dcm.Capacity{})
		c, i = &list[len(list)-1], index
		if !r.object(requiredOfCapacity, member) {
			valid = false
			list = list[:len(list)-1]
		}
	})
	r.capacityRoom, r.weekRoom = list, weeks
	checks.weeks(r.options, weeks, "pointInTime", place{"capacities"}, "pointInTime")
	if ok = ok && valid && len(list) > 0; ok {
		capacities = slices.Clone(list)
	}
	if ok && r.options.GroupWeeks != nil {
		if wrong := r.options.GroupWeeks(weeks.all()); wrong != "" {
			checks.add(place{"capacities"}, wrong)
		}
	}
	return capacities, ok
}

func (r *reader) demandVolatility(c *checks) (*dcm.DemandVolatilityParameters, bool) {
	p := &dcm.DemandVolatilityParameters{}
	ok := r.object(requiredOfDemandVolatility, func(name string) (ok bool) {
		switch name {
		case "startReferenceDateTime":
			p.StartReferenceDateTime, ok = r.timestamp(dcm.ParseXSDDateTime)
		case "measurementInterval":
			p.MeasurementInterval, ok = r.count()
		case "rollingHorizonAlertThresholds":
			p.AlertThresholds, ok = r.alertThresholds(c)
		default:
			ok = r.unknown()
		}
		return ok
	})
	return p, ok
}

func (r *reader) alertThresholds(c *checks) (thresholds []dcm.AlertThreshold, ok bool) {
	valid := true
	var set noEntryTwice[dcm.AlertThreshold]
	ok = r.Array(func(i int) {
		var t dcm.AlertThreshold
		if !r.object(requiredOfAlertThreshold, func(name string) (ok bool) {
			switch name {
			case "sequenceNumber":
				t.SequenceNumber, ok = r.count()
			case "subhorizonLength":
				t.SubhorizonLength, ok = r.count()
			case "relativePositiveDeviation":
				t.RelativePositiveDeviation, ok = r.decimal()
			case "relativeNegativeDeviation":
				t.RelativeNegativeDeviation, ok = r.quantity("1")
			case "absolutePositiveDeviation":
				t.AbsolutePositiveDeviation, ok = r.decimal()
			case "absoluteNegativeDeviation":
				t.AbsoluteNegativeDeviation, ok = r.decimal()
			default:
				ok = r.unknown()
			}
			return ok
		}) {
			valid = false
			return
		}
		set.check(c, t, "demandVolatilityParameters", "rollingHorizonAlertThresholds", i)
		thresholds = append(thresholds, t)
	})
	return thresholds, ok && valid
}

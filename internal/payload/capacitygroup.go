package payload

import (
	"fmt"
	"slices"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/schemas"
)

// maxQuantity is the largest capacity (field list of WeekBasedCapacityGroup 3.0).
const maxQuantity = "1000000000000000000"

// ReadCapacityGroups reads the body of a WeekBasedCapacityGroup message: the
// envelope of the API 3.0, or the bare list of CX-0048 §3.2.2. checks are run on
// groups that are whole. The error is a *SyntaxError.
func ReadCapacityGroups(body []byte, o Options, checks ...func(*dcm.CapacityGroup, Report)) (*Message[dcm.CapacityGroup], error) {
	return readObjects(body, o, "capacity groups", "WeekBasedCapacityGroup", func(r *reader, pointer string, limit int) Object[dcm.CapacityGroup] {
		return r.capacityGroup(pointer, o.Today, limit, checks)
	})
}

// The properties that objects must have, for the fast pass; the truth is in schemas.
var (
	requiredOfCapacityGroup    = []string{"capacityGroupId", "name", "customer", "supplier", "changedAt", "unitOfMeasureIsOmitted", "capacityGroupIsInactive"}
	requiredOfCapacity         = []string{"pointInTime", "actualCapacity", "maximumCapacity"}
	requiredOfLinkedSeries     = []string{"materialNumberCustomer", "customerLocation", "demandCategory"}
	requiredOfDemandCategory   = []string{"demandCategoryCode"}
	requiredOfDemandVolatility = []string{"startReferenceDateTime", "measurementInterval"}
	requiredOfAlertThreshold   = []string{"sequenceNumber", "subhorizonLength"}
)

// capacityGroup reads one object. At most limit errors are listed.
func (r *reader) capacityGroup(pointer string, today dcm.Date, limit int, more []func(*dcm.CapacityGroup, Report)) Object[dcm.CapacityGroup] {
	o := Object[dcm.CapacityGroup]{Pointer: pointer}
	g := &o.Value
	have := fields{required: requiredOfCapacityGroup}
	checks := checks{limit: limit, base: pointer}
	unitSent, omissionSaid := false, false // unitSent: valid or not
	o.Raw = r.Raw(func() {
		have.sure(r.Object(func(name string) {
			var ok bool
			switch name {
			case "capacityGroupId":
				g.ID, ok = r.id()
				if ok {
					o.ID = &g.ID
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
				unitSent = true
				g.UnitOfMeasure, ok = r.matching(isUnit)
			case "unitOfMeasureIsOmitted":
				g.UnitOfMeasureIsOmitted, ok = r.Bool()
				omissionSaid = ok
			case "capacityGroupIsInactive":
				g.IsInactive, ok = r.Bool()
			case "supplierLocations":
				g.SupplierLocations, ok = scalarSet(r, &checks, name, func() (string, bool) { return r.matching(dcm.IsBPNS) })
			case "linkedCapacityGroups":
				g.LinkedCapacityGroups, ok = scalarSet(r, &checks, name, r.id)
			case "linkedDemandSeries":
				g.LinkedDemandSeries, ok = r.linkedDemandSeries(&checks)
			case "capacities":
				g.Capacities, ok = r.capacities(&checks, today)
			case "demandVolatilityParameters":
				g.DemandVolatility, ok = r.demandVolatility(&checks)
			default:
				r.unknown()
				return
			}
			have.read(name, ok)
		}))
	})
	if r.Failed() {
		return o
	}
	r.warn(&o.Warnings, schemas.CapacityGroup, o.Raw, pointer, limit)
	if omissionSaid {
		checks.unitOmittedOrNot(g.UnitOfMeasureIsOmitted, unitSent)
	}
	if !have.all() {
		o.Errors.askSchema(schemas.CapacityGroup, o.Raw, pointer, limit)
	} else {
		for _, check := range more {
			check(g, func(at, detail string) { checks.errors.add(limit, pointer+at, detail) })
		}
	}
	o.Errors.join(checks.errors, limit)
	return o
}

// checks holds what the named checks below find: what CX-0048 demands and a
// JSON Schema cannot say.
type checks struct {
	errors Errors
	base   string
	limit  int
}

// place is a path below an object, of names and indexes.
type place []any

func (c *checks) add(at place, format string, args ...any) {
	if len(c.errors.List) >= c.limit {
		c.errors.More++ // without wording what is not listed
		return
	}
	pointer := c.base
	for _, step := range at {
		pointer += fmt.Sprint("/", step)
	}
	c.errors.add(c.limit, pointer, fmt.Sprintf(format, args...))
}

// monday: pointInTime is a Monday (CX-0048 §3.2.2).
func (c *checks) monday(d dcm.Date, at ...any) {
	if d.Weekday() != time.Monday {
		c.add(at, "%s is a %s; %s must be a Monday", d, d.Weekday(), dateName(at))
	}
}

// dateName is what sentences call the date at a place.
func dateName(at []any) any {
	if last := at[len(at)-1]; last == "pointInTime" {
		return last
	}
	return "a reference date"
}

// noWeekTwice: every week at most once (CX-0048 §3.2.2). The zero value is
// ready; weeks that come in order, as nearly all do, cost one comparison.
type noWeekTwice struct {
	inOrder []dcm.Date
	seen    map[dcm.Date]bool
}

func (n *noWeekTwice) check(c *checks, d dcm.Date, at ...any) {
	if n.seen == nil {
		if len(n.inOrder) == 0 || n.inOrder[len(n.inOrder)-1] < d {
			n.inOrder = append(n.inOrder, d)
			return
		}
		n.seen = make(map[dcm.Date]bool, len(n.inOrder))
		for _, earlier := range n.inOrder {
			n.seen[earlier] = true
		}
	}
	if n.seen[d] {
		c.add(at, "week %s is there twice; every week may be there once", d)
	}
	n.seen[d] = true
}

// someOtherWeek: at least one week other than the current and the next one
// (CX-0048 §3.2.2); past weeks count as others, unless weekAhead says that they do not
// (CX-0128 §4.2.2.2 asks for a week N>1, which its published examples do not have).
func (c *checks) someOtherWeek(capacities []dcm.Capacity, today dcm.Date, weekAhead bool) {
	for i := range capacities {
		if isOtherWeek(capacities[i].PointInTime, today, weekAhead) {
			return
		}
	}
	if weekAhead {
		c.add(place{"capacities"}, "there is no week after the next one (%s); capacities must have at least one", today.Monday()+7)
		return
	}
	c.add(place{"capacities"}, "there are only the current week (%s) and the next; capacities must have at least one other week", today.Monday())
}

// isOtherWeek reports whether a week is neither the current nor the next one, nor,
// where that is asked for, a past one.
func isOtherWeek(week, today dcm.Date, weekAhead bool) bool {
	if weekAhead {
		return week > today.Monday()+7
	}
	return week != today.Monday() && week != today.Monday()+7
}

// unitOmittedOrNot: unitOfMeasureIsOmitted says the truth (field list of
// WeekBasedCapacityGroup 3.0).
func (c *checks) unitOmittedOrNot(omitted, sent bool) {
	switch {
	case omitted && sent:
		c.add(place{"unitOfMeasure"}, "unitOfMeasure is there although unitOfMeasureIsOmitted is true; leave it out, or set unitOfMeasureIsOmitted to false")
	case !omitted && !sent:
		c.add(nil, "unitOfMeasure is missing although unitOfMeasureIsOmitted is false; add it, or set unitOfMeasureIsOmitted to true")
	}
}

// noEntryTwice: a set has no two equal entries (field list of
// WeekBasedCapacityGroup 3.0). Small sets are compared without a map.
type noEntryTwice[T comparable] struct {
	first []T
	seen  map[T]bool
}

func (n *noEntryTwice[T]) check(c *checks, entry T, at ...any) {
	const small = 8
	if n.seen == nil && len(n.first) == small {
		n.seen = make(map[T]bool)
		for _, e := range n.first {
			n.seen[e] = true
		}
	}
	if n.seen == nil {
		if slices.Contains(n.first, entry) {
			c.add(at, "this entry is there twice; equal entries may be there once")
			return
		}
		n.first = append(n.first, entry)
		return
	}
	if n.seen[entry] {
		c.add(at, "this entry is there twice; equal entries may be there once")
	}
	n.seen[entry] = true
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
		have := fields{required: requiredOfLinkedSeries}
		have.sure(r.Object(func(name string) {
			var ok bool
			switch name {
			case "materialNumberCustomer":
				s.MaterialNumberCustomer, ok = r.string()
			case "materialNumberSupplier":
				var number string
				number, ok = r.string()
				s.MaterialNumberSupplier = &number
			case "customerLocation":
				s.CustomerLocation, ok = r.matching(dcm.IsBPNS)
			case "demandCategory":
				s.DemandCategoryCode, ok = r.demandCategory()
			case "loadFactor":
				s.LoadFactor, ok = r.decimal()
			default:
				r.unknown()
				return
			}
			have.read(name, ok)
		}))
		if !have.all() {
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
	have := fields{required: requiredOfDemandCategory}
	have.sure(r.Object(func(name string) {
		if name != "demandCategoryCode" {
			r.unknown()
			return
		}
		var ok bool
		code, ok = r.matching(func(s string) bool { return slices.Contains(dcm.DemandCategoryCodes, s) })
		have.read(name, ok)
	}))
	return code, have.all()
}

func isUnit(s string) bool { return slices.Contains(dcm.UnitsOfMeasure, s) }

func (r *reader) capacities(checks *checks, today dcm.Date) (capacities []dcm.Capacity, ok bool) {
	valid := true
	var weeks noWeekTwice
	// Outside the loop: a message has hundreds of capacities.
	var c *dcm.Capacity
	var have fields
	dated := false
	member := func(name string) {
		var ok bool
		switch name {
		case "pointInTime":
			c.PointInTime, ok = r.date()
			dated = ok
		case "actualCapacity":
			c.ActualCapacity, ok = r.quantity(maxQuantity)
		case "maximumCapacity":
			c.MaximumCapacity, ok = r.quantity(maxQuantity)
		case "agreedCapacity":
			c.AgreedCapacity, ok = r.quantity(maxQuantity)
		case "deltaProductionResult":
			c.DeltaProductionResult, ok = r.decimal()
		default:
			r.unknown()
			return
		}
		have.read(name, ok)
	}
	ok = r.Array(func(i int) {
		if capacities == nil {
			capacities = make([]dcm.Capacity, 0, 104) // the horizon of a usual message
		}
		capacities = append(capacities, dcm.Capacity{})
		c, have, dated = &capacities[len(capacities)-1], fields{required: requiredOfCapacity}, false
		have.sure(r.Object(member))
		if dated {
			checks.monday(c.PointInTime, "capacities", i, "pointInTime")
			weeks.check(checks, c.PointInTime, "capacities", i, "pointInTime")
		}
		if !have.all() {
			valid = false
			capacities = capacities[:len(capacities)-1]
		}
	})
	ok = ok && valid && len(capacities) > 0
	if ok {
		checks.someOtherWeek(capacities, today, r.weekAhead)
	}
	return capacities, ok
}

func (r *reader) demandVolatility(c *checks) (*dcm.DemandVolatilityParameters, bool) {
	p := &dcm.DemandVolatilityParameters{}
	have := fields{required: requiredOfDemandVolatility}
	have.sure(r.Object(func(name string) {
		var ok bool
		switch name {
		case "startReferenceDateTime":
			p.StartReferenceDateTime, ok = r.timestamp(dcm.ParseXSDDateTime)
		case "measurementInterval":
			p.MeasurementInterval, ok = r.count()
		case "rollingHorizonAlertThresholds":
			p.AlertThresholds, ok = r.alertThresholds(c)
		default:
			r.unknown()
			return
		}
		have.read(name, ok)
	}))
	return p, have.all()
}

func (r *reader) alertThresholds(c *checks) (thresholds []dcm.AlertThreshold, ok bool) {
	valid := true
	var set noEntryTwice[dcm.AlertThreshold]
	ok = r.Array(func(i int) {
		var t dcm.AlertThreshold
		have := fields{required: requiredOfAlertThreshold}
		have.sure(r.Object(func(name string) {
			var ok bool
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
				r.unknown()
				return
			}
			have.read(name, ok)
		}))
		if !have.all() {
			valid = false
			return
		}
		set.check(c, t, "demandVolatilityParameters", "rollingHorizonAlertThresholds", i)
		thresholds = append(thresholds, t)
	})
	return thresholds, ok && valid
}

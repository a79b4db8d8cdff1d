package payload

import (
	"dcm-receiver/internal/dcm"
	"dcm-receiver/schemas"
)

// ReadMaterialDemands reads the body of a WeekBasedMaterialDemand message: the
// envelope of the API 3.0, or the bare list of CX-0048 §2.2.2. The error
// is a *SyntaxError.
func ReadMaterialDemands(body []byte, o Options) (*Message[dcm.MaterialDemand], error) {
	return readObjects(body, o, "material demands", "WeekBasedMaterialDemand", func(r *reader, pointer string, limit int) Object[dcm.MaterialDemand] {
		return r.materialDemand(pointer, o.Today, limit)
	})
}

var (
	requiredOfMaterialDemand = []string{"materialDemandId", "customer", "supplier", "materialNumberCustomer", "materialDescriptionCustomer", "changedAt",
		"unitOfMeasureIsOmitted", "materialDemandIsInactive", "demandSeries"}
	requiredOfDemandSeries = []string{"customerLocation", "demandCategory", "demands"}
	requiredOfDemand       = []string{"pointInTime", "demand"}
)

// materialDemand reads one object. At most limit errors are listed.
func (r *reader) materialDemand(pointer string, today dcm.Date, limit int) Object[dcm.MaterialDemand] {
	o := Object[dcm.MaterialDemand]{Pointer: pointer}
	d := &o.Value
	have := fields{required: requiredOfMaterialDemand}
	checks := checks{limit: limit, base: pointer}
	unitSent, omissionSaid := false, false // unitSent: valid or not
	o.Raw = r.Raw(func() {
		have.sure(r.Object(func(name string) {
			var ok bool
			switch name {
			case "materialDemandId":
				if d.ID, ok = r.id(); ok {
					o.ID = &d.ID
				}
			case "customer":
				d.Customer, ok = r.matching(dcm.IsBPNL)
			case "supplier":
				d.Supplier, ok = r.matching(dcm.IsBPNL)
			case "materialNumberCustomer":
				d.MaterialNumberCustomer, ok = r.string()
			case "materialNumberSupplier":
				var number string
				number, ok = r.string()
				d.MaterialNumberSupplier = &number
			case "materialDescriptionCustomer":
				d.MaterialDescriptionCustomer, ok = r.string()
			case "materialGlobalAssetId":
				var id string
				id, ok = r.matching(func(s string) bool { _, err := dcm.ParseID(s); return err == nil })
				d.MaterialGlobalAssetID = &id
			case "changedAt":
				d.ChangedAt, ok = r.timestamp(dcm.ParseTimestamp)
			case "unitOfMeasure":
				unitSent = true
				d.UnitOfMeasure, ok = r.matching(isUnit)
			case "unitOfMeasureIsOmitted":
				d.UnitOfMeasureIsOmitted, ok = r.Bool()
				omissionSaid = ok
			case "materialDemandIsInactive":
				d.IsInactive, ok = r.Bool()
			case "demandSeries":
				d.Series, ok = r.demandSeries(&checks, today)
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
	r.warn(&o.Warnings, schemas.MaterialDemand, o.Raw, pointer, limit)
	if omissionSaid {
		checks.unitOmittedOrNot(d.UnitOfMeasureIsOmitted, unitSent)
	}
	if !have.all() {
		o.Errors.askSchema(schemas.MaterialDemand, o.Raw, pointer, limit)
	}
	o.Errors.join(checks.errors, limit)
	return o
}

func (r *reader) demandSeries(c *checks, today dcm.Date) (all []dcm.DemandSeries, ok bool) {
	type pair struct{ location, category string }
	seen := map[pair]bool{}
	valid, otherWeek := true, false
	ok = r.Array(func(i int) {
		var s dcm.DemandSeries
		have := fields{required: requiredOfDemandSeries}
		have.sure(r.Object(func(name string) {
			var ok bool
			switch name {
			case "customerLocation":
				s.CustomerLocation, ok = r.matching(dcm.IsBPNS)
			case "demandCategory":
				s.DemandCategoryCode, ok = r.demandCategory()
			case "expectedSupplierLocation":
				var location string
				location, ok = r.matching(dcm.IsBPNS)
				s.ExpectedSupplierLocation = &location
			case "demands":
				s.Demands, ok = r.demands(c, i)
			default:
				r.unknown()
				return
			}
			have.read(name, ok)
		}))
		for _, d := range s.Demands {
			otherWeek = otherWeek || isOtherWeek(d.PointInTime, today, r.weekAhead)
		}
		if !have.all() {
			valid = false
			return
		}
		p := pair{s.CustomerLocation, s.DemandCategoryCode}
		if seen[p] {
			c.add(place{"demandSeries", i}, "customerLocation %s with demandCategory %s is there twice; each pair may be there once", p.location, p.category)
		}
		seen[p] = true
		all = append(all, s)
	})
	if ok && valid && !otherWeek {
		if r.weekAhead { // CX-0128 §4.1.2.2, to the letter
			c.add(place{"demandSeries"}, "there is no week after the next one (%s); a material demand must have at least one", today.Monday()+7)
		} else { // CX-0048 §2.2.2: it may not be empty, and past weeks count as others
			c.add(place{"demandSeries"}, "there is no week other than the current (%s) and the next; a material demand may not be empty", today.Monday())
		}
	}
	return all, ok && valid
}

func (r *reader) demands(c *checks, series int) (demands []dcm.Demand, ok bool) {
	valid := true
	var weeks noWeekTwice
	var d *dcm.Demand
	var have fields
	dated := false
	member := func(name string) {
		var ok bool
		switch name {
		case "pointInTime":
			d.PointInTime, ok = r.date()
			dated = ok
		case "demand":
			d.Demand, ok = r.quantity(maxQuantity)
		default:
			r.unknown()
			return
		}
		have.read(name, ok)
	}
	ok = r.Array(func(i int) {
		demands = append(demands, dcm.Demand{})
		d, have, dated = &demands[len(demands)-1], fields{required: requiredOfDemand}, false
		have.sure(r.Object(member))
		if dated {
			c.monday(d.PointInTime, "demandSeries", series, "demands", i, "pointInTime")
			weeks.check(c, d.PointInTime, "demandSeries", series, "demands", i, "pointInTime")
		}
		if !have.all() {
			valid = false
			demands = demands[:len(demands)-1]
		}
	})
	return demands, ok && valid
}

package payload

import (
	"fmt"
	"slices"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/schemas"
)

// ReadMaterialDemands reads the body of a WeekBasedMaterialDemand message: the
// envelope of the API 3.0, or the bare list of CX-0048 §2.2.2. The error
// is a *SyntaxError.
func ReadMaterialDemands(body []byte, o Options) (*Message[dcm.MaterialDemand], error) {
	return readObjects(body, o, "material demands", "WeekBasedMaterialDemand", (*reader).materialDemand)
}

var (
	requiredOfMaterialDemand = []string{"materialDemandId", "customer", "supplier", "materialNumberCustomer",
		"materialDescriptionCustomer", "changedAt",
		"unitOfMeasureIsOmitted", "materialDemandIsInactive", "demandSeries"}
	requiredOfDemandSeries = []string{"customerLocation", "demandCategory", "demands"}
	requiredOfDemand       = []string{"pointInTime", "demand"}
)

func (r *reader) materialDemand(o *Object[dcm.MaterialDemand], limit int) {
	readObject(r, o, schemas.MaterialDemand, requiredOfMaterialDemand, limit, func(c *checks, name string) (ok bool) {
		d := &o.Value
		switch name {
		case "materialDemandId":
			if d.ID, ok = r.id(); ok {
				id := d.ID // on its own: the answer needs it longer than the object
				o.ID = &id
			}
		case "customer":
			d.Customer, ok = r.matching(dcm.IsBPNL)
		case "supplier":
			d.Supplier, ok = r.matching(dcm.IsBPNL)
		case "materialNumberCustomer":
			d.MaterialNumberCustomer, ok = r.string()
		case "materialNumberSupplier":
			d.MaterialNumberSupplier, ok = optional(r.string())
		case "materialDescriptionCustomer":
			d.MaterialDescriptionCustomer, ok = r.string()
		case "materialGlobalAssetId":
			d.MaterialGlobalAssetID, ok = optional(r.matching(func(s string) bool {
				_,
					err := dcm.ParseID(s)
				return err == nil
			}))
		case "changedAt":
			d.ChangedAt, ok = r.timestamp(dcm.ParseTimestamp)
		case "unitOfMeasure":
			c.unitSent = true
			d.UnitOfMeasure, ok = r.matching(isUnit)
		case "unitOfMeasureIsOmitted":
			if d.UnitOfMeasureIsOmitted, ok = r.Bool(); ok {
				c.omitted = &d.UnitOfMeasureIsOmitted
			}
		case "materialDemandIsInactive":
			d.IsInactive, ok = r.Bool()
		case "demandSeries":
			d.Series, ok = r.demandSeries(c)
		default:
			ok = r.unknown()
		}
		return ok
	}, nil)
}

func (r *reader) demandSeries(c *checks) (all []dcm.DemandSeries, ok bool) {
	type pair struct{ location, category string }
	seen := map[pair]bool{}
	valid := true
	var allWeeks weeks
	ok = r.Array(func(i int) {
		var s dcm.DemandSeries
		if !r.object(requiredOfDemandSeries, func(name string) (ok bool) {
			switch name {
			case "customerLocation":
				s.CustomerLocation, ok = r.matching(dcm.IsBPNS)
			case "demandCategory":
				s.DemandCategoryCode, ok = r.demandCategory()
			case "expectedSupplierLocation":
				s.ExpectedSupplierLocation, ok = optional(r.matching(dcm.IsBPNS))
			case "demands":
				if s.Demands, ok = r.demands(c, i); r.options.DemandWeeks != nil {
					allWeeks = append(allWeeks, r.weekRoom...)
				}
			default:
				ok = r.unknown()
			}
			return ok
		}) {
			valid = false
			return
		}
		p := pair{s.CustomerLocation, s.DemandCategoryCode}
		if seen[p] {
			c.add(place{"demandSeries", i},
				fmt.Sprintf("customerLocation %s with demandCategory %s is there twice; each pair may be there once",
					p.location, p.category))
		}
		seen[p] = true
		all = append(all, s)
	})
	ok = ok && valid
	if ok && r.options.DemandWeeks != nil {
		if wrong := r.options.DemandWeeks(allWeeks.all()); wrong != "" {
			c.add(place{"demandSeries"}, wrong)
		}
	}
	return all, ok
}

// demands leaves the weeks that could be read in weekRoom.
func (r *reader) demands(c *checks, series int) (demands []dcm.Demand, ok bool) {
	valid := true
	list, weeks := r.demandRoom[:0], r.weekRoom[:0]
	var d *dcm.Demand
	var i int
	member := func(name string) (ok bool) {
		switch name {
		case "pointInTime":
			if d.PointInTime, ok = r.date(); ok {
				weeks = append(weeks, week{i, d.PointInTime})
			}
		case "demand":
			d.Demand, ok = r.quantity(maxQuantity)
		default:
			ok = r.unknown()
		}
		return ok
	}
	ok = r.Array(func(index int) {
		list = append(list, dcm.Demand{})
		d, i = &list[len(list)-1], index
		if !r.object(requiredOfDemand, member) {
			valid = false
			list = list[:len(list)-1]
		}
	})
	r.demandRoom, r.weekRoom = list, weeks
	c.weeks(r.options, weeks, "pointInTime", place{"demandSeries", series, "demands"}, "pointInTime")
	if ok = ok && valid; ok && len(list) > 0 {
		demands = slices.Clone(list)
	}
	return demands, ok
}

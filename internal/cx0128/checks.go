package cx0128

import (
	"fmt"
	"iter"
	"strings"

	"dcm-receiver/internal/dcm"
)

// GroupWeeksAhead: a capacity group has at least one week N>1 (§4.2.2.2), to the
// letter, which the published examples do not have.
func GroupWeeksAhead(weeks iter.Seq2[int, dcm.Date], today dcm.Date) (wrong string) {
	if isAhead(weeks, today) {
		return ""
	}
	return fmt.Sprintf("there is no week after the next one (%s); capacities must have at least one", today.Monday()+7)
}

// DemandWeeksAhead: a material demand has at least one week N>1 (§4.1.2.2).
func DemandWeeksAhead(weeks iter.Seq2[int, dcm.Date], today dcm.Date) (wrong string) {
	if isAhead(weeks, today) {
		return ""
	}
	return fmt.Sprintf("there is no week after the next one (%s); a material demand must have at least one",
		today.Monday()+7)
}

func isAhead(weeks iter.Seq2[int, dcm.Date], today dcm.Date) bool {
	for _, week := range weeks {
		if week > today.Monday()+7 {
			return true
		}
	}
	return false
}

// CheckCapacityGroup reports what is not valid by §5.6, though it is by the
// model's schema (rule 1). report takes the place in the group, as a JSON Pointer.
func CheckCapacityGroup(g *dcm.CapacityGroup, report func(pointer, detail string)) {
	maximumNotBelowActual(g, report)
	loadFactorsOnAllOrNone(g, report)
	notNegative(g, report)
}

// maximumNotBelowActual: the maximum capacity is never less than the actual one (§5.6.1).
func maximumNotBelowActual(g *dcm.CapacityGroup, report func(pointer, detail string)) {
	for i := range g.Capacities {
		if c := &g.Capacities[i]; c.MaximumCapacity.Below(c.ActualCapacity) {
			report(fmt.Sprintf("/capacities/%d/maximumCapacity", i),
				"maximumCapacity is below actualCapacity; it must be equal or greater")
		}
	}
}

// loadFactorsOnAllOrNone: one linked series with a load factor means that all have
// one (§5.6.4).
func loadFactorsOnAllOrNone(g *dcm.CapacityGroup, report func(pointer, detail string)) {
	with := 0
	for i := range g.LinkedDemandSeries {
		if g.LinkedDemandSeries[i].LoadFactor != "" {
			with++
		}
	}
	if with == 0 || with == len(g.LinkedDemandSeries) {
		return
	}
	for i := range g.LinkedDemandSeries {
		if g.LinkedDemandSeries[i].LoadFactor == "" {
			report(fmt.Sprintf("/linkedDemandSeries/%d", i),
				"loadFactor is missing, though another linked demand series of the group has one; give one to all "+
					"of them, or to none")
		}
	}
}

// notNegative: load factors and thresholds are amounts.
func notNegative(g *dcm.CapacityGroup, report func(pointer, detail string)) {
	check := func(d dcm.Decimal, property string, at ...any) {
		if d.IsNegative() {
			report(fmt.Sprintf(property, at...), property[strings.LastIndexByte(property,
				'/')+1:]+" must not be negative")
		}
	}
	for i := range g.LinkedDemandSeries {
		check(g.LinkedDemandSeries[i].LoadFactor, "/linkedDemandSeries/%d/loadFactor", i)
	}
	if g.DemandVolatility == nil {
		return
	}
	const thresholds = "/demandVolatilityParameters/rollingHorizonAlertThresholds/%d/"
	for i, t := range g.DemandVolatility.AlertThresholds {
		check(t.RelativePositiveDeviation, thresholds+"relativePositiveDeviation", i)
		check(t.RelativeNegativeDeviation, thresholds+"relativeNegativeDeviation", i)
		check(t.AbsolutePositiveDeviation, thresholds+"absolutePositiveDeviation", i)
		check(t.AbsoluteNegativeDeviation, thresholds+"absoluteNegativeDeviation", i)
	}
}

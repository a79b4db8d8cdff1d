package payload

import (
	"fmt"
	"iter"
	"slices"

	"dcm-receiver/internal/dcm"
)

// checks holds what is found in an object beside the violations of its schema.
type checks struct {
	errors dcm.Violations
	base   string
	limit  int

	unitSent bool  // unitOfMeasure is there, valid or not
	omitted  *bool // unitOfMeasureIsOmitted; nil if that could not be read
}

// place is a path below an object, of names and indexes.
type place []any

func (c *checks) add(at place, detail string) {
	if c.onlyCounted() {
		return
	}
	pointer := c.base
	for _, step := range at {
		pointer += fmt.Sprint("/", step)
	}
	c.errors.AddUpTo(c.limit, pointer, detail)
}

// onlyCounted counts a violation where no more are listed: to write out its place
// costs more than to find it.
func (c *checks) onlyCounted() bool {
	if len(c.errors.List) < c.limit {
		return false
	}
	c.errors.More++
	return true
}

// week is a week that could be read, and its place in its list.
type week struct {
	place int
	date  dcm.Date
}

type weeks []week

func (w weeks) all() iter.Seq2[int, dcm.Date] {
	return func(yield func(int, dcm.Date) bool) {
		for i := range w {
			if !yield(w[i].place, w[i].date) {
				return
			}
		}
	}
}

// weeks has the standard check the weeks of one list. below is the way to each from
// its entry in the list.
func (c *checks) weeks(o Options, weeks weeks, name string, list place, below ...any) {
	if o.Weeks != nil {
		o.Weeks(weeks.all(), name, func(i int, detail string) {
			if c.onlyCounted() {
				return
			}
			c.add(slices.Concat(list, place{i}, below), detail)
		})
	}
}

// unitOmittedOrNot: unitOfMeasureIsOmitted says the truth (field lists of
// WeekBasedCapacityGroup 3.0 and WeekBasedMaterialDemand 3.0).
func (c *checks) unitOmittedOrNot() {
	switch {
	case c.omitted == nil:
	case *c.omitted && c.unitSent:
		c.add(place{"unitOfMeasure"},
			"unitOfMeasure is there although unitOfMeasureIsOmitted is true; leave it out, or set "+
				"unitOfMeasureIsOmitted to false")
	case !*c.omitted && !c.unitSent:
		c.add(nil,
			"unitOfMeasure is missing although unitOfMeasureIsOmitted is false; add it, or set "+
				"unitOfMeasureIsOmitted to true")
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

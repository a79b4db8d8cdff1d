package dcm

import "slices"

// Violation is one thing that is wrong with a value. Pointer is its place in the body as sent (RFC
// 6901), "" for the body itself; Detail is a sentence for the partner.
type Violation struct {
	Pointer string `json:"pointer"`
	Detail  string `json:"detail"`
}

// MaxViolations is how many violations are listed for one object.
const MaxViolations = 100

// Violations are the listed violations, and how many more there are.
type Violations struct {
	List []Violation `json:"errors"`
	More int         `json:"moreErrors,omitempty"`
}

// Any reports whether a violation is listed.
func (v *Violations) Any() bool { return len(v.List) > 0 }

// Count is how many violations there are, listed or not.
func (v *Violations) Count() int { return len(v.List) + v.More }

// Add lists a violation, or counts it beyond MaxViolations.
func (v *Violations) Add(pointer, detail string) { v.AddUpTo(MaxViolations, pointer, detail) }

// AddUpTo lists a violation, or counts it where limit violations are listed.
func (v *Violations) AddUpTo(limit int, pointer, detail string) {
	if len(v.List) < limit {
		v.List = append(v.List, Violation{Pointer: pointer, Detail: detail})
	} else {
		v.More++
	}
}

// AddFirst puts a violation before all others, if it has a detail.
func (v *Violations) AddFirst(pointer, detail string) {
	if detail != "" {
		v.List = slices.Insert(v.List, 0, Violation{Pointer: pointer, Detail: detail})
	}
}

// Join adds what another check found, listing up to limit.
func (v *Violations) Join(found Violations, limit int) {
	for _, one := range found.List {
		v.AddUpTo(limit, one.Pointer, one.Detail)
	}
	v.More += found.More
}

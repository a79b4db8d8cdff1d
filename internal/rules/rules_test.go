package rules_test

import (
	"testing"

	"dcm-receiver/internal/rules"
)

func TestStatus(t *testing.T) {
	for _, c := range []struct {
		name  string
		codes []int
		want  int
	}{
		{name: "one created", codes: []int{201}, want: 201},
		{name: "one overwritten", codes: []int{200}, want: 200},
		{name: "one refused", codes: []int{400}, want: 400},
		{name: "one forbidden", codes: []int{403}, want: 403},
		{name: "all created", codes: []int{201, 201}, want: 200},
		{name: "created and overwritten", codes: []int{200, 201, 200}, want: 200},
		{name: "one of several refused", codes: []int{201, 400}, want: 400},
		{name: "one of several forbidden", codes: []int{201, 403}, want: 400},
		{name: "all refused", codes: []int{400, 400}, want: 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := rules.Status(c.codes); got != c.want {
				t.Errorf("%d, want %d", got, c.want)
			}
		})
	}
}

// TestEarly: a table is not asked beyond its first rule that looks at what is
// stored, even where a later one would refuse without looking.
func TestEarly(t *testing.T) {
	type nothing struct{}
	never := func(*rules.Situation[nothing]) bool { return false }
	always := func(*rules.Situation[nothing]) bool { return true }
	table := rules.Table[nothing]{Standard: "S", Rules: []rules.Rule[nothing]{
		rules.Early(1, "", "", never, rules.Ignored, 400),
		rules.OnStored(2, "", "", func(s *rules.Situation[nothing]) bool { return s.Stored.WasRequested },
			rules.Overwritten, 200),
		rules.Early(3, "", "", always, rules.Ignored, 400),
	}}
	var s rules.Situation[nothing]
	if v, ok := table.DecideEarly(&s); ok {
		t.Errorf("decided early: %+v", v)
	}
	if v := table.Decide(&s); v.Rule != 3 || v.Standard != "S" {
		t.Errorf("%+v", v)
	}
	s.Stored.WasRequested = true
	if v := table.Decide(&s); v.Rule != 2 {
		t.Errorf("%+v", v)
	}
}

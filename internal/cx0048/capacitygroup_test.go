package cx0048_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"dcm-receiver/internal/cx0048"
	"dcm-receiver/internal/dcm"
)

// TestEverySituation walks every situation that the rules can tell apart and
// compares the verdicts with testdata/capacity-group-rules.txt, a table that a
// person who knows the standard can check line by line.
func TestEverySituation(t *testing.T) {
	stored := dcm.Timestamp{Time: time.Date(2023, 3, 10, 12, 0, 0, 500, time.UTC)}
	offsets := map[string]time.Duration{"older": -time.Nanosecond, "identical": 0, "newer": time.Nanosecond}
	var table strings.Builder
	table.WriteString("# valid  supplier is sender  customer is ours  stored     -> rule  outcome      code\n")
	for _, valid := range []bool{true, false} {
		for _, sender := range []bool{true, false} {
			for _, ours := range []bool{true, false} {
				for _, known := range []string{"unknown", "older", "identical", "newer"} {
					s := cx0048.CapacityGroupSituation{
						Valid: valid, Supplier: "BPNL00000000SUPP", Customer: "BPNL00000000CUST", Sender: "BPNL00000000SUPP",
						Ours: func(string) bool { return ours }, ChangedAt: dcm.Timestamp{Time: stored.Add(offsets[known])},
					}
					if !sender {
						s.Sender = "BPNL00000000ELSE"
					}
					if known != "unknown" {
						s.Stored = &stored
					}
					rule := cx0048.DecideCapacityGroup(s)
					fmt.Fprintf(&table, "%-8t %-19t %-17t %-10s -> %-5d %-12s %d\n", valid, sender, ours, known, rule.Number, rule.Outcome, rule.ReturnCode)
					if want := valid && sender && ours; s.NeedsStore() != want {
						t.Errorf("NeedsStore is %t for %+v", s.NeedsStore(), s)
					}
				}
			}
		}
	}
	golden, err := os.ReadFile("testdata/capacity-group-rules.txt")
	if err != nil {
		t.Fatal(err)
	}
	if table.String() != string(golden) {
		t.Errorf("verdicts are now:\n%s\nwant:\n%s", table.String(), golden)
	}
}

func TestRulesAreNumberedInOrder(t *testing.T) {
	for i, rule := range cx0048.CapacityGroupRules {
		if rule.Number != i+1 {
			t.Errorf("rule %d stands at place %d", rule.Number, i+1)
		}
	}
}

func TestStatus(t *testing.T) {
	rules := func(numbers ...int) (rules []cx0048.Rule) {
		for _, n := range numbers {
			rules = append(rules, cx0048.CapacityGroupRules[n-1])
		}
		return rules
	}
	for _, c := range []struct {
		rules []cx0048.Rule
		want  int
	}{
		{rules(5), 201}, {rules(4), 200}, {rules(7), 200}, {rules(1), 400}, {rules(6), 400},
		{rules(5, 5), 200}, {rules(4, 5, 7), 200}, {rules(5, 6), 400}, {rules(1, 5, 5), 400}, {rules(2, 3), 400},
	} {
		if got := cx0048.Status(c.rules); got != c.want {
			t.Errorf("%d objects: status %d, want %d", len(c.rules), got, c.want)
		}
	}
}

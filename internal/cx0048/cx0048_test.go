package cx0048_test

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"dcm-receiver/internal/cx0048"
	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/rules"

	"github.com/google/uuid"
)

const (
	us    = "BPNL0000000000US"
	them  = "BPNL00000000THEM"
	other = "BPNL00000000ELSE"
)

var (
	stored  = dcm.Timestamp{Time: time.Date(2023, 3, 10, 12, 0, 0, 500, time.UTC)}
	offsets = map[string]time.Duration{"older": -time.Nanosecond, "identical": 0, "newer": time.Nanosecond}
	id      = uuid.MustParse("0157ba42-d2a8-4e28-8565-7b07830c1110")
	another = uuid.MustParse("be4d8470-2de6-43d2-b5f8-2e5d3eebf3fd")
)

// situation is the part of a situation that both tables share.
func situation[T any](object *T, valid, sender, ours bool, known string) rules.Situation[T] {
	s := rules.Situation[T]{Object: object, Valid: valid, Sender: them, Ours: func(string) bool { return ours }}
	if !sender {
		s.Sender = other
	}
	if known != "unknown" {
		s.Stored.ChangedAt = &stored
	}
	return s
}

// holdGolden compares a table with a file that a person who knows the standard
// can check line by line.
func holdGolden(t *testing.T, file, table string) {
	t.Helper()
	golden, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	if table != string(golden) {
		t.Errorf("verdicts are now:\n%s\nwant:\n%s", table, golden)
	}
}

// decided is the verdict in words; and holds that a table never answers early what
// depends on what is stored.
func decided[T any](t *testing.T, table rules.Table[T], s rules.Situation[T], early bool) string {
	t.Helper()
	v := table.Decide(&s)
	first, ok := table.DecideEarly(&s)
	if ok != early || ok && !reflect.DeepEqual(first, v) {
		t.Errorf("early: %t %+v, want %t %+v", ok, first, early, v)
	}
	if (v.Outcome == rules.Ignored && v.Rule != 1) != (len(v.Details) > 0) && v.Rule != 1 {
		t.Errorf("rule %d gives the reason %q", v.Rule, v.Details)
	}
	return fmt.Sprintf("%-5d %-12s %d", v.Rule, v.Outcome, v.ReturnCode)
}

// TestCapacityGroups walks every situation that the rules can tell apart.
func TestCapacityGroups(t *testing.T) {
	var table strings.Builder
	table.WriteString("# valid  supplier is sender  customer is ours  stored     -> rule  outcome      code\n")
	for _, valid := range []bool{true, false} {
		for _, sender := range []bool{true, false} {
			for _, ours := range []bool{true, false} {
				for _, known := range []string{"unknown", "older", "identical", "newer"} {
					g := &dcm.CapacityGroup{ID: id, Supplier: them, Customer: us,
						ChangedAt: dcm.Timestamp{Time: stored.Add(offsets[known])}}
					verdict := decided(t, cx0048.CapacityGroups, situation(g, valid, sender, ours, known),
						!valid || !sender || !ours)
					fmt.Fprintf(&table, "%-8t %-19t %-17t %-10s -> %s\n", valid, sender, ours, known, verdict)
				}
			}
		}
	}
	holdGolden(t, "capacity-group-rules.txt", table.String())
}

// TestMaterialDemands walks every situation that the rules can tell apart.
func TestMaterialDemands(t *testing.T) {
	var table strings.Builder
	table.WriteString(
		"# valid  customer is sender  supplier is ours  stored     material held by  -> rule  outcome      code\n")
	for _, valid := range []bool{true, false} {
		for _, sender := range []bool{true, false} {
			for _, ours := range []bool{true, false} {
				for _, known := range []string{"unknown", "older", "identical", "newer"} {
					for _, holder := range []string{"nobody", "itself", "another"} {
						d := &dcm.MaterialDemand{ID: id, Supplier: us, Customer: them,
							ChangedAt: dcm.Timestamp{Time: stored.Add(offsets[known])}}
						s := situation(d, valid, sender, ours, known)
						switch holder {
						case "itself":
							if known == "unknown" {
								continue // it holds nothing
							}
							s.Stored.Holder = &id
						case "another":
							s.Stored.Holder = &another
						}
						verdict := decided(t, cx0048.MaterialDemands, s, !valid || !sender || !ours)
						fmt.Fprintf(&table, "%-8t %-19t %-17t %-10s %-17s -> %s\n", valid, sender, ours, known,
							holder, verdict)
					}
				}
			}
		}
	}
	holdGolden(t, "material-demand-rules.txt", table.String())
}

package cx0128_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"dcm-receiver/internal/cx0128"
	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/rules"

	"github.com/google/uuid"
)

const (
	us    = "BPNL0000000000US"
	them  = "BPNL00000000THEM"
	other = "BPNL00000000ELSE"
)

// TestCapacityGroups walks every situation that the rules can tell apart, and
// compares with a table that a person who knows the standard can check line by
// line.
func TestCapacityGroups(t *testing.T) {
	now := time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)
	stored := dcm.Timestamp{Time: now.Add(-time.Hour)}
	changedAt := map[string]time.Duration{"unknown": 0, "older": -time.Nanosecond, "identical": 0,
		"newer": time.Nanosecond}
	known := dcm.Timestamp{Time: now.Add(-24 * time.Hour)}
	starts := []struct {
		name           string
		sent, inStored *dcm.Timestamp
		asked          bool
	}{
		{"none", nil, nil, false},
		{"future", &dcm.Timestamp{Time: now}, nil, false},
		{"future, another known", &dcm.Timestamp{Time: now.Add(time.Hour)}, &known, false},
		{"past", &dcm.Timestamp{Time: now.Add(-time.Nanosecond)}, nil, false},
		{"past, as known", &dcm.Timestamp{Time: known.In(time.FixedZone("", 3600))}, &known, false},
		{"past, another known", &dcm.Timestamp{Time: known.Add(time.Nanosecond)}, &known, false},
		{"past, we asked for it", &dcm.Timestamp{Time: now.Add(-time.Nanosecond)}, nil, true},
	}
	var table strings.Builder
	table.WriteString(
		"# valid  supplier is sender  customer is ours  links    start of measurement   stored     -> rule  " +
			"outcome      code\n")
	for _, valid := range []bool{true, false} {
		for _, sender := range []bool{true, false} {
			for _, ours := range []bool{true, false} {
				for _, links := range []string{"series", "groups", "both", "neither"} {
					for _, start := range starts {
						for _, changed := range []string{"unknown", "older", "identical", "newer"} {
							if changed == "unknown" && start.inStored != nil {
								continue // nothing is known of it
							}
							g := &dcm.CapacityGroup{Supplier: them, Customer: us,
								ChangedAt: dcm.Timestamp{Time: stored.Add(changedAt[changed])}}
							if links == "series" || links == "both" {
								g.LinkedDemandSeries = []dcm.LinkedDemandSeries{{}}
							}
							if links == "groups" || links == "both" {
								g.LinkedCapacityGroups = []uuid.UUID{{}}
							}
							if start.sent != nil {
								g.DemandVolatility = &dcm.DemandVolatilityParameters{
									StartReferenceDateTime: *start.sent}
							}
							s := rules.Situation[dcm.CapacityGroup]{Object: g, Valid: valid, Sender: them,
								Ours: func(string) bool { return ours }, Now: now}
							if !sender {
								s.Sender = other
							}
							if changed != "unknown" {
								s.Stored.ChangedAt, s.Stored.StartReference = &stored, start.inStored
							}
							s.Stored.WasRequested = start.asked
							v := cx0128.CapacityGroups.Decide(&s)
							early, ok := cx0128.CapacityGroups.DecideEarly(&s)
							if ok != (v.Rule < 5) || ok && !reflect.DeepEqual(early, v) {
								t.Errorf("early: %t %+v, later %+v", ok, early, v)
							}
							if refused := v.Outcome == rules.Ignored && v.Rule != 1; refused != (len(v.Details) > 0) {
								t.Errorf("rule %d gives the reasons %v", v.Rule, v.Details)
							}
							line := fmt.Sprintf("%-8t %-19t %-17t %-8s %-22s %-10s -> %-5d %-12s %d\n", valid, sender,
								ours, links, start.name, changed, v.Rule, v.Outcome, v.ReturnCode)
							if !valid || !sender || !ours {
								// One line for all of these, which must have one verdict.
								line = fmt.Sprintf("%-8t %-19t %-17t %-8s %-22s %-10s -> %-5d %-12s %d\n", valid,
									sender, ours, "any", "any", "any", v.Rule, v.Outcome, v.ReturnCode)
								if strings.HasSuffix(table.String(), line) {
									continue
								}
							}
							table.WriteString(line)
						}
					}
				}
			}
		}
	}
	holdGolden(t, "capacity-group-rules.txt", table.String())
}

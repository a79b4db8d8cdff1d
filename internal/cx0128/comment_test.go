package cx0128_test

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"dcm-receiver/internal/cx0128"
	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/rules"
)

// TestComments walks every situation that the rules can tell apart.
func TestComments(t *testing.T) {
	now := time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)
	stored, deleted := dcm.Timestamp{Time: now.Add(-time.Hour)}, dcm.Timestamp{Time: now.Add(-time.Minute)}
	var table strings.Builder
	table.WriteString(
		"# valid  between us  object exchanged  stored                       changedAt  requestDelete -> rule  " +
			"outcome      code\n")
	for _, valid := range []bool{true, false} {
		for _, between := range []bool{true, false} {
			for _, exchanged := range []bool{true, false} {
				for _, known := range []string{"unknown", "known", "somebody else's", "deleted"} {
					for _, at := range []string{"older", "identical", "newer", "missing"} {
						for _, requestDelete := range []bool{false, true} {
							c := &dcm.Comment{Supplier: them, Customer: us, RequestDelete: requestDelete}
							s := rules.Situation[dcm.Comment]{Object: c, Valid: valid, Sender: them,
								Ours: func(bpnl string) bool { return bpnl == us }, Now: now}
							s.Stored.Commented = exchanged
							if !between {
								c.Supplier = other
							}
							is := stored
							switch known {
							case "known":
								s.Stored.ChangedAt, s.Stored.Originator = &stored, them
							case "somebody else's":
								s.Stored.ChangedAt, s.Stored.Originator = &stored, us
							case "deleted":
								s.Stored.DeletedAt, s.Stored.Originator, is = &deleted, them, deleted
							}
							switch at {
							case "older":
								c.ChangedAt = &dcm.Timestamp{Time: is.Add(-time.Nanosecond)}
							case "identical":
								c.ChangedAt = &is
							case "newer":
								c.ChangedAt = &dcm.Timestamp{Time: is.Add(time.Nanosecond)}
							}
							v := cx0128.Comments.Decide(&s)
							early, ok := cx0128.Comments.DecideEarly(&s)
							if ok != (!valid || !between) || ok && !reflect.DeepEqual(early, v) {
								t.Errorf("early: %t %+v, later %+v", ok, early, v)
							}
							if refused := v.Outcome == rules.Ignored && v.Rule != 1; refused != (len(v.Details) > 0) {
								t.Errorf("rule %d gives the reasons %v", v.Rule, v.Details)
							}
							line := fmt.Sprintf("%-8t %-11t %-17t %-28s %-10s %-13t -> %-5d %-12s %d\n", valid,
								between, exchanged, known, at, requestDelete, v.Rule, v.Outcome, v.ReturnCode)
							if !valid || !between || !exchanged {
								// One line for all of these, which must have one verdict.
								line = fmt.Sprintf("%-8t %-11t %-17t %-28s %-10s %-13s -> %-5d %-12s %d\n", valid,
									between, exchanged, "any", "any", "any", v.Rule, v.Outcome, v.ReturnCode)
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
	holdGolden(t, "comment-rules.txt", table.String())
}

// holdGolden compares a table with a file that a person who knows the standard
// can check line by line.
func holdGolden(t *testing.T, file, table string) {
	t.Helper()
	golden, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	for situation := range strings.Lines(table) {
		if situation, _, is := strings.Cut(situation, "->"); is && !strings.HasPrefix(situation, "#") &&
			strings.Count(table, situation+"->") != 1 {
			t.Errorf("a situation has several verdicts: %s", situation)
		}
	}
	if table != string(golden) {
		t.Errorf("verdicts are now:\n%s\nwant:\n%s", table, golden)
	}
}

// TestDeletedAt is not before anything that was written before the deletion.
func TestDeletedAt(t *testing.T) {
	now := time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)
	at := func(d time.Duration) *dcm.Timestamp { return &dcm.Timestamp{Time: now.Add(d)} }
	for _, c := range []struct {
		name         string
		sent, stored *dcm.Timestamp
		want         time.Duration
	}{
		{"nothing is said", nil, nil, 0},
		{"an earlier changedAt", at(-time.Hour), at(-2 * time.Hour), 0},
		{"a later one", at(time.Hour), at(-2 * time.Hour), time.Hour},
		{"a comment of the future", nil, at(time.Hour), time.Hour},
	} {
		s := rules.Situation[dcm.Comment]{Object: &dcm.Comment{ChangedAt: c.sent}, Now: now}
		s.Stored.ChangedAt = c.stored
		if got := cx0128.DeletedAt(&s); !got.Equal(now.Add(c.want)) {
			t.Errorf("%s: %s", c.name, got)
		}
	}
}

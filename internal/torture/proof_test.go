//go:build linux && torture

package torture

import (
	"math/rand/v2"
	"testing"
	"time"

	"dcm-receiver/internal/mutation"
)

// TestProof shows that the suite finds faults: with each of the mutations in faults/ it must find something.
func TestProof(t *testing.T) {
	for fault, name := range map[string]string{
		"answer-before-commit":    "a bad receiver, a bad store",
		"compare-without-lock":    "one receiver, a bad store",
		"trust-a-lonely-primary":  "failover to a synchronous standby",
		"list-in-several-parts":   "a bad receiver, a bad store",
		"a-batch-always-succeeds": "one receiver, a bad store",
		"nothing-was-stored":      "one receiver, a bad store",

		"delivered-before-the-answer": "demands go out",
		"two-serve-one-partner":       "demands go out",
		"superseding-ignored":         "demands go out",
		"begun-stays-begun":           "demands go out",
		"one-bad-refuses-all":         "demands go out",
	} {
		t.Run(fault, func(t *testing.T) {
			binary := build(t, broken(t, fault))
			f := &figures{faults: map[string]int{}}
			random := rand.New(rand.NewPCG(*seed, 0))
			for f.wrong() == 0 {
				if f.rounds == 8 {
					t.Fatalf("nothing was found: %s", f)
				}
				t.Run("round", func(t *testing.T) {
					for i, line := range first(scenarioNamed(name).run(t, binary, random.Uint64(), 15*time.Second, f)) {
						if i < 3 {
							t.Logf("found, as it should be: %.300s", line)
						}
					}
				})
			}
			t.Logf("found in round %d: %s", f.rounds, f)
		})
	}
}

// broken is the flag that builds the program with a fault.
func broken(t *testing.T, fault string) string {
	t.Helper()
	flag, err := mutation.Overlay(t.TempDir(), "../..", faulty(t, fault))
	if err != nil {
		t.Fatal(err)
	}
	return flag
}

func scenarioNamed(name string) scenario {
	for _, s := range scenarios {
		if s.name == name {
			return s
		}
	}
	panic("a scenario is misspelt")
}

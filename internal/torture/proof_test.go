//go:build linux && torture

package torture

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestProof shows that the suite sees faults: with each of the patches in
// faults/ applied to a copy of the source, it must find something.
func TestProof(t *testing.T) {
	for patch, name := range map[string]string{
		"answer-before-commit.patch":    "a bad receiver, a bad store",
		"compare-without-lock.patch":    "one receiver, a bad store",
		"trust-a-lonely-primary.patch":  "failover to a synchronous standby",
		"list-in-several-parts.patch":   "a bad receiver, a bad store",
		"a-batch-always-succeeds.patch": "one receiver, a bad store",
		"nothing-was-stored.patch":      "one receiver, a bad store",

		"delivered-before-the-answer.patch": "demands go out",
		"two-serve-one-partner.patch":       "demands go out",
		"superseding-ignored.patch":         "demands go out",
		"begun-stays-begun.patch":           "demands go out",
		"one-bad-refuses-all.patch":         "demands go out",
	} {
		t.Run(patch, func(t *testing.T) {
			binary := build(t, patched(t, patch))
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

// patched is a copy of the source with a fault.
func patched(t *testing.T, patch string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"cmd", "internal", "api", "migrations", "schemas", "deploy"} {
		if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join("../..", name))); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		content, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := apply(dir, filepath.Join("faults", patch))
	cmd.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the code has changed, %s is to be made anew: %v\n%s", patch, err, out)
	}
	return dir
}

func scenarioNamed(name string) scenario {
	for _, s := range scenarios {
		if s.name == name {
			return s
		}
	}
	panic("a scenario is misspelt")
}

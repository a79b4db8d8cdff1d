//go:build linux && torture

package torture

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

var (
	duration = flag.Duration("torture.duration", time.Minute, "how long the clients send, in all rounds together")
	seed     = flag.Uint64("torture.seed", 0, "seed of the histories and faults; 0 takes a new one")
	only     = flag.String("torture.scenario", "", "the one scenario to run; \"\" runs them in turn")
)

// TestTorture runs the scenarios in turn until the time is over.
func TestTorture(t *testing.T) {
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	t.Logf("repeat with -torture.seed=%d -torture.duration=%s", *seed, *duration)
	binary := build(t)
	f := &figures{faults: map[string]int{}}
	random := rand.New(rand.NewPCG(*seed, 0))
	left := *duration
	part := min(max(*duration/time.Duration(len(scenarios)), 5*time.Second), 40*time.Second)
	if *only != "" {
		part = min(*duration, 40*time.Second)
	}
	for i := 0; left > 0; i++ {
		s := scenarios[i%len(scenarios)]
		roundSeed := random.Uint64()
		if *only != "" && *only != s.name {
			continue
		}
		left -= part
		t.Run(fmt.Sprintf("%d %s", i+1, s.name), func(t *testing.T) {
			for _, lost := range first(s.run(t, binary, roundSeed, part, f)) {
				t.Error(lost)
			}
		})
	}
	t.Log(f)
	if f.wrong() > 0 {
		t.Fail()
	}
}

func (s scenario) run(t testing.TB, binary string, seed uint64, duration time.Duration, f *figures) findings {
	w := newWorld(t, s, rand.New(rand.NewPCG(seed, 0)), f)
	s.setUp(w, binary)
	if s.round != nil {
		return s.round(w, duration, s.faults)
	}
	return w.round(duration, s.faults)
}

// first is the beginning of each list of findings: one fault has many.
func first(f findings) (lines []string) {
	for kind, list := range map[string][]string{"lost": f.lost, "unexplained": f.unexplained, "untrue": f.untrue} {
		for i, line := range list {
			if i == 10 {
				lines = append(lines, fmt.Sprintf("%s: and %d more", kind, len(list)-i))
				break
			}
			lines = append(lines, kind+": "+line)
		}
	}
	return lines
}

package receiver

import (
	"math"
	"os"
	"runtime/debug"
)

// TuneMemory lets the small heap of small messages grow, so that it is swept
// less often, and holds the large heap of large ones down to the bodies and
// what is made of them. What an operator sets stands; of GOMEMLIMIT an eighth is
// left for what Go does not count, such as the program's own pages, so that the
// process as a whole stays below it.
func TuneMemory(maxBuffered int64) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	limit := maxBuffered + 32<<20
	if os.Getenv("GOMEMLIMIT") != "" {
		limit = debug.SetMemoryLimit(-1) // a negative one only reads it
		if limit < math.MaxInt64 {
			limit -= limit / 8
		}
	}
	debug.SetMemoryLimit(limit)
}

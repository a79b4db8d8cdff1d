package receiver

import (
	"math"
	"os"
	"runtime/debug"
)

// TuneMemory lets the small heap of small messages grow, so that it is swept
// less often, and bounds the large heap of large ones. What an operator sets
// stands; of GOMEMLIMIT an eighth is left for what Go does not count, such as the
// program's own pages, so that the process as a whole stays below it. It returns how
// many bytes may be made of bodies at once: what the limit leaves beside the bodies
// themselves and the rest of the program.
func TuneMemory(maxBuffered int64) (maxWork int64) {
	const (
		rest    = 64 << 20  // of the program, and what is not collected yet
		unset   = 256 << 20 // beside the bodies, where no limit is set
		atLeast = 32 << 20
	)
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	limit, set := maxBuffered+unset, debug.SetMemoryLimit(-1) // a negative one only reads it
	switch {
	case os.Getenv("GOMEMLIMIT") == "":
		debug.SetMemoryLimit(limit)
	case set < math.MaxInt64:
		limit = set - set/8
		debug.SetMemoryLimit(limit)
	}
	return max(limit-maxBuffered-rest, atLeast)
}

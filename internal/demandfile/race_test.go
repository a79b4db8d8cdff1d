//go:build race

package demandfile_test

// isRace tells that the race detector is at work.
const isRace = true

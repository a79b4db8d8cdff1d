//go:build race

package outbox_test

// isRace tells that the race detector is at work.
const isRace = true

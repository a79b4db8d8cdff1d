//go:build race

package receiver_test

func init() { underRace = true }

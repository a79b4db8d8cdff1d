//go:build !race

package outbox_test

const isRace = false

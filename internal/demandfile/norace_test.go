//go:build !race

package demandfile_test

const isRace = false

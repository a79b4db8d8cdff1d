package main

import (
	"testing"

	"dcm-receiver/internal/dcm"
)

// TestChecks: validate knows every endpoint.
func TestChecks(t *testing.T) {
	for _, e := range dcm.Endpoints {
		if checks[e.Path] == nil {
			t.Errorf("payloads.go: checks has no entry for %s", e.Path)
		}
	}
	if len(checks) != len(dcm.Endpoints) {
		t.Errorf("payloads.go: checks has %d entries for %d endpoints", len(checks), len(dcm.Endpoints))
	}
}

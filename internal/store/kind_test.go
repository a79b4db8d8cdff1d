package store

import (
	"slices"
	"strings"
	"testing"

	"dcm-receiver/internal/dcm"
)

// TestKinds: the program does not start where an endpoint has no kind of object, or a kind lacks a part.
func TestKinds(t *testing.T) {
	if err := checkKinds(kinds, dcm.Endpoints); err != nil {
		t.Fatal(err)
	}
	for i := range kinds {
		path := kinds[i].endpoint.Path
		without := slices.Delete(slices.Clone(kinds), i, i+1)
		if err := checkKinds(without, dcm.Endpoints); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("without %s: %v; want an error that names it", path, err)
		}
		for part, remove := range map[string]func(*kind){
			"lock":      func(k *kind) { k.lock = nil },
			"write":     func(k *kind) { k.write = nil },
			"conflicts": func(k *kind) { k.conflicts = nil },
			"tables":    func(k *kind) { k.tables = nil },
			"columns":   func(k *kind) { k.columns = nil },
		} {
			if path == dcm.RequestForUpdateEndpoint.Path && (part == "lock" || part == "conflicts") {
				continue // nothing is compared with a request that came before
			}
			parts := slices.Clone(kinds)
			remove(&parts[i])
			if err := checkKinds(parts, dcm.Endpoints); err == nil ||
				!strings.Contains(err.Error(), path+" has no "+part) {
				t.Errorf("%s without %s: %v; want an error that names both", path, part, err)
			}
		}
	}
	if _, err := kindOf("week-based-nothing"); err == nil {
		t.Error("an endpoint without a kind is taken")
	}
}

// TestContentCoversColumns: after a column was added, the same bytes count as another content, so that
// a re-send fills the column.
func TestContentCoversColumns(t *testing.T) {
	raw := []byte(`{"capacityGroupId": "0157ba42-d2a8-4e28-8565-7b07830c1110"}`)
	before := ContentOf(raw)
	if before != ContentOf(raw) {
		t.Error("the same bytes have two contents")
	}
	for i := range kinds {
		longer := slices.Clone(kinds)
		longer[i].columns = append(slices.Clone(longer[i].columns), "a_new_column")
		contentVersion = versionOf(longer)
		if ContentOf(raw) == before {
			t.Errorf("a new column of %s leaves the content as it was", kinds[i].endpoint.Path)
		}
		contentVersion = versionOf(kinds)
	}
}

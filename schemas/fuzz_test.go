package schemas

import (
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v5"

	"dcm-receiver/internal/dcm"
)

// libraries are the schemas without our walk, in the order of documents.
var libraries = func() (all []*jsonschema.Schema) {
	for _, d := range documents {
		all = append(all, plain(d.file))
	}
	return all
}()

// agree fails the test unless, for each schema, Check complains of exactly the
// places in raw that the library, run on the whole of it, complains of.
func agree(t *testing.T, raw string) {
	t.Helper()
	for i, d := range documents {
		var got []string
		for _, v := range check(d.schema, raw) {
			if !slices.Contains(got, v.Pointer) {
				got = append(got, v.Pointer)
			}
			if v.Detail == "" || len(v.Detail) > 1000 || strings.ContainsFunc(v.Detail,
				func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%s: no good sentence: %q", d.file, v.Detail)
			}
		}
		slices.Sort(got)
		err := libraries[i].Validate(decode(raw))
		if diff := cmp.Diff(pointers(err), got); diff != "" {
			t.Errorf("%s: %.500s\n%v\n%s", d.file, raw, err, diff)
		}
	}
}

// pointers lists the places that an error of the library names, once each.
func pointers(err error) []string {
	var all []string
	var visit func(e *jsonschema.ValidationError)
	visit = func(e *jsonschema.ValidationError) {
		if len(e.Causes) == 0 && !slices.Contains(all, e.InstanceLocation) {
			all = append(all, e.InstanceLocation)
		}
		for _, cause := range e.Causes {
			visit(cause)
		}
	}
	if err != nil {
		visit(err.(*jsonschema.ValidationError))
	}
	slices.Sort(all)
	return all
}

// TestMutations changes each place of the full documents, and each two places.
func TestMutations(t *testing.T) {
	values := []string{
		``, `null`, `true`, `""`, `"x"`, `"\u0000"`, `"BPNS8888888888XX"`, `"0157ba42-d2a8-4e28-8565-7b07830c1110"`,
		`"2023-02-30"`,
		`"2024-02-29"`, `"2024-02-29T24:00:00"`, `"2024-02-29T23:59:60Z"`, `0`, `-0.5`, `1e18`, `1e30`, `{}`, `[]`,
		`[null]`, `[{}]`, `{"x":[]}`,
	}
	n := 0
	for _, d := range documents {
		var all []string
		places(d.schema.root, "", func(pointer string, _ *node) { all = append(all, pointer) })
		slices.Sort(all)
		for _, first := range all {
			for _, value := range values {
				if value == "" && (first == "" || strings.HasSuffix(first, "/0")) {
					continue // cannot be taken out
				}
				n++
				agree(t, with(d.full, first, value))
			}
			for _, second := range all {
				if strings.HasPrefix(second+"/", first+"/") || strings.HasPrefix(first+"/", second+"/") {
					continue // one would hide the other
				}
				n++
				agree(t, with(with(d.full, first, values[1+n%(len(values)-1)]), second, values[1+n/7%(len(values)-1)]))
			}
		}
	}
	t.Logf("%d documents", n)
}

// FuzzCheck: Check and the library agree on any JSON.
func FuzzCheck(f *testing.F) {
	for _, d := range documents {
		f.Add(compact(d.full))
	}
	f.Add(`{"capacities":[{"pointInTime":"2023-02-13","actualCapacity":1e3,"maximumCapacity":-0}],` +
		`"supplierLocations":[""]}`)
	f.Add(`{"header":{"version":"1.0.0-0","sentDateTime":"2023-02-28T24:00:00.0-14:00"}}`)
	f.Add(`{"weekBasedMaterialDemand":[{"materialDemandId":null},[]],"weekBasedCapacityGroup":{}}`)
	f.Fuzz(func(t *testing.T, raw string) {
		if comparable(raw) {
			agree(t, raw)
		}
	})
}

// comparable reports whether raw is JSON in the strict sense, and harmless to
// the library: it has no number that Check would keep from it.
func comparable(raw string) bool {
	if len(raw) > 1<<16 || !jsontext.Value(raw).IsValid() {
		return false
	}
	d := jsontext.NewDecoder(strings.NewReader(raw))
	for {
		token, err := d.ReadToken()
		if err != nil {
			return true // the end
		}
		if d.StackDepth() > 64 {
			return false
		}
		if token.Kind() == jsontext.KindNumber {
			_, exponent, _ := strings.Cut(strings.ToLower(token.String()), "e")
			if _, err := dcm.ParseDecimal(token.String()); err != nil || len(exponent) > 5 {
				return false
			}
		}
	}
}

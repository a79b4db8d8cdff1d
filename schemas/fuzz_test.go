package schemas

import (
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"dcm-receiver/internal/dcm"
)

// FuzzCheck: for any value that a strict reading lets through, Check complains
// of exactly the places that the library, run on the whole value, complains of.
func FuzzCheck(f *testing.F) {
	for _, d := range documents {
		f.Add([]byte(compact(d.full)))
		places(d.schema.root, "", func(pointer string, n *node) {
			for _, value := range []string{`null`, `""`, `-1`, `[]`, `{}`, `[{}]`, `"2023-02-30T24:00:00.0+14:00"`, `1e3`} {
				f.Add([]byte(with(d.full, pointer, value)))
			}
		})
	}
	whole := map[*Schema]interface{ Validate(any) error }{}
	for _, d := range documents {
		whole[d.schema] = plain(d.file)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if !comparable(raw) {
			return
		}
		for _, d := range documents {
			got := []string(nil)
			for _, v := range check(d.schema, string(raw)) {
				if !slices.Contains(got, v.Pointer) {
					got = append(got, v.Pointer)
				}
			}
			slices.Sort(got)
			err := whole[d.schema].Validate(decode(string(raw)))
			if diff := cmp.Diff(pointers(err), got); diff != "" {
				t.Errorf("%s: %v: %s", d.file, err, diff)
			}
		}
	})
}

// comparable reports whether raw is JSON in the strict sense, and harmless to
// the library: it has no number that Check would keep from it.
func comparable(raw []byte) bool {
	if len(raw) > 1<<16 || !jsontext.Value(raw).IsValid() {
		return false
	}
	d := jsontext.NewDecoder(strings.NewReader(string(raw)))
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

package payload_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/payload"
	"dcm-receiver/schemas"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The readers of the other objects, held to their schemas as that of capacity groups
// is in payload_test.go.

func sample(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "schemas", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSpace(text)
}

// holdStrictAs: a reader takes what is one JSON text in the strict sense, and nothing
// else.
func holdStrictAs(t *testing.T, body []byte, err error) {
	t.Helper()
	if want := isJSON(body); (err == nil) != want {
		t.Fatalf("is it JSON? %t, but read: %v\n%q", want, err, body)
	}
	if err != nil && strings.Contains(err.Error(), "could not be read") {
		t.Fatalf("%v\n%q", err, body)
	}
}

// holdObjects: the reader and the schema agree on each object of a message.
func holdObjects[T any](t *testing.T, body []byte, schema *schemas.Schema, m *payload.Message[T], err error) {
	t.Helper()
	if holdStrictAs(t, body, err); err != nil {
		return
	}
	holdPlaces(t, body, m.Errors)
	for i := range m.Objects {
		holdSchema(t, schema, &m.Objects[i])
		holdPlaces(t, body, m.Objects[i].Errors)
	}
}

// mutations are an example with one value at a time replaced by each of many.
func mutations(t testing.TB, name string, each func(body []byte)) {
	t.Helper()
	values := []any{nil, "", "x", "a\x00b", -1, 0, json.Number("1.5"), json.Number("1e400"), true, []any{},
		map[string]any{}, []any{nil}, "2023-02-13", "2023-02-30", "2023-02-14",
		"2023-03-10T12:27:11.320Z", "2024-01-10T24:00:00", "BPNL8888888888XX", "0157ba42-d2a8-4e28-8565-7b07830c1110",
		strings.Repeat("ä", 5000), strings.Repeat("ä", 5001),
		strings.Repeat("😀", 5000), strings.Repeat("a", 5001), absent{}}
	decode := func() (object map[string]any) {
		d := json.NewDecoder(bytes.NewReader(sample(t, name)))
		d.UseNumber()
		if err := d.Decode(&object); err != nil {
			t.Fatal(err)
		}
		return object
	}
	places := placesOf(nil, decode())
	if len(places) < 5 {
		t.Fatalf("%s has %d places", name, len(places))
	}
	for _, place := range places {
		for _, value := range values {
			object := decode()
			set(object, place, value)
			each(marshal(t, []any{object}))
		}
	}
}

func checkDemands(t *testing.T, body []byte) {
	t.Helper()
	m, err := payload.ReadMaterialDemands(body, checked)
	holdObjects(t, body, schemas.MaterialDemand, m, err)
	if err != nil {
		return
	}
	for i := range m.Objects {
		if o := &m.Objects[i]; !o.Errors.Any() {
			holdDemand(t, o)
		}
	}
}

// holdDemand: a valid demand has the weeks that another reader finds.
func holdDemand(t *testing.T, o *payload.Object[dcm.MaterialDemand]) {
	t.Helper()
	var other struct {
		DemandSeries []struct {
			Demands []struct {
				PointInTime string         `json:"pointInTime"`
				Demand      jsontext.Value `json:"demand"`
			} `json:"demands"`
		} `json:"demandSeries"`
	}
	if err := jsonv2.Unmarshal(o.Raw, &other); err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, s := range other.DemandSeries {
		for _, d := range s.Demands {
			number, _ := dcm.ParseDecimal(string(d.Demand))
			want = append(want, fmt.Sprint(d.PointInTime, number))
		}
	}
	for _, s := range o.Value.Series {
		for _, d := range s.Demands {
			got = append(got, fmt.Sprint(d.PointInTime, d.Demand))
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%s was read as %v", o.Raw, got)
	}
}

func checkComments(t *testing.T, body []byte) {
	t.Helper()
	m, err := payload.ReadComments(body, checked)
	holdObjects(t, body, schemas.Comment, m, err)
	if err != nil {
		return
	}
	for i := range m.Objects {
		o := &m.Objects[i]
		text := o.Value.CommentText
		if o.Errors.Any() || text == nil {
			continue
		}
		var other map[string]json.RawMessage
		var want string
		if json.Unmarshal(o.Raw, &other) != nil || json.Unmarshal(other["commentText"], &want) != nil || *text != want {
			t.Fatalf("%s was read as %q", o.Raw, *text)
		}
		if utf8.RuneCountInString(*text) > 5000 || strings.Contains(*text, "\x00") {
			t.Fatalf("%d characters were taken", utf8.RuneCountInString(*text))
		}
	}
}

func checkRequests(t *testing.T, body []byte) {
	t.Helper()
	m, err := payload.ReadRequestsForUpdate(body, checked)
	if holdStrictAs(t, body, err); err != nil {
		return
	}
	holdPlaces(t, body, m.Errors)
	var entries []json.RawMessage
	if !bytes.HasPrefix(bytes.TrimSpace(body), []byte("[")) || json.Unmarshal(body, &entries) != nil {
		return
	}
	wrong := false
	for _, raw := range entries {
		schemas.RequestForUpdate.Check(raw, math.MaxInt, func(dcm.Violation) bool { wrong = true; return false })
		var names map[string]json.RawMessage
		if json.Unmarshal(raw, &names) == nil && len(names) > 0 && names["weekBasedMaterialDemand"] == nil &&
			names["weekBasedCapacityGroup"] == nil {
			wrong = true // neither everything nor anything
		}
	}
	if wrong != m.Errors.Any() {
		t.Fatalf("wrong by the schema: %t, but read: %v\n%s", wrong, m.Errors.List, body)
	}
	if !wrong && len(m.Objects) == 0 {
		t.Fatalf("nothing is asked for in %s", body)
	}
}

// readers are held to what is said above, each on mutations of its example.
var readers = map[string]struct {
	example string
	check   func(*testing.T, []byte)
}{
	"material demands":    {"week-based-material-demand.json", checkDemands},
	"comments":            {"id-based-comment.json", checkComments},
	"requests for update": {"id-based-request-for-update.json", checkRequests},
}

func TestMutationsOfOthers(t *testing.T) {
	for name, r := range readers {
		t.Run(name, func(t *testing.T) {
			n := 0
			mutations(t, r.example, func(body []byte) {
				r.check(t, body)
				n++
			})
			t.Logf("%d mutations", n)
		})
	}
}

// TestAllReadersAreStrict: what is no JSON is none for each reader, and lone
// surrogates are none.
func TestAllReadersAreStrict(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(readers)) {
		r := readers[name]
		object := string(sample(t, r.example))
		for _, body := range []string{"", "[", "[" + object, "[" + object + "]]", `["\ud800"]`,
			`[{"commentText":"\udc00x"}]`, `[{"a":1,"a":2}]`, "[\"\xff\"]", "\ufeff[]", strings.Repeat("[", 65)} {
			r.check(t, []byte(body))
		}
	}
}

// TestMisspeltNamesAreNamed: what is ignored, though it looks like something that is
// known, is told.
func TestMisspeltNamesAreNamed(t *testing.T) {
	const id = "0157ba42-d2a8-4e28-8565-7b07830c1111"
	for name, c := range map[string]struct{ body, errors, warnings string }{
		"changedAt of an entry": {`[{"weekBasedMaterialDemand":[{"materialDemandId":"` + id +
			`","changed_at":"2026-01-01T00:00:00"}]}]`, "",
			`/0/weekBasedMaterialDemand/0/changed_at: "changed_at" is not a known property and was ignored; did ` +
				`you mean changedAt?`},
		"a second list": {`[{"weekBasedMaterialDemand":[],"weekBasedCapacityGroups":[]}]`, "",
			`/0/weekBasedCapacityGroups: "weekBasedCapacityGroups" is not a known property and was ignored; did ` +
				`you mean weekBasedCapacityGroup?`},
		"no list": {`[{"weekBasedCapacityGroups":[]}]`,
			`/0: there is neither weekBasedMaterialDemand nor weekBasedCapacityGroup; name what is to be sent ` +
				`again in one of these lists, ` +
				`or send {} for everything; "weekBasedCapacityGroups" is there; did you mean weekBasedCapacityGroup?`,
			""},
		"no information object": {`{"content":{"informationObjects":[{}]}}`,
			`/content: content has no informationObject; the objects stand there, in a list; did you mean it by ` +
				`"informationObjects"?`, ""},
		"beside the right one": {`{"content":{"informationObject":[{}],"information_object":[{}]}}`, "",
			`/content: "information_object" is not a known property and was ignored; did you mean informationObject?`},
		"what is unlike all": {`{"content":{"informationObject":[{"weekBasedMaterialDemand":[{"materialDemandId":"` +
			id + `","x":1}]}],"y":1}}`, "", ""},
		"nothing": {`[{}]`, "", ""},
	} {
		m, err := payload.ReadRequestsForUpdate([]byte(c.body), payload.Options{})
		if err != nil {
			t.Fatal(err)
		}
		words := func(e dcm.Violations) (s string) {
			for _, v := range e.List {
				s += v.Pointer + ": " + v.Detail
			}
			return s
		}
		if words(m.Errors) != c.errors || words(m.Warnings) != c.warnings {
			t.Errorf("%s: errors %q, warnings %q", name, words(m.Errors), words(m.Warnings))
		}
	}
}

func fuzzReader(f *testing.F, name string) {
	r := readers[name]
	object := sample(f, r.example)
	f.Add(slices.Concat([]byte("["), object, []byte("]")))
	f.Add(slices.Concat([]byte(`{"content":{"informationObject":[`), object, []byte(","), object, []byte("]}}")))
	for _, other := range []string{`[{}]`, `[1]`, `[{"a":null}]`, `{"content":{"informationObject":{}}}`,
		`[{"commentText":"\ud83d\ude00\u0000"}]`,
		`[{"demandSeries":[{"demands":[{"pointInTime":"2026-12-07","demand":1e3},{"demand":-1},{}]}]}]`,
		`[{"weekBasedMaterialDemand":[{"materialDemandID":"x"}]}]`} {
		f.Add([]byte(other))
	}
	f.Fuzz(r.check)
}

func FuzzMaterialDemands(f *testing.F)   { fuzzReader(f, "material demands") }
func FuzzComments(f *testing.F)          { fuzzReader(f, "comments") }
func FuzzRequestsForUpdate(f *testing.F) { fuzzReader(f, "requests for update") }

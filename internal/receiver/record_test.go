package receiver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/example"
	"dcm-receiver/internal/receiver"

	"github.com/google/uuid"
)

// worthless is an object that is refused, and as large as one that is not.
var worthless = `{"weeks":"` + strings.Repeat("x", 250) + `"}`

// recorded is what an answer says of itself.
type recorded struct {
	Instance string
	Status   int
	Results  []struct {
		Outcome    string
		Errors     []struct{ Detail string }
		MoreErrors int
	}
	Warnings []struct{ Detail string }
}

func understand(t *testing.T, w *httptest.ResponseRecorder) (r recorded) {
	t.Helper()
	if err := json.Unmarshal(w.Body.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestEachIgnoredObjectHasErrors: objects with very many errors do not take the room of
// others' first one, and where there is no room for that either, an empty list and a
// count stand there. GET shows the same.
func TestEachIgnoredObjectHasErrors(t *testing.T) {
	f := newFixture(t, nil)
	many := `{"capacities":[` + strings.Repeat(`{"pointInTime":"2026-12-15","actualCapacity":"`+strings.Repeat("x",
		60)+`","maximumCapacity":-1},`, 60) + `{}]}`
	for _, c := range []struct {
		name, object string
		objects      int
		listed       bool // of each object at least one
	}{
		{"many errors an object", many, 150, true},
		{"many objects", worthless, 12_000, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := f.post(dcm.CapacityGroupEndpoint.Path, []byte("["+strings.Repeat(c.object+",",
				c.objects-1)+c.object+"]"))
			r := understand(t, w)
			if w.Code != 400 || len(r.Results) != c.objects || r.Results[0].MoreErrors == 0 && c.listed {
				t.Fatalf("%d with %d results, the first has %d more errors", w.Code, len(r.Results),
					r.Results[0].MoreErrors)
			}
			bytes := 0
			for i, o := range r.Results {
				if o.Errors == nil || len(o.Errors) == 0 && (c.listed || o.MoreErrors == 0) {
					t.Fatalf("object %d: %d errors, %d more", i, len(o.Errors), o.MoreErrors)
				}
				for _, e := range o.Errors {
					bytes += len(e.Detail)
				}
			}
			if bytes > 1<<20 {
				t.Errorf("%d bytes of errors", bytes)
			}
			var shown struct{ Answer json.RawMessage }
			get := httptest.NewRequest(http.MethodGet, r.Instance, nil)
			get.Header.Set("Edc-Bpn", example.Supplier)
			if err := json.Unmarshal(f.do(get).Body.Bytes(), &shown); err != nil ||
				string(shown.Answer) != w.Body.String() {
				t.Errorf("GET shows another answer: %v", err)
			}
		})
	}
}

// TestWhatChangesNothingIsKeptToALimit: beyond it, messages of that partner are
// answered all the same, but only counted; other partners do not notice.
func TestWhatChangesNothingIsKeptToALimit(t *testing.T) {
	clock := now
	f := newFixture(t, func(c *receiver.Config) { c.Now = func() time.Time { return clock } })
	f.RecordAtMost(2 << 20)
	const other = "BPNL7777777777ZZ"
	post := func(sender, path string, body []byte) *httptest.ResponseRecorder {
		r := request(path, bytes.NewReader(body))
		r.Header.Set("Edc-Bpn", sender)
		return f.do(r)
	}
	group := example.Message(example.Options{Groups: 1, Weeks: 3, Supplier: example.Supplier,
		Customer: example.Customer, Now: now})
	if w := post(example.Supplier, dcm.CapacityGroupEndpoint.Path, group); w.Code != 201 {
		t.Fatal(w.Code, w.Body)
	}
	invalid := []byte("[" + strings.Repeat(worthless+",", 300) + worthless + "]")
	kept := 0
	for range 22 {
		w := post(example.Supplier, dcm.CapacityGroupEndpoint.Path, invalid)
		r := understand(t, w)
		if w.Code != 400 || len(r.Results) != 301 || len(r.Results[0].Errors) == 0 {
			t.Fatalf("%d with %d results", w.Code, len(r.Results))
		}
		if size := w.Body.Len(); size > 2<<20 {
			t.Fatalf("an answer has %d bytes", size)
		}
		if last := r.Results[300]; last.Errors == nil || len(last.Errors) == 0 && last.MoreErrors == 0 {
			t.Fatalf("the last object has no errors: %+v", last)
		}
		if counted := len(r.Warnings) == 1 && strings.Contains(r.Warnings[0].Detail,
			"counted only"); counted == (r.Instance != "") {
			t.Fatalf("instance %q, warnings %v", r.Instance, r.Warnings)
		} else if !counted {
			kept++
		}
	}
	if kept < 10 || kept > 20 {
		t.Errorf("%d of 22 large refusals were recorded", kept)
	}
	// Small ones as well, once nothing is left, whatever they are.
	medium := []byte("[" + strings.Repeat(worthless+",", 99) + worthless + "]")
	for _, body := range [][]byte{medium, []byte("[{},{},{},{},{}]"), []byte("{")} {
		for sent := 0; understand(t, post(example.Supplier, dcm.CapacityGroupEndpoint.Path,
			body)).Instance != ""; sent++ {
			if sent > 1000 {
				t.Fatal("there is no limit")
			}
		}
	}
	before := f.query(`select count(*)::text from planning.message`)[0]
	for _, c := range []struct {
		name, path string
		body       []byte
		status     int
	}{
		{"no JSON", dcm.RequestForUpdateEndpoint.Path, nil, 422},
		{"no object", dcm.CapacityGroupEndpoint.Path, []byte("[]"), 400},
		{"the same again", dcm.CapacityGroupEndpoint.Path, group, 200},
	} {
		w := post(example.Supplier, c.path, c.body)
		if r := understand(t, w); w.Code != c.status || r.Instance != "" || len(r.Warnings) != 1 {
			t.Errorf("%s: %d %+v; want %d, counted only", c.name, w.Code, r, c.status)
		}
	}
	if w := post(example.Supplier, dcm.RequestForUpdateEndpoint.Path, []byte("{}")); w.Code != 503 ||
		w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "nothing of this one was stored") {
		t.Errorf("a request for update: %d %s", w.Code, w.Body)
	}
	if after := f.query(`select count(*)::text from planning.message`)[0]; after != before {
		t.Errorf("the journal went on growing, from %s to %s", before, after)
	}
	// What changes something is kept, and what became of it.
	newer := example.Message(example.Options{Groups: 1, Weeks: 3, Supplier: example.Supplier,
		Customer: example.Customer, Now: now.Add(time.Minute)})
	if w := post(example.Supplier, dcm.CapacityGroupEndpoint.Path, newer); w.Code != 200 ||
		understand(t, w).Instance == "" || understand(t, w).Warnings != nil {
		t.Errorf("a newer group: %d %s", w.Code, w.Body)
	}
	if r := understand(t, post(other, dcm.CapacityGroupEndpoint.Path, invalid)); r.Instance == "" ||
		len(r.Warnings) > 0 {
		t.Errorf("another partner is held back: %v", r.Warnings)
	}
	f.WriteCounts(context.Background())
	f.WriteCounts(context.Background())
	counted := map[string]int{}
	for _, row := range f.query(
		`select sender || ' ' || status || ' ' || messages from planning.message_count where hour = `+
			`date_trunc('hour', $1::timestamptz) and bytes >= 0`, now) {
		fields := strings.Fields(row)
		counted[fields[0]+" "+fields[1]], _ = strconv.Atoi(fields[2])
	}
	if counted[example.Supplier+" 400"] < 6 || counted[example.Supplier+" 422"] < 1 ||
		counted[example.Supplier+" 200"] != 1 || counted[other+" 400"] != 0 {
		t.Errorf("counted: %v", counted)
	}
	clock = clock.Add(time.Hour)
	if r := understand(t, post(example.Supplier, dcm.CapacityGroupEndpoint.Path, []byte("[]"))); r.Instance == "" {
		t.Error("an hour later nothing is recorded yet")
	}
}

// TestARefusedPartIsKeptToALimitToo: one accepted object is no way to have a
// megabyte of errors recorded each time.
func TestARefusedPartIsKeptToALimitToo(t *testing.T) {
	f := newFixture(t, nil)
	f.RecordAtMost(1 << 20)
	brief := 0
	for i := range 25 {
		one := example.Message(example.Options{Groups: 1, Weeks: 3, Supplier: example.Supplier,
			Customer: example.Customer, Now: now.Add(time.Duration(i) * time.Minute)})
		list := bytes.Replace(one, []byte(`"informationObject":[`),
			[]byte(`"informationObject":[`+strings.Repeat(worthless+",", 300)), 1)
		if len(list) == len(one) {
			list = bytes.Replace(one, []byte(`"informationObject": [`),
				[]byte(`"informationObject": [`+strings.Repeat(worthless+",", 300)), 1)
		}
		w := f.post(dcm.CapacityGroupEndpoint.Path, list)
		r := understand(t, w)
		if w.Code != 400 || r.Instance == "" || len(r.Results) != 301 || r.Results[300].Outcome == "ignored" {
			t.Fatalf("%d %.300s", w.Code, w.Body)
		}
		if len(r.Warnings) == 1 {
			brief++
		}
	}
	if brief < 5 {
		t.Errorf("%d of 25 were recorded in brief", brief)
	}
	if size := f.query(`select sum(pg_column_size(m.*))::text from dcm.message m`)[0]; len(size) > 8 {
		t.Errorf("the journal has %s bytes", size)
	}
	if entries := f.query(`select count(*)::text from planning.message`); entries[0] != "25" {
		t.Errorf("%s entries of 25", entries)
	}
}

// TestRequestsForUpdateAreKeptToALimit in bytes: an ID takes some thirty.
func TestRequestsForUpdateAreKeptToALimit(t *testing.T) {
	f := newFixture(t, nil)
	f.RecordAtMost(1 << 20)
	accepted := 0
	for range 12 {
		var ids []string
		for range 7_000 {
			ids = append(ids, fmt.Sprintf(`{"materialDemandId":%q}`, uuid.New()))
		}
		switch w := f.post(dcm.RequestForUpdateEndpoint.Path,
			[]byte(`[{"weekBasedMaterialDemand":[`+strings.Join(ids, ",")+`]}]`)); w.Code {
		case 200:
			accepted++
		case 503:
		default:
			t.Fatal(w.Code, w.Body)
		}
	}
	if rows := f.query(`select count(*)::text from dcm.requested_update`)[0]; accepted < 3 || accepted > 6 ||
		rows != fmt.Sprint(accepted) {
		t.Errorf("%d requests were accepted, %s are stored", accepted, rows)
	}
	if w := f.post(dcm.CapacityGroupEndpoint.Path, example.Message(example.Options{Groups: 1, Weeks: 3,
		Supplier: example.Supplier, Customer: example.Customer, Now: now})); w.Code != 201 {
		t.Errorf("a group is refused: %d %s", w.Code, w.Body)
	}
}

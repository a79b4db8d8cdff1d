package receiver_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/example"
	"dcm-receiver/internal/privatepg/pgtest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// object is what the model knows of an object.
type object struct {
	id, customer, supplier string
	changedAt              time.Time
	quantity               int
	week                   string
}

func (o object) json() string {
	return fmt.Sprintf(`{"capacityGroupId":%q,"name":"n","supplier":%q,"customer":%q,"changedAt":%q,
		"unitOfMeasureIsOmitted":true,"capacityGroupIsInactive":false,
		"capacities":[{"pointInTime":%q,"actualCapacity":%d,"maximumCapacity":%d}]}`,
		o.id, o.supplier, o.customer, o.changedAt.Format(time.RFC3339Nano), o.week, o.quantity, o.quantity)
}

func list(objects []object) []byte {
	texts := make([]string, len(objects))
	for i, o := range objects {
		texts[i] = o.json()
	}
	return []byte("[" + strings.Join(texts, ",") + "]")
}

// model is CX-0048 §3.2.7 for one sender, in memory.
type model map[string]object // by customer and ID

func (m model) judge(sender string, objects []object) (rules []int, status int) {
	status = 200
	for _, o := range objects {
		key := o.customer + " " + strings.ToLower(o.id)
		stored, known := m[key]
		day, _ := time.Parse(time.DateOnly, o.week)
		rule := 0
		switch {
		case day.Weekday() != time.Monday:
			rule = 1
		case o.supplier != sender:
			rule = 2
		case o.customer == "BPNL9999999999ZZ":
			rule = 3
		case !known:
			rule = 5
		case o.changedAt.After(stored.changedAt):
			rule = 4
		case o.changedAt.Before(stored.changedAt):
			rule = 6
		default:
			rule = 7
		}
		if rule == 4 || rule == 5 || rule == 7 {
			m[key] = o
		} else {
			status = 400
		}
		rules = append(rules, rule)
	}
	if len(rules) == 1 && rules[0] == 5 {
		status = 201
	}
	return rules, status
}

// TestModel sends random histories of several suppliers side by side to two
// replicas on one database, and compares each verdict and the final state with
// the model.
func TestModel(t *testing.T) {
	_ = flag.Set("rapid.checks", "25")
	f := newFixture(t, nil)
	replicas := []*fixture{f, onDatabase(t, f.url, nil)}
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		base := time.Date(2026, 1, 1, 0, 0, 0, 999, time.UTC)
		ids := []string{"0157ba42-d2a8-4e28-8565-7b07830c1110", "be4d8470-2de6-43d2-b5f8-2e5d3eebf3fd",
			"00000000-0000-0000-0000-000000000000"}
		histories := make([][][]object, 3)
		suppliers := make([]string, len(histories))
		for s := range histories {
			suppliers[s] = fmt.Sprintf("BPNL%06dTEST%02d", run, s)
			histories[s] = rapid.SliceOfN(rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) object {
				o := object{
					id: rapid.SampledFrom(ids).Draw(rt, "id"),
					customer: rapid.SampledFrom([]string{example.Customer, example.Customer, "BPNL8888888888YY",
						"BPNL9999999999ZZ"}).Draw(rt, "customer"),
					supplier: rapid.SampledFrom([]string{suppliers[s], suppliers[s], suppliers[s],
						"BPNL0000000000ZZ"}).Draw(rt, "supplier"),
					// Neighbours differ by a nanosecond, and are written in different zones.
					changedAt: base.Add(time.Duration(rapid.IntRange(0, 3).Draw(rt, "changedAt"))).In(
						time.FixedZone("", rapid.SampledFrom([]int{0, 3600, -7200}).Draw(rt, "zone"))),
					quantity: rapid.IntRange(0, 2).Draw(rt, "quantity"),
					week: rapid.SampledFrom([]string{"2026-12-07", "2026-12-14", "2026-12-21",
						"2026-12-15"}).Draw(rt, "week"),
				}
				if rapid.Bool().Draw(rt, "capitals") {
					o.id = "urn:uuid:" + strings.ToUpper(o.id)
				}
				return o
			}), 1, 4), 1, 8).Draw(rt, "history")
		}
		models := make([]model, len(histories))
		faults := make(chan string, 1000)
		var wait sync.WaitGroup
		for s, history := range histories {
			models[s] = model{}
			wait.Go(func() {
				for i, objects := range history {
					r := request(dcm.CapacityGroupEndpoint.Path, strings.NewReader(string(list(objects))))
					r.Header.Set("Edc-Bpn", suppliers[s])
					w := replicas[(s+i)%len(replicas)].do(r)
					plain := slices.Clone(objects)
					for j := range plain {
						plain[j].id = strings.TrimPrefix(plain[j].id, "urn:uuid:")
					}
					rules, status := models[s].judge(suppliers[s], plain)
					if got := rulesOf(w); w.Code != status || !slices.Equal(got, rules) {
						faults <- fmt.Sprintf(
							"message %d of supplier %d: status %d, rules %v; the model says %d, %v\n%s", i, s, w.Code,
							got, status, rules, list(objects))
					}
				}
			})
		}
		wait.Wait()
		close(faults)
		for fault := range faults {
			rt.Error(fault)
		}
		for s, supplier := range suppliers {
			var want []string
			for _, o := range models[s] {
				want = append(want, fmt.Sprintf("%s %s %d %s %d", o.customer, strings.ToLower(o.id),
					o.changedAt.UnixNano(), o.week, o.quantity))
			}
			slices.Sort(want)
			got := f.query(`select concat_ws(' ', g.customer, g.capacity_group_id,
					(extract(epoch from g.changed_at) * 1000000)::numeric(30) * 1000 + g.changed_at_nanosecond,
					c.point_in_time, c.actual_capacity)
				from planning.capacity_group g join planning.capacity c using (supplier, customer,
				capacity_group_id) where supplier = $1`, supplier)
			slices.Sort(got)
			if diff := cmp.Diff(want, append([]string(nil), got...)); diff != "" {
				rt.Errorf("supplier %d: %s", s, diff)
			}
		}
	})
}

func rulesOf(w *httptest.ResponseRecorder) (rules []int) {
	var answer struct {
		Results []struct{ Rule int }
	}
	_ = json.Unmarshal(w.Body.Bytes(), &answer)
	for _, r := range answer.Results {
		rules = append(rules, r.Rule)
	}
	return rules
}

// TestSameIDAtTheSameMoment: of first messages for one ID that arrive together
// at two replicas, exactly one is answered 201, the newest stays, and every
// verdict is one that some serial order gives.
func TestSameIDAtTheSameMoment(t *testing.T) {
	f := newFixture(t, nil)
	replicas := []*fixture{f, onDatabase(t, f.url, nil)}
	for round := range 10 {
		const senders = 16
		o := object{id: uuid.NewString(), customer: example.Customer, supplier: example.Supplier, week: "2026-12-07"}
		codes := make([]int, senders)
		rules := make([]int, senders)
		var start, wait sync.WaitGroup
		start.Add(1)
		for i := range senders {
			o := o
			o.changedAt = now.Add(time.Duration(i/2) * time.Nanosecond) // pairs are identical
			o.quantity = i / 2
			wait.Go(func() {
				start.Wait()
				w := replicas[i%2].post(dcm.CapacityGroupEndpoint.Path, list([]object{o}))
				codes[i] = w.Code
				if got := rulesOf(w); len(got) == 1 {
					rules[i] = got[0]
				}
			})
		}
		start.Done()
		wait.Wait()
		count := map[int]int{}
		for i, rule := range rules {
			count[rule]++
			if want := map[int]int{4: 200, 5: 201, 6: 400, 7: 200}[rule]; codes[i] != want {
				t.Errorf("round %d: rule %d with status %d", round, rule, codes[i])
			}
			if i/2 == senders/2-1 && rule == 6 {
				t.Errorf("round %d: the newest was refused as older", round)
			}
		}
		if count[5] != 1 {
			t.Errorf("round %d: rules %v; want rule 5 exactly once", round, count)
		}
		if got := f.query(`select actual_capacity::text from planning.capacity where capacity_group_id = $1`,
			o.id); !slices.Equal(got, []string{fmt.Sprint(senders/2 - 1)}) {
			t.Errorf("round %d: %v is stored, want the newest", round, got)
		}
	}
}

// TestListsInOppositeOrder: two long lists with the same groups in opposite
// order do not wait for each other, new or known.
func TestListsInOppositeOrder(t *testing.T) {
	f := newFixture(t, nil)
	objects := make([]object, 500)
	for i := range objects {
		objects[i] = object{id: uuid.NewString(), customer: example.Customer, supplier: example.Supplier,
			week: "2026-12-07", changedAt: now}
	}
	for round := range 3 {
		var wait sync.WaitGroup
		codes := make([]int, 6)
		for i := range codes {
			mine := slices.Clone(objects)
			for j := range mine {
				mine[j].changedAt = now.Add(time.Duration(round) * time.Second)
				mine[j].quantity = i
			}
			if i%2 == 1 {
				slices.Reverse(mine)
			}
			wait.Go(func() { codes[i] = f.post(dcm.CapacityGroupEndpoint.Path, list(mine)).Code })
		}
		wait.Wait()
		if !slices.Equal(codes, []int{200, 200, 200, 200, 200, 200}) {
			t.Errorf("round %d: %v", round, codes)
		}
		// All rows are of one message: no list is half there.
		if got := f.query(`select distinct actual_capacity::text from planning.capacity`); len(got) != 1 {
			t.Errorf("round %d: rows of %d messages", round, len(got))
		}
	}
}

// TestRepeatsSideBySide: a data plane sends the same POST again while the first
// is still at work; the journal shows which are repeats.
func TestRepeatsSideBySide(t *testing.T) {
	f := newFixture(t, nil)
	body := example.Message(example.Options{Groups: 3, Weeks: 10, Supplier: example.Supplier,
		Customer: example.Customer, Now: now})
	var wait sync.WaitGroup
	for range 6 {
		wait.Go(func() {
			if w := f.post(dcm.CapacityGroupEndpoint.Path, body); w.Code != http.StatusOK {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
		wait.Go(func() {
			if w := f.post(dcm.RequestForUpdateEndpoint.Path, []byte(
				`{"messageHeader":{"header":{"messageId":"0157ba42-d2a8-4e28-8565-7b07830c1110"}}}`)); w.Code != 400 {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	wait.Wait()
	got := f.query(
		`select concat(endpoint, ' ', is_repeat, ' ', count(*)) from planning.message group by endpoint, ` +
			`is_repeat order by 1`)
	want := []string{"id-based-request-for-update f 1", "id-based-request-for-update t 5",
		"week-based-capacity-group f 1", "week-based-capacity-group t 5"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := f.query(
		`select concat(rule, ' ', count(*)) from planning.message_object group by rule order by 1`); !slices.Equal(
		got, []string{"5 3", "7 15"}) {
		t.Errorf("rules %v", got)
	}
}

// TestQueryModes: the store works in every way of sending statements, also
// those that a pooler between needs.
func TestQueryModes(t *testing.T) {
	for _, mode := range []string{"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			url := pgtest.New(t)
			f := onDatabase(t, url+map[bool]string{true: "&", false: "?"}[strings.Contains(url,
				"?")]+"default_query_exec_mode="+mode, nil)
			f.url = url
			body := read(t, "testdata/week-based-capacity-group/quantities-are-exact/request.json")
			for i, want := range []int{201, 200} {
				if w := f.post(dcm.CapacityGroupEndpoint.Path, body); w.Code != want {
					t.Fatalf("message %d: %d %s\n%s", i, w.Code, w.Body, f.log)
				}
			}
			many := example.Message(example.Options{Groups: 20, Weeks: 104, Supplier: example.Supplier,
				Customer: example.Customer, Now: now})
			for range 2 {
				if w := f.post(dcm.CapacityGroupEndpoint.Path, many); w.Code != 200 {
					t.Fatalf("%d %s\n%s", w.Code, w.Body, f.log)
				}
			}
			if w := f.post(dcm.RequestForUpdateEndpoint.Path, read(t,
				"testdata/id-based-request-for-update/one-demand/request.json")); w.Code != 200 {
				t.Fatalf("%d %s\n%s", w.Code, w.Body, f.log)
			}
			if got := f.query(
				`select delta_production_result::text from planning.capacity where delta_production_result is not ` +
					`null`); !slices.Equal(got, []string{"-12345678901234567890.123456789"}) {
				t.Errorf("stored %v", got)
			}
			r := httptest.NewRequest("GET", "/messages?refused=false&limit=2", nil)
			r.Header.Set("Edc-Bpn", example.Supplier)
			if w := f.do(r); w.Code != 200 {
				t.Errorf("%d %s\n%s", w.Code, w.Body, f.log)
			}
		})
	}
}

// TestOneIDAMaterial: of first messages with different IDs for one material that
// come at one moment, to two replicas, exactly one is saved; the others meet rule 5.
func TestOneIDAMaterial(t *testing.T) {
	f := newFixture(t, nil)
	replicas := []*fixture{f, onDatabase(t, f.url, nil)}
	for round := range 10 {
		const senders = 8
		codes := make([]int, senders)
		var wait sync.WaitGroup
		for i := range senders {
			// Each for another site, so that no key of the series stops them.
			body := fmt.Sprintf(`[{"materialDemandId":%q,"supplier":%q,"customer":%q,"materialNumberCustomer":"M%d",
				"materialDescriptionCustomer":"d",
				"changedAt":"2026-11-20T10:00:00Z","unitOfMeasureIsOmitted":true,"materialDemandIsInactive":false,
				"demandSeries":[{"customerLocation":"BPNS8888888888X%d",
				"demandCategory":{"demandCategoryCode":"0001"},"demands":[{"pointInTime":"2026-12-07",
				"demand":1}]}]}]`, uuid.NewString(), example.Supplier, example.Customer, round, i)
			wait.Go(func() { codes[i] = replicas[i%2].post(dcm.MaterialDemandEndpoint.Path, []byte(body)).Code })
		}
		wait.Wait()
		slices.Sort(codes)
		if want := append([]int{201}, slices.Repeat([]int{400}, senders-1)...); !slices.Equal(codes, want) {
			t.Errorf("round %d: %v", round, codes)
		}
	}
	if got := f.query(
		`select count(*)::text from planning.message_object where rule = 5 and outcome = 'ignored'`); got[0] != "70" {
		t.Errorf("%s met rule 5, want 70", got[0])
	}
}

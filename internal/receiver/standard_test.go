package receiver_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/example"
	"dcm-receiver/internal/receiver"
	"dcm-receiver/internal/standard"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

// volatileGroup is a group whose measurement begins at start, in a message by
// CX-0128.
func volatileGroup(start, changedAt time.Time) []byte {
	message := map[string]any{}
	if err := json.Unmarshal(example.Message(example.Options{Groups: 1, Weeks: 5, Supplier: example.Supplier,
		Customer: example.Customer,
		Now:      changedAt, Context: standard.Latest().Models[dcm.CapacityGroupEndpoint.Path] +
			".x.x"}), &message); err != nil {
		panic(err) // it is ours
	}
	group := message["content"].(map[string]any)["informationObject"].([]any)[0].(map[string]any)
	group["demandVolatilityParameters"] = map[string]any{
		"startReferenceDateTime": start.Format(time.RFC3339Nano), "measurementInterval": 4,
		"rollingHorizonAlertThresholds": []any{map[string]any{"sequenceNumber": 1, "subhorizonLength": 4}},
	}
	body, err := json.Marshal(message)
	if err != nil {
		panic(err) // strings and numbers only
	}
	return body
}

// TestAMeasurementGoesOn: a start that was in the future when it came stays valid
// after it has passed (CX-0128 §4.2.2.2), also in a list that sends the group
// twice, and no longer when it changes.
func TestAMeasurementGoesOn(t *testing.T) {
	clock := now
	f := newFixture(t, func(c *receiver.Config) {
		c.Standard, _ = standard.Of("cx-0128")
		c.Now = func() time.Time { return clock }
	})
	start := now.Add(time.Hour + time.Nanosecond)
	for _, c := range []struct {
		name   string
		at     time.Time
		start  time.Time
		status int
		rule   int
	}{
		{"before it begins", now, start, 201, 7},
		{"after it has begun", now.Add(2 * time.Hour), start, 200, 6},
		{"the same instant in another zone", now.Add(3 * time.Hour), start.In(time.FixedZone("", 3600)), 200, 6},
		{"changed by a nanosecond", now.Add(4 * time.Hour), start.Add(time.Nanosecond), 400, 5},
		{"begun anew in the future", now.Add(5 * time.Hour), now.Add(48 * time.Hour), 200, 6},
		{"the former one", now.Add(6 * time.Hour), start, 400, 5},
	} {
		clock = c.at
		w := f.post(dcm.CapacityGroupEndpoint.Path, volatileGroup(c.start, c.at))
		if rules := rulesOf(w); w.Code != c.status || !slices.Equal(rules, []int{c.rule}) {
			t.Errorf("%s: %d by rules %v, want %d by %d: %s", c.name, w.Code, rules, c.status, c.rule, w.Body)
		}
	}
}

// TestWhatWeAskedFor: after a restore a running measurement is unknown here. A group
// that we asked for comes in all the same, where the operator wants that; one that
// no one asked for does not.
func TestWhatWeAskedFor(t *testing.T) {
	for _, c := range []struct {
		name   string
		told   bool   // is rule 5 suspended for what we asked for?
		asked  string // SQL of the group's ID; "" if nothing was asked
		status int
	}{
		{name: "nothing was asked", told: true, status: 400},
		{name: "this group was asked for", told: true, asked: "$3::uuid", status: 201},
		{name: "another group was asked for", told: true, asked: "coalesce(gen_random_uuid(), $3::uuid)", status: 400},
		{name: "all were asked for", told: true, asked: "nullif($3::uuid, $3)", status: 201},
		{name: "the switch is off", asked: "nullif($3::uuid, $3)", status: 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t, func(c *receiver.Config) { c.Standard, _ = standard.Of("cx-0128") })
			if c.told {
				f.store.TellRequested()
			}
			body := volatileGroup(now.Add(-time.Hour), now)
			_, id, _ := strings.Cut(string(body), `"capacityGroupId":`)
			id = strings.Trim(id[:40], ` ",`)
			if c.asked != "" {
				f.query("insert into outbox.request_for_update (supplier, customer, capacity_group_id) values "+
					"($1, $2, "+c.asked+") returning ''", example.Supplier, example.Customer, id[:36])
			}
			if w := f.post(dcm.CapacityGroupEndpoint.Path, body); w.Code != c.status {
				t.Errorf("%d, want %d: %s", w.Code, c.status, w.Body)
			}
		})
	}
}

// TestBothStandardsOnOneDatabase: what one standard has judged stays its own when
// the setting changes, in the journal and in what partners fetch; both may run at
// once.
func TestBothStandardsOnOneDatabase(t *testing.T) {
	first := newFixture(t, nil)
	second := onDatabase(t, first.url, func(c *receiver.Config) { c.Standard, _ = standard.Of("cx-0128") })
	message := func(minute int) []byte {
		return volatileGroup(now.Add(48*time.Hour), now.Add(time.Duration(minute)*time.Minute))
	}
	type sent struct {
		to   *fixture
		body []byte
		rule int
	}
	var want []string
	for i, s := range []sent{
		{first, message(0), 5}, {second, message(0), 9}, {second, message(2), 6}, {first, message(1), 6},
		{second, message(1), 8}, {first, message(3), 4},
	} {
		w := s.to.post(dcm.CapacityGroupEndpoint.Path, s.body)
		var answer struct{ Standard, Instance string }
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		if rules := rulesOf(w); !slices.Equal(rules, []int{s.rule}) {
			t.Errorf("message %d: rules %v, want %d: %s", i, rules, s.rule, w.Body)
		}
		want = append(want, fmt.Sprintf("%s rule %d", answer.Standard, s.rule))
		other := first
		if s.to == first {
			other = second
		}
		r := request("", nil)
		r.Method, r.URL.Path = "GET", answer.Instance
		if shown := other.do(r); !bytes.Contains(shown.Body.Bytes(),
			fmt.Appendf(nil, `"standard":%q`, answer.Standard)) ||
			!bytes.Contains(shown.Body.Bytes(), fmt.Appendf(nil, `"rule":%d,`, s.rule)) {
			t.Errorf("message %d is shown by the other as %s", i, shown.Body)
		}
	}
	if diff := cmp.Diff(want,
		first.query(`select standard || ' rule ' || rule from planning.message_object order by message`)); diff != "" {
		t.Error(diff)
	}
	// Metrics and log of each have its own numbers, and those alone.
	for f, want := range map[*fixture]map[string]string{
		first:  {"CX-0048 v1.0.0 §3.2.7": "4 overwritten 1, 5 created 1, 6 ignored 1"},
		second: {"CX-0128 v2.3.0 §4.2.2.7": "6 overwritten 1, 8 ignored 1, 9 overwritten 1"},
	} {
		counted := map[string]string{}
		for _, m := range regexp.MustCompile(
			`(?m)^dcm_objects_total\{endpoint="week-based-capacity-group",outcome="(\w+)",rule="(\d)",`+
				`standard="([^"]*)"\} (\d+)$`).FindAllStringSubmatch(f.metrics(), -1) {
			counted[m[3]] = strings.TrimPrefix(counted[m[3]]+", ", ", ") + m[2] + " " + m[1] + " " + m[4]
		}
		for standard, list := range counted {
			parts := strings.Split(list, ", ")
			slices.Sort(parts)
			counted[standard] = strings.Join(parts, ", ")
		}
		if diff := cmp.Diff(want, counted); diff != "" {
			t.Errorf("metrics: %s", diff)
		}
		for standard := range want {
			if n := strings.Count(f.log.String(), `"standard":"`+standard+`"`); n != 3 ||
				strings.Count(f.log.String(), `"standard":"CX`) != 3 {
				t.Errorf("the log names %s %d times, want 3:\n%s", standard, n, f.log)
			}
		}
	}
}

// TestBothStandardsAtOnce: while a change of the setting rolls over the replicas, both
// rule sets decide on one database. Messages about one group that come to both at one
// moment have the verdicts that some order of them gives, each by its own rules.
func TestBothStandardsAtOnce(t *testing.T) {
	const rounds, messages = 12, 6
	c, partners := newCommented(t, rounds)
	replicas := []*fixture{onDatabase(t, c.url, nil), c.fixture}
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	want := map[string]int{}
	for round, partner := range partners {
		groups := make([]linked, messages)
		got := make([]string, messages)
		var wait sync.WaitGroup
		for i := range groups {
			groups[i] = linked{object: object{id: modelIDs[1], supplier: partner, customer: example.Customer,
				week:      "2026-12-07",
				changedAt: now.Add(time.Duration(random.IntN(3))), quantity: i}, links: []string{"series", "series",
				"both"}[random.IntN(3)]}
			if n := random.IntN(4); n > 0 {
				groups[i].start = now.Add(time.Duration(n-2) * time.Nanosecond) // past, now, future
			}
			wait.Go(func() {
				r := request(dcm.CapacityGroupEndpoint.Path, strings.NewReader(inEnvelope(dcm.CapacityGroupEndpoint,
					partner, example.Customer, groups[i].json())))
				r.Header.Set("Edc-Bpn", partner)
				w := replicas[i%2].do(r)
				var answer struct{ Standard string }
				if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
					t.Error(err)
				}
				got[i] = fmt.Sprint(answer.Standard, rulesOf(w), w.Code)
			})
		}
		wait.Wait()
		stored := c.query(
			"select actual_capacity::text from planning.capacity where supplier = $1 and capacity_group_id = $2",
			partner, modelIDs[1])
		if !inSomeOrder([]int{0, 1, 2, 3, 4, 5}, groupsKnown{},
			func(k groupsKnown) groupsKnown { return maps.Clone(k) }, func(k groupsKnown, i int) bool {
				standard, judge := "CX-0048 v1.0.0 §3.2.7", k.judgeByCX0048
				if i%2 == 1 {
					standard, judge = "CX-0128 v2.3.0 §4.2.2.7", func(g linked) (int,
						int) {
						return k.judge(g, partner, now, false)
					}
				}
				rule, code := judge(groups[i])
				return got[i] == fmt.Sprint(standard, []int{rule}, code)
			}, func(k groupsKnown) bool {
				var left []string
				for _, g := range k {
					left = append(left, fmt.Sprint(g.quantity))
				}
				return slices.Equal(left, stored)
			}) {
			t.Errorf("round %d: no order of the messages explains the verdicts %v and %v stored: %+v", round, got,
				stored, groups)
		}
		for _, verdict := range got {
			standard, _, _ := strings.Cut(verdict, "[")
			want[standard]++
		}
	}
	have := map[string]int{}
	for _, line := range c.query("select standard from planning.message_object where object_id = $1", modelIDs[1]) {
		have[line]++
	}
	if diff := cmp.Diff(want, have); diff != "" || len(want) != 2 {
		t.Errorf("verdicts in the journal by standard: %v %s", want, diff)
	}
}

// judgeByCX0048 is CX-0048 §3.2.7 for a group that is valid, of its sender and for us.
func (known groupsKnown) judgeByCX0048(g linked) (rule, code int) {
	key := g.customer + " " + strings.ToLower(g.id)
	before, is := known[key]
	if is && g.changedAt.Before(before.changedAt) {
		return 6, 400
	}
	known[key] = g
	switch {
	case !is:
		return 5, 201
	case g.changedAt.Equal(before.changedAt):
		return 7, 200
	}
	return 4, 200
}

// TestPastWeeks: a week other than the current and the next one must be there. Past
// ones count, because the published examples have no other; where the operator takes
// CX-0128 at its word ("at least one week, where N>1"), they do not.
func TestPastWeeks(t *testing.T) {
	usual, _ := standard.Of("cx-0128")
	strict := usual
	strict.WeekAhead = true
	receivers := map[bool]*fixture{}
	for _, by := range []standard.Standard{usual, strict} {
		receivers[by.WeekAhead] = newFixture(t, func(c *receiver.Config) { c.Standard = by })
	}
	for i, c := range []struct {
		name               string
		weeks              []string // the current one is 2026-11-23
		usual, toTheLetter int
	}{
		{"a past one", []string{"2026-11-16"}, 201, 400},
		{"past ones, the current and the next", []string{"2026-11-09", "2026-11-16", "2026-11-23", "2026-11-30"}, 201,
			400},
		{"the current and the next", []string{"2026-11-23", "2026-11-30"}, 400, 400},
		{"the one after the next", []string{"2026-12-07"}, 201, 201},
		{"a past one and one ahead", []string{"2026-11-16", "2026-12-14"}, 201, 201},
		{"none", nil, 201, 201}, // capacities may be absent (conformance.md, C5)
	} {
		for _, by := range []standard.Standard{usual, strict} {
			t.Run(fmt.Sprintf("%s, to the letter %t", c.name, by.WeekAhead), func(t *testing.T) {
				f := receivers[by.WeekAhead]
				var capacities, demands []string
				for _, week := range c.weeks {
					capacities = append(capacities,
						fmt.Sprintf(`{"pointInTime":%q,"actualCapacity":1,"maximumCapacity":1}`, week))
					demands = append(demands, fmt.Sprintf(`{"pointInTime":%q,"demand":1}`, week))
				}
				group := linked{object: object{id: uuid.NewString(), supplier: example.Supplier,
					customer: example.Customer, changedAt: now, week: "2026-12-07"}, links: "series"}.json()
				begin, rest, _ := strings.Cut(group, `"capacities":[`)
				_, rest, _ = strings.Cut(rest, `]`)
				group = begin + `"capacities":[` + strings.Join(capacities, ",") + "]" + rest
				if len(c.weeks) == 0 {
					group = strings.Replace(group, `"capacities":[],`, "", 1)
				}
				want := c.usual
				if by.WeekAhead {
					want = c.toTheLetter
				}
				w := f.post(dcm.CapacityGroupEndpoint.Path, []byte(inEnvelope(dcm.CapacityGroupEndpoint,
					example.Supplier, example.Customer, group)))
				if places := pointersResolve(t, []byte(inEnvelope(dcm.CapacityGroupEndpoint, "", "", group)),
					w); w.Code != want ||
					want == 400 && !slices.Equal(places, []string{"/content/informationObject/0/capacities"}) {
					t.Errorf("group: %d, want %d: %s", w.Code, want, w.Body)
				}
				if len(c.weeks) == 0 {
					return
				}
				demand := fmt.Sprintf(`{"materialDemandId":%q,"supplier":%q,"customer":%q,
					"materialNumberCustomer":"m%d","materialDescriptionCustomer":"d","changedAt":"2026-11-20T10:00:00Z",
					"unitOfMeasureIsOmitted":true,"materialDemandIsInactive":false,
					"demandSeries":[{"customerLocation":"BPNS8888888888XX",
					"demandCategory":{"demandCategoryCode":"0001"},"demands":[%s]}]}`,
					uuid.NewString(), example.Supplier, example.Customer, i, strings.Join(demands, ","))
				w = f.post(dcm.MaterialDemandEndpoint.Path, []byte(inEnvelope(dcm.MaterialDemandEndpoint,
					example.Customer, example.Supplier, demand)))
				if places := pointersResolve(t, []byte(inEnvelope(dcm.MaterialDemandEndpoint, "", "", demand)),
					w); w.Code != want ||
					want == 400 && !slices.Equal(places, []string{"/content/informationObject/0/demandSeries"}) {
					t.Errorf("demand: %d, want %d: %s", w.Code, want, w.Body)
				}
			})
		}
	}
}

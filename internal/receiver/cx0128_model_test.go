package receiver_test

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/example"
	"dcm-receiver/internal/receiver"
	"dcm-receiver/internal/standard"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"
)

// These are CX-0128 §4.2.2.7 and §4.4.2.7 once more, in memory, written from the text
// and apart from the tables; and histories of several partners side by side on two
// replicas, which must have the models' verdicts.

// inEnvelope is a message of objects by CX-0128.
func inEnvelope(e dcm.Endpoint, sender, receiver string, objects ...string) string {
	latest := standard.Latest()
	return fmt.Sprintf(`{"messageHeader":{"header":{"messageId":%q,"context":"%s.x.x",
		"sentDateTime":"2026-11-20T10:00:05Z","senderBpn":%q,"receiverBpn":%q,"version":"3.0.0"}},
		"content":{"informationObject":[%s]}}`, uuid.New(), latest.Context(e, ""), sender, receiver,
		strings.Join(objects, ",\n"))
}

// linked is a capacity group as the model knows it.
type linked struct {
	object
	links string // series, groups, both, neither, empty lists
	start time.Time
}

func (g linked) json() string {
	const series = `"linkedDemandSeries":[{"materialNumberCustomer":"m","customerLocation":"BPNS8888888888XX",` +
		`"demandCategory":{"demandCategoryCode":"0001"}}]`
	const groups = `"linkedCapacityGroups":["be4d8470-2de6-43d2-b5f8-2e5d3eebf3fd"]`
	more := map[string]string{"series": "," + series, "groups": "," + groups, "both": "," + series + "," + groups,
		"empty lists": `,"linkedDemandSeries":[],"linkedCapacityGroups":[]`}[g.links]
	if !g.start.IsZero() {
		more += fmt.Sprintf(`,"demandVolatilityParameters":{"startReferenceDateTime":%q,"measurementInterval":4}`,
			g.start.Format(time.RFC3339Nano))
	}
	return strings.TrimSuffix(g.object.json(), "}") + more + "}"
}

// goneOn counts the measurements that the model let go on.
var goneOn atomic.Int64

// groupsKnown is what one supplier's messages have left, by customer and ID.
type groupsKnown map[string]linked

// judge is §4.2.2.7 for one object. asked tells that our own request for update
// suspends rule 5.
func (known groupsKnown) judge(g linked, sender string, at time.Time, asked bool) (rule, code int) {
	key := g.customer + " " + strings.ToLower(g.id)
	before, isKnown := known[key]
	day, _ := time.Parse(time.DateOnly, g.week)
	accept := func(rule, code int) (int, int) {
		known[key] = g
		return rule, code
	}
	if day.Weekday() != time.Monday {
		return 1, 400
	}
	if g.supplier != sender {
		return 2, 400
	}
	if g.customer != example.Customer && g.customer != "BPNL8888888888YY" {
		return 3, 400
	}
	if g.links != "series" && g.links != "groups" {
		return 4, 400
	}
	isPast := !g.start.IsZero() && g.start.Before(at)
	isCurrentValue := isKnown && !before.start.IsZero() && before.start.Equal(g.start)
	if isPast && isCurrentValue && !asked {
		goneOn.Add(1)
	}
	if isPast && !isCurrentValue && !asked {
		return 5, 400
	}
	switch {
	case !isKnown:
		return accept(7, 201)
	case g.changedAt.Before(before.changedAt):
		return 8, 400
	case g.changedAt.Equal(before.changedAt):
		return accept(9, 200)
	}
	return accept(6, 200)
}

// statusOf is the status of a message whose objects have the given codes.
func statusOf(codes []int) int {
	if len(codes) == 1 {
		return codes[0]
	}
	if slices.Max(codes) >= 400 {
		return 400
	}
	return 200
}

var modelIDs = []string{"0157ba42-d2a8-4e28-8565-7b07830c1110", "be4d8470-2de6-43d2-b5f8-2e5d3eebf3fd",
	"00000000-0000-0000-0000-000000000000"}

// TestModelOfCX0128 sends random histories of several suppliers side by side to two
// replicas on one database, with and without the switch that suspends rule 5. Their
// clock goes on from message to message, so that starts of measurement come to pass.
func TestModelOfCX0128(t *testing.T) {
	_ = flag.Set("rapid.checks", "20")
	base := time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)
	var clock atomic.Int64
	by := func(c *receiver.Config) {
		c.Standard, _ = standard.Of("cx-0128")
		c.Now = func() time.Time { return base.Add(time.Duration(clock.Load())) }
	}
	f := newFixture(t, by)
	replicas := map[bool][]*fixture{false: {f, onDatabase(t, f.url, by)},
		true: {onDatabase(t, f.url, by), onDatabase(t, f.url, by)}}
	for _, r := range replicas[true] {
		r.store.TellRequested()
	}
	seen := map[int]int{}
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		suspended := rapid.Bool().Draw(rt, "rule 5 suspended for what we asked for")
		const suppliers, messages = 3, 8
		histories := make([][][]linked, suppliers)
		asked := make([]map[string]bool, suppliers) // by customer and ID, or by customer alone
		for s := range histories {
			supplier := fmt.Sprintf("BPNL%06dSTRT%02d", run, s)
			histories[s] = rapid.SliceOfN(rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) linked {
				g := linked{
					object: object{
						id: rapid.SampledFrom(modelIDs).Draw(rt, "id"),
						customer: rapid.SampledFrom([]string{example.Customer, example.Customer, "BPNL8888888888YY",
							"BPNL9999999999ZZ"}).Draw(rt, "customer"),
						supplier: rapid.SampledFrom([]string{supplier, supplier, supplier, supplier,
							"BPNL0000000000ZZ"}).Draw(rt, "supplier"),
						changedAt: base.Add(time.Duration(rapid.IntRange(0, 3).Draw(rt, "changedAt"))).In(
							time.FixedZone("", rapid.SampledFrom([]int{0, 3600, -7200}).Draw(rt, "zone"))),
						quantity: rapid.IntRange(0, 2).Draw(rt, "quantity"),
						week: rapid.SampledFrom([]string{"2026-12-07", "2026-12-14", "2026-12-21", "2026-12-28",
							"2026-12-15"}).Draw(rt, "week"),
					},
					links: rapid.SampledFrom([]string{"series", "series", "series", "groups", "groups", "both",
						"neither", "empty lists"}).Draw(rt, "links"),
				}
				// At the time of a message, or right before it, or never: few, so that a
				// later message has the same.
				if hour := rapid.SampledFrom([]int{-1, 2, 2, 5}).Draw(rt, "start"); hour >= 0 {
					g.start = base.Add(time.Duration(hour)*time.Hour - time.Duration(rapid.IntRange(0, 1).Draw(rt,
						"nanosecond"))).In(g.changedAt.Location())
				}
				return g
			}), 1, 3), messages, messages).Draw(rt, "history")
			// One measurement goes on in every world: sent before its start, and again after it.
			running := linked{
				object: object{id: "5d2f6c1e-0b7a-4c35-9b1d-3f0c9a4be7d1", customer: example.Customer,
					supplier: supplier, changedAt: base, week: "2026-12-07"},
				links: "series", start: base.Add(2 * time.Hour),
			}
			for _, i := range []int{0, messages - 1} {
				histories[s][i] = append(histories[s][i], running)
			}
			asked[s] = map[string]bool{}
			for _, customer := range []string{example.Customer, "BPNL8888888888YY"} {
				what := rapid.SampledFrom([]string{"", "", "all", modelIDs[0]}).Draw(rt, "asked for")
				if what == "" {
					continue
				}
				id := any(what)
				asked[s][customer+" "+what] = true
				if what == "all" {
					id = nil
				}
				f.query("insert into outbox.request_for_update (supplier, customer, capacity_group_id) values "+
					"($1, $2, $3::text::uuid) returning ''", supplier, customer, id)
			}
		}
		known := make([]groupsKnown, suppliers)
		for s := range known {
			known[s] = groupsKnown{}
		}
		for i := range messages {
			clock.Store(int64(time.Duration(i) * time.Hour))
			at := base.Add(time.Duration(clock.Load()))
			var wait sync.WaitGroup
			answers := make([]*httptest.ResponseRecorder, suppliers)
			for s := range histories {
				supplier := fmt.Sprintf("BPNL%06dSTRT%02d", run, s)
				wait.Go(func() {
					var objects []string
					for _, g := range histories[s][i] {
						objects = append(objects, g.json())
					}
					r := request(dcm.CapacityGroupEndpoint.Path, strings.NewReader(
						inEnvelope(dcm.CapacityGroupEndpoint, supplier, example.Customer, objects...)))
					r.Header.Set("Edc-Bpn", supplier)
					answers[s] = replicas[suspended][(s+i)%2].do(r)
				})
			}
			wait.Wait()
			for s, w := range answers {
				var rules, codes []int
				for _, g := range histories[s][i] {
					isAsked := suspended && (asked[s][g.customer+" all"] || asked[s][g.customer+" "+g.id])
					rule, code := known[s].judge(g, fmt.Sprintf("BPNL%06dSTRT%02d", run, s), at, isAsked)
					rules, codes = append(rules, rule), append(codes, code)
					seen[rule]++
				}
				if got := rulesOf(w); w.Code != statusOf(codes) || !slices.Equal(got, rules) {
					rt.Errorf("message %d of supplier %d: status %d, rules %v; the model says %d, %v: %+v", i, s,
						w.Code, got, statusOf(codes), rules, histories[s][i])
				}
			}
		}
		for s := range known {
			var want []string
			for _, g := range known[s] {
				start := ""
				if !g.start.IsZero() {
					start = fmt.Sprintf(" %d", g.start.UnixNano())
				}
				want = append(want, fmt.Sprintf("%s %s %d %s %d%s", g.customer, g.id, g.changedAt.UnixNano(), g.week,
					g.quantity, start))
			}
			slices.Sort(want)
			got := f.query(`select concat_ws(' ', g.customer, g.capacity_group_id,
					(extract(epoch from g.changed_at) * 1000000)::numeric(30) * 1000 + g.changed_at_nanosecond,
					c.point_in_time, c.actual_capacity,
					(extract(epoch from g.start_reference_date_time) * 1000000)::numeric(30) * 1000 +
					g.start_reference_date_time_nanosecond)
				from planning.capacity_group g join planning.capacity c using (supplier, customer,
				capacity_group_id) where supplier = $1`,
				fmt.Sprintf("BPNL%06dSTRT%02d", run, s))
			slices.Sort(got)
			if diff := cmp.Diff(want, append([]string(nil), got...)); diff != "" {
				rt.Errorf("supplier %d: %s", s, diff)
			}
		}
	})
	for rule := 1; rule <= 9; rule++ {
		if seen[rule] == 0 || goneOn.Load() == 0 {
			t.Errorf("no object met rule %d, or no measurement went on (%d did): %v", rule, goneOn.Load(), seen)
		}
	}
}

// remark is a comment as the model knows it.
type remark struct {
	id, object, objectType string
	supplier, customer     string
	changedAt              time.Time // zero: missing
	text                   string
	requestDelete          bool
	invalid                bool
}

func (c remark) json() string {
	more := ""
	if !c.changedAt.IsZero() {
		more += fmt.Sprintf(`,"changedAt":%q`, c.changedAt.Format(time.RFC3339Nano))
	}
	if c.text != "" {
		more += fmt.Sprintf(`,"commentText":%q`, c.text)
	}
	if c.requestDelete {
		more += `,"requestDelete":true`
	}
	if c.invalid {
		more += `,"listOfReferenceDates":["2026-11-24"]`
	}
	return fmt.Sprintf(`{"commentId":%q,"objectId":%q,"objectType":%q,"supplier":%q,"customer":%q%s}`, c.id, c.object,
		c.objectType, c.supplier, c.customer, more)
}

// remarkKnown is what is left of a comment: what it says, or when it was deleted.
type remarkKnown struct {
	changedAt, deletedAt time.Time
	object, text         string
	isOurs               bool
}

// remarksKnown is what one partner's messages have left, by relationship and ID.
type remarksKnown map[string]remarkKnown

// judge is §4.4.2.7 for one object of a partner, with the choices that the text
// leaves; exchanged tells what there is, by relationship, type and ID.
func (known remarksKnown) judge(c remark, sender string, at time.Time, exchanged map[string]bool) (rule, code int) {
	relationship := c.supplier + " " + c.customer + " "
	key := relationship + strings.ToLower(c.id)
	before, isThere := known[key]
	if c.invalid {
		return 1, 400
	}
	if c.supplier != sender && c.customer != sender { // the header's rules 2 and 3 are of the whole message
		return 4, 403
	}
	if !exchanged[relationship+c.objectType+" "+c.object] {
		return 4, 403
	}
	if isThere && before.isOurs {
		return 4, 403
	}
	changedAt := c.changedAt
	if changedAt.IsZero() {
		changedAt = at
	}
	if c.requestDelete {
		latest := at
		for _, other := range []time.Time{c.changedAt, before.changedAt, before.deletedAt} {
			if other.After(latest) {
				latest = other
			}
		}
		known[key] = remarkKnown{deletedAt: latest}
		return 6, 200
	}
	now := remarkKnown{changedAt: changedAt, object: c.object, text: c.text}
	switch {
	case !isThere:
		known[key] = now
		return 8, 201
	case !before.deletedAt.IsZero():
		if c.changedAt.After(before.deletedAt) {
			known[key] = now
			return 8, 201
		}
		return 9, 400
	case changedAt.Before(before.changedAt):
		return 9, 400
	}
	known[key] = now
	return 7, 200
}

// commented is a database with things to comment on: for each partner, a group and
// a demand in both roles.
type commented struct {
	*fixture
	replicas  []*fixture
	exchanged map[string]bool
}

const (
	commentedGroup  = "aaaaaaaa-0000-4000-8000-000000000001"
	commentedDemand = "aaaaaaaa-0000-4000-8000-000000000002"
	ourComment      = "cccccccc-0000-4000-8000-000000000003"
)

func newCommented(t *testing.T, partners int) (*commented, []string) {
	both := func(c *receiver.Config) {
		withComments(c)
		c.CustomerBPNLs, c.SupplierBPNLs = []string{example.Customer}, []string{example.Customer}
	}
	f := newFixture(t, both)
	c := &commented{f, []*fixture{f, onDatabase(t, f.url, both)}, map[string]bool{}}
	conn, err := pgx.Connect(context.Background(), f.url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	var names []string
	for i := range partners {
		partner := fmt.Sprintf("BPNL%012d", i+1)
		names = append(names, partner)
		r := request(dcm.CapacityGroupEndpoint.Path, strings.NewReader(inEnvelope(dcm.CapacityGroupEndpoint, partner,
			example.Customer,
			linked{object: object{id: commentedGroup, supplier: partner, customer: example.Customer, changedAt: now,
				week: "2026-12-07"}, links: "series"}.json())))
		r.Header.Set("Edc-Bpn", partner)
		if w := f.do(r); w.Code != 201 {
			t.Fatal(w.Code, w.Body)
		}
		c.exchanged[partner+" "+example.Customer+" "+dcm.CapacityGroupType+" "+commentedGroup] = true
		for direction, supplier := range map[string]string{"sent": partner, "received": example.Customer} {
			customer := example.Customer
			if direction == "received" {
				customer = partner
			}
			if _, err := conn.Exec(context.Background(), `insert into dcm.material_demand (partner, direction,
				supplier, customer, material_demand_id, changed_at, changed_at_nanosecond,
				first_recorded_at, recorded_at, unit_of_measure_is_omitted, is_inactive, material_number_customer,
				material_description_customer)
				values ($1, $2, $3, $4, $5, now(), 0, now(), now(), true, false, 'm',
				'd')`, partner, direction, supplier, customer, commentedDemand); err != nil {
				t.Fatal(err)
			}
			c.exchanged[supplier+" "+customer+" "+dcm.MaterialDemandType+" "+commentedDemand] = true
		}
		// One of ours, which partners may not touch.
		if _, err := conn.Exec(context.Background(), `insert into outbox.comment (supplier, customer, comment_id,
			object_id, comment_text)
			values ($1, $2, $3, $4, 'ours')`, partner, example.Customer, ourComment, commentedGroup); err != nil {
			t.Fatal(err)
		}
	}
	return c, names
}

// known is what is there before the first message.
func (c *commented) known(partner string) remarksKnown {
	return remarksKnown{partner + " " + example.Customer + " " +
		ourComment: {changedAt: now, object: commentedGroup, text: "ours", isOurs: true}}
}

func (c *commented) send(replica int, sender string, comments ...remark) *httptest.ResponseRecorder {
	var objects []string
	for _, o := range comments {
		objects = append(objects, o.json())
	}
	r := request(dcm.CommentEndpoint.Path, strings.NewReader(inEnvelope(dcm.CommentEndpoint, sender, example.Customer,
		objects...)))
	r.Header.Set("Edc-Bpn", sender)
	return c.replicas[replica%len(c.replicas)].do(r)
}

// stored is what planners see of a partner's comments.
func (c *commented) stored(partner string) []string {
	rows := c.query(`select concat_ws('|', supplier || ' ' || customer || ' ' || comment_id, object_id,
		coalesce(comment_text, ''),
		case direction when 'sent' then '-' else to_char(changed_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')
		end, direction)
		from planning.comment where $1 in (supplier, customer)`, partner)
	slices.Sort(rows)
	return append([]string(nil), rows...)
}

// seen is the same by the model.
func (known remarksKnown) seen() (rows []string) {
	for key, k := range known {
		if k.deletedAt.IsZero() {
			direction := "received"
			at := k.changedAt.UTC().Format("2006-01-02 15:04:05.000000")
			if k.isOurs {
				direction, at = "sent", "-"
			}
			rows = append(rows, strings.Join([]string{key, k.object, k.text, at, direction}, "|"))
		}
	}
	slices.Sort(rows)
	return rows
}

func drawRemark(partner string, of func(n int) int) remark {
	choose := func(from ...string) string { return from[of(len(from))] }
	c := remark{
		id:     choose(modelIDs[0], modelIDs[0], modelIDs[1], ourComment, strings.ToUpper(modelIDs[0])),
		object: choose(commentedGroup, commentedGroup, commentedGroup, commentedDemand, modelIDs[1]),
		objectType: choose(dcm.CapacityGroupType, dcm.CapacityGroupType, dcm.CapacityGroupType,
			dcm.MaterialDemandType, "urn:samm:io.catenax.id_based_comment"),
		supplier: partner, customer: example.Customer,
		text: choose("", "one", "two", "three"), requestDelete: of(6) == 0, invalid: of(12) == 0,
	}
	if c.object == commentedDemand && of(4) > 0 { // most of them meet no rule 4
		c.objectType = dcm.MaterialDemandType
	}
	switch of(8) {
	case 0:
		c.supplier = "BPNL0000000000ZZ" // somebody else's relationship
	case 1:
		c.supplier, c.customer = example.Customer, partner
	}
	// A microsecond apart: planners see no more; missing; or far ahead, so that a
	// deletion does not count before it.
	switch n := of(6); n {
	case 0:
	case 1:
		c.changedAt = now.Add(time.Hour)
	default:
		c.changedAt = now.Add(time.Duration(n-3) * time.Microsecond)
	}
	return c
}

// TestModelOfComments sends random histories of several partners side by side to two
// replicas, and compares each verdict and what is left with the model.
func TestModelOfComments(t *testing.T) {
	const partners, messages = 32, 12
	c, names := newCommented(t, partners)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	seen := map[int]int{}
	var mu sync.Mutex
	for batch := range slices.Chunk(names, 4) {
		var wait sync.WaitGroup
		for s, partner := range batch {
			wait.Go(func() {
				random := rand.New(rand.NewPCG(seed, uint64(slices.Index(names, partner))))
				known := c.known(partner)
				for i := range messages {
					var sent []remark
					var rules, codes []int
					for range 1 + random.IntN(3) {
						o := drawRemark(partner, random.IntN)
						rule, code := known.judge(o, partner, now, c.exchanged)
						sent, rules, codes = append(sent, o), append(rules, rule), append(codes, code)
					}
					w := c.send(s+i, partner, sent...)
					if got := rulesOf(w); w.Code != statusOf(codes) || !slices.Equal(got, rules) {
						t.Errorf("message %d of %s: status %d, rules %v; the model says %d, %v: %+v", i, partner,
							w.Code, got, statusOf(codes), rules, sent)
						return
					}
					mu.Lock()
					for _, rule := range rules {
						seen[rule]++
					}
					mu.Unlock()
				}
				if diff := cmp.Diff(known.seen(), c.stored(partner)); diff != "" {
					t.Errorf("%s: %s", partner, diff)
				}
			})
		}
		wait.Wait()
	}
	for _, rule := range []int{1, 4, 6, 7, 8, 9} { // 2 and 3 are of the header, 5 is of those who process less
		if seen[rule] == 0 {
			t.Errorf("no comment met rule %d: %v", rule, seen)
		}
	}
}

// inSomeOrder reports whether some order of the messages gives all their verdicts and
// leaves what is stored. judge changes the state that it is handed.
func inSomeOrder[S any](left []int, state S, copyOf func(S) S, judge func(S, int) bool, matches func(S) bool) bool {
	if len(left) == 0 {
		return matches(state)
	}
	for i, message := range left {
		s := copyOf(state)
		if judge(s, message) && inSomeOrder(slices.Delete(slices.Clone(left), i, i+1), s, copyOf, judge, matches) {
			return true
		}
	}
	return false
}

// TestAtOnceOrInSomeOrder: messages about one comment, or one group, that arrive at
// one moment at two replicas have verdicts that some serial order of them gives, and
// that order's end is what is stored. Repeats are among them.
func TestAtOnceOrInSomeOrder(t *testing.T) {
	const rounds, messages = 24, 6
	c, partners := newCommented(t, rounds)
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	indexes := []int{0, 1, 2, 3, 4, 5}
	sent := 0
	for round, partner := range partners {
		known, groupsThere := c.known(partner), groupsKnown{}
		if round%4 > 0 { // in most rounds they meet what is there already
			first := remark{id: modelIDs[0], object: commentedGroup, objectType: dcm.CapacityGroupType,
				supplier: partner, customer: example.Customer, text: "first",
				changedAt: now.Add(-time.Second)}
			if rule, _ := known.judge(first, partner, now, c.exchanged); !slices.Equal(
				rulesOf(c.send(0, partner, first)), []int{rule}) {
				t.Fatal("the first comment is not taken")
			}
			sent++
		}
		comments := make([]remark, messages)
		for i := range comments {
			comments[i] = remark{id: modelIDs[0], object: commentedGroup, objectType: dcm.CapacityGroupType,
				supplier: partner, customer: example.Customer,
				text: fmt.Sprint(i), changedAt: now.Add(time.Duration(random.IntN(3)-1) * time.Microsecond),
				requestDelete: random.IntN(5) == 0}
			if i > 0 && random.IntN(4) == 0 {
				comments[i] = comments[i-1] // sent again
			}
		}
		got := make([][]int, messages)
		var wait sync.WaitGroup
		for i := range comments {
			wait.Go(func() {
				w := c.send(i, partner, comments[i])
				got[i] = append(rulesOf(w), w.Code)
			})
		}
		wait.Wait()
		sent += messages
		left := c.stored(partner)
		if !inSomeOrder(indexes, known, func(k remarksKnown) remarksKnown { return maps.Clone(k) },
			func(k remarksKnown, i int) bool {
				rule, code := k.judge(comments[i], partner, now, c.exchanged)
				return slices.Equal(got[i], []int{rule, code})
			}, func(k remarksKnown) bool { return slices.Equal(k.seen(), left) }) {
			t.Errorf("round %d: no order of the messages explains the verdicts %v and what is stored: %+v", round,
				got, comments)
		}

		groups := make([]linked, messages)
		for i := range groups {
			groups[i] = linked{object: object{id: modelIDs[1], supplier: partner, customer: example.Customer,
				week:      "2026-12-07",
				changedAt: now.Add(time.Duration(random.IntN(3))), quantity: i}, links: "series"}
			if n := random.IntN(4); n > 0 {
				groups[i].start = now.Add(time.Duration(n-2) * time.Nanosecond) // past, now, future
			}
		}
		post := func(replica int, g linked) *httptest.ResponseRecorder {
			r := request(dcm.CapacityGroupEndpoint.Path, strings.NewReader(inEnvelope(dcm.CapacityGroupEndpoint,
				partner, example.Customer, g.json())))
			r.Header.Set("Edc-Bpn", partner)
			return c.replicas[replica].do(r)
		}
		if round%4 > 0 {
			first := groups[0]
			first.changedAt, first.start = now.Add(-time.Second), time.Time{}
			if rule, _ := groupsThere.judge(first, partner, now, false); !slices.Equal(rulesOf(post(0, first)),
				[]int{rule}) {
				t.Fatal("the first group is not taken")
			}
		}
		for i := range groups {
			wait.Go(func() {
				w := post(i%2, groups[i])
				got[i] = append(rulesOf(w), w.Code)
			})
		}
		wait.Wait()
		stored := c.query(
			"select actual_capacity::text from planning.capacity where supplier = $1 and capacity_group_id = $2",
			partner, modelIDs[1])
		if !inSomeOrder(indexes, groupsThere, func(k groupsKnown) groupsKnown { return maps.Clone(k) },
			func(k groupsKnown, i int) bool {
				rule, code := k.judge(groups[i], partner, now, false)
				return slices.Equal(got[i], []int{rule, code})
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
	}
	if entries := c.query(`select count(*)::text from planning.message_object o join planning.message m on m.id =
		o.message and m.sender = o.sender
		where m.endpoint = 'id-based-comment'`); entries[0] != fmt.Sprint(sent) {
		t.Errorf("the journal has %s of %d verdicts", entries[0], sent)
	}
}

//go:build linux && torture

package torture

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// key names a capacity group.
type key struct {
	supplier, customer string
	id                 uuid.UUID
}

func (k key) String() string {
	return fmt.Sprintf("group %s of %s for %s", k.id, k.supplier, k.customer)
}

// object is a capacity group as sent.
type object struct {
	key       key
	changedAt int64  // nanoseconds since 1970
	name      string // no other object of the run has it
	weeks     int
	quantity  int
	rule      int // 1 to 3 where that is certain; 0: it depends on what is stored
}

// message is what a client sends, perhaps several times.
type message struct {
	endpoint string
	supplier string
	id       uuid.UUID // messageId; zero without a header
	body     string
	objects  []object              // of capacity groups
	requests []uuid.UUID           // of a request for update; none: asks for all
	spoil    func(r *http.Request) // makes it a request that is not let in
	status   int                   // the one answer that is right; 0: it depends on what is stored
}

// attempt is one time that a message was sent, and what the client saw.
type attempt struct {
	*message
	agreement      string // names the attempt in the journal
	sent, answered time.Time
	status         int  // 0: no answer of the receiver
	nothingStored  bool // 503, and its detail says so
	instance       uuid.UUID
	rules          []int
}

func (a *attempt) refusedAtTheDoor() bool { return a.spoil != nil }

// acknowledged reports whether the sender may forget the message.
func (a *attempt) acknowledged() bool {
	return !a.refusedAtTheDoor() && a.status != 0 && a.status != http.StatusServiceUnavailable
}

// during reports whether it was sent in one of the intervals.
func (a *attempt) during(intervals [][2]time.Time) bool {
	return slices.ContainsFunc(intervals, func(i [2]time.Time) bool {
		return a.sent.After(i[0]) &&
			a.sent.Before(i[1])
	})
}

// history is all that the clients of a round did and saw.
type history struct {
	name      string // no other round of the run has it
	suppliers []string
	ids       []uuid.UUID // for which the clients compete
	mu        sync.Mutex
	attempts  []*attempt
	wrong     []string         // answers that should never be given
	latest    map[key]int64    // changedAt that was sent last
	clock     int64            // of changedAt
	number    int              // of messages
	foreign   map[string]int64 // answers of the load balancer by status
}

func newHistory(name string, random *rand.Rand) *history {
	h := &history{name: name, clock: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano(), latest: map[key]int64{},
		foreign: map[string]int64{}}
	for range 3 {
		h.suppliers = append(h.suppliers, fmt.Sprintf("BPNL%012d", random.Uint64N(1e12)))
	}
	for range 25 {
		h.ids = append(h.ids, newID(random))
	}
	return h
}

func newID(random *rand.Rand) (id uuid.UUID) {
	for i := range id {
		id[i] = byte(random.Uint32())
	}
	return id
}

func (h *history) complain(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wrong = append(h.wrong, fmt.Sprintf(format, args...))
}

// client sends messages of one supplier. It competes with others of the same
// supplier, and shares IDs with other suppliers.
type client struct {
	*history
	random   *rand.Rand
	url      string
	supplier string
	http     http.Client
}

func (h *history) newClient(url string, supplier string, random *rand.Rand) *client {
	return &client{history: h, random: random, url: url, supplier: supplier,
		// longer than the receiver gives itself
		http: http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 4}}}
}

// run sends random messages until ctx ends. Like an outbox, it mostly sends
// again what was not answered; like a data plane, it sometimes sends the same
// message side by side.
func (c *client) run(ctx context.Context) {
	defer c.http.CloseIdleConnections()
	for ctx.Err() == nil {
		m := c.next()
		if c.random.IntN(25) == 0 {
			var repeats sync.WaitGroup
			for range 2 + c.random.IntN(2) {
				repeats.Go(func() { c.send(m) })
			}
			repeats.Wait()
		}
		for tries := 1; c.send(m) != nil && ctx.Err() == nil && c.random.IntN(4) > 0 && tries < 4; tries++ {
			time.Sleep(time.Duration(c.random.IntN(200)) * time.Millisecond)
		}
		time.Sleep(time.Duration(c.random.IntN(10)) * time.Millisecond)
	}
}

// next makes a message.
func (c *client) next() *message {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.number++
	m := &message{endpoint: capacityGroup, supplier: c.supplier, id: newID(c.random)}
	size := 1
	switch n := c.random.IntN(1000); {
	case n < 60:
		return c.refused(m)
	case n < 160:
		return c.forUpdate(m)
	case n < 320:
		size = 2 + c.random.IntN(20)
	case n < 340:
		size = 50 + c.random.IntN(300)
	case n < 343:
		size = 1000 + c.random.IntN(2000)
	}
	var items []string
	for i := range size {
		o := c.object(i, size)
		m.objects = append(m.objects, o)
		changedAt := time.Unix(0, o.changedAt).In(time.FixedZone("", 3600*c.random.IntN(3))).Format(time.RFC3339Nano)
		weeks := o.weeks
		if o.rule == 1 {
			changedAt = "yesterday"
		}
		items = append(items, group(o.key.supplier, o.key.customer, c.spell(o.key.id), changedAt, o.name, weeks,
			o.quantity))
	}
	list := "[" + strings.Join(items, ",") + "]"
	if m.body = list; c.random.IntN(4) > 0 {
		m.body = envelope(m.endpoint, c.spell(m.id), c.supplier, list)
	} else {
		m.id = uuid.Nil
	}
	return m
}

// spell writes an ID in one of the ways that mean the same.
func (c *client) spell(id uuid.UUID) string {
	switch c.random.IntN(3) {
	case 0:
		return id.URN()
	case 1:
		return strings.ToUpper(id.String())
	}
	return id.String()
}

func (c *client) object(index, size int) object {
	o := object{key: key{c.supplier, customer, c.ids[c.random.IntN(len(c.ids))]},
		name: fmt.Sprintf("%s message %d object %d", c.history.name, c.number, index), weeks: 1 + c.random.IntN(4),
		quantity: c.number*5000 + index}
	if size > 20 && c.random.IntN(20) > 0 {
		o.key.id = newID(c.random) // long lists are of new groups mostly
	}
	switch n := c.random.IntN(200); {
	case n < 6:
		o.rule = 1
	case n < 9:
		o.rule, o.key.supplier = 2, c.suppliers[0]
		if o.key.supplier == c.supplier {
			o.key.supplier = c.suppliers[1]
		}
	case n < 12:
		o.rule, o.key.customer = 3, "BPNL0000000OTHER"
	}
	c.clock += 1 + c.random.Int64N(1000)
	o.changedAt = c.clock
	if latest, sent := c.latest[o.key]; sent {
		switch c.random.IntN(5) {
		case 0:
			o.changedAt = latest
		case 1:
			o.changedAt = latest - 1 - c.random.Int64N(100_000)
		}
	}
	if o.rule == 0 {
		c.latest[o.key] = o.changedAt
	}
	return o
}

func (c *client) forUpdate(m *message) *message {
	m.endpoint, m.status = requestForUpdate, http.StatusOK
	var items []string
	for range c.random.IntN(6) {
		id := newID(c.random)
		m.requests = append(m.requests, id)
		items = append(items, fmt.Sprintf(`{"materialDemandId":%q}`, c.spell(id)))
	}
	m.body = envelope(m.endpoint, c.spell(m.id), c.supplier,
		`[{"weekBasedMaterialDemand":[`+strings.Join(items, ",")+`]}]`)
	return m
}

// refused makes a message that is refused as a whole.
func (c *client) refused(m *message) *message {
	if c.random.IntN(2) == 0 {
		m.endpoint = requestForUpdate
	}
	m.body = envelope(m.endpoint, m.id.String(), c.supplier, "[]")
	refusals := []struct {
		status int
		make   func()
	}{
		{422, func() { m.body = m.body[:len(m.body)-1-c.random.IntN(20)] }},
		{400, func() { m.body = envelope(m.endpoint, m.id.String(), "BPNL0000000OTHER", "[]") }},
		{400, func() { m.body = `{"content":{"informationObject":7}}` }},
		{404, func() { m.spoil = func(r *http.Request) { r.URL.Path += "/other" } }},
		{405, func() { m.spoil = func(r *http.Request) { r.Method = http.MethodPut } }},
		{401, func() { m.spoil = func(r *http.Request) { r.Header.Del("X-Api-Key") } }},
		{401, func() { m.spoil = func(r *http.Request) { r.Header.Add("Edc-Bpn", m.supplier) } }},
		{403, func() { m.spoil = func(r *http.Request) { r.Header.Set("Edc-Bpn", "BPNL0000STRANGER") } }},
		{415, func() { m.spoil = func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") } }},
	}
	r := refusals[c.random.IntN(len(refusals))]
	m.status = r.status
	r.make()
	return m
}

// send sends a message once. The error is why it should be sent again.
func (c *client) send(m *message) error {
	c.mu.Lock()
	a := &attempt{message: m, agreement: fmt.Sprintf("%s attempt %d", c.history.name, len(c.attempts))}
	c.attempts = append(c.attempts, a)
	c.mu.Unlock()
	r := newRequest(context.Background(), c.url+"/"+m.endpoint, m.supplier, m.body)
	r.Header.Set("Edc-Contract-Agreement-Id", a.agreement)
	if m.spoil != nil {
		m.spoil(r)
	}
	a.sent = time.Now()
	resp, err := c.http.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/") {
		c.mu.Lock() // a load balancer's own answers are text/html
		defer c.mu.Unlock()
		c.foreign[resp.Status]++
		return fmt.Errorf("the load balancer answered %s", resp.Status)
	}
	a.answered, a.status = time.Now(), resp.StatusCode
	if err := c.understand(a, resp, body); err != nil {
		c.complain("%s, %s: %v: %.300s", a.agreement, a.endpoint, err, body)
	}
	if a.status == http.StatusServiceUnavailable {
		return fmt.Errorf("503")
	}
	return nil
}

// understand reads an answer and says what is wrong with it in itself.
func (c *client) understand(a *attempt, resp *http.Response, body []byte) error {
	if err := checkAnswer(resp, body); err != nil {
		return err
	}
	if a.status == http.StatusServiceUnavailable {
		a.nothingStored = bytes.Contains(body, []byte("nothing of"))
		if !a.nothingStored && !bytes.Contains(body, []byte("could not be asked whether it did")) {
			return errors.New("does not say whether anything was stored")
		}
		return nil
	}
	var answer struct {
		Instance, MessageID string
		Results             []struct {
			Index, Rule     int
			CapacityGroupID uuid.UUID
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return err
	}
	if a.message.status != 0 && a.status != a.message.status {
		return fmt.Errorf("answered %d instead of %d", a.status, a.message.status)
	}
	if a.refusedAtTheDoor() {
		return nil
	}
	instance, err := uuid.Parse(strings.TrimPrefix(answer.Instance, "/messages/"))
	if a.instance = instance; err != nil {
		return fmt.Errorf("no instance: %w", err)
	}
	if len(answer.Results) != len(a.objects) {
		return fmt.Errorf("%d results for %d objects", len(answer.Results), len(a.objects))
	}
	for i, r := range answer.Results {
		if r.Index != i || r.CapacityGroupID != a.objects[i].key.id {
			return fmt.Errorf("result %d is of another object", i)
		}
		a.rules = append(a.rules, r.Rule)
	}
	if a.message.status == 0 {
		return checkStatus(a.status, a.rules, a.objects)
	}
	return nil
}

// checkStatus compares the status with the rules, as CX-0048 §3.2.6 demands, and
// the rules with what is certain of them.
func checkStatus(status int, rules []int, objects []object) error {
	want := 200
	for i, rule := range rules {
		if (objects[i].rule != 0 || rule < 4) && rule != objects[i].rule {
			return fmt.Errorf("rule %d decided about an object for rule %d", rule, objects[i].rule)
		}
		if slices.Contains([]int{1, 2, 3, 6}, rule) {
			want = 400
		}
	}
	if len(rules) == 1 && rules[0] == 5 {
		want = 201
	}
	if status != want {
		return fmt.Errorf("answered %d to rules %v", status, rules)
	}
	return nil
}

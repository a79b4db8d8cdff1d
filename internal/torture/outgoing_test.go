//go:build linux && torture

package torture

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/edc/edctest"
)

// outgoing is what a round of demands that go out happens in: two senders, a
// stand-in for the connectors, and partners that keep what reached them.
type outgoing struct {
	*world
	connector *edctest.Connector
	partners  []*recipient

	mu       sync.Mutex // owns the fields below
	quantity int        // of the next state: no two have the same
	acked    map[string]int
	asked    []question
}

// question is a request for update that a receiver answered 200.
type question struct {
	partner *recipient
	id      uuid.UUID
	at      time.Time
}

// recipient is a partner.
type recipient struct {
	*edctest.Partner
	random *rand.Rand

	mu       sync.Mutex // owns the fields below
	mood     string
	arrivals []arrival
	last     time.Time // when the last arrival came
}

// arrival is a state of an object that a partner took, or refused for what it says.
type arrival struct {
	material  uuid.UUID
	changedAt time.Time
	quantity  int
	refused   bool
	confirmed bool // with 2xx, though the answer may have been lost
}

// refuses: what a partner does not take, however it is sent.
func refuses(quantity int) bool { return quantity%10 == 3 }

// ServeHTTP takes demands as a receiver does, in the partner's present mood.
func (r *recipient) ServeHTTP(rw http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return
	}
	r.mu.Lock()
	mood, wait := r.mood, time.Duration(r.random.IntN(3000))*time.Millisecond
	r.mu.Unlock()
	switch mood {
	case "slow": // it goes on when no one waits for its answer any more
		time.Sleep(wait)
	case "busy":
		rw.Header().Set("Retry-After", "1")
		rw.WriteHeader(http.StatusServiceUnavailable)
		return
	case "broken":
		rw.WriteHeader(http.StatusInternalServerError)
		return
	case "cut before":
		panic(http.ErrAbortHandler)
	}
	var m struct {
		Content struct {
			InformationObject []struct {
				MaterialDemandID uuid.UUID
				ChangedAt        time.Time
				DemandSeries     []struct{ Demands []struct{ Demand int } }
			}
		}
	}
	if err := json.Unmarshal(body, &m); err != nil {
		rw.WriteHeader(http.StatusUnprocessableEntity)
		return
	}
	r.mu.Lock()
	any := false
	var now []arrival
	for _, o := range m.Content.InformationObject {
		a := arrival{material: o.MaterialDemandID, changedAt: o.ChangedAt,
			quantity: o.DemandSeries[0].Demands[0].Demand}
		a.refused = refuses(a.quantity)
		any = any || a.refused
		now = append(now, a)
	}
	for _, a := range now {
		a.confirmed = !any
		r.arrivals = append(r.arrivals, a)
	}
	r.last = time.Now()
	r.mu.Unlock()
	if mood == "cut after" {
		panic(http.ErrAbortHandler)
	}
	if any {
		rw.WriteHeader(http.StatusBadRequest)
	}
}

// moods are what goes wrong at a partner; each is over when the next begins.
var moods = []struct {
	name string
	make func(o *outgoing, r *recipient)
}{
	{"well", func(*outgoing, *recipient) {}},
	{"well", func(*outgoing, *recipient) {}},
	{"down", func(_ *outgoing, r *recipient) { r.Down(true) }},
	{"slow", func(*outgoing, *recipient) {}},
	{"busy", func(*outgoing, *recipient) {}},
	{"broken", func(*outgoing, *recipient) {}},
	{"cut before", func(*outgoing, *recipient) {}},
	{"cut after", func(*outgoing, *recipient) {}},
	{"transfers ended", func(o *outgoing, r *recipient) { o.connector.EndTransfers(r.Partner) }},
	{"contracts ended", func(o *outgoing, r *recipient) { o.connector.EndContracts(r.Partner) }},
	{"tokens expired", func(o *outgoing, r *recipient) { o.connector.ExpireTokens(r.Partner) }},
	{"refresh lost", func(o *outgoing, r *recipient) { o.connector.LoseRefresh(r.Partner) }},
	{"no contract", func(o *outgoing, r *recipient) { r.Refuse(true); o.connector.EndContracts(r.Partner) }},
	{"negotiations stuck", func(o *outgoing, r *recipient) { r.Stall(true); o.connector.EndContracts(r.Partner) }},
}

// feel changes the mood of a partner.
func (o *outgoing) feel(r *recipient, mood int) {
	r.Down(false)
	r.Refuse(false)
	r.Stall(false)
	r.mu.Lock()
	r.mood = moods[mood].name
	r.mu.Unlock()
	moods[mood].make(o, r)
}

// senders are two receivers with DCM_SEND on a primary with a synchronous standby.
func senders(w *world, binary string) {
	p := &pair{links: [2]*proxy{w.link, newProxy(w.t)}, replication: newProxy(w.t)}
	w.pair = p
	w.addStandby()
	o := &outgoing{world: w, acked: map[string]int{}, quantity: 1}
	w.outgoing = o
	var partners []*edctest.Partner
	for i := range 6 {
		bpnl := fmt.Sprintf("BPNL%012d", i)
		if i < len(w.history.suppliers) {
			bpnl = w.history.suppliers[i] // these ask, too
		}
		r := &recipient{random: rand.New(rand.NewPCG(w.random.Uint64(), 0))}
		r.Partner = &edctest.Partner{BPNL: bpnl, Backend: r, Sender: customer, Proxy: i%2 == 0, DSP25: i%3 == 0,
			Offers: []edctest.Offer{edctest.OfferOf(dcm.MaterialDemandEndpoint)}}
		o.partners = append(o.partners, r)
		partners = append(partners, r.Partner)
	}
	o.connector = edctest.New(w.t, partners...)
	for range 2 {
		w.startReceiver(binary, databaseURL(p.links[:]...), "DCM_SEND=true",
			"DCM_EDC_MANAGEMENT_URL="+o.connector.URL, "DCM_EDC_MANAGEMENT_KEY="+edctest.Key,
			"DCM_SHUTDOWN_DELAY=0s")
	}
	for _, r := range o.partners {
		w.admin(fmt.Sprintf("insert into outbox.partner (bpnl, dsp_url) values ('%s', '%s')", r.BPNL,
			o.connector.Address(r.Partner)))
	}
}

var senderFaults = []fault{
	{"a sender killed", func(w *world) { r := w.anyReceiver(); r.kill(); w.pause(time.Second); r.start() }},
	{"both senders killed", func(w *world) {
		for _, r := range w.receivers {
			r.kill()
		}
		for _, r := range w.receivers {
			r.start()
		}
	}},
	{"a sender stopped", func(w *world) { r := w.anyReceiver(); r.waitReady(); r.stop(w.t); r.start() }},
	{"a sender frozen", func(w *world) {
		r := w.anyReceiver()
		r.signal(syscall.SIGSTOP)
		w.pause(2 * time.Second)
		r.signal(syscall.SIGCONT)
	}},
}

// Rare: it takes as long as a claim.
var frozen = fault{"a sender frozen until the other goes on", func(w *world) {
	r := w.anyReceiver()
	r.signal(syscall.SIGSTOP)
	time.Sleep(22 * time.Second)
	r.signal(syscall.SIGCONT)
}}

// sendRound releases demands while faults happen, lets everything come to an end,
// and judges what came of it.
func (w *world) sendRound(duration time.Duration, faults []fault) findings {
	w.t.Helper()
	o := w.outgoing
	begin := w.receivers[0].resources()
	ctx, stop := context.WithTimeout(context.Background(), duration)
	defer stop()
	var busy sync.WaitGroup
	for _, r := range o.partners {
		releasing, asking, feeling := rand.New(rand.NewPCG(w.random.Uint64(), 0)),
			rand.New(rand.NewPCG(w.random.Uint64(), 0)), rand.New(rand.NewPCG(w.random.Uint64(), 0))
		busy.Go(func() { o.release(ctx, r, releasing) })
		busy.Go(func() {
			for sleep(ctx, time.Duration(200+feeling.IntN(2000))*time.Millisecond) {
				mood := feeling.IntN(len(moods))
				o.feel(r, mood)
				if name := moods[mood].name; name != "well" {
					o.mu.Lock()
					w.figures.faults["partner: "+name]++
					o.mu.Unlock()
				}
			}
		})
		if slices.Contains(w.history.suppliers, r.BPNL) {
			busy.Go(func() { o.ask(ctx, r, asking) })
		}
	}
	for w.pause(1500 * time.Millisecond); ctx.Err() == nil; w.pause(1500 * time.Millisecond) {
		f := faults[w.random.IntN(len(faults))]
		if w.random.IntN(30) == 0 {
			f = frozen
		}
		w.awaitServer()
		f.happen(w)
		o.mu.Lock()
		w.figures.faults[f.name]++
		o.mu.Unlock()
	}
	busy.Wait()
	w.awaitServer()
	for _, r := range o.partners {
		o.feel(r, 0)
	}
	for _, r := range w.receivers {
		r.waitReady()
	}
	calm := time.Now()
	ended := within(2*patience, func() bool {
		// As an operator says that a partner is back.
		w.admin("update outbox.partner set dsp_url = dsp_url where bpnl in (select partner from dcm.delivery " +
			"where state = 'waiting' and next_attempt_at > now() + interval '1 s')")
		time.Sleep(500 * time.Millisecond)
		return w.ask(
			"select (select count(*) from dcm.delivery where state in ('waiting', 'sending')) + (select count(*) "+
				"from dcm.requested_update where arrived_at is null)") == 0
	})
	if took := time.Since(calm); ended && took > w.figures.longestSending {
		w.figures.longestSending = took
	}
	time.Sleep(3 * time.Second) // what a slow partner still has
	f := o.judge()
	if !ended {
		f.unexplained = append(f.unexplained, fmt.Sprintf("%s after the last fault something still waits", 2*patience))
	}
	w.figures.rounds++
	w.figures.lost += len(f.lost)
	w.figures.unexplained += len(f.unexplained)
	for _, r := range w.receivers {
		if now := r.resources(); now.goroutines > begin.goroutines+60 || now.memory > 400<<20 {
			w.t.Errorf("%s: after the faults %.0f goroutines (%.0f before), %.0f MiB", w.name, now.goroutines,
				begin.goroutines, now.memory/(1<<20))
		}
	}
	return f
}

// sleep is false where ctx ends before.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// release changes demands for a partner and releases them, as an ETL tool does.
func (o *outgoing) release(ctx context.Context, r *recipient, random *rand.Rand) {
	for sleep(ctx, time.Duration(random.IntN(300))*time.Millisecond) {
		values := map[string]int{}
		o.mu.Lock()
		for range 1 + random.IntN(6) {
			values[fmt.Sprintf("M%d", random.IntN(12))] = o.quantity
			o.quantity++
		}
		o.mu.Unlock()
		err := o.commit(r.BPNL, values)
		o.mu.Lock()
		if err == nil {
			o.figures.releases++
			o.figures.states += len(values)
			for material, quantity := range values {
				o.acked[r.BPNL+" "+material] = quantity
			}
		}
		o.mu.Unlock()
	}
}

func (o *outgoing) commit(bpnl string, values map[string]int) error {
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, databaseURL(o.pair.links[:]...)+"&application_name=etl")
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		for _, material := range sorted(values) {
			if _, err := tx.Exec(ctx, `insert into outbox.demand_line (supplier, customer, material_number_customer,
				customer_location, point_in_time, demand)
				values ($1, $2, $3, 'BPNS00000000SITE', '2040-01-02', $4)
				on conflict (supplier, customer, material_number_customer, customer_location, demand_category_code,
				point_in_time) do update set demand = excluded.demand`,
				bpnl, customer, material, values[material]); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, "select outbox.release($1)", bpnl)
		return err
	})
}

// ask has a partner ask for all demands now and then.
func (o *outgoing) ask(ctx context.Context, r *recipient, random *rand.Rand) {
	for sleep(ctx, time.Duration(1000+random.IntN(4000))*time.Millisecond) {
		id, at := newID(random), time.Now()
		limited, cancel := context.WithTimeout(ctx, 6*time.Second)
		resp, err := operations.Do(newRequest(limited, "http://"+o.receivers[random.IntN(
			2)].partner+"/"+requestForUpdate, r.BPNL,
			envelope(requestForUpdate, id.String(), r.BPNL, `[{"weekBasedMaterialDemand":[]}]`)))
		cancel()
		if err != nil {
			continue
		}
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			o.mu.Lock()
			o.asked = append(o.asked, question{r, id, at})
			o.mu.Unlock()
		}
	}
}

// judge compares what was released, what planning.delivery says and what the
// partners got.
func (o *outgoing) judge() (f findings) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, o.server.URL("dcm"))
	if err != nil {
		o.t.Fatal(err)
	}
	defer conn.Close(ctx)
	lost := func(format string, args ...any) { f.lost = append(f.lost, fmt.Sprintf(format, args...)) }
	odd := func(format string, args ...any) { f.unexplained = append(f.unexplained, fmt.Sprintf(format, args...)) }
	type state struct {
		material  uuid.UUID
		changedAt int64 // microseconds: what is sent has no more
	}
	came := map[string]map[state]arrival{}
	for _, r := range o.partners {
		r.mu.Lock()
		came[r.BPNL] = map[state]arrival{}
		newest := map[uuid.UUID]arrival{}
		for _, a := range r.arrivals {
			o.figures.arrived++
			s := state{a.material, a.changedAt.UnixMicro()}
			if before, known := came[r.BPNL][s]; known && before.quantity != a.quantity {
				odd("%s got %s of %s as %d and as %d", r.BPNL, a.material, a.changedAt, before.quantity, a.quantity)
			} else {
				a.confirmed = a.confirmed || before.confirmed
				came[r.BPNL][s] = a
			}
			if last := newest[a.material]; a.changedAt.Before(last.changedAt) {
				odd("%s got %s of %s (%d) after the newer one of %s (%d)", r.BPNL, a.material, a.changedAt,
					a.quantity, last.changedAt, last.quantity)
			} else {
				newest[a.material] = a
			}
		}
		r.mu.Unlock()
	}
	rows, err := conn.Query(ctx, `select m.supplier, m.material_number_customer, m.material_demand_id::text,
		d.changed_at, d.changed_at = m.changed_at, d.state, coalesce(d.reason, ''),
			(select s.demand[1]::integer from dcm.demand_series s where s.partner = m.partner and s.direction =
			'sent' and s.supplier = m.supplier and s.customer = m.customer
				and s.material_number_customer = m.material_number_customer)
		from dcm.material_demand m
		left join dcm.delivery d on d.partner = m.partner and d.object_id = m.material_demand_id
		where m.direction = 'sent' order by 1, 2, 4`)
	if err != nil {
		o.t.Fatal(err)
	}
	var partner, number, id, delivery, reason string
	var changedAt time.Time
	var newest bool
	var quantity int
	stored := map[string]int{}
	_, err = pgx.ForEachRow(rows, []any{&partner, &number, &id, &changedAt, &newest, &delivery, &reason, &quantity},
		func() error {
			a, arrived := came[partner][state{uuid.MustParse(id), changedAt.UnixMicro()}]
			what := fmt.Sprintf("%s of %s for %s (now %d)", number, changedAt, partner, quantity)
			if newest {
				stored[partner+" "+number] = quantity
				if arrived && a.quantity != quantity {
					odd("%s arrived as %d", what, a.quantity)
				}
			}
			switch delivery {
			case "delivered":
				if o.figures.deliveries++; !arrived || !a.confirmed {
					lost("%s is delivered, but never reached the partner", what)
				}
			case "refused":
				if o.figures.refusals++; !arrived || !a.refused {
					odd("%s is refused, which its partner never did: %s", what, reason)
				}
			case "superseded":
				if newest {
					lost("%s is superseded, but there is none newer", what)
				}
			default:
				lost("%s is still %s: %s", what, delivery, reason)
			}
			return nil
		})
	if err != nil {
		o.t.Fatal(err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, key := range sorted(o.acked) {
		if stored[key] < o.acked[key] {
			lost("%s was released with %d, but is stored with %d", key, o.acked[key], stored[key])
		}
	}
	for _, q := range o.asked {
		var answer string
		if err := conn.QueryRow(ctx,
			"select answer from planning.request_for_update where supplier = $1 and message_id = $2", q.partner.BPNL,
			q.id.String()).Scan(&answer); err != nil {
			lost("the request %s of %s was answered 200: %v", q.id, q.partner.BPNL, err)
			continue
		}
		o.figures.questions++
		q.partner.mu.Lock()
		last := q.partner.last
		q.partner.mu.Unlock()
		switch {
		case answer == "waiting":
			lost("the request %s of %s has no answer", q.id, q.partner.BPNL)
		case answer == "sent" && last.Before(q.at):
			lost("the request %s of %s is answered, but nothing came", q.id, q.partner.BPNL)
		}
	}
	return f
}

// TestTakeOver: of two replicas one is killed while it sends; the other goes on
// within a minute, and each object is sent by one of them.
func TestTakeOver(t *testing.T) {
	const objects = 400
	w := newWorld(t, scenario{}, rand.New(rand.NewPCG(1, 0)), &figures{faults: map[string]int{}})
	r := &recipient{random: w.random}
	r.Partner = &edctest.Partner{BPNL: "BPNL000000000000", Backend: r, Sender: customer, Proxy: true,
		Offers: []edctest.Offer{edctest.OfferOf(dcm.MaterialDemandEndpoint)}}
	connector := edctest.New(t, r.Partner)
	binary := build(t)
	var ways [2]*proxy // to the connector: they show which replica it is that sends
	for i := range ways {
		ways[i] = newProxy(t)
		ways[i].lead("tcp", strings.TrimSuffix(strings.TrimPrefix(connector.URL, "http://"), "/management"))
		w.startReceiver(binary, databaseURL(w.link), "DCM_SEND=true",
			"DCM_EDC_MANAGEMENT_URL=http://"+ways[i].address()+"/management", "DCM_EDC_MANAGEMENT_KEY="+edctest.Key)
	}
	w.admin(fmt.Sprintf("insert into outbox.partner (bpnl, dsp_url) values ('%s', '%s')", r.BPNL,
		connector.Address(r.Partner)))
	r.Delay(3 * time.Second)
	w.admin(fmt.Sprintf(`insert into outbox.demand_line (supplier, customer, material_number_customer,
		customer_location, point_in_time, demand)
		select '%s', '%s', 'M' || n, 'BPNS00000000SITE', '2040-01-02', 10 * n from generate_series(1, %d)
		n`, r.BPNL, customer, objects), "select outbox.release()")
	if !within(patience, func() bool { posts, _, _ := r.Counts(); return posts == 1 }) {
		t.Fatal("nothing was sent")
	}
	busy := [2]bool{true, true} // for a second: the other one asks about its connector now and then
	for range 10 {
		for i, way := range ways {
			way.set(func() { busy[i] = busy[i] && len(way.open) > 0 })
		}
		time.Sleep(100 * time.Millisecond)
	}
	if busy[0] == busy[1] {
		t.Fatalf("both replicas send, or none: %v", busy)
	}
	victim := w.receivers[0]
	if busy[1] {
		victim = w.receivers[1]
	}
	killed := time.Now()
	victim.kill()
	r.Delay(0)
	if !within(time.Minute,
		func() bool { return w.ask("select count(*) from dcm.delivery where state = 'delivered'") == objects }) {
		t.Fatal("the other one did not go on within a minute")
	}
	t.Logf("the other one was done %s after the kill", time.Since(killed).Round(100*time.Millisecond))
	r.mu.Lock()
	defer r.mu.Unlock()
	times := map[uuid.UUID]int{}
	for _, a := range r.arrivals {
		times[a.material]++
	}
	for id, n := range times {
		if n != 1 {
			t.Errorf("%s came %d times", id, n)
		}
	}
	if len(times) != objects {
		t.Errorf("%d objects came, want %d", len(times), objects)
	}
}

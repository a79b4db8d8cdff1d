package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/edc/edctest"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

const (
	outgoingSuppliers = 1000
	outgoingDemands   = 20 // of each
	outgoingWeeks     = 40 // of each demand

	// What a contract and a transfer took real connectors: 1.4 to 2.8 s.
	handshake = 2 * time.Second
)

// suppliersSide is what the suppliers' receivers have taken: a stand-in for their
// connectors calls it, in this process.
type suppliersSide struct {
	mu      sync.Mutex
	demands []time.Time          // when the supplier's 2xx was given, once for each demand
	answers map[string]time.Time // the same of the answer to a request for update, by its messageId
}

func (s *suppliersSide) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	n := bytes.Count(body, []byte(`"materialDemandId"`))
	_, rest, related := bytes.Cut(body[:min(len(body), 2000)], []byte(`"relatedMessageId":"`))
	w.WriteHeader(http.StatusOK)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for range n {
		s.demands = append(s.demands, now)
	}
	if related {
		s.answers[string(rest[:36])] = now // the last message, where there are several
	}
}

// outgoing measures what is sent: demands to many suppliers, and the answers to
// their requests for update, through a stand-in for the connectors (internal/edc/edctest).
func (b *bench) outgoing(ctx context.Context) error {
	side := &suppliersSide{answers: map[string]time.Time{}}
	var partners []*edctest.Partner
	for i := range outgoingSuppliers {
		partners = append(partners, &edctest.Partner{BPNL: supplierName(i), Sender: customer, Backend: side, Handshake: handshake,
			Offers: []edctest.Offer{edctest.OfferOf(dcm.MaterialDemandEndpoint)}})
	}
	connector := edctest.Start(partners...)
	defer connector.Close()
	r, err := startReceiver(b.binary, b.url, b.dir, "DCM_SEND=true", "DCM_EDC_MANAGEMENT_URL="+connector.URL, "DCM_EDC_MANAGEMENT_KEY="+edctest.Key,
		"GOMEMLIMIT=400MiB", "DCM_LOG_LEVEL=warn")
	if err != nil {
		return err
	}
	defer r.stop()
	var rows [][]any
	for _, p := range partners {
		rows = append(rows, []any{p.BPNL, connector.Address(p), "dataspace-protocol-http"})
	}
	if _, err := b.db.CopyFrom(ctx, pgx.Identifier{"outbox", "partner"}, []string{"bpnl", "dsp_url", "protocol"}, pgx.CopyFromRows(rows)); err != nil {
		return fmt.Errorf("enter the suppliers: %w", err)
	}
	fmt.Printf(`
%d suppliers with %d demands of %d weeks each, through a stand-in for the connectors in the load generator's process; a contract and a transfer take it %s. Cold: no contract is there. GOMEMLIMIT=400MiB. Releases: from the begin of outbox.release() to the supplier's 2xx, for each demand. Answers: from the 200 to the supplier's request to its 2xx.

| what | messages or requests | p50, s | p99, s | longest, s | release(), s | CPU s: receiver | Postgres | peak memory, MiB |
|---|---|---|---|---|---|---|---|---|
`, outgoingSuppliers, outgoingDemands, outgoingWeeks, handshake)
	for _, what := range []string{"release of new demands, cold", "release of changed demands, warm"} {
		if err := b.release(ctx, what, r, side); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	ids := map[string]string{} // a demand of each supplier
	found, err := b.db.Query(ctx, "select distinct on (supplier) supplier, material_demand_id::text from planning.material_demand where direction = 'sent'")
	if err != nil {
		return fmt.Errorf("look up demands: %w", err)
	}
	var supplier, id string
	if _, err := pgx.ForEachRow(found, []any{&supplier, &id}, func() error { ids[supplier] = id; return nil }); err != nil {
		return fmt.Errorf("look up demands: %w", err)
	}
	for _, c := range []struct {
		what     string
		warm     bool
		requests int
		parallel int
		all      bool // asks for everything, not for one demand
	}{
		{"answer: one demand, one supplier asks at a time, warm", true, 200, 1, false},
		{"answer: one demand, all suppliers ask at once, warm", true, outgoingSuppliers, 64, false},
		{"answer: everything (20 demands), all suppliers ask at once, warm", true, outgoingSuppliers, 64, true},
		{"answer: one demand, one supplier asks at a time, cold", false, 10, 1, false},
		{"answer: one demand, all suppliers ask at once, cold", false, outgoingSuppliers, 64, false},
		{"answer: everything (20 demands), all suppliers ask at once, cold", false, outgoingSuppliers, 64, true},
		{besideRelease, true, 100, 1, false},
	} {
		if !c.warm {
			if _, err := b.db.Exec(ctx, "delete from dcm.way"); err != nil {
				return fmt.Errorf("forget what is open: %w", err)
			}
		}
		body := func(supplier string) string {
			return `{"weekBasedMaterialDemand":[{"materialDemandId":"` + ids[supplier] + `"}]}`
		}
		if c.all {
			body = func(string) string { return `{"weekBasedMaterialDemand":[]}` }
		}
		if c.what == besideRelease {
			if err := b.change(ctx); err != nil {
				return err
			}
			if err := b.exec(ctx, "select count(*) from outbox.release()"); err != nil {
				return err
			}
		}
		if err := b.answers(ctx, c.what, r, side, c.requests, c.parallel, body); err != nil {
			return fmt.Errorf("%s: %w", c.what, err)
		}
		if err := b.allDelivered(ctx); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// besideRelease is measured while a release of all demands is sent.
const besideRelease = "answer: one demand, one supplier asks at a time, warm, while changed demands go to all suppliers"

// change changes the demands of all suppliers.
func (b *bench) change(ctx context.Context) error {
	if _, err := b.db.Exec(ctx, `insert into outbox.demand_line as l (supplier, customer, material_number_customer, customer_location, point_in_time, demand, unit_of_measure)
		select p.bpnl, $1, 'M' || m, 'BPNS8888888888XX', date_trunc('week', now())::date + 7 * w, w, 'unit:piece'
		from outbox.partner p, generate_series(1, $2::int) m, generate_series(1, $3::int) w
		on conflict (supplier, customer, material_number_customer, customer_location, demand_category_code, point_in_time) do update set demand = l.demand + 1`,
		customer, outgoingDemands, outgoingWeeks); err != nil {
		return fmt.Errorf("write lines: %w", err)
	}
	return nil
}

// allDelivered waits until what has arrived is known as delivered, so that the
// next measurement begins at rest.
func (b *bench) allDelivered(ctx context.Context) error {
	for begin := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		var left int
		if err := b.db.QueryRow(ctx, "select count(*) from planning.delivery where state in ('waiting', 'sending')").Scan(&left); err != nil {
			return fmt.Errorf("wait until all is delivered: %w", err)
		}
		if left == 0 {
			return nil
		}
		if time.Since(begin) > 5*time.Minute {
			return fmt.Errorf("%d objects still wait", left)
		}
	}
}

// use is what receiver and Postgres used up since a moment.
func (b *bench) use(r *receiver) func() string {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", r.pid()), []byte("5"), 0) // the peak begins anew
	self, postgres := cpu(r.pid(), false), cpu(b.server.PID(), true)
	return func() string {
		return fmt.Sprintf("%.1f | %.1f | %.0f", (cpu(r.pid(), false) - self).Seconds(), (cpu(b.server.PID(), true) - postgres).Seconds(), float64(peak(r.pid()))/(1<<20))
	}
}

// quantiles are p50, p99 and the longest of some times, in seconds.
func quantiles(all []time.Duration) string {
	slices.Sort(all)
	at := func(q float64) float64 { return all[min(len(all)-1, int(q*float64(len(all))))].Seconds() }
	return fmt.Sprintf("%.2f | %.2f | %.2f", at(0.5), at(0.99), at(1))
}

// release changes the demands of all suppliers, releases them, and waits until
// they have arrived.
func (b *bench) release(ctx context.Context, what string, r *receiver, side *suppliersSide) error {
	if err := b.change(ctx); err != nil {
		return err
	}
	side.mu.Lock()
	side.demands = nil
	side.mu.Unlock()
	used := b.use(r)
	begin := time.Now()
	if _, err := b.db.Exec(ctx, "select count(*) from outbox.release()"); err != nil {
		return fmt.Errorf("release: %w", err)
	}
	released := time.Since(begin)
	const want = outgoingSuppliers * outgoingDemands
	var took []time.Duration
	for {
		side.mu.Lock()
		if len(side.demands) >= want {
			for _, at := range side.demands {
				took = append(took, at.Sub(begin))
			}
		}
		n := len(side.demands)
		side.mu.Unlock()
		if took != nil {
			break
		}
		if time.Since(begin) > 5*time.Minute || ctx.Err() != nil {
			return fmt.Errorf("%d of %d demands arrived in %s", n, want, time.Since(begin).Round(time.Second))
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err := b.allDelivered(ctx); err != nil {
		return err
	}
	fmt.Printf("| %s | %d | %s | %.1f | %s |\n", what, len(took), quantiles(took), released.Seconds(), used())
	return nil
}

// answers lets suppliers ask, so many at a time, and waits for the answers.
func (b *bench) answers(ctx context.Context, what string, r *receiver, side *suppliersSide, requests, parallel int, object func(supplier string) string) error {
	used := b.use(r)
	asked := map[string]time.Time{} // by messageId, when its 200 came; owned by mu
	var mu sync.Mutex
	var failed error
	next := make(chan int)
	var all sync.WaitGroup
	for range parallel {
		all.Go(func() {
			for i := range next {
				id := uuid.NewString()
				err := askForUpdate(ctx, r.partner, supplierName(i%outgoingSuppliers), id, object(supplierName(i%outgoingSuppliers)))
				mu.Lock()
				asked[id] = time.Now()
				failed = errors.Join(failed, err)
				mu.Unlock()
				for begin := time.Now(); parallel == 1 && err == nil && !side.answered(id) && time.Since(begin) < time.Minute; {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	for i := range requests {
		next <- i
	}
	close(next)
	all.Wait()
	if failed != nil {
		return failed
	}
	var took []time.Duration
	for begin := time.Now(); len(took) < requests; time.Sleep(20 * time.Millisecond) {
		took = took[:0]
		side.mu.Lock()
		for id, at := range asked {
			if answered, ok := side.answers[id]; ok {
				took = append(took, answered.Sub(at))
			}
		}
		side.mu.Unlock()
		if time.Since(begin) > 5*time.Minute || ctx.Err() != nil {
			return fmt.Errorf("%d of %d requests were answered in %s", len(took), requests, time.Since(begin).Round(time.Second))
		}
	}
	fmt.Printf("| %s | %d | %s | | %s |\n", what, requests, quantiles(took), used())
	return nil
}

func (s *suppliersSide) answered(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.answers[id]
	return ok
}

// askForUpdate is what a supplier's data plane posts.
func askForUpdate(ctx context.Context, address, supplier, id, object string) error {
	body := `{"messageHeader":{"header":{"messageId":"` + id + `","context":"` + dcm.RequestForUpdateEndpoint.Model + `.0.0","sentDateTime":"` + time.Now().UTC().Format(time.RFC3339) +
		`","senderBpn":"` + supplier + `","receiverBpn":"` + customer + `","version":"3.0.0"}},"content":{"informationObject":[` + object + `]}}`
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+requestForUpdate, strings.NewReader(body))
	if err != nil {
		return err
	}
	q.Header = http.Header{"Content-Type": {"application/json"}, "Edc-Bpn": {supplier}}
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		return fmt.Errorf("ask for an update: %w", err)
	}
	defer answer.Body.Close()
	if said, _ := io.ReadAll(answer.Body); answer.StatusCode != http.StatusOK {
		return fmt.Errorf("ask for an update: %d %s", answer.StatusCode, said)
	}
	return nil
}

package outbox_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"testing"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/edc"
	"dcm-receiver/internal/edc/edctest"
	"dcm-receiver/internal/outbox"
	"dcm-receiver/internal/privatepg/pgtest"

	"github.com/jackc/pgx/v5/pgxpool"
)

// TestManySuppliers says how long 20 demands for each of as many suppliers take as
// DCM_SUPPLIERS says, from the release to the suppliers' 2xx, cold and then warm.
func TestManySuppliers(t *testing.T) {
	suppliers, _ := strconv.Atoi(os.Getenv("DCM_SUPPLIERS"))
	if suppliers == 0 {
		t.Skip("DCM_SUPPLIERS is not set")
	}
	ctx := context.Background()
	db, err := pgxpool.New(ctx, pgtest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	partners := []*edctest.Partner{}
	for n := range suppliers {
		partners = append(partners, &edctest.Partner{BPNL: fmt.Sprintf("BPNL%012d", n), Sender: us, Proxy: true,
			Backend: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), Offers: []edctest.Offer{edctest.OfferOf(dcm.MaterialDemandEndpoint)}})
	}
	connector := edctest.New(t, partners...)
	for _, p := range partners {
		if _, err := db.Exec(ctx, "insert into outbox.partner (bpnl, dsp_url, protocol) values ($1, $2, 'dataspace-protocol-http')", p.BPNL, connector.Address(p)); err != nil {
			t.Fatal(err)
		}
	}
	m, err := edc.NewManagement(connector.URL, edctest.Key)
	if err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	s := &outbox.Sender{DB: db, Consumer: &edc.Consumer{Management: m}, Log: slog.New(slog.DiscardHandler), Parallel: 64}
	go func() { s.Run(running); close(done) }()
	defer func() { stop(); <-done }()
	for round, name := range []string{"cold", "warm"} {
		if _, err := db.Exec(ctx, `insert into outbox.demand_line as l (supplier, customer, material_number_customer, customer_location, point_in_time, demand, unit_of_measure)
			select p.bpnl, $1, 'M' || m, 'BPNS8888888888XX', date_trunc('week', now())::date + 7 * w, w, 'unit:piece'
			from outbox.partner p, generate_series(1, 20) m, generate_series(1, 40) w
			on conflict (supplier, customer, material_number_customer, customer_location, demand_category_code, point_in_time) do update set demand = l.demand + 1`, us); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if _, err := db.Exec(ctx, "select count(*) from outbox.release()"); err != nil {
			t.Fatal(err)
		}
		released := time.Since(begin)
		var left int
		for left = -1; left != 0 && time.Since(begin) < 5*time.Minute; time.Sleep(100 * time.Millisecond) {
			if err := db.QueryRow(ctx, "select count(*) from dcm.delivery where state in ('waiting', 'sending')").Scan(&left); err != nil {
				t.Fatal(err)
			}
		}
		var delivered int
		var p50, p99 float64
		if err := db.QueryRow(ctx, `select count(*), percentile_cont(0.5) within group (order by extract(epoch from delivered_at - queued_at)), percentile_cont(0.99) within group (order by extract(epoch from delivered_at - queued_at))
			from dcm.delivery where state = 'delivered' and queued_at >= $1`, begin.Add(-time.Second)).Scan(&delivered, &p50, &p99); err != nil {
			t.Fatal(err)
		}
		if delivered != suppliers*20 || left != 0 {
			t.Errorf("%s: %d delivered, %d left, want %d", name, delivered, left, suppliers*20)
		}
		t.Logf("round %d, %s: released in %s, %d delivered in %s; from the begin of the release p50 %.1f s, p99 %.1f s", round+1, name, released.Round(10*time.Millisecond), delivered, time.Since(begin).Round(10*time.Millisecond), p50, p99)
	}
}

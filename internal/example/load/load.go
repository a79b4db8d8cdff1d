// Package load brings a world of [example] into a database as if it had happened:
// every message through the receiver, every demand through outbox.release and the
// sender, each at its own time. It is for the demo and for tests, no part of the
// program.
package load

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/edc"
	"dcm-receiver/internal/edc/edctest"
	"dcm-receiver/internal/example"
	"dcm-receiver/internal/outbox"
	"dcm-receiver/internal/receiver"
	"dcm-receiver/internal/standard"
	"dcm-receiver/internal/store"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// privateClock lets this database alone have the past as its time: a release and
// the sender ask a function of another schema what time it is, until realClock.
const privateClock = `
create schema demo_clock;
create table demo_clock.clock (at timestamptz not null);
insert into demo_clock.clock values (pg_catalog.now());
create function demo_clock.now() returns timestamptz stable language sql as 'select at from demo_clock.clock';
create function demo_clock.clock_timestamp() returns timestamptz volatile language sql
	as 'select at from demo_clock.clock';
alter function outbox.release set search_path = demo_clock, pg_catalog, pg_temp;
alter function outbox.prepare_comment set search_path = demo_clock, pg_catalog, pg_temp;
alter function outbox.queue_comment set search_path = demo_clock, pg_catalog, pg_temp;`

const realClock = `
alter function outbox.release set search_path = pg_catalog, pg_temp;
alter function outbox.prepare_comment set search_path = pg_catalog, pg_temp;
alter function outbox.queue_comment set search_path = pg_catalog, pg_temp;
drop schema demo_clock cascade;`

// loader holds what is open while a world is loaded.
type loader struct {
	world   example.World
	conn    *pgx.Conn
	sending *pgxpool.Pool
	partner http.Handler // our receiver
	edc     *edctest.Connector
	away    *edctest.Partner // the partner who does not answer at the end
	now     time.Time
}

// World loads w into a migrated, empty database of which url's user is the owner.
// At the end demands have arrived at the first supplier, the second has refused
// one, and the third does not answer. Comments need CX-0128.
func World(ctx context.Context, url string, w example.World) (err error) {
	l := &loader{world: w}
	if l.conn, err = pgx.Connect(ctx, url); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer l.conn.Close(ctx)
	if _, err := l.conn.Exec(ctx, privateClock); err != nil {
		return fmt.Errorf("set the clock: %w", err)
	}
	s, err := store.Open(url, 4, 20*time.Second)
	if err != nil {
		return err
	}
	defer s.Close()

	l.partner = receiver.New(receiver.Config{
		Standard: standard.Latest(), CustomerBPNLs: []string{w.Customer}, SenderHeader: "Edc-Bpn",
		UnparsableStatus: 422,
		RequestTimeout:   20 * time.Second, MaxInFlight: 16, MaxBuffered: 64 << 20,
		Now: func() time.Time { return l.now },
	}, s, slog.New(slog.DiscardHandler)).Partner()

	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	config.ConnConfig.RuntimeParams["search_path"] = "demo_clock, pg_catalog, public"
	if l.sending, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer l.sending.Close()
	if err := l.connect(ctx); err != nil {
		return err
	}
	defer l.edc.Close()

	if err := l.all(ctx); err != nil {
		return err
	}
	_, err = l.conn.Exec(ctx, realClock)
	return err
}

// connect starts the stand-in for the connectors, and says where they are.
func (l *loader) connect(ctx context.Context) error {
	var partners []*edctest.Partner
	for i, bpnl := range l.world.Suppliers {
		partners = append(partners, &edctest.Partner{
			BPNL: bpnl, Sender: l.world.Customer, Proxy: true,
			Offers: []edctest.Offer{
				edctest.OfferOf(dcm.MaterialDemandEndpoint), edctest.OfferOf(dcm.RequestForUpdateEndpoint),
				edctest.OfferOf(dcm.CommentEndpoint)},
			Backend: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if i == 1 && strings.Contains(string(body), "MNR-200002.001") {
					w.Header().Set("Content-Type", "application/problem+json")
					w.WriteHeader(http.StatusBadRequest)
					_, _ = io.WriteString(w,
						`{"status": 400, "detail": "material MNR-200002.001 is not known at this supplier"}`)
				}
			}),
		})
	}
	l.edc, l.away = edctest.Start(partners...), partners[len(partners)-1]
	for _, p := range partners {
		if _, err := l.conn.Exec(ctx, "insert into outbox.partner (bpnl, dsp_url) values ($1, $2)", p.BPNL,
			l.edc.Address(p)); err != nil {
			return fmt.Errorf("add partner: %w", err)
		}
	}
	return nil
}

// event is something that happens in the world.
type event struct {
	at time.Time
	do func(context.Context) error
}

// all lets everything happen in its order.
func (l *loader) all(ctx context.Context) error {
	var events []event
	post := func(messages []example.Sent, refused bool) {
		for _, m := range messages {
			events = append(events, event{m.At, func(ctx context.Context) error { return l.post(ctx, m, refused) }})
		}
	}
	w := l.world
	for _, s := range w.Earlier {
		post(s.CapacityGroups, false)
		events = append(events, event{s.At, func(ctx context.Context) error { return l.release(ctx, s.DemandLines) }})
	}
	post(w.CapacityGroups, false)
	post(w.Comments, false)
	post(w.Refused, true)
	present := w.CapacityGroups[0].At
	for _, m := range w.CapacityGroups {
		if m.At.After(present) {
			present = m.At
		}
	}
	events = append(events,
		event{present.AddDate(0, 0, -3), l.comment},
		event{present, func(ctx context.Context) error { l.away.Down(true); return l.release(ctx, w.DemandLines) }})
	post(w.RequestsForUpdate, false) // what comes after the release waits for the program's own sender
	slices.SortStableFunc(events, func(a, b event) int { return cmp.Compare(a.at.UnixNano(), b.at.UnixNano()) })
	for _, e := range events {
		l.now = e.at
		if _, err := l.conn.Exec(ctx, "update demo_clock.clock set at = $1", e.at); err != nil {
			return fmt.Errorf("set the clock: %w", err)
		}
		if err := e.do(ctx); err != nil {
			return err
		}
	}
	return nil
}

// post gives the receiver a message.
func (l *loader) post(ctx context.Context, m example.Sent, refused bool) error {
	late := time.Since(l.now)
	r := httptest.NewRequest(http.MethodPost, "/"+m.Endpoint.Path, bytes.NewReader(m.Body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Edc-Bpn", m.Sender)
	answer := httptest.NewRecorder()
	l.partner.ServeHTTP(answer, r)
	if refused != (answer.Code/100 == 4) || answer.Code >= 500 {
		return fmt.Errorf("%s of %s: %d %s", m.Endpoint.Path, m.Sender, answer.Code, answer.Body)
	}
	// The journal takes the time until now, which is another one than the receiver's.
	_, err := l.conn.Exec(ctx,
		"update dcm.message set duration = duration - $1::interval where received_at = $2 and sender = $3 and "+
			"duration >= $1::interval", late, l.now, m.Sender)
	if err != nil {
		return fmt.Errorf("set the duration: %w", err)
	}
	return nil
}

// release loads the demands of a week, releases them, and sends them.
func (l *loader) release(ctx context.Context, lines []byte) error {
	columns, _, _ := bytes.Cut(lines, []byte("\n"))
	if _, err := l.conn.Exec(ctx, "truncate outbox.demand_line"); err != nil {
		return fmt.Errorf("load demands: %w", err)
	}
	_, err := l.conn.PgConn().CopyFrom(ctx, bytes.NewReader(lines),
		"copy outbox.demand_line ("+string(columns)+") from stdin with (format csv, header)")
	if err != nil {
		return fmt.Errorf("load demands: %w", err)
	}
	if _, err := l.conn.Exec(ctx, "select * from outbox.release()"); err != nil {
		return fmt.Errorf("release demands: %w", err)
	}
	return l.send(ctx)
}

// send lets the sender run until everything was tried once.
func (l *loader) send(ctx context.Context) error {
	management, err := edc.NewManagement(l.edc.URL, edctest.Key, nil)
	if err != nil {
		return err
	}
	sender := &outbox.Sender{DB: l.sending, Consumer: &edc.Consumer{Management: management},
		Log: slog.New(slog.DiscardHandler), Parallel: 3}
	running, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() { defer close(ended); sender.Run(running) }()
	defer func() { stop(); <-ended }()
	for {
		var left int
		if err := l.conn.QueryRow(ctx,
			"select count(*) from dcm.delivery where state = 'sending' or state = 'waiting' and attempts = 0").Scan(
			&left); err != nil {
			return fmt.Errorf("wait for the sender: %w", err)
		}
		if left == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// comment is one of ours, sent to a supplier.
func (l *loader) comment(ctx context.Context) error {
	_, err := l.conn.Exec(ctx, `
		insert into outbox.comment (
			supplier, customer, object_id, author, comment_type, comment_text, reference_dates, posted_at)
		select supplier, customer, capacity_group_id, 'anna@customer.example', 'actionRequired',
			'Our line stops in that week. Can you build stock before, or work on Saturdays?',
			array[min(point_in_time) + 28], $1
		from planning.capacity join planning.capacity_group using (supplier, customer, capacity_group_id)
		where name = 'Hub forge' group by 1, 2, 3`, l.now)
	if err != nil {
		return fmt.Errorf("comment: %w", err)
	}
	return l.send(ctx)
}

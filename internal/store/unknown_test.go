package store_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/privatepg/pgtest"
	"dcm-receiver/internal/rules"
	"dcm-receiver/internal/store"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// TestALostCommitIsFoundOut: where the answer to a commit does not come and the
// database then recovers for a while, the message is answered as it was stored,
// once; where it recovers for too long, that is said, and not that nothing is
// stored.
func TestALostCommitIsFoundOut(t *testing.T) {
	for _, c := range []struct {
		name     string
		recovers time.Duration
		loses    int   // answers to commits
		bytes    int64 // of the message: small ones share a transaction
		unknown  bool
	}{
		{"a small message", time.Second, 1, 100, false},
		{"a large message", time.Second, 1, 1 << 20, false},
		// The second try finds what the first has stored, and would be answered otherwise.
		{"the answer to the second try is lost too", 100 * time.Millisecond, 2, 100, false},
		{"the same of a large message", 100 * time.Millisecond, 2, 1 << 20, false},
		{"the recovery takes longer than the request", time.Minute, 1, 100, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			url := pgtest.New(t)
			link := &forgetfulLink{recovers: c.recovers, loses: c.loses}
			s, err := store.Open(link.to(t, url), 4, 20*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Close)
			ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second)
			defer cancel()
			subject := store.Subject{Key: store.Key{Supplier: "BPNL6666666666YY", Customer: "BPNL8888888888XX",
				ID: uuid.New()}}
			a := store.Arrival{ID: uuid.New(), Sender: subject.Supplier, Endpoint: dcm.CapacityGroupEndpoint.Path,
				ReceivedAt: time.Now(), Bytes: c.bytes}
			d, err := s.Save(ctx, a, []store.Subject{subject}, func(snapshot *store.Snapshot) store.Decision {
				result := store.Result{ObjectID: &subject.ID, Rule: 5, Outcome: rules.Created}
				if stored := snapshot.Stored(subject); stored.Known() {
					result.Rule, result.Outcome = 7, rules.Overwritten
				}
				snapshot.Write(subject, store.WriteCapacityGroup(&dcm.CapacityGroup{ID: subject.ID,
					Supplier: subject.Supplier, Customer: subject.Customer,
					UnitOfMeasureIsOmitted: true, ChangedAt: dcm.Timestamp{Time: time.Now()}}, store.ContentOf(
					[]byte("{}"))))
				return store.Decision{Entry: store.Entry{Status: 201, Objects: 1, Results: []store.Result{result}}}
			})
			if link.lost != c.loses {
				t.Fatalf("%d commits were lost, so it was not tried", link.lost)
			}
			switch {
			case c.unknown:
				if !errors.Is(err, store.ErrUnknown) || store.Kind(err) != "unknown" {
					t.Errorf("%v, of kind %s", err, store.Kind(err))
				}
			case err != nil:
				t.Error(err)
			case d.Entry.Results[0].Rule != 5:
				t.Errorf("answered rule %d to what was committed by rule 5", d.Entry.Results[0].Rule)
			}
			var entries int
			if err := connect(t, url).QueryRow(context.Background(),
				"select count(*) from planning.message_object where rule = 5").Scan(&entries); err != nil ||
				entries != 1 {
				t.Errorf("%d entries: %v", entries, err)
			}
		})
	}
}

// forgetfulLink is a way to a database that loses the answers to the first commits.
// After each, the database says for a while that it recovers.
type forgetfulLink struct {
	recovers time.Duration
	loses    int
	server   func() (net.Conn, error)
	mu       sync.Mutex // owns the fields below
	lost     int
	until    time.Time
}

// to returns the URL of the link's near end.
func (l *forgetfulLink) to(t *testing.T, url string) string {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	network, address := "tcp", fmt.Sprintf("%s:%d", config.Host, config.Port)
	if strings.HasPrefix(config.Host, "/") {
		network, address = "unix", filepath.Join(config.Host, fmt.Sprintf(".s.PGSQL.%d", config.Port))
	}
	l.server = func() (net.Conn, error) { return net.Dial(network, address) }
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			go l.serve(near)
		}
	}()
	return fmt.Sprintf("postgres://%s:%s@%s/%s?sslmode=disable", config.User, config.Password, listener.Addr(),
		config.Database)
}

func (l *forgetfulLink) serve(near net.Conn) {
	defer near.Close()
	l.mu.Lock()
	recovering := time.Now().Before(l.until)
	l.mu.Unlock()
	if recovering {
		_, _ = near.Read(make([]byte, 1024)) // who wants to connect
		fields := "SFATAL\x00VFATAL\x00C57P03\x00Mthe database system is in recovery mode\x00\x00"
		_, _ = near.Write(append(binary.BigEndian.AppendUint32([]byte{'E'}, uint32(4+len(fields))), fields...))
		return
	}
	far, err := l.server()
	if err != nil {
		return
	}
	defer far.Close()
	var mu sync.Mutex
	losing := false
	go func() {
		buffer, committing := make([]byte, 1<<16), false
		for {
			n, err := near.Read(buffer)
			if err != nil {
				_ = far.Close()
				return
			}
			// The statement is prepared in one round trip, and executed in the next.
			if committing && bytes.HasSuffix(buffer[:n], []byte{'S', 0, 0, 0, 4}) {
				mu.Lock()
				losing = true
				mu.Unlock()
			}
			committing = committing || bytes.Contains(buffer[:n], []byte("commit\x00"))
			_, _ = far.Write(buffer[:n])
		}
	}()
	buffer := make([]byte, 1<<16)
	for {
		n, err := far.Read(buffer)
		mu.Lock()
		lose := losing
		mu.Unlock()
		if l.mu.Lock(); lose && l.lost < l.loses {
			l.mu.Unlock()
			if n > 0 && !bytes.HasSuffix(buffer[:n-1], []byte{'Z', 0, 0, 0, 5}) {
				continue // the commit is not done yet
			}
			l.mu.Lock()
			l.lost, l.until = l.lost+1, time.Now().Add(l.recovers)
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		if _, writeErr := near.Write(buffer[:n]); err != nil || writeErr != nil {
			return
		}
	}
}

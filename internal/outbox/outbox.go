// Package outbox sends what was released to partners, and answers their requests for update. It keeps
// claims on partners, batches, attempts and outcomes in Postgres, and leaves the connector to package
// edc. It must not know how demands come in (package demandfile).
package outbox

import (
	"context"
	"embed"
	"errors"
	"log/slog"
	"sync"
	"time"

	"dcm-receiver/internal/edc"
	"dcm-receiver/internal/fair"
	"dcm-receiver/internal/sqlfile"
	"dcm-receiver/internal/standard"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
)

//go:embed sql/*.sql
var files embed.FS

func statement(name string) string { return sqlfile.Load(files, name).SQL }

var (
	asking         = statement("asking")
	answerRequests = statement("answer_requests")
	answersArrived = statement("answers_arrived")
	due            = statement("due")
	claim          = statement("claim")
	renew          = statement("renew")
	takeBack       = statement("take_back")
	tellReason     = statement("tell_reason")
	take           = statement("take")
	settle         = statement("settle")
	postpone       = statement("postpone")
	holdBack       = statement("hold_back")
	storeCustomers = statement("store_customers")
	partnerOf      = statement("partner")
	sessionOf      = statement("session")
	keepSession    = statement("keep_session")
	endClaim       = statement("end_claim")
)

const (
	maxMessage = 15 << 20 // bytes of a message (CX-0048 §2.2.2)
	reserve    = 4 << 10  // bytes for its envelope
	maxObjects = 500      // taken at once
	maxBackoff = 5 * time.Minute

	maxRetryAfter = time.Hour // a longer Retry-After of a partner is cut

	// defaultLease is how long a claim lasts unless it is renewed. Another replica goes on after that.
	defaultLease = 20 * time.Second

	// defaultPatience is how long a silent partner keeps its place.
	defaultPatience = 10 * time.Second

	// held bounds the bytes of messages that are being sent. A partner that has not answered yet gets small
	// messages, roomOfOne, so that hanging partners leave room for others.
	held      = 48 << 20
	roomOfOne = 64 << 10

	statementLimit = 15 * time.Second       // of the database: a half-open connection reports no error
	sendLimit      = 2 * time.Minute        // of a message, plus its bytes at the rate slowest
	slowest        = 64 << 10               // bytes a second
	shutdownLimit  = 10 * time.Second       // of messages under way when the program ends
	answerPause    = 100 * time.Millisecond // between two looks at the requests of a partner (answer_requests.sql)
	deniedLimit    = 24 * time.Hour         // for a partner that denies us access
)

// Sender sends what waits in dcm.delivery, and answers requests for update. Each replica may run one: a
// partner is served by one of them at a time, so that nothing older follows something newer.
type Sender struct {
	DB       *pgxpool.Pool
	Control  *pgxpool.Pool // to listen, claim and renew without waiting for messages: 3 connections; nil: DB
	Consumer *edc.Consumer
	Standard standard.Standard // whose models headers name; zero: the default
	Log      *slog.Logger
	Metrics  *Metrics      // nil: none
	Parallel int           // partners at work at once; as many more may hang
	Lease    time.Duration // of a claim; 0: defaultLease
	Patience time.Duration // until a silent partner counts as hanging; 0: defaultPatience
	Note     func(string)  // called with "ok", or why partners are not served; may be nil

	id        uuid.UUID
	room      *fair.Share
	connector connector // our own
	mu        sync.Mutex
	// serving has the partners that this replica serves; guarded by mu.
	serving map[string]*claimed
	// unstored has what could not be stored, by partner; guarded by mu.
	unstored map[string]*unstored
}

// Run sends until ctx ends, then waits up to shutdownLimit for messages under way.
func (s *Sender) Run(ctx context.Context) {
	s.id, s.serving, s.room = uuid.New(), map[string]*claimed{}, fair.NewShare(held, roomOfOne)
	if s.Standard.Name == "" {
		s.Standard = standard.Default()
	}
	consumer := *s.Consumer
	consumer.Room = s.room // answers count as messages do
	s.Consumer, s.unstored = &consumer, map[string]*unstored{}
	if s.Lease == 0 {
		s.Lease = defaultLease
	}
	if s.Patience == 0 {
		s.Patience = defaultPatience
	}
	if s.Control == nil {
		s.Control = s.DB
	}
	work, kill := context.WithCancel(context.WithoutCancel(ctx))
	defer kill()
	wake := make(chan struct{}, 1)
	go s.listen(ctx, wake)
	go s.renew(work)
	go s.watchConnector(ctx, wake)
	var wait sync.WaitGroup
	defer func() {
		end := time.AfterFunc(shutdownLimit, kill)
		defer end.Stop()
		wait.Wait()
	}()
	for {
		next, err := s.round(ctx, work, &wait)
		if err != nil && ctx.Err() == nil {
			s.Log.Warn("outbox: due objects cannot be read; trying again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(next):
		case <-wake:
		}
	}
}

// round answers requests and serves the partners with something due. It returns when to run again.
func (s *Sender) round(ctx, work context.Context, wait *sync.WaitGroup) (next time.Duration, err error) {
	next, err = s.answer(ctx)
	if sick := s.connector.fault(); sick != nil {
		return next, errors.Join(err, s.tellReason(ctx, sick))
	}
	return next, errors.Join(err, s.serveDue(ctx, work, wait))
}

// exec runs a statement, for at most statementLimit.
func (s *Sender) exec(ctx context.Context, sql string, arguments ...any) (pgconn.CommandTag, error) {
	limited, cancel := context.WithTimeout(ctx, statementLimit)
	defer cancel()
	return s.DB.Exec(limited, sql, arguments...)
}

func pgUUID(id uuid.UUID) pgtype.UUID { return pgtype.UUID{Bytes: id, Valid: true} }

package outbox

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/edc"
	"dcm-receiver/internal/fair"
	"dcm-receiver/internal/standard"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
)

//go:embed sql
var statements embed.FS

func statement(name string) string {
	text, err := statements.ReadFile("sql/" + name + ".sql")
	if err != nil {
		panic(err) // a name that is none
	}
	return string(text)
}

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
	materialDemand = statement("material_demand")
	updateRequest  = statement("request_for_update")
	comment        = statement("comment")
	settle         = statement("settle")
	postpone       = statement("postpone")
	holdBack       = statement("hold_back")
	storeCustomers = statement("store_customers")
)

const (
	maxMessage = 15 << 20 // of a message (CX-0048); what stands around the objects is far below reserve
	reserve    = 4 << 10
	maxObjects = 500 // taken at once
	maxBackoff = 5 * time.Minute

	maxRetryAfter = time.Hour // a partner that names more is asked again even so

	// A claim on a partner lasts so long unless it is renewed: what a killed replica
	// was sending goes on in another one after that.
	defaultLease = 20 * time.Second

	// A partner that gives no answer for so long leaves its place to another.
	defaultPatience = 10 * time.Second

	// What is held of messages that are being sent. A partner that has not answered
	// since it is served gets small ones: however many hang, there is room for others.
	held      = 48 << 20
	roomOfOne = 64 << 10

	statementLimit = 15 * time.Second       // of the database: a link that is half open gives no error
	sendLimit      = 2 * time.Minute        // of a message, and what slowest allows for its bytes
	slowest        = 64 << 10               // bytes a second
	shutdownLimit  = 10 * time.Second       // of messages under way when the program ends
	answerPause    = 100 * time.Millisecond // between two looks at the requests of a partner (answer_requests.sql)
	deniedLimit    = 24 * time.Hour         // a partner that does not let us in is tried for so long
)

// Sender sends what waits in dcm.delivery, and answers requests for update. Any
// number of replicas may run one each: a partner is served by one of them at a
// time, so nothing older follows something newer.
type Sender struct {
	DB *pgxpool.Pool
	// to listen, claim and renew, which may not wait behind messages, with at least 3 connections;
	// nil: DB
	Control  *pgxpool.Pool
	Consumer *edc.Consumer
	Standard standard.Standard // whose models headers name; zero: the default
	Log      *slog.Logger
	Metrics  *Metrics      // nil: none
	Parallel int           // partners at work at once; as many more may hang
	Lease    time.Duration // of a claim; 0: as it should be
	Patience time.Duration // until a partner that gives no answer counts as hanging; 0: as it should be
	Note     func(string)  // is told whether partners are served, and if not, why; may be nil

	id        uuid.UUID
	room      *fair.Share
	connector connector // our own
	mu        sync.Mutex
	// serving has what may not go on when the partner is another replica's, by
	// partner; owned by mu.
	serving map[string]*claimed
	// unstored has what the database could not be told, by partner; owned by mu.
	unstored map[string]*unstored
}

// claimed is a partner that this replica serves, as long as the claim is renewed.
type claimed struct {
	stop  context.CancelFunc
	until *time.Timer // stops it
	tried bool        // something for it was tried in vain before
	since time.Time   // it was claimed, or has answered
}

// Run sends until ctx ends; then what is under way has a moment to end.
func (s *Sender) Run(ctx context.Context) {
	s.id, s.serving, s.room = uuid.New(), map[string]*claimed{}, fair.NewShare(held, roomOfOne)
	if s.Standard.Name == "" {
		s.Standard = standard.Default()
	}
	consumer := *s.Consumer
	consumer.Room = s.room // what partners answer counts as what is sent to them
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
			s.Log.Warn("outbox: what waits cannot be read; trying again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(next):
		case <-wake:
		}
	}
}

// listen wakes Run at a release or a request for update.
func (s *Sender) listen(ctx context.Context, wake chan<- struct{}) {
	for ctx.Err() == nil {
		err := s.Control.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
			if _, err := c.Exec(ctx, "listen dcm_outbox"); err != nil {
				return err
			}
			for {
				if _, err := c.Conn().WaitForNotification(ctx); err != nil {
					_ = c.Conn().Close(context.Background()) // it listens: not for others
					return err
				}
				select {
				case wake <- struct{}{}:
				default:
				}
			}
		})
		if err != nil && ctx.Err() == nil {
			time.Sleep(time.Second) // Run looks every second meanwhile
		}
	}
}

// renew keeps other replicas from the partners that this one serves. One whose
// claim was not renewed in time, or is another's by now, is stopped.
func (s *Sender) renew(ctx context.Context) {
	tick := time.NewTicker(s.Lease / 5)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s.mu.Lock()
		partners := slices.Collect(maps.Keys(s.serving))
		s.mu.Unlock()
		if len(partners) == 0 {
			continue
		}
		begin := time.Now()
		limited, cancel := context.WithTimeout(ctx, s.Lease/5)
		rows, err := s.Control.Query(limited, renew, pgUUID(s.id), partners, s.Lease.String())
		var ours []string
		if err == nil {
			ours, err = pgx.CollectRows(rows, pgx.RowTo[string])
		}
		cancel()
		if err != nil {
			continue // the timers run
		}
		s.mu.Lock()
		for _, partner := range partners {
			if c := s.serving[partner]; c != nil && slices.Contains(ours, partner) {
				c.until.Reset(s.left(begin))
			} else if c != nil {
				c.stop()
			}
		}
		s.mu.Unlock()
	}
}

// left is how long a claim of begin may be relied on: shorter than the database
// keeps it, as a message has to be on its way by then.
func (s *Sender) left(begin time.Time) time.Duration { return s.Lease*4/5 - time.Since(begin) }

func pgUUID(id uuid.UUID) pgtype.UUID { return pgtype.UUID{Bytes: id, Valid: true} }

// exec runs a statement that may not take long.
func (s *Sender) exec(ctx context.Context, sql string, arguments ...any) (pgconn.CommandTag, error) {
	limited, cancel := context.WithTimeout(ctx, statementLimit)
	defer cancel()
	return s.DB.Exec(limited, sql, arguments...)
}

// round answers requests, and begins to serve the partners for whom something is due.
// The next one is due after the time that it returns.
func (s *Sender) round(ctx, work context.Context, wait *sync.WaitGroup) (next time.Duration, err error) {
	next, err = s.answer(ctx)
	if sick := s.connector.fault(); sick != nil {
		return next, errors.Join(err, s.tellReason(ctx, sick))
	}
	return next, errors.Join(err, s.serveDue(ctx, work, wait))
}

// answer decides what is sent for requests for update, of one partner after the other,
// so that the thousands of one wait for the few of the others. It returns when there is
// more to answer, in a second at most.
func (s *Sender) answer(ctx context.Context) (next time.Duration, err error) {
	next = time.Second
	limited, cancel := context.WithTimeout(ctx, statementLimit)
	defer cancel()
	rows, err := s.Control.Query(limited, asking)
	if err != nil {
		return next, fmt.Errorf("look for requests for update: %w", err)
	}
	var partners []string
	var partner string
	var seconds float64
	if _, err := pgx.ForEachRow(rows, []any{&partner, &seconds}, func() error {
		if seconds == 0 {
			partners = append(partners, partner)
			seconds = answerPause.Seconds() // it may have more
		}
		next = min(next, max(answerPause, time.Duration(seconds*float64(time.Second))))
		return nil
	}); err != nil {
		return next, fmt.Errorf("look for requests for update: %w", err)
	}
	var failed error
	for _, partner := range partners {
		if err := s.answerPartner(ctx, partner); err != nil {
			failed = err // of this partner alone
		}
	}
	return next, failed
}

func (s *Sender) answerPartner(ctx context.Context, partner string) error {
	limited, cancel := context.WithTimeout(ctx, statementLimit)
	defer cancel()
	tag, err := s.Control.Exec(limited, answerRequests, partner)
	if err != nil {
		return fmt.Errorf("answer requests for update of %s: %w", partner, err)
	}
	if tag.RowsAffected() == 0 {
		return nil
	}
	return s.arrived(limited, s.Control, partner) // of what there is nothing to send for
}

// serveDue begins to serve the partners for whom something is due.
func (s *Sender) serveDue(ctx, work context.Context, wait *sync.WaitGroup) error {
	limited, cancel := context.WithTimeout(ctx, statementLimit)
	defer cancel()
	rows, err := s.Control.Query(limited, due)
	if err != nil {
		return fmt.Errorf("look for what is due: %w", err)
	}
	var asked, others, failing []string
	var partner string
	var hasAsked, tried bool
	if _, err := pgx.ForEachRow(rows, []any{&partner, &hasAsked, &tried}, func() error {
		if s.backsOff(partner) {
			return nil
		}
		list := &others
		if tried {
			list = &failing
		} else if hasAsked {
			list = &asked
		}
		*list = append(*list, partner)
		return nil
	}); err != nil {
		return fmt.Errorf("look for what is due: %w", err)
	}
	// An answer is awaited within seconds: however many others are sent to, an eighth is
	// left for those who have asked. Partners that took nothing before have places of
	// their own, and who hangs leaves its place: neither delays others.
	for _, class := range []struct {
		partners []string
		most     int
		tried    bool
	}{{asked, s.Parallel, false}, {others, s.Parallel - s.Parallel/8, false}, {failing, max(1, s.Parallel/2), true}} {
		if err := s.claimAll(ctx, work, wait, class.partners, class.most, class.tried); err != nil {
			return err
		}
	}
	return nil
}

// places is how many more partners may be served where most of those that were tried
// in vain, or of the others, may be at work.
func (s *Sender) places(most int, tried bool) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.serving {
		if c.tried == tried && (tried || time.Since(c.since) < s.Patience) {
			most--
		}
	}
	return max(0, min(most, 2*s.Parallel-len(s.serving)))
}

// claimAll begins to serve partners, as long as there are places.
func (s *Sender) claimAll(ctx, work context.Context, wait *sync.WaitGroup, partners []string, most int,
	tried bool) error {
	for {
		room := s.places(most, tried)
		s.mu.Lock()
		partners = slices.DeleteFunc(partners, func(partner string) bool { return s.serving[partner] != nil })
		s.mu.Unlock()
		some := partners[:min(len(partners), room, claimedAtOnce)]
		if partners = partners[len(some):]; len(some) == 0 {
			return nil
		}
		begin := time.Now()
		ours, err := s.claim(ctx, some)
		if err != nil {
			return err
		}
		for _, partner := range ours {
			s.begin(ctx, work, wait, partner, begin, tried)
		}
	}
}

// claimedAtOnce is how many partners are claimed in a transaction: with one for
// each, a request for update that comes just after a release to a thousand
// partners would wait for a thousand commits.
const claimedAtOnce = 100

// claim returns those of the partners that no other replica was faster to claim.
func (s *Sender) claim(ctx context.Context, partners []string) (ours []string, err error) {
	partners = slices.Sorted(slices.Values(partners)) // no deadlock with another replica
	batch := &pgx.Batch{}
	for _, partner := range partners {
		batch.Queue(claim, partner, pgUUID(s.id), s.Lease.String()).Exec(func(tag pgconn.CommandTag) error {
			if tag.RowsAffected() > 0 {
				ours = append(ours, partner)
			}
			return nil
		})
	}
	limited, cancel := context.WithTimeout(ctx, statementLimit)
	defer cancel()
	if err := s.Control.SendBatch(limited, batch).Close(); err != nil {
		return nil, fmt.Errorf("claim partners: %w", err)
	}
	return ours, nil
}

// begin serves a partner that was claimed at a time.
func (s *Sender) begin(ctx, work context.Context, wait *sync.WaitGroup, partner string, at time.Time, tried bool) {
	serving, stop := context.WithCancel(work)
	s.mu.Lock()
	s.serving[partner] = &claimed{stop, time.AfterFunc(s.left(at), stop), tried, at}
	s.mu.Unlock()
	wait.Go(func() {
		err := s.serve(ctx, serving, partner)
		cutOff := serving.Err() != nil
		wait, failures := s.judgeService(partner, err, cutOff || ctx.Err() != nil)
		if wait > 0 {
			s.Log.Warn("outbox: sending to a partner failed here; trying again", "partner", partner, "after", wait,
				"failures", failures, "error", err)
		}
		s.mu.Lock()
		s.serving[partner].until.Stop()
		delete(s.serving, partner)
		s.mu.Unlock()
		stop()
		if cutOff {
			return // what was on its way may still arrive: nothing goes to this partner before the claim has run out
		}
		look, cancel := context.WithTimeout(context.WithoutCancel(work), 5*time.Second)
		_ = s.arrived(look, s.DB, partner)
		cancel()
		after, cancel := context.WithTimeout(context.WithoutCancel(work), 5*time.Second)
		defer cancel()
		untried := 0
		if errors.Is(err, errConnector) {
			untried = 1
		}
		_, _ = s.DB.Exec(after, takeBack, partner, pgUUID(s.id), untried)
		if wait > 0 {
			_, _ = s.DB.Exec(after, holdBack, partner, wait.String())
		}
		_, _ = s.DB.Exec(after, "delete from dcm.sending where partner = $1 and owner = $2", partner, pgUUID(s.id))
	})
}

// arrived ends requests for update of whose answer nothing waits any more.
func (s *Sender) arrived(ctx context.Context, db *pgxpool.Pool, partner string) error {
	rows, err := db.Query(ctx, answersArrived, partner)
	if err != nil {
		return fmt.Errorf("look which answers have arrived: %w", err)
	}
	var seconds float64
	var one, sent bool
	_, err = pgx.ForEachRow(rows, []any{&seconds, &one, &sent}, func() error {
		if sent {
			s.Metrics.answered(seconds, one)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("look which answers have arrived: %w", err)
	}
	return nil
}

// job is a row of dcm.delivery.
type job struct {
	Object     string
	ID         pgtype.UUID
	ChangedAt  time.Time
	Supplier   string
	Customer   string
	Answers    pgtype.UUID
	Attempts   int
	QueuedAt   time.Time
	Superseded bool

	body string // the object as JSON
}

// serve sends to one partner until nothing is due or stopping ends.
func (s *Sender) serve(stopping, ctx context.Context, partner string) error {
	// What a replica that was killed had begun waits again.
	if _, err := s.exec(ctx, takeBack, partner, pgUUID(s.id), 0); err != nil {
		return fmt.Errorf("take over: %w", err)
	}
	if err := s.settleUnstored(ctx, partner); err != nil {
		return err
	}
	room := &space{sender: s, partner: partner}
	for stopping.Err() == nil {
		jobs, err := s.take(ctx, partner)
		if err != nil {
			return err
		}
		if len(jobs) == 0 {
			return nil
		}
		// What goes together: objects of one kind and customer that answer the same
		// request. A request for update is a message by itself.
		lists := map[[4]string][]*job{}
		order := [][4]string{}
		for _, j := range jobs {
			if j.Superseded {
				if err := s.settle(ctx, partner, []*job{j}, "superseded", 0, ""); err != nil {
					return err
				}
				continue
			}
			k := [4]string{j.Object, j.Customer + j.Supplier, uuid.UUID(j.Answers.Bytes).String()}
			if j.Object == dcm.RequestForUpdateEndpoint.Object {
				k[3] = uuid.UUID(j.ID.Bytes).String()
			}
			if lists[k] == nil {
				order = append(order, k)
			}
			lists[k] = append(lists[k], j)
		}
		for _, k := range order {
			if err := s.sendAll(stopping, ctx, partner, room, lists[k]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Sender) take(ctx context.Context, partner string) ([]*job, error) {
	limited, cancel := context.WithTimeout(ctx, statementLimit)
	defer cancel()
	rows, err := s.DB.Query(limited, take, partner, maxObjects, pgUUID(s.id))
	if err != nil {
		return nil, fmt.Errorf("take what is due: %w", err)
	}
	jobs, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (j *job, err error) {
		j = &job{}
		return j, row.Scan(&j.Object, &j.ID, &j.ChangedAt, &j.Supplier, &j.Customer, &j.Answers, &j.Attempts,
			&j.QueuedAt, &j.Superseded)
	})
	if err != nil {
		return nil, fmt.Errorf("take what is due: %w", err)
	}
	return jobs, nil
}

// space is what a partner's messages may hold.
type space struct {
	sender   *Sender
	partner  string
	answered bool // the partner, since it is served
}

// get waits for room and says how much there is.
func (r *space) get(ctx context.Context) (n int64, err error) {
	for {
		if r.answered && r.sender.room.Take(r.partner, maxMessage) {
			return maxMessage, nil
		}
		if r.sender.room.Take(r.partner, roomOfOne) {
			return roomOfOne, nil
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// sendAll sends objects of one kind in as few messages as they fit into.
func (s *Sender) sendAll(stopping, ctx context.Context, partner string, room *space, jobs []*job) error {
	for len(jobs) > 0 {
		if stopping.Err() != nil {
			return stopping.Err()
		}
		n, err := room.get(ctx)
		if err != nil {
			return err
		}
		var written []*job
		if written, jobs, err = s.write(ctx, partner, int(n)-reserve, jobs); err == nil && len(written) > 0 {
			held := int64(reserve)
			for _, j := range written {
				held += int64(len(j.body))
			}
			if held < n { // the rest is for others, however long this one takes
				s.room.Give(partner, n-held)
				n = held
			}
			err = s.send(ctx, partner, written)
		}
		s.room.Give(partner, n)
		if err != nil {
			return err
		}
		if len(written) == 0 {
			continue
		}
		room.answered = true
		s.mu.Lock()
		if c := s.serving[partner]; c != nil {
			c.since = time.Now()
		}
		s.mu.Unlock()
	}
	return nil
}

// write makes the JSON of objects, as they are now, as far as they fit into limit,
// and of one in any case. It settles those that have nothing to send: there is a
// newer state, which has a job of its own, or the object is gone.
func (s *Sender) write(ctx context.Context, partner string, limit int, jobs []*job) (written, rest []*job, err error) {
	sql := materialDemand
	switch jobs[0].Object {
	case dcm.RequestForUpdateEndpoint.Object:
		sql = updateRequest
	case dcm.CommentEndpoint.Object:
		sql = comment
	}
	ids, left := []pgtype.UUID{}, map[uuid.UUID]*job{}
	for _, j := range jobs {
		ids, left[j.ID.Bytes] = append(ids, j.ID), j
	}
	limited, cancel := context.WithTimeout(ctx, statementLimit)
	defer cancel()
	rows, err := s.DB.Query(limited, sql, partner, jobs[0].Customer, ids)
	if err != nil {
		return nil, nil, fmt.Errorf("write objects: %w", err)
	}
	var superseded []*job
	all := true
	for size := 0; rows.Next(); {
		var id pgtype.UUID
		var changedAt time.Time
		var body string
		if err := rows.Scan(&id, &changedAt, &body); err != nil {
			return nil, nil, fmt.Errorf("write objects: %w", err)
		}
		if size += len(body) + 1; size > limit && len(written) > 0 {
			all = false
			break
		}
		j := left[id.Bytes]
		delete(left, id.Bytes)
		if changedAt.After(j.ChangedAt) {
			superseded = append(superseded, j)
			continue
		}
		j.body = body
		written = append(written, j)
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return nil, nil, fmt.Errorf("write objects: %w", err)
	}
	if len(superseded) > 0 {
		if err := s.settle(ctx, partner, superseded, "superseded", 0, ""); err != nil {
			return nil, nil, err
		}
	}
	for _, j := range jobs {
		if left[j.ID.Bytes] != nil {
			rest = append(rest, j)
		}
	}
	if all && len(rest) > 0 {
		err, rest = s.settle(ctx, partner, rest, "superseded", 0,
			"it was removed here before it was sent; nothing is to be done"), nil
	}
	return written, rest, err
}

// errLater ends the serving of a partner until the next attempt is due.
var errLater = errors.New("the partner takes nothing at present")

// send sends one message and keeps what became of it. A list that is refused is
// sent again in halves, so that one bad object holds nobody up.
func (s *Sender) send(ctx context.Context, partner string, jobs []*job) error {
	endpoint, kind, messageID := dcm.MaterialDemandEndpoint, edc.MaterialDemand, uuid.New()
	switch jobs[0].Object {
	case dcm.RequestForUpdateEndpoint.Object:
		endpoint, kind, messageID = dcm.RequestForUpdateEndpoint, edc.RequestForUpdate, jobs[0].ID.Bytes
	case dcm.CommentEndpoint.Object:
		endpoint, kind = dcm.CommentEndpoint, edc.Comment
	}
	own := jobs[0].Customer
	if own == partner {
		own = jobs[0].Supplier
	}
	header := map[string]any{
		"messageId": messageID, "context": s.Standard.Context(endpoint, ".0.0"),
		"sentDateTime": time.Now().UTC().Format("2006-01-02T15:04:05.000Z"),
		"senderBpn":    own, "receiverBpn": partner, "version": "3.0.0",
	}
	if jobs[0].Answers.Valid {
		header["relatedMessageId"] = uuid.UUID(jobs[0].Answers.Bytes)
	}
	head, err := json.Marshal(map[string]any{"header": header})
	if err != nil {
		return fmt.Errorf("write header: %w", err)
	}
	var body bytes.Buffer
	body.WriteString(`{"messageHeader":`)
	body.Write(head)
	body.WriteString(`,"content":{"informationObject":[`)
	attempts := 0
	for i, j := range jobs {
		if i > 0 {
			body.WriteByte(',')
		}
		body.WriteString(j.body)
		attempts = max(attempts, j.Attempts)
	}
	body.WriteString("]}}")

	to, err := s.partner(ctx, partner)
	if errors.Is(err, pgx.ErrNoRows) {
		return s.postpone(ctx, partner, jobs[0].Object, backoff(attempts), edc.Delivery{
			Reason: fmt.Sprintf(
				"%s is not among the partners that we send to: enter it (dcm-receiver partner add %s)", partner,
				partner)})
	}
	if err != nil {
		return err
	}
	way, err := s.way(ctx, partner, endpoint.Path)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, sendLimit+time.Duration(body.Len()/slowest)*time.Second)
	d, way := s.Consumer.Send(limited, to, kind, way, body.Bytes())
	cancel()
	d.Reason = reasonOf(d)
	s.keepWay(context.WithoutCancel(ctx), partner, endpoint.Path, way)
	if ctx.Err() != nil && d.Outcome != edc.Delivered {
		return ctx.Err() // what was begun is sent again; a repeat does no harm
	}
	if d.Outcome == edc.Later && d.Status == 0 && s.askConnector(ctx, time.Now()) != nil {
		return errConnector
	}
	s.Log.Info("outbox: sent", "partner", partner, "endpoint", endpoint.Path, "objects", len(jobs), "message_id",
		messageID, "outcome", string(d.Outcome),
		"status", d.Status, "duration", d.Took, "reason", d.Reason)
	switch {
	case d.Outcome == edc.Delivered:
		return s.settle(ctx, partner, jobs, "delivered", d.Status, "")
	case d.Outcome == edc.Refused && len(jobs) > 1 && halves(d.Status):
		half := len(jobs) / 2
		if err := s.send(ctx, partner, jobs[:half]); err != nil {
			return err
		}
		return s.send(ctx, partner, jobs[half:])
	case d.Outcome == edc.Refused:
		reason := d.Reason
		if len(jobs) == 1 && halves(d.Status) {
			reason = s.reason(ctx, partner, to, messageID, d)
		}
		return s.settle(ctx, partner, jobs, "refused", d.Status, reason)
	}
	if d.Denied {
		var late []*job
		for _, j := range jobs {
			if time.Since(j.QueuedAt) > deniedLimit {
				late = append(late, j)
			}
		}
		if len(late) > 0 {
			reason := d.Reason +
				fmt.Sprintf("; it was tried for %.0f h: release it again, or ask for it, when that is done",
					deniedLimit.Hours())
			if err := s.settle(ctx, partner, late, "refused", d.Status, reason); err != nil {
				return err
			}
		}
	}
	return s.postpone(ctx, partner, jobs[0].Object, max(min(d.RetryAfter, maxRetryAfter), backoff(attempts)), d)
}

// postpone has all of a kind wait, and returns errLater.
func (s *Sender) postpone(ctx context.Context, partner, object string, wait time.Duration, d edc.Delivery) error {
	if _, err := s.exec(ctx, postpone, partner, object, wait.String(), d.Status, edc.Clean(d.Reason)); err != nil {
		return fmt.Errorf("postpone: %w", err)
	}
	return errLater
}

// halves: the refusal may be about some of the objects only.
func halves(status int) bool {
	return status == http.StatusBadRequest || status == http.StatusUnprocessableEntity ||
		status == http.StatusRequestEntityTooLarge
}

// backoff grows with the attempts, with jitter, so that not all partners are
// tried at one moment.
func backoff(attempts int) time.Duration {
	wait := min(time.Second<<min(attempts, 20), maxBackoff)
	return wait/2 + rand.N(wait/2+1)
}

// reason is what the partner's receiver says of a refused message: in its answer,
// or kept for fetching.
func (s *Sender) reason(ctx context.Context, partner string, to edc.Partner, messageID uuid.UUID,
	d edc.Delivery) string {
	if d.Details != "" {
		return d.Reason + ": " + d.Details
	}
	way, err := s.way(ctx, partner, "messages")
	if err != nil {
		return d.Reason
	}
	limited, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	stored, way, err := s.Consumer.Reason(limited, to, way, messageID.String())
	s.keepWay(ctx, partner, "messages", way)
	if err != nil {
		return d.Reason + " (it offers no reason)"
	}
	if said := edc.Details(stored.Answer); said != "" {
		return d.Reason + ": " + said
	}
	return d.Reason
}

// settle stores what became of objects, or keeps it in memory until it can be stored.
func (s *Sender) settle(ctx context.Context, partner string, jobs []*job, state string, status int,
	reason string) error {
	o := outcome{jobs, state, status, reason}
	err := s.storeOutcome(context.WithoutCancel(ctx), partner, o) // it is so, whoever serves the partner next
	if err != nil && state != "superseded" {                      // which is found out again
		for _, j := range jobs {
			j.body = ""
		}
		s.remember(partner, func(u *unstored) { u.outcomes = append(u.outcomes, o) })
	}
	return err
}

func (s *Sender) storeOutcome(ctx context.Context, partner string, o outcome) error {
	ids, at, answers := []pgtype.UUID{}, []time.Time{}, []pgtype.UUID{}
	for _, j := range o.jobs {
		ids, at, answers = append(ids, j.ID), append(at, j.ChangedAt), append(answers, j.Answers)
	}
	if _, err := s.exec(ctx, settle, partner, o.jobs[0].Object, ids, at, answers, o.state, o.status,
		edc.Clean(o.reason)); err != nil {
		return fmt.Errorf("keep what became of a message: %w", err)
	}
	return nil
}

func (s *Sender) partner(ctx context.Context, bpnl string) (edc.Partner, error) {
	p := edc.Partner{BPNL: bpnl}
	limited, cancel := context.WithTimeout(ctx, statementLimit)
	defer cancel()
	err := s.DB.QueryRow(limited,
		"select coalesce(dsp_url, ''), coalesce(did, ''), coalesce(protocol, ''), xmin::text from outbox.partner where bpnl = $1", bpnl).
		Scan(&p.Address, &p.DID, &p.Protocol, &p.Entry)
	if err != nil {
		return p, fmt.Errorf("look up the partner: %w", err)
	}
	return p, nil
}

func (s *Sender) way(ctx context.Context, partner, endpoint string) (w edc.Session, err error) {
	known := false
	s.remember(partner, func(u *unstored) { w, known = u.ways[endpoint] })
	if known {
		return w, nil
	}
	var text []byte
	limited, cancel := context.WithTimeout(ctx, statementLimit)
	defer cancel()
	err = s.DB.QueryRow(limited, "select way from dcm.way where partner = $1 and endpoint = $2", partner,
		endpoint).Scan(&text)
	if errors.Is(err, pgx.ErrNoRows) {
		return w, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &w)
	}
	if err != nil {
		return w, fmt.Errorf("look up the way: %w", err)
	}
	return w, nil
}

// keepWay stores a way for all replicas, or keeps it in memory: an agreement that is
// forgotten would be made once more.
func (s *Sender) keepWay(ctx context.Context, partner, endpoint string, w edc.Session) {
	text, err := json.Marshal(w)
	if err == nil {
		_, err = s.exec(ctx, `insert into dcm.way as w (partner, endpoint, way) values ($1, $2, $3)
			on conflict (partner, endpoint) do update set way = excluded.way where w.way <> excluded.way`, partner, endpoint, string(text))
	}
	if err != nil {
		s.Log.Warn("outbox: a way to a partner cannot be stored; this replica remembers it", "partner", partner,
			"endpoint", endpoint, "error", err)
	}
	s.remember(partner, func(u *unstored) {
		if delete(u.ways, endpoint); err != nil {
			u.ways[endpoint] = w
		}
	})
}

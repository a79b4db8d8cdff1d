package outbox

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/edc"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
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
	answerRequests = statement("answer_requests")
	due            = statement("due")
	claim          = statement("claim")
	takeBack       = statement("take_back")
	take           = statement("take")
	materialDemand = statement("material_demand")
	updateRequest  = statement("request_for_update")
	comment        = statement("comment")
	settle         = statement("settle")
	postpone       = statement("postpone")
)

const (
	maxMessage = 15 << 20 // of a message (CX-0048); what stands around the objects is far below reserve
	reserve    = 4 << 10
	maxObjects = 500 // taken at once
	lease      = 40 * time.Second
	renewal    = 10 * time.Second
	maxBackoff = 5 * time.Minute
)

// Sender sends what waits in dcm.delivery, and answers requests for update. Any
// number of replicas may run one each: a partner is served by one of them at a
// time, so nothing older follows something newer.
type Sender struct {
	DB       *pgxpool.Pool
	Consumer *edc.Consumer
	Log      *slog.Logger
	Parallel int // partners at once; a slow one holds one of these and nobody else up

	id      uuid.UUID
	mu      sync.Mutex
	serving map[string]context.CancelFunc // by partner; owned by mu
}

// Run sends until ctx ends.
func (s *Sender) Run(ctx context.Context) {
	s.id, s.serving = uuid.New(), map[string]context.CancelFunc{}
	wake := make(chan struct{}, 1)
	go s.listen(ctx, wake)
	go s.renew(ctx)
	var wait sync.WaitGroup
	defer wait.Wait()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		if err := s.round(ctx, &wait); err != nil && ctx.Err() == nil {
			s.Log.Warn("outbox: what waits cannot be read; trying again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-wake:
		}
	}
}

// listen wakes Run at a release or a request for update.
func (s *Sender) listen(ctx context.Context, wake chan<- struct{}) {
	for ctx.Err() == nil {
		err := s.DB.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
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

// renew keeps other replicas from the partners that this one serves. Where that
// fails for so long that another may have taken over, sending stops.
func (s *Sender) renew(ctx context.Context) {
	tick := time.NewTicker(renewal)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		limited, cancel := context.WithTimeout(ctx, renewal)
		_, err := s.DB.Exec(limited, "update dcm.sending set until = now() + $2::interval where owner = $1", pgUUID(s.id), lease.String())
		cancel()
		if err == nil {
			last = time.Now()
		} else if time.Since(last) > lease-renewal {
			s.mu.Lock()
			for _, stop := range s.serving {
				stop()
			}
			s.mu.Unlock()
		}
	}
}

func pgUUID(id uuid.UUID) pgtype.UUID { return pgtype.UUID{Bytes: id, Valid: true} }

// round answers requests, and begins to serve the partners for whom something is due.
func (s *Sender) round(ctx context.Context, wait *sync.WaitGroup) error {
	if _, err := s.DB.Exec(ctx, answerRequests); err != nil {
		return fmt.Errorf("answer requests for update: %w", err)
	}
	rows, err := s.DB.Query(ctx, due)
	if err != nil {
		return fmt.Errorf("look for what is due: %w", err)
	}
	partners, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("look for what is due: %w", err)
	}
	for _, partner := range partners {
		s.mu.Lock()
		full, busy := len(s.serving) >= s.Parallel, s.serving[partner] != nil
		s.mu.Unlock()
		if full {
			return nil
		}
		if busy {
			continue
		}
		tag, err := s.DB.Exec(ctx, claim, partner, pgUUID(s.id), lease.String())
		if err != nil {
			return fmt.Errorf("claim a partner: %w", err)
		}
		if tag.RowsAffected() == 0 {
			continue // another replica was faster
		}
		serving, stop := context.WithCancel(ctx)
		s.mu.Lock()
		s.serving[partner] = stop
		s.mu.Unlock()
		wait.Go(func() {
			defer func() {
				stop()
				s.mu.Lock()
				delete(s.serving, partner)
				s.mu.Unlock()
				after, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
				defer cancel()
				_, _ = s.DB.Exec(after, takeBack, partner, pgUUID(s.id))
				_, _ = s.DB.Exec(after, "delete from dcm.sending where partner = $1 and owner = $2", partner, pgUUID(s.id))
			}()
			if err := s.serve(serving, partner); err != nil && !errors.Is(err, errLater) && ctx.Err() == nil {
				s.Log.Warn("outbox: sending to a partner stopped; trying again", "partner", partner, "error", err)
			}
		})
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
	Superseded bool

	body string // the object as JSON
}

// serve sends to one partner until nothing is due.
func (s *Sender) serve(ctx context.Context, partner string) error {
	// What a replica that was killed had begun waits again.
	if _, err := s.DB.Exec(ctx, takeBack, partner, pgUUID(s.id)); err != nil {
		return fmt.Errorf("take over: %w", err)
	}
	for {
		rows, err := s.DB.Query(ctx, take, partner, maxObjects)
		if err != nil {
			return fmt.Errorf("take what is due: %w", err)
		}
		jobs, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (j *job, err error) {
			j = &job{}
			return j, row.Scan(&j.Object, &j.ID, &j.ChangedAt, &j.Supplier, &j.Customer, &j.Answers, &j.Attempts, &j.Superseded)
		})
		if err != nil {
			return fmt.Errorf("take what is due: %w", err)
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
			if err := s.sendAll(ctx, partner, lists[k]); err != nil {
				return err
			}
		}
	}
}

// sendAll sends objects of one kind in as few messages as they fit into.
func (s *Sender) sendAll(ctx context.Context, partner string, jobs []*job) error {
	if err := s.write(ctx, partner, jobs); err != nil {
		return err
	}
	for len(jobs) > 0 {
		n, size := 0, reserve
		for n < len(jobs) && (n == 0 || size+len(jobs[n].body)+1 <= maxMessage) {
			size += len(jobs[n].body) + 1
			n++
		}
		if err := s.send(ctx, partner, jobs[:n]); err != nil {
			return err
		}
		jobs = jobs[n:]
	}
	return nil
}

// write makes the JSON of objects, as they are now.
func (s *Sender) write(ctx context.Context, partner string, jobs []*job) error {
	sql := materialDemand
	switch jobs[0].Object {
	case dcm.RequestForUpdateEndpoint.Object:
		sql = updateRequest
	case dcm.CommentEndpoint.Object:
		sql = comment
	}
	ids := []pgtype.UUID{}
	for _, j := range jobs {
		ids = append(ids, j.ID)
	}
	rows, err := s.DB.Query(ctx, sql, partner, jobs[0].Customer, ids)
	if err != nil {
		return fmt.Errorf("write objects: %w", err)
	}
	bodies := map[uuid.UUID]string{}
	var id pgtype.UUID
	var body string
	if _, err := pgx.ForEachRow(rows, []any{&id, &body}, func() error { bodies[id.Bytes] = body; return nil }); err != nil {
		return fmt.Errorf("write objects: %w", err)
	}
	for _, j := range jobs {
		if j.body = bodies[j.ID.Bytes]; j.body == "" {
			return fmt.Errorf("write objects: %s %s is not there any more", j.Object, uuid.UUID(j.ID.Bytes))
		}
	}
	return nil
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
		"messageId": messageID, "context": endpoint.Model + ".0.0", "sentDateTime": time.Now().UTC().Format("2006-01-02T15:04:05.000Z"),
		"senderBpn": own, "receiverBpn": partner, "version": "3.0.0",
	}
	if jobs[0].Answers.Valid {
		header["relatedMessageId"] = uuid.UUID(jobs[0].Answers.Bytes)
	}
	head, err := json.Marshal(map[string]any{"header": header})
	if err != nil {
		return fmt.Errorf("write header: %w", err)
	}
	var body strings.Builder
	body.WriteString(`{"messageHeader":`)
	body.Write(head)
	body.WriteString(`,"content":{"informationObject":[`)
	for i, j := range jobs {
		if i > 0 {
			body.WriteByte(',')
		}
		body.WriteString(j.body)
	}
	body.WriteString("]}}")

	to, err := s.partner(ctx, partner)
	if err != nil {
		return err
	}
	way, err := s.way(ctx, partner, endpoint.Path)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, 2*time.Minute)
	d, way := s.Consumer.Send(limited, to, kind, way, []byte(body.String()))
	cancel()
	if ctx.Err() != nil {
		return ctx.Err() // what was begun is sent again; a repeat does no harm
	}
	if err := s.keepWay(ctx, partner, endpoint.Path, way); err != nil {
		return err
	}
	s.Log.Info("outbox: sent", "partner", partner, "endpoint", endpoint.Path, "objects", len(jobs), "message_id", messageID, "outcome", string(d.Outcome),
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
	wait := max(d.RetryAfter, backoff(jobs[0].Attempts))
	if _, err := s.DB.Exec(ctx, postpone, partner, jobs[0].Object, wait.String(), d.Status, d.Reason); err != nil {
		return fmt.Errorf("postpone: %w", err)
	}
	return errLater
}

// halves: the refusal may be about some of the objects only.
func halves(status int) bool {
	return status == http.StatusBadRequest || status == http.StatusUnprocessableEntity || status == http.StatusRequestEntityTooLarge
}

// backoff grows with the attempts, with jitter, so that not all partners are
// tried at one moment.
func backoff(attempts int) time.Duration {
	wait := min(time.Second<<min(attempts, 20), maxBackoff)
	return wait/2 + rand.N(wait/2+1)
}

// reason is what the partner's receiver says of a refused message: in its answer,
// or kept for fetching.
func (s *Sender) reason(ctx context.Context, partner string, to edc.Partner, messageID uuid.UUID, d edc.Delivery) string {
	if said := details(d.Body); said != "" {
		return d.Reason + ": " + said
	}
	way, err := s.way(ctx, partner, "messages")
	if err != nil {
		return d.Reason
	}
	limited, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	stored, way, err := s.Consumer.Reason(limited, to, way, messageID.String())
	if s.keepWay(ctx, partner, "messages", way) != nil || err != nil {
		return d.Reason + " (it offers no reason)"
	}
	if said := details(stored.Answer); said != "" {
		return d.Reason + ": " + said
	}
	return d.Reason
}

// details are the words of a problem document.
func details(body []byte) string {
	type violation struct{ Pointer, Detail string }
	var answer struct {
		Detail  string
		Errors  []violation
		Results []struct{ Errors []violation }
	}
	if json.Unmarshal(body, &answer) != nil {
		return ""
	}
	said := []string{}
	list := answer.Errors
	for _, r := range answer.Results {
		list = append(list, r.Errors...)
	}
	for i, v := range list {
		if i == 5 {
			said = append(said, fmt.Sprintf("and %d more", len(list)-5))
			break
		}
		said = append(said, strings.TrimPrefix(v.Pointer+": "+v.Detail, ": "))
	}
	if len(said) == 0 {
		return answer.Detail
	}
	return strings.Join(said, "; ")
}

func (s *Sender) settle(ctx context.Context, partner string, jobs []*job, state string, status int, reason string) error {
	ids, at := []pgtype.UUID{}, []time.Time{}
	for _, j := range jobs {
		ids, at = append(ids, j.ID), append(at, j.ChangedAt)
	}
	if _, err := s.DB.Exec(ctx, settle, partner, jobs[0].Object, ids, at, state, status, reason); err != nil {
		return fmt.Errorf("keep what became of a message: %w", err)
	}
	return nil
}

func (s *Sender) partner(ctx context.Context, bpnl string) (edc.Partner, error) {
	p := edc.Partner{BPNL: bpnl}
	err := s.DB.QueryRow(ctx, "select coalesce(dsp_url, ''), coalesce(did, ''), coalesce(protocol, '') from outbox.partner where bpnl = $1", bpnl).
		Scan(&p.Address, &p.DID, &p.Protocol)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return p, fmt.Errorf("look up the partner: %w", err)
	}
	return p, nil
}

func (s *Sender) way(ctx context.Context, partner, endpoint string) (w edc.Way, err error) {
	var text []byte
	err = s.DB.QueryRow(ctx, "select way from dcm.way where partner = $1 and endpoint = $2", partner, endpoint).Scan(&text)
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

func (s *Sender) keepWay(ctx context.Context, partner, endpoint string, w edc.Way) error {
	text, err := json.Marshal(w)
	if err == nil {
		_, err = s.DB.Exec(ctx, `insert into dcm.way as w (partner, endpoint, way) values ($1, $2, $3)
			on conflict (partner, endpoint) do update set way = excluded.way where w.way <> excluded.way`, partner, endpoint, text)
	}
	if err != nil {
		return fmt.Errorf("keep the way: %w", err)
	}
	return nil
}

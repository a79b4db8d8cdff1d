package planner

import (
	"context"
	_ "embed"
	"encoding/json"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

var (
	//go:embed sql/message.sql
	messageSQL string
	//go:embed sql/message_objects.sql
	messageObjectsSQL string
)

// violation is one thing that was wrong, at its place in the body.
type violation struct{ Pointer, Detail string }

// violations is a list of them, as the views have it.
type violations []violation

// Scan reads the jsonb of a view; NULL is none.
func (v *violations) Scan(src any) error { return scanJSON(src, v) }

// scanJSON reads a jsonb; NULL leaves the zero value.
func scanJSON[T any](src any, to *T) error {
	switch src := src.(type) {
	case string:
		return json.Unmarshal([]byte(src), to)
	case []byte:
		return json.Unmarshal(src, to)
	}
	*to = *new(T)
	return nil
}

// message is a received message and what was answered.
type message struct {
	ID                  uuid.UUID
	ReceivedAt          time.Time
	Endpoint            string
	Sender              string
	MessageID           *uuid.UUID
	IsRepeat            bool
	ContractAgreementID *string
	Status              int
	Objects             int
	Bytes               int64
	Milliseconds        float64
	Errors              violations
	MoreErrors          int
	Listed              []messageObject `db:"-"`
}

// messageObject is an object of a message.
type messageObject struct {
	Index      int
	ObjectID   *uuid.UUID
	Standard   *string
	Rule       *int
	Outcome    string
	Errors     violations
	MoreErrors int
	Warnings   violations
}

// message is one message: what came, what was answered, each error at its place.
func (p *Pages) message(ctx context.Context, r *http.Request) (string, any, error) {
	id, err := uuid.Parse(chi.URLParam(r, "id"))
	if err != nil {
		return "", nil, errNotFound
	}
	args := pgx.NamedArgs{"id": id}
	m, err := collectOne[message](ctx, p.pool, messageSQL, args)
	if err != nil {
		return "", nil, err
	}
	m.Listed, err = collect[messageObject](ctx, p.pool, messageObjectsSQL, args)
	return "Message of " + m.Sender, m, err
}

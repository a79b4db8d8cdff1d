package outbox

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"dcm-receiver/internal/dcm"
)

// What commands and operators do to the outbox. Errors are those of the database.

var (
	addPartner     = statement("add_partner")
	partners       = statement("partners")
	removePartner  = statement("remove_partner")
	releaseDemands = statement("release")
	statusOf       = statement("status")
	askAll         = statement("ask_all")
	askGroup       = statement("ask_group")
	requestRefused = statement("request_refused")
	groupsThatCame = statement("groups_that_came")
)

// Partner is a company that we send to. What is nil is found out.
type Partner struct {
	BPNL     string  `json:"bpnl"`
	DSPURL   *string `json:"dspUrl"`
	DID      *string `json:"did"`
	Protocol *string `json:"protocol"`
}

// AddPartner adds a partner, or changes it. Empty texts are found out.
func AddPartner(ctx context.Context, conn *pgx.Conn, bpnl, dspURL, did, protocol string) (added bool, err error) {
	return added, conn.QueryRow(ctx, addPartner, bpnl, dspURL, did, protocol).Scan(&added)
}

// Partners are all partners, by BPNL.
func Partners(ctx context.Context, conn *pgx.Conn) ([]Partner, error) {
	rows, err := conn.Query(ctx, partners)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Partner])
}

// RemovePartner removes a partner. removed is false where there is none.
func RemovePartner(ctx context.Context, conn *pgx.Conn, bpnl string) (removed bool, err error) {
	tag, err := conn.Exec(ctx, removePartner, bpnl)
	return tag.RowsAffected() > 0, err
}

// Released is what a release did with one material.
type Released struct {
	Supplier               string  `json:"supplier"`
	Customer               string  `json:"customer"`
	MaterialNumberCustomer string  `json:"materialNumberCustomer"`
	MaterialDemandID       *string `json:"materialDemandId"`
	Outcome                string  `json:"outcome"` // created, changed, unchanged or refused
	Why                    string  `json:"why,omitempty"`
}

// Release releases demands of a supplier and a customer; "": of all. prepare runs in the transaction
// before it, each is called for every material.
func Release(
	ctx context.Context, conn *pgx.Conn, supplier, customer string,
	prepare func(pgx.Tx) error, each func(Released) error,
) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if err := prepare(tx); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, releaseDemands, supplier, customer)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			r, err := pgx.RowToStructByPos[Released](rows)
			if err == nil {
				err = each(r)
			}
			if err != nil {
				return err
			}
		}
		return rows.Err()
	})
}

// Status is what waits for a partner, and what became of the rest.
type Status struct {
	Partner       string     `json:"partner"`
	Waiting       int        `json:"waiting"`
	Sending       int        `json:"sending"`
	Delivered     int        `json:"delivered"`
	Refused       int        `json:"refused"`
	OldestWaiting *time.Time `json:"oldestWaiting"`
	LastDelivered *time.Time `json:"lastDelivered"`
	Reason        *string    `json:"reason"`
	Requests      int        `json:"unansweredRequests"`
	OldestRequest *time.Time `json:"oldestRequest"`
	Due           *time.Time `json:"-"`           // since when something is due
	Unsent        bool       `json:"nobodySends"` // something is due, and no receiver sends
}

// Statuses are those of all partners: what waits first.
func Statuses(ctx context.Context, conn *pgx.Conn) ([]Status, error) {
	rows, err := conn.Query(ctx, statusOf)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Status])
}

// Request is a request for update that was queued.
type Request struct {
	MessageID          string
	Supplier, Customer string
	Group              *string // nil: all groups
	At                 time.Time
}

// AskForAll queues requests for all groups, of a supplier and for a customer; "": of all that groups are
// stored of.
func AskForAll(ctx context.Context, conn *pgx.Conn, supplier, customer string) ([]Request, error) {
	return ask(ctx, conn, askAll, supplier, customer)
}

// AskForGroup queues requests for one group, with newer for states after the stored one only.
func AskForGroup(
	ctx context.Context, conn *pgx.Conn, supplier, customer string, id uuid.UUID, newer bool,
) ([]Request, error) {
	return ask(ctx, conn, askGroup, supplier, customer, id.String(), newer)
}

func ask(ctx context.Context, conn *pgx.Conn, sql string, arguments ...any) ([]Request, error) {
	rows, err := conn.Query(ctx, sql, arguments...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Request])
}

// Refused is the supplier that has refused one of the messages, with its reason; "": none has.
func Refused(ctx context.Context, conn *pgx.Conn, messages []string) (string, error) {
	var refused *string
	err := conn.QueryRow(ctx, requestRefused, messages).Scan(&refused)
	if err != nil || refused == nil {
		return "", err
	}
	return *refused, nil
}

// Arrived is an object of a capacity group message.
type Arrived struct {
	Key     string // of the object, unique
	Group   string
	Outcome string
	At      time.Time
}

// GroupsSince are the objects of capacity group messages that a supplier has sent since a time.
func GroupsSince(ctx context.Context, conn *pgx.Conn, supplier string, since time.Time) ([]Arrived, error) {
	rows, err := conn.Query(ctx, groupsThatCame, supplier, since, dcm.CapacityGroupEndpoint.Path)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Arrived])
}

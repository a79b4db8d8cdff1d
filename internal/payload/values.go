package payload

import (
	"strings"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/strictjson"

	"github.com/google/uuid"
)

// SyntaxError says why a body is not one JSON text in the strict sense.
type SyntaxError = strictjson.SyntaxError

// reader reads the values that our objects have.
type reader struct {
	*strictjson.Reader
	options Options
	strange bool // an unknown name was met since this was last reset

	// Lists are read here first, one after the other, so that the one that is kept
	// takes no more memory than it has entries.
	capacityRoom []dcm.Capacity
	demandRoom   []dcm.Demand
	weekRoom     weeks
}

func newReader(body []byte, o Options) *reader {
	return &reader{Reader: strictjson.New(body), options: o}
}

// string consumes a value; ok is true if it is a string without NUL, which
// Postgres cannot store (and no partner means).
func (r *reader) string() (s string, ok bool) {
	s, ok = r.String()
	return s, ok && strings.IndexByte(s, 0) < 0
}

func (r *reader) id() (id uuid.UUID, ok bool) {
	s, ok := r.string()
	if !ok {
		return id, false
	}
	id, err := dcm.ParseID(s)
	return id, err == nil
}

func (r *reader) decimal() (d dcm.Decimal, ok bool) {
	s, ok := r.Number()
	if !ok {
		return "", false
	}
	d, err := dcm.ParseDecimal(s)
	return d, err == nil
}

// quantity is a decimal from 0 to limit.
func (r *reader) quantity(limit string) (d dcm.Decimal, ok bool) {
	d, ok = r.decimal()
	return d, ok && !d.IsNegative() && d.AtMost(limit)
}

// count is a whole number from 1 to 999.
func (r *reader) count() (d dcm.Decimal, ok bool) {
	d, ok = r.quantity("999")
	return d, ok && d[0] != '0' && strings.IndexByte(string(d), '.') < 0
}

func (r *reader) timestamp(parse func(string) (dcm.Timestamp, error)) (t dcm.Timestamp, ok bool) {
	s, ok := r.string()
	if !ok {
		return t, false
	}
	t, err := parse(s)
	return t, err == nil
}

func (r *reader) date() (d dcm.Date, ok bool) {
	s, ok := r.string()
	if !ok {
		return 0, false
	}
	d, err := dcm.ParseDate(s)
	return d, err == nil
}

// matching consumes a value; ok is true if it is a string that valid accepts.
func (r *reader) matching(valid func(string) bool) (s string, ok bool) {
	s, ok = r.string()
	return s, ok && valid(s)
}

func optional[T any](value T, ok bool) (*T, bool) { return &value, ok }

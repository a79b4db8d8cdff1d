package payload

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
	"unsafe"

	"dcm-receiver/internal/dcm"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
)

// maxDepth is how deep arrays and objects may nest.
const maxDepth = 64

// SyntaxError says why a body is not one JSON text in the strict sense: cut
// off, trailing data, invalid UTF-8, lone surrogates, a name twice in one
// object, or nested deeper than 64.
type SyntaxError struct{ Detail string }

func (e *SyntaxError) Error() string { return "read JSON: " + e.Detail }

// reader walks over a body token by token. Each of its methods consumes exactly
// one value, whatever it is, so that one bad value never hides the next. The
// first syntax error sticks and ends every loop.
type reader struct {
	dec  *jsontext.Decoder
	body string // the same memory as the decoder reads
	all  []byte // the same again
	err  error
}

func newReader(body []byte) *reader {
	return &reader{
		dec: jsontext.NewDecoder(bytes.NewBuffer(body)),
		// The body is never written to again: values may point into it, which
		// spares a copy of every string and number.
		body: unsafe.String(unsafe.SliceData(body), len(body)),
		all:  body,
	}
}

// text consumes a scalar or a name and returns it as written.
func (r *reader) text() string {
	value, err := r.dec.ReadValue()
	if err != nil {
		r.fail(err)
		return ""
	}
	end := r.dec.InputOffset()
	return r.body[end-int64(len(value)) : end]
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = r.explain(err)
	}
}

// open consumes the start of a composite of the given kind. What is of another
// kind is skipped.
func (r *reader) open(kind jsontext.Kind) bool {
	if r.err != nil || r.dec.PeekKind() != kind {
		r.skip()
		return false
	}
	_, err := r.dec.ReadToken()
	if err != nil {
		r.fail(err)
	} else if r.dec.StackDepth() > maxDepth {
		r.tooDeep()
	}
	return r.err == nil
}

// more reports whether the composite that ends with end has another member; if
// not, its end is consumed.
func (r *reader) more(end jsontext.Kind) bool {
	if r.err != nil {
		return false
	}
	if kind := r.dec.PeekKind(); kind != end && kind > 0 {
		return true
	}
	if _, err := r.dec.ReadToken(); err != nil {
		r.fail(err)
	}
	return false
}

// object consumes a value and, if it is an object, calls member for each name;
// member must consume the value.
func (r *reader) object(member func(name string)) bool {
	if !r.open('{') {
		return false
	}
	for r.more('}') {
		name := r.text()
		if r.err != nil {
			break
		}
		name, _ = unquote(name)
		member(name)
	}
	return r.err == nil
}

// array consumes a value and, if it is an array, calls item for each index;
// item must consume the value.
func (r *reader) array(item func(index int)) bool {
	if !r.open('[') {
		return false
	}
	for i := 0; r.more(']'); i++ {
		item(i)
	}
	return r.err == nil
}

// skip consumes any value.
func (r *reader) skip() {
	base := r.dec.StackDepth()
	for r.err == nil {
		if _, err := r.dec.ReadToken(); err != nil {
			r.fail(err)
			return
		}
		switch depth := r.dec.StackDepth(); {
		case depth > maxDepth:
			r.tooDeep()
		case depth <= base:
			return
		}
	}
}

func (r *reader) tooDeep() {
	if r.err == nil {
		r.err = &SyntaxError{fmt.Sprintf("arrays and objects are nested deeper than %d at byte %d", maxDepth, r.dec.InputOffset())}
	}
}

// scalar consumes a value; ok is true if it is of the given kind.
func (r *reader) scalar(kind jsontext.Kind) (text string, ok bool) {
	if r.err != nil || r.dec.PeekKind() != kind {
		r.skip()
		return "", false
	}
	text = r.text()
	return text, r.err == nil
}

// string consumes a value; ok is true if it is a string without NUL.
func (r *reader) string() (s string, ok bool) {
	s, ok = r.scalar('"')
	if !ok {
		return "", false
	}
	return unquote(s)
}

func (r *reader) boolean() (value, ok bool) {
	switch r.dec.PeekKind() {
	case 't', 'f':
		text := r.text()
		return text == "true", r.err == nil
	default:
		r.skip()
		return false, false
	}
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
	s, ok := r.scalar('0')
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

// count is a decimal from 1 to 999.
func (r *reader) count() (d dcm.Decimal, ok bool) {
	d, ok = r.quantity("999")
	return d, ok && d[0] != '0'
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

// raw consumes any value and returns it as written.
func (r *reader) raw(read func()) []byte {
	start := r.dec.InputOffset() // before the comma or colon and the white space
	read()
	return bytes.TrimLeft(r.all[start:r.dec.InputOffset()], " \t\r\n,:")
}

// unquote is the value of a JSON string literal; ok is false if it has a NUL,
// which Postgres cannot store (and no partner means).
func unquote(literal string) (s string, ok bool) {
	inner := literal[1 : len(literal)-1]
	if strings.IndexByte(inner, '\\') < 0 {
		return inner, true
	}
	// The decoder has checked the literal: this cannot fail.
	value, _ := jsontext.AppendUnquote(nil, literal)
	return string(value), bytes.IndexByte(value, 0) < 0
}

// end checks that nothing follows the JSON text.
func (r *reader) end() error {
	if r.err != nil {
		return r.err
	}
	switch _, err := r.dec.ReadToken(); {
	case err == io.EOF:
		return nil
	default:
		return &SyntaxError{fmt.Sprintf("there is something after the JSON text, at byte %d", r.dec.InputOffset())}
	}
}

// explain words an error of the decoder for the engineer who sent the body.
func (r *reader) explain(err error) error {
	at := r.dec.InputOffset()
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) {
		at = syntactic.ByteOffset
	}
	switch {
	case len(r.body) == 0:
		return &SyntaxError{"the body is empty"}
	case strings.HasPrefix(r.body, "\ufeff"):
		return &SyntaxError{"the body begins with a byte order mark (U+FEFF); send it without"}
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return &SyntaxError{fmt.Sprintf("it ends too early, at byte %d; was it cut off?", len(r.body))}
	case errors.Is(err, jsontext.ErrDuplicateName) && syntactic != nil:
		return &SyntaxError{fmt.Sprintf("a name is twice in one object: %s, at byte %d", shorten(string(syntactic.JSONPointer)), at)}
	case syntactic != nil:
		return &SyntaxError{fmt.Sprintf("%s at byte %d (in %q)", shorten(syntactic.Err.Error()), at, shorten(string(syntactic.JSONPointer)))}
	default:
		return &SyntaxError{shorten(err.Error())}
	}
}

// shorten keeps what a body brought into a sentence at a readable length, and
// free of what no log and no database takes.
func shorten(s string) string {
	const limit = 200
	if len(s) > limit {
		s = s[:limit] + "…"
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(s, ""))
}

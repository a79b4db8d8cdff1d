package payload

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"
	"unsafe"

	"dcm-receiver/internal/dcm"

	"github.com/google/uuid"
)

// maxDepth is how deep arrays and objects may nest.
const maxDepth = 64

// reader walks over a body once, value by value. Each of its methods consumes
// exactly one value, whatever it is, so that one bad value never hides the next.
// It is strict, and fast because it does nothing else: what it does not take is
// no JSON, and package jsontext then says why (syntax.go). A fuzz test holds the
// two equal. The first thing that is no JSON ends every loop.
type reader struct {
	body    string // the same memory as all
	all     []byte
	at      int // the next byte
	depth   int
	failed  bool
	strange bool // an unknown name was met since this was last reset
}

// newReader reads a body that is never written to again: values may point into
// it, which spares a copy of every string and number.
func newReader(body []byte) *reader {
	return &reader{body: unsafe.String(unsafe.SliceData(body), len(body)), all: body}
}

// fail ends reading.
func (r *reader) fail() { r.failed, r.at = true, len(r.body) }

// peek skips white space and returns the next byte; 0 at the end.
func (r *reader) peek() byte {
	for r.at < len(r.body) {
		switch c := r.body[r.at]; c {
		case ' ', '\n', '\t', '\r':
			r.at++
		default:
			return c
		}
	}
	return 0
}

// open consumes the start of a composite. What begins otherwise is skipped.
func (r *reader) open(start byte) bool {
	if r.peek() != start {
		r.skip()
		return false
	}
	r.at++
	if r.depth++; r.depth > maxDepth {
		r.fail()
	}
	return !r.failed
}

// close consumes the end of a composite, if it is next.
func (r *reader) close(end byte) bool {
	if r.peek() != end {
		return false
	}
	r.at++
	r.depth--
	return true
}

// more consumes what stands after a member of a composite that ends with end. It
// reports whether there is another member.
func (r *reader) more(end byte) bool {
	if r.failed || r.close(end) {
		return false
	}
	if r.peek() != ',' {
		r.fail()
		return false
	}
	r.at++
	return true
}

// object consumes a value and, if it is an object, calls member for each name;
// member must consume the value.
func (r *reader) object(member func(name string)) bool {
	if !r.open('{') {
		return false
	}
	if r.close('}') {
		return true
	}
	var names names
	for more := true; more; more = r.more('}') {
		if r.peek() != '"' {
			r.fail()
			break
		}
		name := r.quoted()
		if r.failed || r.peek() != ':' || !names.add(name) {
			r.fail()
			break
		}
		r.at++
		member(name)
	}
	return !r.failed
}

// names are those of one object.
type names struct {
	few  [16]string // an array: nearly every object has no more
	n    int
	many map[string]bool
}

// add reports whether the name is a new one.
func (n *names) add(name string) bool {
	if n.n < len(n.few) {
		if slices.Contains(n.few[:n.n], name) {
			return false
		}
		n.few[n.n] = name
		n.n++
		return true
	}
	if n.many == nil {
		n.many = make(map[string]bool)
		for _, name := range n.few {
			n.many[name] = true
		}
	}
	before := len(n.many)
	n.many[name] = true
	return len(n.many) > before
}

// array consumes a value and, if it is an array, calls item for each index;
// item must consume the value.
func (r *reader) array(item func(index int)) bool {
	if !r.open('[') {
		return false
	}
	if r.close(']') {
		return true
	}
	for i, more := 0, true; more; i, more = i+1, r.more(']') {
		item(i)
	}
	return !r.failed
}

// skip consumes any value.
func (r *reader) skip() {
	switch r.peek() {
	case '{':
		r.object(func(string) { r.skip() })
	case '[':
		r.array(func(int) { r.skip() })
	case '"':
		r.quoted()
	case 't':
		r.word("true")
	case 'f':
		r.word("false")
	case 'n':
		r.word("null")
	default:
		r.number()
	}
}

func (r *reader) word(word string) {
	if strings.HasPrefix(r.body[r.at:], word) {
		r.at += len(word)
	} else {
		r.fail()
	}
}

// usual are the characters that stand for themselves in a string, as nearly all
// do.
var usual = func() (usual [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		usual[c] = c != '"' && c != '\\'
	}
	return usual
}()

// quoted consumes a string and returns its value.
func (r *reader) quoted() string {
	start, escaped := r.at, false
	for {
		at := r.at + 1
		for at < len(r.body) && usual[r.body[at]] {
			at++
		}
		r.at = at
		if at == len(r.body) {
			r.fail() // it does not end
			return ""
		}
		switch c := r.body[at]; {
		case c == '"':
			r.at++
			if escaped {
				return unescape(r.body[start:r.at])
			}
			return r.body[start+1 : at]
		case c == '\\' && r.escape():
			escaped = true
		case c >= utf8.RuneSelf:
			char, size := utf8.DecodeRuneInString(r.body[at:])
			if char == utf8.RuneError && size == 1 {
				r.fail()
				return ""
			}
			r.at += size - 1
		default:
			r.fail()
			return ""
		}
	}
}

func unescape(quoted string) (s string) {
	_ = json.Unmarshal([]byte(quoted), &s) // it is a string of JSON
	return s
}

// escape consumes what a backslash begins, up to its last character.
func (r *reader) escape() bool {
	rest := r.body[r.at:]
	if len(rest) < 2 {
		return false
	}
	if rest[1] != 'u' {
		r.at++
		return strings.IndexByte(`"\/bfnrt`, rest[1]) >= 0
	}
	const surrogate, low, end = 0xd800, 0xdc00, 0xe000
	char, ok := unit(rest)
	if !ok || char < surrogate || char >= end {
		r.at += 5
		return ok
	}
	second, ok := unit(rest[6:]) // half of a character needs the other half
	r.at += 11
	return ok && char < low && second >= low && second < end
}

// unit is the value of the escape \uXXXX that s begins with.
func unit(s string) (value uint32, ok bool) {
	if len(s) < 6 || s[:2] != `\u` {
		return 0, false
	}
	for _, c := range []byte(s[2:6]) {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		value = value<<4 | uint32(c)
	}
	return value, true
}

// number consumes a number and returns it as written.
func (r *reader) number() string {
	start := r.at
	if r.at < len(r.body) && r.body[r.at] == '-' {
		r.at++
	}
	first := r.at
	if !r.digits() || r.body[first] == '0' && r.at-first > 1 {
		r.fail()
		return ""
	}
	if r.at < len(r.body) && r.body[r.at] == '.' {
		if r.at++; !r.digits() {
			r.fail()
			return ""
		}
	}
	if r.at < len(r.body) && r.body[r.at]|0x20 == 'e' {
		if r.at++; r.at < len(r.body) && (r.body[r.at] == '+' || r.body[r.at] == '-') {
			r.at++
		}
		if !r.digits() {
			r.fail()
			return ""
		}
	}
	return r.body[start:r.at]
}

// digits consumes digits; there must be one.
func (r *reader) digits() bool {
	start := r.at
	for r.at < len(r.body) && r.body[r.at] >= '0' && r.body[r.at] <= '9' {
		r.at++
	}
	return r.at > start
}

// string consumes a value; ok is true if it is a string without NUL, which
// Postgres cannot store (and no partner means).
func (r *reader) string() (s string, ok bool) {
	if r.peek() != '"' {
		r.skip()
		return "", false
	}
	s = r.quoted()
	return s, strings.IndexByte(s, 0) < 0 && !r.failed
}

func (r *reader) boolean() (value, ok bool) {
	c := r.peek()
	r.skip()
	return c == 't', (c == 't' || c == 'f') && !r.failed
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
	if c := r.peek(); c != '-' && (c < '0' || c > '9') {
		r.skip()
		return "", false
	}
	s := r.number()
	if r.failed {
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
	r.peek()
	start := r.at
	read()
	return r.all[start:r.at]
}

// end checks that nothing follows the JSON text. The error is a *SyntaxError.
func (r *reader) end() error {
	if r.peek() == 0 && r.at == len(r.body) && !r.failed {
		return nil
	}
	return whyNoJSON(r.all)
}

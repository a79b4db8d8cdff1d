// Package strictjson reads a JSON text in one pass, value by value, more strictly
// than most: UTF-8 without lone surrogates, no name twice in one object, at most
// 64 levels, nothing behind the text. What is no such text is explained in words.
// Tokens and their grammar are those of package jsontext.
package strictjson

import (
	"bytes"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// MaxDepth is how deep arrays and objects may nest.
const MaxDepth = 64

// Reader walks over a text once. Each of its methods consumes exactly one value,
// whatever it is, so that one bad value never hides the next. The first thing that
// is no JSON ends every loop.
type Reader struct {
	d      *jsontext.Decoder
	body   []byte
	failed bool
	values strings.Builder // holds the newest values, many in one piece of memory
	names  [64]string      // those met last, so that few are copied
}

// piece is how many bytes of values share a piece of memory.
const piece = 4096

// New reads a body that is never written to again.
func New(body []byte) *Reader {
	return &Reader{d: jsontext.NewDecoder(bytes.NewBuffer(body)), body: body}
}

// Failed tells that the text is no JSON; then nothing that was read counts.
func (r *Reader) Failed() bool { return r.failed }

// Peek is the kind of the next value; 0 if there is none.
func (r *Reader) Peek() jsontext.Kind {
	if r.failed {
		return 0
	}
	return r.d.PeekKind()
}

// token consumes one token.
func (r *Reader) token() bool {
	if r.failed {
		return false
	}
	_, err := r.d.ReadToken()
	r.failed = err != nil || r.d.StackDepth() > MaxDepth
	return !r.failed
}

// scalar consumes a value that is neither object nor array, and returns it as
// written, until the next value is read.
func (r *Reader) scalar() []byte {
	if r.failed {
		return nil
	}
	raw, err := r.d.ReadValue()
	r.failed = err != nil
	return raw
}

// keep makes a string of bytes that do not last.
func (r *Reader) keep(b []byte) string {
	if len(b) > piece/8 {
		return string(b)
	}
	if r.values.Cap()-r.values.Len() < len(b) {
		r.values = strings.Builder{}
		r.values.Grow(piece)
	}
	start := r.values.Len()
	r.values.Write(b)
	return r.values.String()[start:]
}

// unquoted is what the string raw stands for, until the next value is read.
func (r *Reader) unquoted(raw []byte) []byte {
	if len(raw) < 2 {
		return nil
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1]
	}
	s, err := jsontext.AppendUnquote(nil, raw)
	r.failed = r.failed || err != nil
	return s
}

// name consumes the name of a member.
func (r *Reader) name() string {
	name := r.unquoted(r.scalar())
	if len(name) == 0 {
		return ""
	}
	slot := &r.names[(len(name)*8+int(name[0])+int(name[len(name)-1]))%len(r.names)]
	if *slot != string(name) {
		*slot = r.keep(name)
	}
	return *slot
}

// Object consumes a value and, if it is an object, calls member for each name;
// member must consume the value.
func (r *Reader) Object(member func(name string)) bool {
	if r.Peek() != jsontext.KindBeginObject {
		r.Skip()
		return false
	}
	r.token()
	for !r.failed && r.d.PeekKind() != jsontext.KindEndObject {
		if name := r.name(); !r.failed {
			member(name)
		}
	}
	return r.token()
}

// Array consumes a value and, if it is an array, calls item for each index; item
// must consume the value.
func (r *Reader) Array(item func(index int)) bool {
	if r.Peek() != jsontext.KindBeginArray {
		r.Skip()
		return false
	}
	r.token()
	for i := 0; !r.failed && r.d.PeekKind() != jsontext.KindEndArray; i++ {
		item(i)
	}
	return r.token()
}

// Skip consumes any value.
func (r *Reader) Skip() {
	switch r.Peek() {
	case jsontext.KindBeginObject, jsontext.KindBeginArray:
		outside := r.d.StackDepth()
		for r.token() && r.d.StackDepth() > outside {
		}
	default:
		r.scalar()
	}
}

// String consumes a value; ok is true if it is a string.
func (r *Reader) String() (s string, ok bool) {
	if r.Peek() != jsontext.KindString {
		r.Skip()
		return "", false
	}
	s = r.keep(r.unquoted(r.scalar()))
	return s, !r.failed
}

// Bool consumes a value; ok is true if it is true or false.
func (r *Reader) Bool() (value, ok bool) {
	kind := r.Peek()
	r.Skip()
	return kind == jsontext.KindTrue, (kind == jsontext.KindTrue || kind == jsontext.KindFalse) && !r.failed
}

// Number consumes a value and returns it as written; ok is true if it is a number.
func (r *Reader) Number() (number string, ok bool) {
	if r.Peek() != jsontext.KindNumber {
		r.Skip()
		return "", false
	}
	number = r.keep(r.scalar())
	return number, !r.failed
}

// Raw returns as written what read consumes, which is one value.
func (r *Reader) Raw(read func()) []byte {
	start := int(r.d.InputOffset())
	for start < len(r.body) && strings.IndexByte(" \t\r\n,:", r.body[start]) >= 0 {
		start++
	}
	read()
	if r.failed {
		return nil
	}
	return r.body[start:r.d.InputOffset()]
}

// End checks that nothing follows the JSON text. The error is a *SyntaxError.
func (r *Reader) End() error {
	if !r.failed && len(bytes.TrimLeft(r.body[r.d.InputOffset():], " \t\r\n")) == 0 {
		return nil
	}
	return whyNoJSON(r.body)
}

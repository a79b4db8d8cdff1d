// Package strictjson reads a JSON text in one pass, value by value, more strictly
// than most: UTF-8 without lone surrogates, no name twice in one object, at most
// 64 levels, nothing behind the text. What is no such text is explained in words.
// Tokens and their grammar are those of package jsontext.
package strictjson

import (
	"bytes"
	"slices"
	"strings"
	"unsafe"

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
	text   string   // the same bytes: names and values are parts of it, none is copied alone
	at     int      // where the next token begins; past once it is read
	names  []string // so far, of the objects that are being read
	failed bool
}

// New reads a body that must never be written to again: what is read shares its
// bytes, because a copy would double the memory of a message.
func New(body []byte) *Reader {
	// Whether a name is twice is seen by isNew, at half the cost.
	d := jsontext.NewDecoder(bytes.NewBuffer(body), jsontext.AllowDuplicateNames(true))
	return &Reader{d: d, body: body, text: unsafe.String(unsafe.SliceData(body), len(body)), at: -1}
}

// Failed tells that the text is no JSON; then nothing that was read counts.
func (r *Reader) Failed() bool { return r.failed }

// next is where the next token begins, if there is one: a first look, which package
// jsontext confirms when the token is read.
func (r *Reader) next() int {
	end := int(r.d.InputOffset())
	if r.at >= end {
		return r.at
	}
	for r.at = end; r.at < len(r.text); r.at++ {
		switch r.text[r.at] {
		case ' ', '\t', '\r', '\n', ',', ':':
		default:
			return r.at
		}
	}
	return r.at
}

// Peek is the first byte of the next value, as far as there is one: a digit and a
// minus are numbers.
func (r *Reader) Peek() byte {
	if at := r.next(); !r.failed && at < len(r.text) {
		return r.text[at]
	}
	return 0
}

// token consumes one token and returns it as written.
func (r *Reader) token() string {
	if r.failed {
		return ""
	}
	start := r.next()
	if _, err := r.d.ReadToken(); err != nil {
		r.failed = true
		return ""
	}
	return r.text[start:r.d.InputOffset()]
}

// quoted consumes a string, or the name of a member.
func (r *Reader) quoted() string {
	s := r.token()
	if r.failed {
		return ""
	}
	if strings.IndexByte(s, '\\') < 0 {
		return s[1 : len(s)-1]
	}
	unquoted, err := jsontext.AppendUnquote(nil, s)
	r.failed = err != nil
	return string(unquoted)
}

// enter consumes the beginning of an object or array.
func (r *Reader) enter() {
	r.token()
	r.failed = r.failed || r.d.StackDepth() > MaxDepth
}

// more reports whether there is something before the end of an object or array,
// and else consumes that.
func (r *Reader) more(end byte) bool {
	if next := r.Peek(); next != end && next != 0 {
		return true
	}
	r.token()
	return false
}

// Object consumes a value and, if it is an object, calls member for each name;
// member must consume the value.
func (r *Reader) Object(member func(name string)) bool {
	if r.Peek() != '{' {
		r.Skip()
		return false
	}
	outer := len(r.names)
	var many map[string]bool
	for r.enter(); r.more('}'); {
		name := r.quoted()
		// What is no name has failed at the latest here.
		if !r.failed && r.isNew(name, outer, &many) {
			member(name)
		}
	}
	r.names = r.names[:outer]
	return !r.failed
}

// isNew notes a name of an object, whose names begin at outer. It fails if the name
// was there before. Names beyond a few are in many.
func (r *Reader) isNew(name string, outer int, many *map[string]bool) bool {
	const few = 32
	if names := r.names[outer:]; len(names) < few {
		r.failed = slices.Contains(names, name)
		r.names = append(r.names, name)
		return !r.failed
	} else if *many == nil {
		*many = map[string]bool{}
		for _, n := range names {
			(*many)[n] = true
		}
	}
	r.failed = (*many)[name]
	(*many)[name] = true
	return !r.failed
}

// Array consumes a value and, if it is an array, calls item for each index; item
// must consume the value.
func (r *Reader) Array(item func(index int)) bool {
	if r.Peek() != '[' {
		r.Skip()
		return false
	}
	r.enter()
	for i := 0; r.more(']'); i++ {
		item(i)
	}
	return !r.failed
}

// Skip consumes any value.
func (r *Reader) Skip() {
	switch r.Peek() {
	case '{':
		r.Object(func(string) { r.Skip() })
	case '[':
		r.Array(func(int) { r.Skip() })
	default:
		r.token()
	}
}

// String consumes a value; ok is true if it is a string.
func (r *Reader) String() (s string, ok bool) {
	if r.Peek() != '"' {
		r.Skip()
		return "", false
	}
	s = r.quoted()
	return s, !r.failed
}

// Bool consumes a value; ok is true if it is true or false.
func (r *Reader) Bool() (value, ok bool) {
	next := r.Peek()
	r.Skip()
	return next == 't', (next == 't' || next == 'f') && !r.failed
}

// Number consumes a value and returns it as written; ok is true if it is a number.
func (r *Reader) Number() (number string, ok bool) {
	if next := r.Peek(); next != '-' && (next < '0' || next > '9') {
		r.Skip()
		return "", false
	}
	number = r.token()
	return number, !r.failed
}

// Raw returns as written what read consumes, which is one value.
func (r *Reader) Raw(read func()) []byte {
	start := r.next()
	read()
	if r.failed {
		return nil
	}
	return r.body[start:r.d.InputOffset()]
}

// End checks that nothing follows the JSON text. The error is a *SyntaxError.
func (r *Reader) End() error {
	if !r.failed && len(strings.TrimLeft(r.text[r.d.InputOffset():], " \t\r\n")) == 0 {
		return nil
	}
	return whyNoJSON(r.body)
}

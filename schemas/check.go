package schemas

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"dcm-receiver/internal/dcm"
)

// Check reports every violation of the schema in raw, in the order of raw, until
// report returns false. Those beyond the first most are reported empty, to be counted:
// putting what no one reads into words would cost more than finding it. What is missing from an
// object is reported after what
// is wrong in it, and names in snake_case at the end, in one sentence. Unknown members are ignored, whatever they hold.
//
// raw is one JSON value in which a strict reading found no fault: it is UTF-8,
// and no object has a name twice. Time and memory are proportional to its
// length, whatever is in it.
func (s *Schema) Check(raw []byte, most int, report func(dcm.Violation) bool) {
	w := walk{
		// The strict reading has looked for duplicates; remembering all names
		// again would cost a multiple of the body.
		dec:    jsontext.NewDecoder(bytes.NewBuffer(raw), jsontext.AllowDuplicateNames(true)),
		most:   most,
		report: report,
	}
	if w.value(s.root) {
		w.snakeCase()
	}
}

// walk is one reading of a document along a schema's nodes.
type walk struct {
	dec      *jsontext.Decoder
	most     int // violations that are still put into words
	report   func(dcm.Violation) bool
	misspelt func(dcm.Violation) bool // takes names that look like optional properties; nil: no one asks
	pointer  []byte                   // of the value that is read now

	// Names that are written in snake_case, each once; the required ones that they
	// stand for; and where, "" if in several places.
	snake, meant []string
	snakeAt      string
}

// value checks the next value, and says whether to go on.
func (w *walk) value(n *node) bool {
	kind := w.dec.PeekKind()
	if !n.wrong[kind] {
		switch kind {
		case jsontext.KindBeginObject:
			return w.object(n)
		case jsontext.KindBeginArray:
			return w.list(n)
		}
	} else if found := kindNames[kind]; found != "" {
		if w.dec.SkipValue() != nil {
			return w.broken(n)
		}
		return w.say(n.name, " is ", found, n.advice(kind))
	}
	raw, err := w.dec.ReadValue()
	if err != nil {
		return w.broken(n)
	}
	switch kind {
	case jsontext.KindString:
		s := unquote(raw)
		if n.private {
			if n.pattern != nil && !n.pattern.MatchString(s) || n.self.Validate(s) != nil {
				return w.say(n.name, " is not ", n.wanted)
			}
			return true
		}
		switch {
		case n.wrong[kind]:
			return w.say(n.name, " is the string ", quote(s), n.advice(kind), n.wrapped(s))
		case n.maxLength > 0 && len(s) > n.maxLength, n.pattern != nil && !n.pattern.MatchString(s),
			n.self.Validate(s) != nil:
			return w.say(n.name, " is ", quote(s), n.insteadOf(s))
		}
	case jsontext.KindNumber:
		if n.private {
			return w.say(n.name, " is a number", n.advice(kind))
		}
		s := string(raw)
		if n.wrong[kind] {
			return w.say(n.name, " is the number ", shorten(s), n.advice(kind), n.meantByNumber(s))
		}
		// The library computes with powers of ten of any size, or panics; it is
		// shown numbers of a bounded length only.
		decimal, err := dcm.ParseDecimal(s)
		if err != nil {
			return w.say(n.name, " is ", shorten(s), "; it must not need more than ", strconv.Itoa(dcm.MaxDigits),
				" digits when written out")
		}
		if err := n.self.Validate(json.Number(decimal)); err != nil {
			return w.say(n.name, " is ", shorten(s), "; it must ", n.bound(keyword(err)))
		}
	}
	return true
}

func (w *walk) object(n *node) bool {
	if _, err := w.dec.ReadToken(); err != nil {
		return w.broken(n)
	}
	at := len(w.pointer)
	seen := uint64(0)
	var strange []string
	for w.dec.PeekKind() != jsontext.KindEndObject {
		raw, err := w.dec.ReadValue()
		if err != nil {
			return w.broken(n)
		}
		member := n.members[string(raw[1:len(raw)-1])] // this form of look-up copies nothing
		if bytes.IndexByte(raw, '\\') >= 0 {
			member = n.members[unquote(raw)]
		}
		if member == nil {
			strange = remember(strange, raw)
			if w.dec.SkipValue() != nil {
				return w.broken(n)
			}
			continue
		}
		seen |= member.bit
		w.pointer = append(append(w.pointer, '/'), member.name...) // no name of ours needs escaping
		if !w.value(member) {
			return false
		}
		w.pointer = w.pointer[:at]
	}
	if _, err := w.dec.ReadToken(); err != nil {
		return w.broken(n)
	}
	return w.absent(n, seen, strange)
}

func (w *walk) list(n *node) bool {
	if _, err := w.dec.ReadToken(); err != nil {
		return w.broken(n)
	}
	at := len(w.pointer)
	i := int64(0)
	for ; w.dec.PeekKind() != jsontext.KindEndArray; i++ {
		w.pointer = strconv.AppendInt(append(w.pointer, '/'), i, 10)
		if !w.value(n.entry) {
			return false
		}
		w.pointer = w.pointer[:at]
	}
	if _, err := w.dec.ReadToken(); err != nil {
		return w.broken(n)
	}
	if i == 0 && n.nonempty {
		advice := "it must have an entry"
		if n.optional {
			advice += ", or be left out"
		}
		return w.say(n.name, " is an empty list; ", advice)
	}
	return true
}

// say reports a violation here, in the words that the parts make together.
func (w *walk) say(parts ...string) bool {
	if w.most <= 0 {
		return w.report(dcm.Violation{})
	}
	w.most--
	return w.report(dcm.Violation{Pointer: string(w.pointer), Detail: strings.Join(parts, "")})
}

// broken is for callers who did not read strictly: nothing is valid by mistake.
func (w *walk) broken(n *node) bool {
	w.say(n.name, " is not valid JSON")
	return false
}

// kindNames has what sentences call values that are not shown.
var kindNames = [256]string{
	jsontext.KindNull:        "null",
	jsontext.KindFalse:       "false",
	jsontext.KindTrue:        "true",
	jsontext.KindBeginObject: "an object",
	jsontext.KindBeginArray:  "a list",
}

// advice says what to send in place of a value of the wrong type.
func (n *node) advice(kind jsontext.Kind) string {
	switch {
	case kind == jsontext.KindNull && n.optional:
		return "; leave it out or send " + n.wanted
	case kind == jsontext.KindString && !n.wrong[jsontext.KindNumber]:
		return "; it must be a number without quotation marks"
	case kind == jsontext.KindString && !n.wrong[jsontext.KindTrue]:
		return "; it must be true or false without quotation marks"
	case !n.wrong[jsontext.KindString]:
		return "; it must be a string, " + n.wanted
	case !n.wrong[jsontext.KindBeginArray]:
		return "; it must be " + n.wanted + ", in square brackets even if there is only one"
	}
	return "; it must be " + n.wanted
}

// bound completes "it must …" for a number beyond the bound that keyword sets.
func (n *node) bound(keyword string) string {
	switch {
	case keyword == "minimum" && n.self.Minimum.Sign() == 0:
		return "not be negative"
	case keyword == "minimum":
		return "be at least " + n.self.Minimum.RatString()
	case keyword == "maximum":
		return "be at most " + n.self.Maximum.RatString()
	}
	return "be " + n.wanted
}

// unquote is the string that the JSON string raw stands for.
func unquote(raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1])
	}
	s, _ := jsontext.AppendUnquote(nil, raw)
	return string(s)
}

// quote shows a partner's string; characters that could disturb a log or a
// terminal are escaped.
func quote(s string) string {
	short, more := cut(s)
	return strconv.Quote(short) + more
}

// shorten shows a partner's number.
func shorten(s string) string {
	short, more := cut(s)
	return short + more
}

// cut takes the first 60 bytes or so of a value that is too long to be shown,
// and "…" for the rest.
func cut(s string) (short, more string) {
	const limit = 60
	if len(s) <= limit {
		return s, ""
	}
	end := limit
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end], "…"
}

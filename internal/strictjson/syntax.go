package strictjson

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// SyntaxError says why a body is not one JSON text in the strict sense: cut
// off, trailing data, invalid UTF-8, lone surrogates, a name twice in one
// object, or nested deeper than 64.
type SyntaxError struct{ Detail string }

func (e *SyntaxError) Error() string { return "read JSON: " + e.Detail }

// whyNoJSON words, for the engineer who sent it, what keeps a body from being one
// JSON text.
func whyNoJSON(body []byte) *SyntaxError {
	d := jsontext.NewDecoder(bytes.NewBuffer(body))
	for {
		if _, err := d.ReadToken(); err != nil {
			return explain(d, body, err)
		}
		switch depth := d.StackDepth(); {
		case depth > MaxDepth:
			return &SyntaxError{fmt.Sprintf("arrays and objects are nested deeper than %d %s", MaxDepth,
				where(body, d.InputOffset()))}
		case depth == 0:
			if rest := bytes.TrimLeft(body[d.InputOffset():], " \t\r\n"); len(rest) > 0 {
				detail := "there is something after the JSON text, " + where(body, int64(len(body)-len(rest)))
				if rest[0] == '{' || rest[0] == '[' {
					detail += "; a body is one text: put all objects into one list"
				}
				return &SyntaxError{detail}
			}
			// Never seen: the fuzz tests hold the two readings equal.
			return &SyntaxError{"it could not be read; please report it to the operator of this receiver"}
		}
	}
}

func explain(d *jsontext.Decoder, body []byte, err error) *SyntaxError {
	at := d.InputOffset()
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) {
		at = syntactic.ByteOffset
	}
	encoding := encodingOf(body)
	switch {
	case len(bytes.TrimLeft(body, " \t\r\n")) == 0:
		return &SyntaxError{"the body is empty"}
	case bytes.HasPrefix(body, []byte("\x1f\x8b")):
		return &SyntaxError{"the body is compressed (gzip); send it as it is"}
	case bytes.HasPrefix(body, []byte("PK\x03\x04")):
		return &SyntaxError{"the body is a ZIP file, or a spreadsheet (XLSX)"}
	case bytes.HasPrefix(body, []byte("\ufeff")):
		return &SyntaxError{"the body begins with a byte order mark (U+FEFF); save it as UTF-8 without one"}
	case encoding != "":
		return &SyntaxError{"the body is in " + encoding + "; save it as UTF-8"}
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return &SyntaxError{fmt.Sprintf("it ends too early, %s; was it cut off?", where(body, int64(len(body))))}
	case errors.Is(err, jsontext.ErrDuplicateName) && syntactic != nil:
		return &SyntaxError{fmt.Sprintf("a name is twice in one object: %s, %s",
			Shorten(string(syntactic.JSONPointer)), where(body, at))}
	case syntactic != nil && otherFormat(body) != "":
		return &SyntaxError{otherFormat(body)}
	case syntactic != nil:
		detail := fmt.Sprintf("%s %s (in %q)", Shorten(syntactic.Err.Error()), where(body, at),
			Shorten(string(syntactic.JSONPointer)))
		if probable := guess(body, min(int(at), len(body))); probable != "" {
			detail += "; " + probable
		}
		return &SyntaxError{detail}
	default:
		return &SyntaxError{Shorten(err.Error())}
	}
}

var (
	yaml   = regexp.MustCompile(`^(---|- |[\w-]+:(\s|$))`)
	form   = regexp.MustCompile(`^[\w.%+-]+=[^\s]*$`)
	base64 = regexp.MustCompile(`^[A-Za-z0-9+/_-]{40,}=*$`)
)

// otherFormat says what a body is that does not even begin as JSON does; "" where it
// does, or begins as HTML.
func otherFormat(body []byte) string {
	text := bytes.TrimLeft(body, " \t\r\n")
	isDocument := bytes.HasPrefix(text, []byte("---")) // of YAML
	if len(text) == 0 || !isDocument && strings.IndexByte("{[\"-0123456789tfn<NI'", text[0]) >= 0 {
		return ""
	}
	line, _, _ := bytes.Cut(text[:min(len(text), 4096)], []byte("\n"))
	meant := ""
	switch line = bytes.TrimSpace(line); {
	case yaml.Match(line):
		meant = "; a YAML file?"
	case base64.Match(line):
		meant = "; base64? Send the text itself"
	case form.Match(line):
		meant = "; form data?"
	case bytes.ContainsAny(line, ",;\t"):
		meant = "; a CSV file?"
	}
	begin := []rune(string(line))
	return fmt.Sprintf("this is no JSON: it begins with %q%s", string(begin[:min(len(begin), 20)]), meant)
}

// where tells a place as programs count, and as editors do.
func where(body []byte, at int64) string {
	before := body[:min(at, int64(len(body)))]
	line := bytes.Count(before, []byte("\n")) + 1
	column := utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
	return fmt.Sprintf("at byte %d (line %d, column %d)", at, line, column)
}

// encodingOf names the encoding of a body that is not in UTF-8, where its first
// bytes show it: the first character of a JSON text is one of ASCII.
func encodingOf(body []byte) string {
	switch {
	case bytes.HasPrefix(body, []byte{0, 0, 0xfe, 0xff}), bytes.HasPrefix(body, []byte{0xff, 0xfe, 0, 0}):
		return "UTF-32"
	case bytes.HasPrefix(body, []byte{0xff, 0xfe}), bytes.HasPrefix(body, []byte{0xfe, 0xff}),
		len(body) > 1 && (body[0] == 0) != (body[1] == 0):
		return "UTF-16"
	}
	return ""
}

// spellings are what other languages write where JSON wants something else.
var spellings = []struct{ found, advice string }{
	{"NaN", "JSON has no NaN; leave the property out"},
	{"nan", "JSON has no NaN; leave the property out"},
	{"Infinity", "JSON has no Infinity; leave the property out"},
	{"inf", "JSON has no infinity; leave the property out"},
	{"True", "write true in lower case"},
	{"TRUE", "write true in lower case"},
	{"False", "write false in lower case"},
	{"FALSE", "write false in lower case"},
	{"None", "there is no None; leave the property out"},
	{"undefined", "there is no undefined; leave the property out"},
	{"NULL", "there is no NULL; leave the property out"},
	{"//", "JSON has no comments"},
	{"/*", "JSON has no comments"},
	{"#", "JSON has no comments"},
	{"'", "strings and names stand in double quotation marks"},
	{"`", "strings and names stand in double quotation marks"},
	{"“", "strings and names stand in straight quotation marks (\")"},
	{"”", "strings and names stand in straight quotation marks (\")"},
	{"„", "strings and names stand in straight quotation marks (\")"},
	{"<", "this looks like HTML or XML"},
	{"+", "a number has no plus sign"},
	{".", "a number begins with a digit: 0.5"},
	{";", "members and entries are separated by commas"},
	{"=", "a name and its value are separated by a colon"},
	{"\u00a0", "there is a no-break space, as word processors put it in"},
}

var (
	groupsBefore = regexp.MustCompile(`(?:^|[^0-9.,])([0-9]{1,3}),$`)
	groupsAfter  = regexp.MustCompile(`^([0-9]{3}(?:,[0-9]{3})*)(?:[^0-9,.]|,[^0-9]|$)`)
)

// groupedNumber names what a number with a comma before three digits can mean; ""
// where these are decimals for sure.
func groupedNumber(before, rest []byte) string {
	b := groupsBefore.FindSubmatch(before[max(0, len(before)-8):])
	a := groupsAfter.FindSubmatch(rest[:min(len(rest), 64)])
	if b == nil || a == nil || b[1][0] == '0' {
		return ""
	}
	whole, groups := string(b[1]), string(a[1])
	thousands := "thousands separator? " + whole + strings.ReplaceAll(groups, ",", "")
	if strings.Contains(groups, ",") {
		return thousands
	}
	return thousands + "; decimal comma? " + whole + "." + groups
}

// guess says what probably went wrong at a place where a JSON text ends to be
// one; "" if nothing usual is seen.
func guess(body []byte, at int) string {
	rest := body[at:]
	before := bytes.TrimRight(body[:at], " \t\r\n")
	last := func(n int) byte { // the n-th byte before, from 1
		if len(before) < n {
			return 0
		}
		return before[len(before)-n]
	}
	if len(rest) == 0 {
		return ""
	}
	digit := func(c byte) bool { return c >= '0' && c <= '9' }
	next := bytes.TrimLeft(rest[1:], " \t\r\n")
	switch {
	case rest[0] >= utf8.RuneSelf && invalidRune(rest):
		return "it is in another encoding, perhaps Windows-1252; save it as UTF-8"
	case digit(rest[0]) && last(1) == ',' && digit(last(2)):
		if both := groupedNumber(before, rest); both != "" {
			return both
		}
		return "this looks like a decimal comma; numbers have a point: 1.5"
	case rest[0] == ',' && len(next) > 0 && (next[0] == '}' || next[0] == ']'),
		(rest[0] == '}' || rest[0] == ']') && last(1) == ',':
		return "no comma may stand before a closing bracket"
	case rest[0] == ',':
		return "there is a comma too many, or a value is missing"
	case rest[0] == '.' && digit(last(1)):
		return "a number has one decimal point and no separators of thousands; a date is a string: \"2026-11-30\""
	case rest[0] == '-' && digit(last(1)):
		return "a date is a string: \"2026-11-30\""
	case digit(rest[0]) && last(1) == '0' && !digit(last(2)):
		return "a number has no leading zeros; numbers that are names stand in quotation marks"
	case last(1) == '.' && len(before) > 1 && digit(last(2)):
		return "a decimal point is followed by a digit"
	case rest[0] < ' ' && rest[0] != 0:
		return "a line break or tab inside a string is written \\n or \\t"
	case rest[0] == '\\':
		return "a backslash in a string is written \\\\"
	}
	word := at // where it begins: nan is taken for null up to its second letter
	for word > 0 && (body[word-1]|0x20 >= 'a' && body[word-1]|0x20 <= 'z') {
		word--
	}
	for _, s := range spellings {
		if bytes.HasPrefix(body[word:], []byte(s.found)) {
			return s.advice
		}
	}
	switch {
	case (rest[0] == '"' || rest[0] == '{' || rest[0] == '[') && last(1) != 0 &&
		!bytes.ContainsRune([]byte(",:[{"), rune(last(1))):
		return "is a comma missing before it, or a colon?"
	}
	// name is taken for null up to its second letter
	preceding := bytes.TrimRight(body[:word], " \t\r\n")
	if unicode.IsLetter(rune(body[word])) && len(preceding) > 0 &&
		strings.IndexByte("{,:", preceding[len(preceding)-1]) >= 0 {
		return "names and strings stand in double quotation marks"
	}
	return ""
}

// invalidRune reports whether text begins with something else than a character
// in UTF-8.
func invalidRune(text []byte) bool {
	r, size := utf8.DecodeRune(text)
	return r == utf8.RuneError && size == 1
}

// Shorten keeps what a body brought into a sentence at a readable length, and
// free of what no log and no database takes.
func Shorten(s string) string {
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

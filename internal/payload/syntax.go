package payload

import (
	"bytes"
	"errors"
	"fmt"
	"io"
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
		case depth > maxDepth:
			return &SyntaxError{fmt.Sprintf("arrays and objects are nested deeper than %d at byte %d", maxDepth, d.InputOffset())}
		case depth == 0:
			if rest := bytes.TrimLeft(body[d.InputOffset():], " \t\r\n"); len(rest) > 0 {
				return &SyntaxError{fmt.Sprintf("there is something after the JSON text, at byte %d", len(body)-len(rest))}
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
	switch {
	case len(body) == 0:
		return &SyntaxError{"the body is empty"}
	case bytes.HasPrefix(body, []byte("\ufeff")):
		return &SyntaxError{"the body begins with a byte order mark (U+FEFF); send it without"}
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return &SyntaxError{fmt.Sprintf("it ends too early, at byte %d; was it cut off?", len(body))}
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

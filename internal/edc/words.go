package edc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// What partners and connectors answer is stored, logged and shown. The functions of
// this file read it in one pass without building a tree of it, and leave only what
// is harmless there.

const (
	longest       = 4000 // characters of a text that is kept
	longestDetail = 3000 // characters of what a problem document says
	longestInside = 301  // characters of foreign text within a sentence of ours
	manyErrors    = 5    // errors of an answer that are named; the rest is counted
)

// Clean makes foreign text fit to be stored, logged and shown: one line of at most
// 4,000 characters. Line ends, tabs, control characters and what is no UTF-8 become a
// space; characters that are invisible or change the direction of text are left out.
func Clean(s string) string { return shortened(s, longest) }

// shortened is Clean for a text of at most so many characters.
func shortened(s string, most int) string {
	kept := make([]rune, 0, min(len(s), most+2))
	space := false
	for _, r := range s {
		switch {
		case unicode.IsSpace(r) || unicode.IsControl(r) || r == utf8.RuneError:
			space = len(kept) > 0
			continue
		case !unicode.IsPrint(r):
			continue
		}
		if space {
			kept = append(kept, ' ')
		}
		kept, space = append(kept, r), false
		if len(kept) > most {
			return strings.TrimSuffix(string(kept[:most-1]), " ") + "…"
		}
	}
	return string(kept)
}

// isClean reports whether nothing of an identifier or address would be lost where it
// is stored.
func isClean(s string) bool { return s == Clean(s) }

// plain is foreign text, or the text of an HTML page, for within a sentence.
func plain(s string) string {
	text, _ := pageText(s)
	return shortened(text, longestInside)
}

// pageText is the text of an HTML page without its tags, and its title. A tag that does
// not end hides the rest.
func pageText(s string) (text, title string) {
	if !strings.Contains(s, "<") {
		return s, ""
	}
	s = s[:min(len(s), 16*longest)] // far more than is kept
	lower := []byte(s)
	for i, c := range lower {
		if 'A' <= c && c <= 'Z' {
			lower[i] = c + 'a' - 'A'
		}
	}
	var kept strings.Builder
	for at := 0; ; {
		begin := strings.IndexByte(s[at:], '<')
		if begin < 0 {
			return kept.String() + s[at:], title
		}
		kept.WriteString(s[at:at+begin] + " ")
		at += begin
		end := ">"
		for _, hidden := range []string{"script", "style", "title"} {
			if bytes.HasPrefix(lower[at+1:], []byte(hidden)) {
				end = "</" + hidden + ">"
			}
		}
		length := bytes.Index(lower[at:], []byte(end))
		if length < 0 {
			return kept.String(), title
		}
		if end == "</title>" {
			_, title, _ = strings.Cut(s[at:at+length], ">")
		}
		at += length + len(end)
	}
}

// pageWords are the title and the text of a page, for within a sentence.
func pageWords(body []byte) string {
	text, title := pageText(string(body))
	if said := shortened(title+" "+text, longestInside); said != "" {
		return said
	}
	return "it has no text"
}

// isPage reports whether an answer is a web page, by its type or by how it begins. No
// receiver answers so: a login page or a gateway stands before it.
func isPage(a *Answer) bool {
	kind, _, _ := mime.ParseMediaType(a.ContentType)
	if kind == "text/html" || kind == "application/xhtml+xml" {
		return a.Status != http.StatusNoContent
	}
	body := bytes.ReplaceAll(a.Body[:min(len(a.Body), 16*longest)], []byte{0}, nil) // UTF-16 too
	for _, mark := range []string{"\xef\xbb\xbf", "\xff\xfe", "\xfe\xff"} {
		body = bytes.TrimPrefix(body, []byte(mark))
	}
	return pageBegins.Match(body)
}

var pageBegins = regexp.MustCompile(`(?i)^(?:\s|<!--(?s:.*?)-->|<\?(?s:.*?)\?>)*<(?:!doctype\s+html|(?:` +
	`html|head|body|title|meta|link|script|style|iframe|form|table|center|div|main|h1|p|br)(?:[\s/>]|$))`)

// words are what an answer in JSON says, as far as it came.
type words struct {
	detail     string   // of a problem document
	violations []string // the first that it lists
	count      int      // of violations
	strings    []string // the first of {"errors": ["…"]}, as a data plane words its own refusals
	isPlane    bool     // it is of that form
	messages   []string // the first of [{"message": "…"}], as the Management API words its refusals
	more       int      // of messages
	isList     bool     // it is of that form
}

// wordsOf reads an answer once, up to where it ends or is no JSON. One that was cut
// within a text is read up to there.
func wordsOf(body []byte) (w words) {
	d := decoder(body)
	switch d.PeekKind() {
	case '[':
		w.isList = true
		err := elements(d, func() error { return w.message(d) })
		w.isList = w.isList && (err == nil || len(w.messages) > 0)
	case '{':
		_ = members(d, func(name string) error {
			switch {
			case strings.EqualFold(name, "detail"):
				w.detail = stringOf(d, longestDetail)
			case strings.EqualFold(name, "errors"):
				w.isPlane = d.PeekKind() == '['
				return elements(d, func() error { return w.violation(d) })
			case strings.EqualFold(name, "results"):
				return elements(d, func() error {
					return members(d, func(name string) error {
						if !strings.EqualFold(name, "errors") {
							return nil
						}
						return elements(d, func() error { return w.violation(d) })
					})
				})
			}
			return nil
		})
	}
	return w
}

// violation is an element of a list of errors: a text, or an object with the place and
// what is wrong with it.
func (w *words) violation(d *jsontext.Decoder) error {
	if d.PeekKind() == '"' {
		if len(w.strings) < manyErrors {
			w.strings = append(w.strings, stringOf(d, longestInside))
		}
		return nil
	}
	w.isPlane = false
	w.count++
	if w.count > manyErrors {
		return nil
	}
	const most = longestDetail/manyErrors/2 - 2
	var pointer, detail string
	err := members(d, func(name string) error {
		switch {
		case strings.EqualFold(name, "pointer"):
			pointer = stringOf(d, most)
		case strings.EqualFold(name, "detail"):
			detail = stringOf(d, most)
		}
		return nil
	})
	if said := strings.TrimPrefix(pointer+": "+detail, ": "); said != "" {
		w.violations = append(w.violations, said)
	}
	return err
}

// message is an element of the list in which the Management API words what is wrong.
func (w *words) message(d *jsontext.Decoder) error {
	if d.PeekKind() != '{' {
		w.isList = false
	}
	return members(d, func(name string) error {
		if strings.EqualFold(name, "message") {
			// the other connector's answer may be an HTML page within the message
			said := plain(stringOf(d, 16*longest))
			if said != "" && len(w.messages) < manyErrors {
				w.messages = append(w.messages, said)
			} else if said != "" {
				w.more++
			}
		}
		return nil
	})
}

// Details are the words of a problem document.
func Details(body []byte) string {
	w := wordsOf(body)
	said := w.violations
	if len(said) == 0 {
		return w.detail
	}
	if w.count > manyErrors {
		said = append(said, fmt.Sprintf("and %d more", w.count-manyErrors))
	}
	return strings.Join(said, "; ")
}

func decoder(body []byte) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewBuffer(closed(body)),
		jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// closed ends a text within which an answer was cut.
func closed(body []byte) []byte {
	inside, escape := false, -6 // where the last one begins
	for i := 0; i < len(body); i++ {
		switch {
		case body[i] == '"':
			inside = !inside
		case body[i] == '\\' && inside:
			escape = i
			i++
		}
	}
	if !inside {
		return body
	}
	if rest := body[max(escape, 0):]; escape >= 0 && (len(rest) < 2 || rest[1] == 'u' && len(rest) < 6) {
		body = body[:escape]
	}
	return append(slices.Clip(body), '"')
}

// members hands over the names of an object. each reads the value, or leaves it. A value
// that is no object has no members.
func members(d *jsontext.Decoder, each func(name string) error) error {
	if d.PeekKind() != '{' {
		return d.SkipValue()
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() != '}' {
		token, err := d.ReadToken()
		if err != nil {
			return err
		}
		name := token.String()
		if err := value(d, func() error { return each(name) }); err != nil {
			return err
		}
	}
	_, err := d.ReadToken()
	return err
}

// elements hands over the values of a list. each reads the value, or leaves it. A value
// that is no list is its only element, as in JSON-LD.
func elements(d *jsontext.Decoder, each func() error) error {
	if d.PeekKind() == 'n' {
		return d.SkipValue()
	}
	if d.PeekKind() != '[' {
		return value(d, each)
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() != ']' {
		if err := value(d, each); err != nil {
			return err
		}
	}
	_, err := d.ReadToken()
	return err
}

// value skips the next value unless read has read it.
func value(d *jsontext.Decoder, read func() error) error {
	if d.PeekKind() == 0 {
		_, err := d.ReadToken() // there is none
		return err
	}
	at := d.InputOffset()
	if err := read(); err != nil || d.InputOffset() != at {
		return err
	}
	return d.SkipValue()
}

// stringOf reads a text of at most so many characters, made fit to be shown.
func stringOf(d *jsontext.Decoder, most int) string { return shortened(textOf(d), most) }

// textOf reads a text or number. Any other value is "", and left to be skipped.
func textOf(d *jsontext.Decoder) string {
	if kind := d.PeekKind(); kind != '"' && kind != '0' {
		return ""
	}
	token, err := d.ReadToken()
	if err != nil {
		return ""
	}
	return token.String()
}

// decode is json.Unmarshal for at most so many values, each of which may take a hundred
// times its bytes.
func decode(data []byte, most int, out any) error {
	if bytes.Count(data, []byte{','})+bytes.Count(data, []byte{'{'})+bytes.Count(data, []byte{'['}) > most {
		return errTooLarge
	}
	return json.Unmarshal(data, out)
}

package schemas

import (
	"bytes"
	"slices"
	"strings"

	"dcm-receiver/internal/dcm"

	"github.com/go-json-experiment/json/jsontext"
)

// Bounds on what is remembered of unknown names of one object, so that comparing
// them costs no more than reading them.
const (
	maxStrange       = 20 // names
	maxStrangeLength = 64 // bytes of one
)

// Misspelt reports each name in raw that is no property, but looks like one that
// is not there and may be left out: without a word its value would be lost. Names
// that look like required properties are said by Check. raw and report are as in
// Check.
func (s *Schema) Misspelt(raw []byte, report func(dcm.Violation) bool) {
	w := walk{
		dec:      jsontext.NewDecoder(bytes.NewBuffer(raw), jsontext.AllowDuplicateNames(true)),
		report:   func(dcm.Violation) bool { return true },
		misspelt: report,
	}
	w.value(s.root)
}

// absent says what is missing from an object, and which of the strange names may
// have been meant.
func (w *walk) absent(n *node, seen uint64, strange []string) bool {
	if w.misspelt != nil {
		return w.ignored(n, seen, strange)
	}
	for _, name := range n.required {
		if seen&n.members[name].bit != 0 {
			continue
		}
		found, goOn := lookalike(name, strange), true
		switch {
		case found == "":
			goOn = w.say(name, " is missing")
		case strings.Contains(found, "_"):
			w.rememberSnake(found, name)
		default:
			goOn = w.say(name, " is missing; did you mean it by ", quote(found), "?")
		}
		if !goOn {
			return false
		}
	}
	return true
}

// rememberSnake notes a name in snake_case for the sentence about all of them.
func (w *walk) rememberSnake(found, meant string) {
	switch at := string(w.pointer); {
	case len(w.snake) == 0:
		w.snakeAt = at
	case w.snakeAt != at:
		w.snakeAt = ""
	}
	if !slices.Contains(w.meant, meant) {
		w.snake, w.meant = append(w.snake, found), append(w.meant, meant)
	}
}

// snakeCase is the sentence about names in snake_case: anyone who writes one so writes
// all of them so, in every week.
func (w *walk) snakeCase() {
	if len(w.snake) == 0 {
		return
	}
	const shown = 3
	more := ""
	if len(w.snake) > shown {
		more = ", …"
	}
	w.report(dcm.Violation{Pointer: w.snakeAt, Detail: "names are written in snake_case (" +
		strings.Join(w.snake[:min(shown, len(w.snake))], ", ") + more +
		"); they must be in camelCase: " + strings.Join(w.meant, ", ")})
}

// ignored says which of the strange names look like optional properties that are
// not there.
func (w *walk) ignored(n *node, seen uint64, strange []string) bool {
	if len(strange) == 0 {
		return true
	}
	for _, name := range n.names {
		member := n.members[name]
		if !member.optional || seen&member.bit != 0 {
			continue
		}
		if found := lookalike(name, strange); found != "" {
			at := string(w.pointer) + "/" + escape(found)
			if !w.misspelt(dcm.Violation{Pointer: at, Detail: quote(found) +
				" is not a known property and was ignored; did you mean " +
				name + "?"}) {
				return false
			}
		}
	}
	return true
}

// lookalike is the one of the strange names that somebody may have written for
// name; "" if there is none.
func lookalike(name string, strange []string) string {
	for _, s := range strange {
		if Alike(s, name) {
			return s
		}
	}
	return ""
}

// Alike reports whether two names differ by no more than the case of letters,
// underscores and hyphens, and one letter that is wrong, missing, too many, or
// changes places with its neighbour.
func Alike(a, b string) bool {
	const between = 6 // more underscores than any name of ours would have
	if len(a) > maxStrangeLength || len(b) > maxStrangeLength || len(a) > len(b)+between || len(b) > len(a)+between {
		return false
	}
	var first, second [maxStrangeLength]byte
	return nearly(bare(first[:0], a), bare(second[:0], b))
}

func nearly(a, b []byte) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(b)-len(a) > 1 {
		return false
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	switch {
	case i == len(a):
		return len(a) == len(b) || len(a) > 3
	case len(a) < 5:
		return false
	case len(a) < len(b):
		return string(a[i:]) == string(b[i+1:])
	case string(a[i+1:]) == string(b[i+1:]):
		return true
	}
	return i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && string(a[i+2:]) == string(b[i+2:])
}

// bare appends a name without what differs between conventions.
func bare(to []byte, name string) []byte {
	for i := range len(name) {
		switch c := name[i]; {
		case c == '_' || c == '-' || c == ' ' || c == '.':
		case c >= 'A' && c <= 'Z':
			to = append(to, c+'a'-'A')
		default:
			to = append(to, c)
		}
	}
	return to
}

// escape makes a name a step of a JSON Pointer (RFC 6901).
func escape(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

// remember keeps an unknown name for comparison.
func remember(strange []string, raw []byte) []string {
	if len(strange) == maxStrange || len(raw) > maxStrangeLength {
		return strange
	}
	return append(strange, unquote(raw))
}

// sortedNames are an object's members in a fixed order.
func sortedNames(members map[string]*node) (names []string) {
	for name := range members {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

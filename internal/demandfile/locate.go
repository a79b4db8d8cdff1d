package demandfile

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// locator tells where in a JSON text something stands.
type locator struct {
	content []byte
	offsets map[string]int // by JSON Pointer; of a member that of its name
	lines   []int          // where each begins
}

// locate reads a text that is JSON once, for the places of some pointers and of
// what is around them.
func locate(content []byte, pointers []string) *locator {
	wanted := map[string]bool{}
	for _, p := range pointers {
		for ; p != "" && !wanted[p]; p = parent(p) {
			wanted[p] = true
		}
	}
	l := &locator{content, map[string]int{"": 0}, []int{0}}
	for i, c := range content {
		if c == '\n' {
			l.lines = append(l.lines, i+1)
		}
	}
	d := jsontext.NewDecoder(bytes.NewBuffer(content))
	for len(l.offsets) <= len(wanted) {
		begin := int(d.InputOffset())
		if _, err := d.ReadToken(); err != nil {
			break
		}
		p := string(d.StackPointer())
		if _, known := l.offsets[p]; wanted[p] && !known {
			l.offsets[p] = begin + len(content[begin:]) - len(bytes.TrimLeft(content[begin:], " \t\r\n,:"))
		}
	}
	return l
}

func parent(pointer string) string { return pointer[:strings.LastIndexByte(pointer, '/')] }

// place is where a pointer leads: what is missing stands in what it is missing in.
func (l *locator) place(pointer string) (line, position int) {
	offset, known := l.offsets[pointer]
	for p := pointer; !known && p != ""; {
		p = parent(p)
		offset, known = l.offsets[p]
	}
	i, exact := slices.BinarySearch(l.lines, offset)
	if !exact {
		i--
	}
	return i + 1, utf8.RuneCount(l.content[l.lines[i]:offset]) + 1
}

package payload

import (
	"bytes"

	"dcm-receiver/internal/dcm"
)

// Memory estimates how many bytes reading, judging and storing a body takes beside
// the body itself, from what stands in it, before anything is read. It is an upper
// bound for every endpoint, valid or not: what make fairness measures has to stay
// below.
func Memory(body []byte, endpoint dcm.Endpoint) int64 {
	const (
		perMessage = 16 << 10
		perByte    = 1    // errors, and strings with escapes, which become strings of their own
		perObject  = 1600 // its value, ground, verdict and answer
		perEntry   = 96   // of a list in an object: a week, a link, a series
		perID      = 450  // of a request for update, whose entries are all there is
		perValue   = 32   // a number, a string, an ID
		perName    = 64   // of one object with many, which are kept to see none twice
	)
	objects, names := shape(body)
	entries, values := int64(bytes.Count(body, []byte("{"))), int64(bytes.Count(body, []byte(",")))
	objects = min(objects, max(alwaysObjects, int64(len(body)/minObject))) // of more, none is judged
	each := int64(perEntry)
	if endpoint.Path == dcm.RequestForUpdateEndpoint.Path {
		each = perID
	}
	return perMessage + perByte*int64(len(body)) + perObject*objects + each*entries + perValue*values + perName*names
}

// shape counts the objects of a body's list, and the names of the object that has
// most. Where the body is no JSON, it may count too many: reading ends there.
func shape(body []byte) (objects, names int64) {
	var here [64]int64 // names so far, by depth of the object
	depth, listed := 0, 3
	first := bytes.TrimLeft(body, " \t\r\n")
	if len(first) > 0 && first[0] == '[' {
		listed = 1 // without envelope
	}
	for i := 0; i < len(body); i++ {
		switch body[i] {
		case '"':
			i = stringEnd(body, i)
		case '{', '[':
			if depth == listed && body[i] == '{' {
				objects++
			}
			if depth++; depth < len(here) {
				here[depth] = 0
			}
		case '}', ']':
			depth = max(depth-1, 0)
		case ':':
			if depth < len(here) {
				here[depth]++
				names = max(names, here[depth])
			}
		}
	}
	return objects, names
}

// stringEnd is where the string that begins at i ends.
func stringEnd(body []byte, i int) int {
	for i++; i < len(body); i++ {
		end := bytes.IndexByte(body[i:], '"')
		if end < 0 {
			return len(body)
		}
		if i += end; body[i-1] != '\\' {
			return i
		}
		escapes := 0
		for body[i-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return i
		}
	}
	return i
}

package payload

// spelling is how an object of a list is spelled: what stands around its values.
// The objects of a list from one program are spelled alike, so that comparing
// this is enough to know what the next one consists of.
type spelling struct {
	alike  bool // the next object may be spelled so
	before []struct{ text, name string }
	after  string
	at     int // the end of the last value
}

// begin notes that an object begins here.
func (s *spelling) begin(r *reader) {
	s.alike, s.before, s.at = true, s.before[:0], r.at
}

// add notes that the value of a property begins here.
func (s *spelling) add(r *reader, name string) {
	s.before = append(s.before, struct{ text, name string }{r.body[s.at:r.at], name})
}

// end notes that the object ends here. Only a complete one is a pattern for others.
func (s *spelling) end(r *reader, complete bool) {
	s.alike = s.alike && complete
	s.after = r.body[s.at:r.at]
}

// read reads an object that is spelled like the last one, with the values that
// value takes. If it is another, nothing is read.
func (s *spelling) read(r *reader, value func(name string) (known, ok bool)) bool {
	start, ok := *r, s.alike
	for i := 0; ok && i < len(s.before); i++ {
		r.word(s.before[i].text)
		_, ok = value(s.before[i].name)
	}
	if ok {
		r.word(s.after)
	}
	if !ok || r.failed {
		*r = start
		return false
	}
	return true
}

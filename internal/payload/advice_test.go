package payload

import (
	"strings"
	"testing"
)

// What the answer to a single object advises must be valid under the standard:
// one that requires the header does not take a list without envelope.
func TestAdviceForSingleObject(t *testing.T) {
	for _, test := range []struct {
		name           string
		headerRequired bool
		body           string
		list           bool
	}{
		{name: "header optional", body: `{"capacityGroupId": "x"}`, list: true},
		{name: "header required", headerRequired: true, body: `{"capacityGroupId": "x"}`},
		{name: "text, header optional", body: `"x"`, list: true},
		{name: "text, header required", headerRequired: true, body: `"x"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			var m Envelope
			r := newReader([]byte(test.body), Options{HeaderRequired: test.headerRequired})
			r.envelope(&m, func(string, int) { r.Skip() })
			var said []string
			for _, e := range m.Errors.List {
				said = append(said, e.Detail)
			}
			all := strings.Join(said, "\n")
			if !strings.Contains(all, "content.informationObject") {
				t.Errorf("no word of the envelope: %q", all)
			}
			if strings.Contains(all, "list of objects") != test.list {
				t.Errorf("advises a list: %v, want %v: %q", !test.list, test.list, all)
			}
		})
	}
}

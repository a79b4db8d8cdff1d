package receiver_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/example"
)

// BenchmarkReceive is the way of a message of one group of 104 weeks over HTTP to
// the commit, on a Postgres that does not wait for the disk. What takes its time
// there is what `make build` has the compiler look at (`make profile`).
func BenchmarkReceive(b *testing.B) {
	f := newFixture(b, nil)
	server := httptest.NewServer(f.partner)
	b.Cleanup(server.Close)
	body := example.Message(example.Options{Groups: 1, Weeks: 104, Supplier: example.Supplier,
		Customer: example.Customer, Now: now})
	id := body[bytes.Index(body, []byte(`"capacityGroupId": "`))+20:][:36]
	changed := body[bytes.Index(body, []byte(`"actualCapacity": `))+18:][:3]
	var n atomic.Int64
	for name, change := range map[string]func([]byte) []byte{
		"new": func(body []byte) []byte {
			return bytes.Replace(body, id, fmt.Appendf(nil, "%08d-0000-4000-8000-%012d", n.Load(), n.Add(1)), 1)
		},
		"changed": func(body []byte) []byte {
			return bytes.Replace(body, changed, fmt.Appendf(nil, "%03d", 100+n.Add(1)%900), 1)
		},
		"identical": func(body []byte) []byte { return body },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(4)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					r := request(dcm.CapacityGroupEndpoint.Path, bytes.NewReader(change(body)))
					r.RequestURI, r.URL.Scheme, r.URL.Host = "", "http", server.Listener.Addr().String()
					answer, err := server.Client().Do(r)
					if err != nil {
						b.Fatal(err)
					}
					text, _ := io.ReadAll(answer.Body)
					if answer.Body.Close(); answer.StatusCode >= 300 {
						b.Fatalf("%s %s", answer.Status, text)
					}
				}
			})
		})
	}
}

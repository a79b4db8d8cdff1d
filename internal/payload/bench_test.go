package payload_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"testing"
	"time"

	"dcm-receiver/internal/cx0048"
	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/example"
	"dcm-receiver/internal/payload"
)

// bodies are a usual message and the largest that fits.
func bodies(b *testing.B, run func(b *testing.B, body []byte)) {
	for _, groups := range []int{1, 1280} {
		var body bytes.Buffer
		if err := json.Compact(&body, example.Message(example.Options{Groups: groups, Weeks: 104,
			Supplier: example.Supplier, Customer: example.Customer, Now: time.Now()})); err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("groups=%d", groups), func(b *testing.B) {
			b.SetBytes(int64(body.Len()))
			b.ReportAllocs()
			run(b, body.Bytes())
		})
	}
}

func BenchmarkReadCapacityGroups(b *testing.B) {
	today := dcm.DateOf(time.Now().UTC())
	options := payload.Options{Weeks: cx0048.Weeks, GroupWeeks: func(weeks iter.Seq2[int,
		dcm.Date]) string {
		return cx0048.GroupWeeks(weeks, today)
	}}
	bodies(b, func(b *testing.B, body []byte) {
		for b.Loop() {
			m, err := payload.ReadCapacityGroups(body, options)
			if err != nil || m.Errors.Any() || m.Objects[0].Errors.Any() {
				b.Fatal("the message is valid")
			}
		}
	})
}

// BenchmarkJSONValid is the least that seeing that a body is JSON costs.
func BenchmarkJSONValid(b *testing.B) {
	bodies(b, func(b *testing.B, body []byte) {
		for b.Loop() {
			if !json.Valid(body) {
				b.Fatal("the message is valid")
			}
		}
	})
}

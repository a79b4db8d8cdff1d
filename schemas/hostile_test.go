package schemas

import (
	"math"
	"runtime"
	"strings"
	"testing"

	"dcm-receiver/internal/dcm"
)

// repeated is open, then entry as often as size allows, then close.
func repeated(open, entry, close string, size int) string {
	return open + strings.TrimSuffix(strings.Repeat(entry, size/len(entry)), ",") + close
}

// hostile has bodies that cost a multiple of their size where they are decoded
// as a whole, compared each with each, or computed with.
var hostile = []struct {
	name   string
	schema *Schema
	body   func(size int) string
}{
	{"empty capacities", CapacityGroup, func(size int) string {
		return repeated(`{"capacities":[`, `{},`, `]}`,
			size)
	}},
	{"capacities that are numbers", CapacityGroup, func(size int) string {
		return repeated(`{"capacities":[`, `1,`,
			`]}`, size)
	}},
	{"one week again and again", CapacityGroup, func(size int) string {
		return repeated(`{"capacities":[`, `{"pointInTime":"2023-02-13","actualCapacity":1,"maximumCapacity":2},`,
			`]}`, size)
	}},
	{"empty locations", CapacityGroup, func(size int) string {
		return repeated(`{"supplierLocations":[`, `"",`, `]}`,
			size)
	}},
	{"long name", CapacityGroup, func(size int) string { return repeated(`{"name":"`, `x`, `"}`, size) }},
	{"long escaped name", CapacityGroup, func(size int) string { return repeated(`{"name":"`, `\u0001`, `"}`, size) }},
	{"long ID", CapacityGroup, func(size int) string { return repeated(`{"capacityGroupId":"`, "\x7f", `"}`, size) }},
	{"long instant", CapacityGroup, func(size int) string { return repeated(`{"changedAt":"`, "\x7f", `"}`, size) }},
	{"long fraction of a second", MessageHeader, func(size int) string {
		return repeated(`{"header":{"sentDateTime":"2023-02-13T00:00:00.`, `1`, `"}}`, size)
	}},
	{"long version", MessageHeader, func(size int) string {
		return repeated(`{"header":{"version":"1.0.0`, `-0`,
			`"}}`, size)
	}},
	{"long number", CapacityGroup, func(size int) string {
		return repeated(`{"linkedDemandSeries":[{"loadFactor":`,
			`1`, `}]}`, size)
	}},
	{"long zero", CapacityGroup, func(size int) string {
		return repeated(`{"linkedDemandSeries":[{"loadFactor":0.`,
			`0`, `}]}`, size)
	}},
	{"long exponent", CapacityGroup, func(size int) string {
		return repeated(`{"linkedDemandSeries":[{"loadFactor":1e`, `1`, `}]}`, size)
	}},
	{"numbers with large exponents", CapacityGroup, func(size int) string {
		return repeated(`{"capacities":[`, `{"actualCapacity":1e999999999},`, `]}`, size)
	}},
	{"numbers with a thousand digits", CapacityGroup, func(size int) string {
		return repeated(`{"linkedDemandSeries":[`, `{"loadFactor":`+strings.Repeat("9", 1000)+`},`, `]}`, size)
	}},
	{"unknown properties", CapacityGroup, func(size int) string { return repeated(`{"x":1`, `,"y":1`, `}`, size) }},
	{"a large object as ID", CapacityGroup, func(size int) string {
		return repeated(`{"capacityGroupId":{"x":1`, `,"y":1`, `}}`, size)
	}},
	{"a large list as ID", CapacityGroup, func(size int) string {
		return repeated(`{"capacityGroupId":[`, `1,`, `]}`,
			size)
	}},
	{"depth", CapacityGroup, func(size int) string {
		return repeated(`{"capacities":[`, strings.Repeat(`[`, 60)+strings.Repeat(`]`, 60)+`,`, `]}`, size)
	}},
	{"a large list of everything", RequestForUpdate, func(size int) string {
		return repeated(`{"weekBasedMaterialDemand":[`, `{"changedAt":""},`, `]}`, size)
	}},
}

// allocated counts the bytes that f allocates, kept or not.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestHostile: what is allocated stays within three times the body while at
// most a hundred violations are asked for, and doubles with the body when all are.
func TestHostile(t *testing.T) {
	const size = 1 << 16
	for _, h := range hostile {
		t.Run(h.name, func(t *testing.T) {
			body, twice := []byte(h.body(size)), []byte(h.body(2*size))
			violations := 0
			hundred := allocated(func() {
				h.schema.Check(body, math.MaxInt, func(dcm.Violation) bool { violations++; return violations < 100 })
			})
			if violations == 0 {
				t.Error("valid")
			}
			// Lists of valid entries cost a little for each, all of it garbage
			// at once; the rest must not cost more than copies of the body.
			if limit := uint64(3*size + 1<<16); hundred > limit && violations >= 100 {
				t.Errorf("%d bytes allocated for %d", hundred, len(body))
			}
			all := func(dcm.Violation) bool { return true }
			once := allocated(func() { h.schema.Check(body, math.MaxInt, all) })
			again := allocated(func() { h.schema.Check(twice, math.MaxInt, all) })
			if again > once*5/2+1<<16 {
				t.Errorf("%d bytes allocated for %d, but %d for %d", once, len(body), again, len(twice))
			}
			t.Logf("violations %d: %.1f × the body; all: %.1f ×", violations, float64(hundred)/float64(len(body)),
				float64(once)/float64(len(body)))
		})
	}
}

func BenchmarkHostile(b *testing.B) {
	for _, h := range hostile {
		b.Run(h.name, func(b *testing.B) {
			body := []byte(h.body(15 << 20))
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				h.schema.Check(body, math.MaxInt, func(dcm.Violation) bool { return true })
			}
		})
	}
}

func BenchmarkValid(b *testing.B) {
	body := []byte(group)
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		CapacityGroup.Check(body, math.MaxInt, func(dcm.Violation) bool { return true })
	}
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/standard"
)

// shape is a message that is as large as one may be, in a form of its own: item is
// one of its objects, whose ID is unique.
type shape struct {
	name     string
	endpoint dcm.Endpoint
	item     string // in it, ID and PARTNER are replaced
	inOne    string // instead of objects, entries of the one object that item begins
	end      string // of that object
	first    bool   // with -short, tried six at once too
}

var latest = standard.Latest()

const (
	largestBody = 15<<20 - 4096
	ids         = `"supplier":"PARTNER","customer":"` + customer + `"`
	asCustomer  = `"supplier":"` + customer + `","customer":"PARTNER"`
	group       = `{"capacityGroupId":"ID","name":"x",` + ids +
		`,"changedAt":"2026-01-01T00:00:00Z","unitOfMeasureIsOmitted":true,"capacityGroupIsInactive":false`
	linked  = `,"linkedCapacityGroups":["ID"]`
	oneWeek = `{"pointInTime":"2030-01-07","actualCapacity":1,"maximumCapacity":1}`
	demand  = `{"materialDemandId":"ID",` + asCustomer +
		`,"materialNumberCustomer":"ID","materialDescriptionCustomer":"x",` +
		`"changedAt":"2026-01-01T00:00:00Z","unitOfMeasureIsOmitted":true,"materialDemandIsInactive":false`
	series  = `{"customerLocation":"BPNS8888888888XX","demandCategory":{"demandCategoryCode":"0001"},"demands":[`
	comment = `{"commentId":"ID","objectId":"ID","objectType":"urn:samm:io.catenax.week_based_capacity_group",` + ids
	link    = `{"materialNumberCustomer":"ID","customerLocation":"BPNS8888888888XX",` +
		`"demandCategory":{"demandCategoryCode":"0001"}}`
)

// shapes are those that took most memory or time for their size; the first is the
// usual list, which others are compared with.
func shapes() []shape {
	groups, demands, comments := dcm.CapacityGroupEndpoint, dcm.MaterialDemandEndpoint, dcm.CommentEndpoint
	padded := func(object string, size int) string {
		return strings.TrimSuffix(object, "}") + `,"x":"` + strings.Repeat("x", size-len(object)-7) + `"}`
	}
	return []shape{
		{name: "usual: 52 weeks a group", endpoint: groups, item: group + linked + `,"capacities":[` + year() + `]}`},
		{name: "groups of 200 bytes with an invalid list", first: true, endpoint: groups,
			item: padded(`{"capacities":[1]}`, 200)},
		{name: "groups of 205 bytes with one invalid week", first: true, endpoint: groups,
			item: padded(`{"capacityGroupId":"ID","capacities":[{"pointInTime":"07/12/2026"}]}`, 205)},
		{name: "valid groups of one week", first: true, endpoint: groups,
			item: group + linked + `,"capacities":[` + oneWeek + `]}`},
		{name: "the shortest valid groups", endpoint: groups, item: group + linked + `}`},
		{name: "snake case", first: true, endpoint: groups,
			item: `{"capacity_group_id":"ID","changed_at":1,"unit_of_measure_is_omitted":1,` +
				`"capacity_group_is_inactive":1,"linked_demand_series":[],"supplier_locations":[]}`},
		{name: "unknown units", endpoint: groups, item: padded(group+`,"unitOfMeasure":"unit:stk"}`, 320)},
		{name: "names with escapes", endpoint: groups, item: strings.Replace(group, `"x"`,
			`"`+strings.Repeat(`\u0041`, 30)+`"`, 1) + `}`},
		{name: "objects nested 60 deep", first: true, endpoint: groups,
			item: `{"capacities":` + strings.Repeat(`[`, 60) + strings.Repeat("]", 60) + `,"y":` +
				strings.Repeat(`{"a":`, 50) + "1" + strings.Repeat("}", 50) + `}`},
		{name: "groups with links and sites", first: true, endpoint: groups,
			item: group + `,"supplierLocations":["BPNS8888888888XX"],"linkedDemandSeries":[` + link + `]}`},
		{name: "groups with thresholds", endpoint: groups, item: group + linked +
			`,"demandVolatilityParameters":{"startReferenceDateTime":"2099-01-01T00:00:00Z","measurementInterval":4,` +
			`"rollingHorizonAlertThresholds":[{"sequenceNumber":1,"subhorizonLength":4,` +
			`"relativePositiveDeviation":0.2},{"sequenceNumber":2,"subhorizonLength":4}]}}`},
		{name: "numbers of 3 bytes that mean 40 digits", endpoint: groups,
			item: group + linked +
				`,"capacities":[{"pointInTime":"2030-01-07","actualCapacity":1e9,"maximumCapacity":1e9,` +
				`"deltaProductionResult":1e39}]}`},
		{name: "one group of many weeks", endpoint: groups, item: group + `,"capacities":[`, inOne: oneWeek, end: `]}`},
		{name: "one group of many numbers", first: true, endpoint: groups, item: group + `,"capacities":[`,
			inOne: "1", end: `]}`},
		{name: "one group of many links", endpoint: groups, item: group + `,"linkedDemandSeries":[`, inOne: link,
			end: `]}`},
		{name: "one group of many sites", endpoint: groups, item: group + `,"linkedCapacityGroups":[`, inOne: `"ID"`,
			end: `]}`},
		{name: "one group of many names", first: true, endpoint: groups, item: group, inOne: `"ID":0`, end: `}`},
		{name: "demands of one week", first: true, endpoint: demands,
			item: demand + `,"demandSeries":[` + series + `{"pointInTime":"2030-01-07","demand":1}]}]}`},
		{name: "one demand of many empty series", endpoint: demands, item: demand + `,"demandSeries":[`,
			inOne: series + `]}`, end: `]}`},
		{name: "one series of many weeks", endpoint: demands, item: demand + `,"demandSeries":[` + series,
			inOne: `{"pointInTime":"2030-01-07","demand":1}`, end: `]}]}`},
		{name: "the shortest comments", first: true, endpoint: comments, item: comment + `,"commentText":""}`},
		{name: "comments with many dates", first: true, endpoint: comments,
			item: comment + `,"listOfReferenceDates":[` + strings.TrimSuffix(
				strings.Repeat(`"2030-01-07","2030-01-08",`, 100), ",") + `]}`},
		{name: "requests for update of single objects", first: true, endpoint: dcm.RequestForUpdateEndpoint,
			item: `{"weekBasedMaterialDemand":[`, inOne: `{"materialDemandId":"ID"}`, end: `]}`},
		{name: "requests for update with changedAt", endpoint: dcm.RequestForUpdateEndpoint,
			item:  `{"weekBasedMaterialDemand":[`,
			inOne: `{"materialDemandId":"ID","changedAt":"2024-01-01T00:00:00Z"}`, end: `]}`},
		{name: "empty objects", first: true, endpoint: groups, item: `{}`},
	}
}

// year is the weeks of a year.
func year() string {
	weeks := strings.TrimSuffix(strings.Repeat(strings.Replace(oneWeek, ":1}", ":1,\"agreedCapacity\":12345}", 1)+",",
		52), ",")
	for week := range 52 {
		day := time.Date(2030, 1, 7, 0, 0, 0, 0, time.UTC).AddDate(0, 0, 7*week).Format(time.DateOnly)
		weeks = strings.Replace(weeks, `"2030-01-07"`, `"`+day+`X"`, 1)
	}
	return strings.ReplaceAll(weeks, `X"`, `"`)
}

// body makes another message of the shape.
func (s shape) body(partner string) []byte {
	var id [36]byte
	copy(id[:], strings.Repeat("-", 36))
	next := func() []byte { writeID(id[:], rand.Uint64(), rand.Uint64()); return id[:] }
	filled := func(b []byte, text string) []byte {
		for {
			before, after, found := strings.Cut(text, `"ID"`)
			b = append(b, before...)
			if text = after; !found {
				return b
			}
			b = append(append(append(b, '"'), next()...), '"')
		}
	}
	repeat := s.item
	out := make([]byte, 0, largestBody+4096)
	out = fmt.Appendf(out,
		`{"messageHeader":{"header":{"messageId":"%s","context":"%s.0.0","sentDateTime":"2026-01-01T00:00:00Z",`+
			`"senderBpn":"%s","receiverBpn":"%s","version":"3.0.0"}},"content":{"informationObject":[`, next(),
		latest.Context(s.endpoint, ""), partner, customer)
	if s.inOne != "" {
		out, repeat = filled(out, strings.ReplaceAll(s.item, "PARTNER", partner)), s.inOne
		if strings.HasPrefix(s.inOne, `"ID":`) {
			out = append(out, ',')
		}
	}
	repeat = strings.ReplaceAll(repeat, "PARTNER", partner)
	for len(out) < largestBody-len(repeat)-4096 {
		out = append(filled(out, repeat), ',')
	}
	return append(append(out[:len(out)-1], s.end...), "]}}"...)
}

// How many messages at once, of how many partners.
var crowds = []struct{ messages, partners int }{{1, 1}, {6, 1}, {6, 3}}

const (
	mostMemory = 400 << 20 // of the process, where the chart ends it at 512 MiB
	mostCPU    = 10        // times that of the usual list, for a byte
)

// largest holds what one message takes, and six at once, against the memory of the
// container that the chart asks for.
func (b *bench) largest(ctx context.Context, k *kinds) error {
	fmt.Printf(`
The largest messages of each shape, alone and six at once of one and of three partners, beside %d small `+
		`messages a second of another. One receiver for each number of processors, GOMEMLIMIT=400MiB, in a control `+
		`group of 512 MiB.

| processors | shape | messages of partners | answers | CPU of the receiver a byte, times that of the usual `+
		`list | peak memory, MiB | seconds | other's 503 |
|---|---|---|---|---|---|---|---|
`, othersRate)
	var missed []string
	for _, processors := range []int{2, 8} {
		m := &memoryRun{bench: b, processors: processors, tried: processors * 100,
			others: kind{path: capacityGroups, next: named(k.changed(changedSet, stored, suppliers))}}
		for _, s := range shapes() {
			if !b.attacks.MatchString(s.name) && !strings.HasPrefix(s.name, "usual") {
				continue
			}
			for i, crowd := range crowds {
				// With -short, the least and the most.
				if b.short && !(processors == 2 && i == 0 || processors == 8 && (i == 2 && s.first)) {
					continue
				}
				if err := m.try(s, crowd.messages, crowd.partners); err != nil {
					m.stop()
					return fmt.Errorf("%s: %w", s.name, err)
				}
			}
		}
		m.stop()
		missed = append(missed, m.missed...)
	}
	if b.check && len(missed) > 0 {
		return fmt.Errorf("large messages take too much:\n%s", strings.Join(missed, "\n"))
	}
	return ctx.Err()
}

// context128 is where a message names its model.
var context128 = regexp.MustCompile(`"context":"[^"]*"`)

// named names the model in the header, which the examples of CX-0048 do not.
func named(next func(int, int, []byte) ([]byte, string)) func(int, int, []byte) ([]byte, string) {
	return func(connection, n int, buf []byte) ([]byte, string) {
		body, supplier := next(connection, n, buf)
		return context128.ReplaceAll(body, []byte(`"context":"`+latest.Context(dcm.CapacityGroupEndpoint,
			".0.0")+`"`)), supplier
	}
}

// memoryRun is what one number of processors is tried with.
type memoryRun struct {
	*bench
	processors int
	others     kind
	r          *receiver
	remove     func()
	tried      int
	usual      float64 // CPU a byte
	missed     []string
}

func (m *memoryRun) start() (err error) {
	m.r, err = startReceiver(m.binary, m.url, m.dir, "GOMEMLIMIT=400MiB", fmt.Sprint("GOMAXPROCS=", m.processors),
		"DCM_STANDARD="+latest.Name, "DCM_SUPPLIER_BPNLS="+customer)
	if err != nil {
		return err
	}
	if m.remove, err = limitMemory(m.r.pid(), 512<<20); err != nil {
		fmt.Fprintln(os.Stderr, "bench: without a control group, memory is bounded by the check alone:", err)
	}
	return nil
}

func (m *memoryRun) stop() {
	if m.r != nil {
		m.r.stop()
		m.remove()
		m.r = nil
	}
}

// try sends messages of one shape at once, and waits for their answers.
func (m *memoryRun) try(s shape, messages, partners int) error {
	if m.r == nil {
		if err := m.start(); err != nil {
			return err
		}
	}
	var bodies [][]byte
	var senders []string
	m.tried++ // each time others: what they may ask for in an hour is bounded
	for i := range messages {
		senders = append(senders, fmt.Sprintf("BPNLMEMORY%04d%02d", m.tried, i%partners))
		bodies = append(bodies, s.body(senders[i]))
	}
	const peakOfNow = "5" // see proc(5)
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", m.r.pid()), []byte(peakOfNow), 0); err != nil {
		return fmt.Errorf("forget the peak of memory: %w", err)
	}
	start, before := time.Now(), cpu(m.r.pid(), false)
	statuses := make([]string, messages)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var all sync.WaitGroup
	var whole atomic.Int64 // bodies that were taken and are not answered yet
	for i, body := range bodies {
		all.Go(func() { statuses[i] = m.send(ctx, s, senders[i], body, &whole) })
	}
	var o outcome
	if messages > 1 {
		idle := 0
		for idle < 2 { // what is left then has no share: its body is read slowly, only to be refused
			one := (load{addresses: []string{m.r.partner}, kind: m.others, connections: 8, rate: othersRate,
				time: 500 * time.Millisecond}).run()
			o.messages, o.busy = o.messages+one.messages, o.busy+one.busy
			o.failed, o.failure = o.failed+one.failed, cmpOr(o.failure, one.failure)
			if idle++; whole.Load() > 0 {
				idle = 0
			}
		}
		cancel()
	}
	all.Wait()
	m.judge(s, messages, partners, len(bodies[0]), statuses, (cpu(m.r.pid(), false) - before).Seconds(),
		time.Since(start), &o)
	return nil
}

// judge prints a line, and notes which bounds it has broken.
func (m *memoryRun) judge(s shape, messages, partners, bytes int, statuses []string, used float64, took time.Duration,
	o *outcome) {
	name := fmt.Sprintf("%s, %d of %d at %d processors", s.name, messages, partners, m.processors)
	miss := func(is bool, format string, values ...any) {
		if is {
			m.missed = append(m.missed, name+": "+fmt.Sprintf(format, values...))
		}
	}
	held, times := peak(m.r.pid()), ""
	if messages == 1 && held > 0 {
		perByte := used / float64(bytes)
		if m.usual == 0 {
			m.usual = perByte
		}
		times = fmt.Sprintf("%.1f", perByte/m.usual)
		miss(perByte > mostCPU*m.usual, "%s times the CPU of the usual list", times)
	}
	slices.Sort(statuses)
	miss(held == 0, "the receiver has ended")
	miss(held > mostMemory, "%d MiB of memory", held>>20)
	miss(o.busy > 0 || o.failed > 0, "%d of the other's %d messages were answered 503, %d failed: %s",
		o.busy, o.messages, o.failed, o.failure)
	fmt.Printf("| %d | %s | %d of %d | %s | %s | %d | %.1f | %d of %d |\n", m.processors, s.name, messages, partners,
		strings.Join(statuses, " "), times, held>>20, took.Seconds(), o.busy, o.messages)
	if held == 0 {
		_ = m.r.cmd.Wait()
		m.remove()
		m.r = nil
	}
}

// send is the status of the answer. whole counts the bodies that were taken and are
// not answered yet.
func (m *memoryRun) send(ctx context.Context, s shape, sender string, body []byte, whole *atomic.Int64) string {
	conn, done, err := dial(ctx, m.r.partner)
	if err != nil {
		return err.Error()
	}
	defer done()
	held := func() string {
		if ctx.Err() != nil {
			return "held back"
		}
		return "cut"
	}
	_, err = fmt.Fprintf(conn, "POST /%s HTTP/1.1\r\nHost: bench\r\nEdc-Bpn: %s\r\nContent-Type: application/json\r\n"+
		"Content-Length: %d\r\n\r\n", s.endpoint.Path, sender, len(body))
	if err == nil {
		_, err = io.Copy(conn, bytes.NewReader(body))
	}
	if err != nil {
		return held()
	}
	whole.Add(1)
	defer whole.Add(-1)
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return held()
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	return fmt.Sprint(answer.StatusCode)
}

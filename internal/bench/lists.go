package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// halfLoad measures how long messages take when they arrive at half of the rate
// that eight connections reach.
func (b *bench) halfLoad(ctx context.Context, k *kinds, r *receiver) error {
	kind := kind{path: capacityGroups, next: k.changed(changedSet, stored, suppliers)}
	type turn struct{ rate, p50, p99 float64 }
	var turns []turn
	for range b.repeat {
		peak := load{addresses: []string{r.partner}, kind: kind, connections: 8, time: b.time}.run()
		rate := float64(peak.messages) / peak.took.Seconds() / 2
		o := load{addresses: []string{r.partner}, kind: kind, connections: 64, time: 2 * b.time, rate: rate}.run()
		if o.failed+peak.failed > 0 {
			return fmt.Errorf("half load: %s%s", peak.failure, o.failure)
		}
		turns = append(turns, turn{float64(o.messages) / o.took.Seconds(), milliseconds(o.quantile(0.5)),
			milliseconds(o.quantile(0.99))})
	}
	fmt.Printf(
		"\nChanged weeks at half of the rate of 8 connections, sent whether or not answers come: %s messages/s, "+
			"p50 %s ms, p99 %s ms.\n",
		spreadOf(turns, "%.0f", func(t *turn) float64 { return t.rate }),
		spreadOf(turns, "%.1f", func(t *turn) float64 { return t.p50 }),
		spreadOf(turns, "%.1f", func(t *turn) float64 { return t.p99 }))
	return ctx.Err()
}

// lists measures messages of many groups.
func (b *bench) lists(ctx context.Context, k *kinds, f *floor, r *receiver) error {
	fmt.Printf(`
Lists of groups of 104 weeks without agreedCapacity, over one connection; s for each message. The floor is ` +
		`json.Valid of the body and COPY of the rows that the receiver stores of it.

| groups | MiB | new, s | changed weeks, s | identical, s | json.Valid, s | COPY, s | ratio of new | ratio of ` +
		`changed | CPU s: receiver, new | Postgres, new | COPY of a row a week, s |
|---|---|---|---|---|---|---|---|---|---|---|---|
`)
	var large []*message
	for _, groups := range []int{10, 100, 1650} {
		variants := []*message{newMessage(groups, 1, true, k.base), newMessage(groups, 2, true, k.base)}
		large = variants
		var turns []listTimes
		for range b.repeat {
			t, err := b.listTurn(ctx, k, f, r, variants, groups)
			if err != nil {
				return err
			}
			turns = append(turns, t)
		}
		cell := func(of func(*listTimes) float64) string { return spreadOf(turns, "%.3f", of) }
		ratio := func(of func(*listTimes) float64) string {
			return spreadOf(turns, "%.2f", func(t *listTimes) float64 { return of(t) / (t.valid + t.rows) })
		}
		fmt.Printf("| %d | %.1f | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", groups,
			float64(len(variants[0].body))/(1<<20),
			cell(func(t *listTimes) float64 { return t.created }),
			cell(func(t *listTimes) float64 { return t.changed }),
			cell(func(t *listTimes) float64 { return t.identical }),
			cell(func(t *listTimes) float64 { return t.valid }), cell(func(t *listTimes) float64 { return t.rows }),
			ratio(func(t *listTimes) float64 { return t.created }),
			ratio(func(t *listTimes) float64 { return t.changed }),
			cell(func(t *listTimes) float64 { return t.receiver }),
			cell(func(t *listTimes) float64 { return t.postgres }),
			cell(func(t *listTimes) float64 { return t.weeks }))
	}
	return b.memory(ctx, k, large)
}

// listTimes are seconds a message.
type listTimes struct {
	created, changed, identical, valid, rows, weeks, receiver, postgres float64
}

// listTurn sends lists three times: new, with changed weeks, and identical.
func (b *bench) listTurn(
	ctx context.Context, k *kinds, f *floor, r *receiver, variants []*message, groups int,
) (t listTimes, err error) {
	messages := max(1, 400/groups)
	keys := make([]uint64, messages)
	for i := range keys {
		keys[i] = rand.Uint64()
	}
	supplier := supplierName(suppliers + rand.IntN(9000))
	var body []byte
	for _, step := range []struct {
		into    *float64
		variant int
		later   time.Duration
	}{{&t.created, 0, 0}, {&t.changed, 1, time.Second}, {&t.identical, 1, time.Second}} {
		i := -1
		self, postgres := cpu(r.pid(), false), cpu(b.server.PID(), true)
		o := load{addresses: []string{r.partner}, connections: 1, messages: messages,
			kind: kind{path: capacityGroups, next: func(_, _ int, buf []byte) ([]byte, string) {
				i++
				body = variants[step.variant].fill(buf, supplier, keys[i], k.base.Add(step.later))
				return body, supplier
			}}}.run()
		if o.failed+o.busy > 0 {
			return t, fmt.Errorf("list of %d groups: %d answered 503, %d failed: %s", groups, o.busy, o.failed,
				o.failure)
		}
		var sum time.Duration
		for _, latency := range o.latencies {
			sum += latency
		}
		*step.into = sum.Seconds() / float64(messages)
		if step.variant == 0 {
			t.receiver = (cpu(r.pid(), false) - self).Seconds() / float64(messages)
			t.postgres = (cpu(b.server.PID(), true) - postgres).Seconds() / float64(messages)
		}
	}
	// As often as there were messages: a single COPY of few rows says little.
	for range messages {
		valid, rows, weeks, err := b.listFloor(ctx, f, body, supplier, groups)
		if err != nil {
			return t, err
		}
		t.valid += valid.Seconds() / float64(messages)
		t.rows += rows.Seconds() / float64(messages)
		t.weeks += weeks.Seconds() / float64(messages)
	}
	return t, nil
}

// memory measures the most memory that a receiver just started comes to hold.
func (b *bench) memory(ctx context.Context, k *kinds, variants []*message) error {
	fmt.Printf("\nPeak memory (VmHWM) of a receiver just started, MiB:")
	for _, concurrent := range []int{0, 1, 4} {
		var peaks []float64
		for range b.repeat {
			r, err := startReceiver(b.binary, b.url, b.dir)
			if err != nil {
				return err
			}
			if concurrent > 0 {
				o := load{addresses: []string{r.partner}, connections: concurrent, messages: 3 * concurrent,
					kind: kind{path: capacityGroups, next: func(c, _ int, buf []byte) ([]byte, string) {
						supplier := supplierName(suppliers + c)
						return variants[c%len(variants)].fill(buf, supplier, rand.Uint64(), k.base), supplier
					}}}.run()
				if o.failed+o.busy > 0 {
					r.stop()
					return fmt.Errorf("%d messages of 13 MiB at once: %d answered 503, %d failed: %s", concurrent,
						o.busy, o.failed, o.failure)
				}
			}
			peaks = append(peaks, float64(peak(r.pid()))/(1<<20))
			r.stop()
		}
		slices.Sort(peaks)
		what := fmt.Sprintf("with %d messages of 13 MiB at once, three times", concurrent)
		if concurrent == 0 {
			what = "idle"
		}
		fmt.Printf(" %s %s;", what, spreadOf(peaks, "%.0f", func(f *float64) float64 { return *f }))
	}
	fmt.Println()
	return ctx.Err()
}

// ready measures how long a start takes on a database that is there.
func (b *bench) ready(ctx context.Context) error {
	var times []float64
	for range b.repeat {
		r, err := startReceiver(b.binary, b.url, b.dir)
		if err != nil {
			return err
		}
		times = append(times, milliseconds(r.ready))
		r.stop()
	}
	fmt.Printf("\nReady after the start of the process, on a migrated database: %s ms.\n",
		spreadOf(times, "%.0f", func(f *float64) float64 { return *f }))
	return ctx.Err()
}

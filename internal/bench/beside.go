package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// beside measures small messages with two programs turn by turn, each on a database
// of its own in the same Postgres: with one version beside another, what else the
// machine does meets both.
func (b *bench) beside(ctx context.Context, k *kinds, other string) error {
	type side struct {
		r       *receiver
		samples map[string][]sample
	}
	var sides [2]side
	for i, binary := range []string{other, b.binary} {
		name := fmt.Sprint("beside", i)
		if _, err := b.db.Exec(ctx, "create database "+name); err != nil {
			return fmt.Errorf("create database: %w", err)
		}
		dir := filepath.Join(b.dir, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		r, err := startReceiver(binary, b.server.URL(name), dir)
		if err != nil {
			return err
		}
		defer r.stop()
		if err := k.prepare(r.partner); err != nil {
			return err
		}
		sides[i] = side{r, map[string][]sample{}}
	}
	var measured []kind
	for _, kind := range k.all() {
		if kind.floor = ""; b.only.MatchString(kind.name) {
			measured = append(measured, kind)
		}
	}
	for turn := range b.repeat {
		for _, c := range b.connections {
			for _, kind := range measured {
				for i := range sides {
					s := &sides[(turn+i)%2] // each is first in every other turn
					sample, err := b.turn(ctx, kind, c, nil, s.r)
					if err != nil {
						return err
					}
					key := fmt.Sprint(kind.name, c)
					s.samples[key] = append(s.samples[key], sample)
				}
			}
		}
	}
	fmt.Printf(`
Turn by turn with %s, medians of %d turns of %s, with the lowest and the highest; the other's first.

| message | connections | messages/s | ratio | CPU s per 1,000: receiver | Postgres | both, difference | WAL, bytes | allocations |
|---|---|---|---|---|---|---|---|---|
`, other, b.repeat, b.time)
	for _, kind := range measured {
		for _, c := range b.connections {
			key := fmt.Sprint(kind.name, c)
			were, are := sides[0].samples[key], sides[1].samples[key]
			pair := func(format string, of func(*sample) float64) string {
				return spreadOf(were, format, of) + " → " + spreadOf(are, format, of)
			}
			turns := make([]sample, len(are)) // of which ratio is the new one's to the other's
			for i := range turns {
				turns[i].ratio = are[i].rate / were[i].rate
				turns[i].receiver = are[i].receiver + are[i].postgres - were[i].receiver - were[i].postgres
			}
			fmt.Printf("| %s | %d | %s | %s | %s | %s | %s | %s | %s |\n", kind.name, c,
				pair("%.0f", func(s *sample) float64 { return s.rate }), spreadOf(turns, "%.2f", func(s *sample) float64 { return s.ratio }),
				pair("%.3f", func(s *sample) float64 { return s.receiver }), pair("%.3f", func(s *sample) float64 { return s.postgres }),
				spreadOf(turns, "%.3f", func(s *sample) float64 { return s.receiver }),
				pair("%.0f", func(s *sample) float64 { return s.wal }), pair("%.0f", func(s *sample) float64 { return s.allocations }))
		}
	}
	return nil
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"dcm-receiver/internal/privatepg"

	"github.com/jackc/pgx/v5"
)

// floor is the least that storing costs: the row that the receiver stores for
// a group of 104 weeks, written by pgbench into the same table. There is no rule
// to decide by, no journal, and nothing to answer. There are two: pgbench sends
// the values, as anyone who stores what comes from elsewhere must; or the values are
// constants of prepared statements, so that they are neither sent nor read.
type floor struct {
	pgbench string
	columns []string
	sent    []string            // the values that are sent, as options
	scripts map[string][]string // files, by what they do: new or overwritten, also with constants
}

// constants marks the scripts that send nothing.
const constants = ", constants"

// newFloor takes rows that the receiver has stored. Several statements take
// turns, because writing the same values again would spare Postgres some of its
// log.
func (b *bench) newFloor(ctx context.Context) (*floor, error) {
	bin, err := privatepg.FindBinaries()
	if err != nil {
		return nil, err
	}
	f := &floor{scripts: map[string][]string{}}
	if f.pgbench, err = findPgbench(bin); err != nil {
		return nil, err
	}
	var types []string
	if err := b.db.QueryRow(ctx, `
		select array_agg(attname::text order by attnum), array_agg(format_type(atttypid, atttypmod) order by attnum)
		from pg_attribute
		where attrelid = 'dcm.capacity_group'::regclass and attnum > 0 and not attisdropped`,
	).Scan(&f.columns, &types); err != nil {
		return nil, fmt.Errorf("read the columns: %w", err)
	}
	quoted := make([]string, len(f.columns))
	updates := make([]string, len(f.columns))
	for i, c := range f.columns {
		quoted[i] = "quote_nullable(" + c + "::text)"
		updates[i] = c + " = excluded." + c
	}
	rows, _ := b.db.Query(ctx, "select array["+strings.Join(quoted,
		", ")+"] from dcm.capacity_group where supplier < $1 order by supplier, capacity_group_id limit 8",
		supplierName(8))
	all, err := pgx.CollectRows(rows, pgx.RowTo[[]string])
	if err != nil {
		return nil, fmt.Errorf("read rows for the floor: %w", err)
	}
	for n, literals := range all {
		sent := f.values(n, literals, types)
		upsert := func(values []string) string {
			return fmt.Sprintf(
				"insert into dcm.capacity_group (%s) values (%s) on conflict (supplier, customer, "+
					"capacity_group_id) do update set %s",
				strings.Join(f.columns, ", "), strings.Join(values, ", "), strings.Join(updates, ", "))
		}
		for name, keys := range map[string]string{"new": "9000000000000000000", "overwritten": strconv.Itoa(stored)} {
			for name, values := range map[string][]string{name: sent, name + constants: literals} {
				file := filepath.Join(b.dir, fmt.Sprintf("%s-%d.sql", name, n))
				if err := os.WriteFile(file, []byte(`\set key random(1, `+keys+")\n"+upsert(values)+";\n"),
					0o600); err != nil {
					return nil, fmt.Errorf("write a script for pgbench: %w", err)
				}
				f.scripts[name] = append(f.scripts[name], file)
			}
		}
		if n > 0 {
			continue
		}
		fill := strings.ReplaceAll(upsert(literals), ":key", "n")
		fill = strings.Replace(fill, "values (", "select ", 1)
		fill = strings.Replace(fill, ") on conflict", fmt.Sprintf(" from generate_series(1, %d) n on conflict",
			stored), 1)
		if _, err := b.db.Exec(ctx, fill); err != nil {
			return nil, fmt.Errorf("store the rows to be overwritten: %w", err)
		}
	}
	return f, nil
}

func findPgbench(bin string) (string, error) {
	pgbench := filepath.Join(bin, "pgbench")
	if _, err := os.Stat(pgbench); err == nil {
		return pgbench, nil
	}
	pgbench, err := exec.LookPath("pgbench")
	if err != nil {
		return "", fmt.Errorf("find pgbench, which comes with the distribution's Postgres: %w", err)
	}
	return pgbench, nil
}

// values makes the values of row n that are sent, and changes literals into those of the constants.
func (f *floor) values(n int, literals, types []string) (sent []string) {
	sent = slices.Clone(literals)
	for i, c := range f.columns {
		switch name := fmt.Sprintf("v%d_%d", n, i); {
		case c == "supplier":
			literals[i] = "'BPNLFLOOR000' || (1000 + :key::bigint % 100)"
		case c == "capacity_group_id":
			literals[i] = "md5(:key::bigint::text)::uuid"
		case c == "changed_at", c == "received_at":
			literals[i] = "now()"
		case literals[i] == "NULL":
		default:
			f.sent = append(f.sent, "-D", name+"="+strings.ReplaceAll(strings.Trim(literals[i], "'"), "''", "'"))
			sent[i] = ":" + name + "::" + types[i]
			// A colon would begin a variable of pgbench's, also in a string.
			literals[i] = "(" + strings.ReplaceAll(literals[i], ":", "' || chr(58) || '") + ")::" + types[i]
			continue
		}
		sent[i] = literals[i]
	}
	return sent
}

var transactions = regexp.MustCompile(`number of transactions actually processed: (\d+)`)
var perSecond = regexp.MustCompile(`tps = ([\d.]+)`)

// run writes rows, one a transaction, each durable: for some time, or one row
// over each connection.
func (f *floor) run(ctx context.Context, url, name string, connections int, time time.Duration) (rows, rate float64,
	err error) {
	args := []string{"-n", "-M", "prepared", "-c", strconv.Itoa(connections), "-j",
		strconv.Itoa(min(connections, runtime.NumCPU()))}
	if time == 0 {
		args = append(args, "-t", "1")
	} else {
		args = append(args, "-T", strconv.Itoa(max(1, int(time.Seconds()+0.5))+connections/64)) // and time to connect
	}
	if !strings.HasSuffix(name, constants) {
		args = append(args, f.sent...)
	}
	for _, file := range f.scripts[name] {
		args = append(args, "-f", file)
	}
	out, err := exec.CommandContext(ctx, f.pgbench, append(args, url)...).CombinedOutput()
	n, tps := transactions.FindSubmatch(out), perSecond.FindSubmatch(out)
	if err != nil || n == nil || tps == nil {
		return 0, 0, fmt.Errorf("pgbench wrote nothing (%v): %s", err, out)
	}
	rate, _ = strconv.ParseFloat(string(tps[1]), 64)
	return float64(number(string(n[1]))), rate, nil
}

// listFloor is the least that a long list costs: seeing that the body is JSON,
// and COPY of the rows that the receiver stored of it, all new again. weeks is
// what COPY into a table with a row for each week takes instead.
func (b *bench) listFloor(ctx context.Context, f *floor, body []byte, supplier string, groups int) (valid, rows,
	weeks time.Duration, err error) {
	begin := time.Now()
	if !json.Valid(body) {
		return 0, 0, 0, fmt.Errorf("the body is not JSON")
	}
	valid = time.Since(begin)
	columns := strings.Join(f.columns, ", ")
	values := strings.Replace(strings.Replace(columns, "supplier", "'BPNLFLOORLIST000'", 1), "capacity_group_id",
		"gen_random_uuid()", 1)
	list := fmt.Sprintf(
		"(select * from dcm.capacity_group where supplier = '%s' order by received_at desc limit %d) g", supplier,
		groups)
	rows, err = b.copy(ctx, "select "+values+" from "+list, "dcm.capacity_group ("+columns+")")
	if err != nil {
		return 0, 0, 0, err
	}
	if _, err := b.db.Exec(ctx, "delete from dcm.capacity_group where supplier = 'BPNLFLOORLIST000'"); err != nil {
		return 0, 0, 0, err
	}
	if _, err = b.db.Exec(ctx, `drop table if exists week; create table week (
			supplier text not null, customer text not null,
			capacity_group_id uuid not null, point_in_time date not null,
			actual_capacity numeric not null, maximum_capacity numeric not null,
			primary key (supplier, customer, capacity_group_id, point_in_time)
		)`); err != nil {
		return 0, 0, 0, err
	}
	weeks, err = b.copy(ctx,
		"select supplier, customer, capacity_group_id, w.* from "+list+" cross join lateral unnest(point_in_time, "+
			"actual_capacity, maximum_capacity) w", "week")
	return valid, rows, weeks, err
}

// copy reads rows into memory, and measures how long COPY takes to store them.
func (b *bench) copy(ctx context.Context, query, table string) (time.Duration, error) {
	var buf bytes.Buffer
	if _, err := b.db.PgConn().CopyTo(ctx, &buf, "copy ("+query+") to stdout (format binary)"); err != nil {
		return 0, fmt.Errorf("read rows to copy: %w", err)
	}
	begin := time.Now()
	if _, err := b.db.PgConn().CopyFrom(ctx, &buf, "copy "+table+" from stdin (format binary)"); err != nil {
		return 0, fmt.Errorf("copy rows: %w", err)
	}
	return time.Since(begin), nil
}

package store

import (
	"embed"
	"fmt"
	"slices"
	"strings"

	"dcm-receiver/internal/sqlfile"

	"github.com/jackc/pgx/v5"
)

//go:embed sql/*.sql
var files embed.FS

func load(name string) sqlfile.Statement { return sqlfile.Load(files, name) }

type (
	statement = sqlfile.Statement
	values    = sqlfile.Values
)

var (
	confirmMessage     = load("confirm_message")
	oldestMessage      = load("oldest_message")
	oldestRequest      = load("oldest_requested_update")
	removeOldMessages  = load("remove_old_message")
	removeOldRequests  = load("remove_old_requested_update")
	oldestGroupState   = load("oldest_group_state")
	oldestDemandState  = load("oldest_demand_state")
	removeGroupStates  = load("remove_group_states")
	removeDemandStates = load("remove_demand_states")
	oldestMeasurement  = load("oldest_measurement")
	removeMeasurements = load("remove_measurements")
	oldestActivity     = load("oldest_activity")
	removeActivities   = load("remove_activities")
	removeDeliveries   = load("remove_old_delivery")
	messages           = load("messages")
	message            = load("message")
	findMessage        = load("find_message")
	messageVerdicts    = load("message_verdicts")
	messageErrors      = load("message_object_errors")
	lastAccepted       = load("last_accepted")
	ready              = load("ready")
	probe              = load("probe")
	probeSpace         = load("probe_space")
)

// column is a column of a table, and its value in a row.
type column[R any] struct {
	name  string
	value func(R) any
}

// insert writes rows into a table, several by one statement: it is worth less
// than half of their cost to begin and end each of them.
type insert[R any] struct {
	table   string
	columns []column[R]
	of      []string // the statement of each number of rows in rowsOf
}

// rowsOf are the numbers of rows that there are statements for: those of a usual
// group commit, and more for lists.
var rowsOf = []int{1, 2, 3, 4, 5, 6, 7, 8, 16}

// insertInto makes the statements of a table from its columns, so that each is
// named once. end follows the rows.
func insertInto[R any](table string, columns []column[R], end string) insert[R] {
	s := insert[R]{table: table, columns: columns}
	head := "insert into dcm." + table + " (" + strings.Join(s.names(), ", ") + ") values "
	for _, n := range rowsOf {
		argument, rows := 0, make([]string, n)
		for i := range rows {
			row := make([]string, len(columns))
			for j := range row {
				argument++
				row[j] = fmt.Sprint("$", argument)
			}
			rows[i] = "(" + strings.Join(row, ", ") + ")"
		}
		s.of = append(s.of, head+strings.Join(rows, ", ")+" "+end)
	}
	return s
}

// overwriting is an insert of rows that are there, and locked, so that each of
// them overwrites: an update of several rows in the one form that takes arrays of
// different lengths. All values but those of the key and of kept columns are
// replaced: a week missing in the new message is gone (CX-0048 §3.2.2: no delta
// updates).
func (s insert[R]) overwriting(key []string, kept ...string) insert[R] {
	var set []string
	for _, name := range s.names() {
		if !slices.Contains(key, name) && !slices.Contains(kept, name) {
			set = append(set, name+" = excluded."+name)
		}
	}
	return insertInto(s.table, s.columns, "on conflict ("+strings.Join(key, ", ")+") do update set "+strings.Join(set,
		", "))
}

func (s insert[R]) names() []string {
	names := make([]string, len(s.columns))
	for i := range names {
		names[i] = s.columns[i].name
	}
	return names
}

func (s insert[R]) args(args []any, row R) []any {
	for i := range s.columns {
		args = append(args, s.columns[i].value(row))
	}
	return args
}

// queue adds to a batch the statement of as many of the rows as there is one
// for, and returns how many.
func (s insert[R]) queue(b *pgx.Batch, rows []R) int {
	size := len(rowsOf) - 1
	for rowsOf[size] > len(rows) {
		size--
	}
	n := rowsOf[size]
	args := make([]any, 0, n*len(s.columns))
	for _, row := range rows[:n] {
		args = s.args(args, row)
	}
	b.Queue(s.of[size], args...)
	return n
}

// write adds all rows to the batches.
func (s insert[R]) write(b *batches, rows []R) error {
	const portion = 64 // rows sent at once, so that the memory for a long list stays bounded
	for len(rows) > 0 {
		n := s.queue(&b.next, rows)
		rows = rows[n:]
		if b.rows += n; b.rows >= portion {
			if err := b.send(); err != nil {
				return err
			}
		}
	}
	return nil
}

// copy writes many rows by COPY, which is faster as it runs while rows are made.
func (s insert[R]) copy(b *batches, rows []R) error {
	const few = 32
	if len(rows) <= few {
		return s.write(b, rows)
	}
	if err := b.send(); err != nil {
		return err
	}
	_, err := b.conn.CopyFrom(b.ctx, pgx.Identifier{"dcm", s.table}, s.names(),
		pgx.CopyFromSlice(len(rows), func(i int) ([]any, error) {
			return s.args(make([]any, 0, len(s.columns)),
				rows[i]), nil
		}))
	return err
}

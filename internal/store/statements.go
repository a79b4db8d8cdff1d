package store

import (
	"context"
	"embed"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

//go:embed sql/*.sql
var files embed.FS

// statement is one SQL statement, and which of its named arguments stands for
// which number.
type statement struct {
	sql   string
	names []string
}

var (
	lockCapacityGroups      = loadByID("lock_capacity_group")
	insertCapacityGroup     = loadRows("insert_capacity_group")
	overwriteCapacityGroup  = insertCapacityGroup.overwriting("supplier", "customer", "capacity_group_id")
	touchCapacityGroups     = loadByID("touch_capacity_group")
	insertMessage           = loadRows("insert_message")
	confirmMessage          = load("confirm_message")
	insertRequestsForUpdate = load("insert_requests_for_update")
	oldestMessage           = load("oldest_message")
	oldestRequest           = load("oldest_request_for_update")
	removeOldMessages       = load("remove_old_message")
	removeOldRequests       = load("remove_old_request_for_update")
	messages                = load("messages")
	message                 = load("message")
	lastAccepted            = load("last_accepted")
	ready                   = load("ready")
)

var arguments = regexp.MustCompile(`@([a-z_]+)`)

// load reads sql/<name>.sql and numbers its arguments, once, because doing it
// at every call costs more than the call.
func load(name string) statement {
	text := text(name)
	itself := pgx.NamedArgs{} // each argument's value is its name: so rewriting tells their order
	for _, match := range arguments.FindAllStringSubmatch(text, -1) {
		itself[match[1]] = match[1]
	}
	sql, args, err := itself.RewriteQuery(context.Background(), nil, text, nil)
	if err != nil {
		panic(fmt.Errorf("read sql/%s.sql: %w", name, err))
	}
	s := statement{sql: sql}
	for _, arg := range args {
		s.names = append(s.names, arg.(string))
	}
	return s
}

func text(name string) string {
	content, err := files.ReadFile("sql/" + name + ".sql")
	if err != nil {
		panic(err)
	}
	return string(content)
}

// byID is a statement about groups by their IDs, of which Postgres plans the form
// for a single one once instead of every time.
type byID struct{ one, many statement }

// loadByID reads sql/<name>.sql and sql/<name>s.sql.
func loadByID(name string) byID { return byID{load(name), load(name + "s")} }

// queue adds the statement to a batch.
func (s byID) queue(b *pgx.Batch, ids []pgtype.UUID, of value) *pgx.QueuedQuery {
	if len(ids) == 1 {
		return s.one.queue(b, either(given(map[string]any{"id": ids[0]}), of))
	}
	return s.many.queue(b, either(given(map[string]any{"ids": ids}), of))
}

// rowsStatement inserts rows, several by one statement: it is worth less than
// half of their cost to begin and end each of them.
type rowsStatement struct {
	statement          // of one row
	of        []string // the statement of each number of rows in rowsOf
}

// rowsOf are the numbers of rows that there are statements for: that of a usual
// round, and more for lists.
var rowsOf = []int{1, 2, 3, 4, 5, 6, 7, 8, 16}

// loadRows reads sql/<name>.sql, which inserts one row.
func loadRows(name string) rowsStatement {
	s := rowsStatement{statement: load(name)}
	head, rest, ok1 := strings.Cut(text(name), ") values ")
	row, tail, ok2 := strings.Cut(rest, "\n)")
	if !ok1 || !ok2 {
		panic("read sql/" + name + ".sql: no row of values")
	}
	for _, n := range rowsOf {
		argument, rows := 0, make([]string, n)
		for i := range rows {
			rows[i] = arguments.ReplaceAllStringFunc(row+"\n)", func(string) string {
				argument++
				return fmt.Sprint("$", argument)
			})
		}
		s.of = append(s.of, head+") values "+strings.Join(rows, ", ")+tail)
	}
	return s
}

// overwriting is the statement for rows that are there, and locked, so that each
// of them overwrites: an update of several rows in the one form that takes arrays
// of different lengths. All values but those of key and first_received_at are
// replaced: a week missing in the new message is gone (CX-0048 §3.2.2: no delta
// updates).
func (s rowsStatement) overwriting(key ...string) rowsStatement {
	var columns []string
	for _, name := range s.names { // which are those of the columns
		if name != "first_received_at" && !slices.Contains(key, name) {
			columns = append(columns, name+" = excluded."+name)
		}
	}
	end := fmt.Sprintf("on conflict (%s) do update set %s", strings.Join(key, ", "), strings.Join(columns, ", "))
	o := rowsStatement{statement: s.statement}
	for _, sql := range s.of {
		o.of = append(o.of, sql+end)
	}
	return o
}

// queue adds to a batch the statement of as many of the rows as there is one
// for, and returns how many.
func (s rowsStatement) queue(b *pgx.Batch, rows []value) int {
	size := len(rowsOf) - 1
	for rowsOf[size] > len(rows) {
		size--
	}
	n := rowsOf[size]
	args := make([]any, 0, n*len(s.names))
	for _, row := range rows[:n] {
		args = append(args, s.args(row)...)
	}
	b.Queue(s.of[size], args...)
	return n
}

// value gives the value of a named argument; ok is false if it knows none.
type value func(name string) (v any, ok bool)

// either gives what the first of the values knows.
func either(values ...value) value {
	return func(name string) (any, bool) {
		for _, value := range values {
			if v, ok := value(name); ok {
				return v, true
			}
		}
		return nil, false
	}
}

// args are the statement's arguments in order.
func (s statement) args(of value) []any {
	args := make([]any, len(s.names))
	for i, name := range s.names {
		var ok bool
		if args[i], ok = of(name); !ok {
			panic("store: no value for argument " + name)
		}
	}
	return args
}

// queue adds the statement to a batch.
func (s statement) queue(b *pgx.Batch, of value) *pgx.QueuedQuery {
	return b.Queue(s.sql, s.args(of)...)
}

// given are the values of a map.
func given(values map[string]any) value {
	return func(name string) (any, bool) {
		v, ok := values[name]
		return v, ok
	}
}

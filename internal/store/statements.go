package store

import (
	"context"
	"embed"
	"fmt"
	"regexp"

	"github.com/jackc/pgx/v5"
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
	lockCapacityGroup       = load("lock_capacity_group")
	lockCapacityGroups      = load("lock_capacity_groups")
	insertCapacityGroup     = load("insert_capacity_group")
	overwriteCapacityGroup  = load("overwrite_capacity_group")
	touchCapacityGroup      = load("touch_capacity_group")
	insertMessage           = load("insert_message")
	confirmMessage          = load("confirm_message")
	insertRequestsForUpdate = load("insert_requests_for_update")
	removeOldMessages       = load("remove_old_message")
	removeOldRequests       = load("remove_old_request_for_update")
	messages                = load("messages")
	message                 = load("message")
	lastAccepted            = load("last_accepted")
	ready                   = load("ready")
)

var argument = regexp.MustCompile(`@([a-z_]+)`)

// load reads sql/<name>.sql and numbers its arguments, once, because doing it
// at every call costs more than the call.
func load(name string) statement {
	text, err := files.ReadFile("sql/" + name + ".sql")
	if err != nil {
		panic(err)
	}
	itself := pgx.NamedArgs{} // each argument's value is its name: so rewriting tells their order
	for _, match := range argument.FindAllStringSubmatch(string(text), -1) {
		itself[match[1]] = match[1]
	}
	sql, args, err := itself.RewriteQuery(context.Background(), nil, string(text), nil)
	if err != nil {
		panic(fmt.Errorf("read sql/%s.sql: %w", name, err))
	}
	s := statement{sql: sql}
	for _, arg := range args {
		s.names = append(s.names, arg.(string))
	}
	return s
}

// args are the statement's arguments in order.
func (s statement) args(value func(name string) any) []any {
	args := make([]any, len(s.names))
	for i, name := range s.names {
		args[i] = value(name)
	}
	return args
}

// queue adds the statement to a batch.
func (s statement) queue(b *pgx.Batch, value func(name string) any) *pgx.QueuedQuery {
	return b.Queue(s.sql, s.args(value)...)
}

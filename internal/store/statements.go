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
	readCapacityGroup                 = load("read_capacity_group")
	lockCapacityGroups                = load("lock_capacity_groups")
	insertCapacityGroup               = load("insert_capacity_group")
	overwriteCapacityGroup            = load("overwrite_capacity_group")
	touchCapacityGroup                = load("touch_capacity_group")
	insertCapacityGroupWithMessage    = withMessage("insert_capacity_group", "on conflict do nothing")
	overwriteCapacityGroupWithMessage = withMessage("overwrite_capacity_group", unchanged)
	touchCapacityGroupWithMessage     = withMessage("touch_capacity_group", unchanged)
	insertMessage                     = load("insert_message")
	confirmMessage                    = load("confirm_message")
	insertRequestsForUpdate           = load("insert_requests_for_update")
	removeOldMessages                 = load("remove_old_message")
	removeOldRequests                 = load("remove_old_request_for_update")
	messages                          = load("messages")
	message                           = load("message")
	lastAccepted                      = load("last_accepted")
	ready                             = load("ready")
)

var argument = regexp.MustCompile(`@([a-z_]+)`)

// load reads sql/<name>.sql and numbers its arguments, once, because doing it
// at every call costs more than the call.
func load(name string) statement { return number(name, text(name)) }

// withMessage is a statement that writes one group, together with its journal
// entry: both or, where condition finds the group changed meanwhile, neither.
func withMessage(name, condition string) statement {
	return number(name, "with stored as (\n"+text(name)+condition+"\nreturning 1\n)\n"+text("insert_message")+"from stored\n")
}

// unchanged is the condition that the group is as it was when it was read.
const unchanged = "    and changed_at = @read_changed_at and changed_at_nanosecond = @read_changed_at_nanosecond and content_hash = @read_content_hash"

func text(name string) string {
	content, err := files.ReadFile("sql/" + name + ".sql")
	if err != nil {
		panic(err)
	}
	return string(content)
}

func number(name, text string) statement {
	itself := pgx.NamedArgs{} // each argument's value is its name: so rewriting tells their order
	for _, match := range argument.FindAllStringSubmatch(text, -1) {
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

// value gives the value of a named argument; ok is false if it knows none.
type value func(name string) (v any, ok bool)

// args are the statement's arguments in order, each from the first that knows it.
func (s statement) args(values ...value) []any {
	args := make([]any, len(s.names))
name:
	for i, name := range s.names {
		for _, value := range values {
			if v, ok := value(name); ok {
				args[i] = v
				continue name
			}
		}
		panic("store: no value for argument " + name)
	}
	return args
}

// queue adds the statement to a batch.
func (s statement) queue(b *pgx.Batch, values ...value) {
	b.Queue(s.sql, s.args(values...)...)
}

// given are the values of a map.
func given(values map[string]any) value {
	return func(name string) (any, bool) {
		v, ok := values[name]
		return v, ok
	}
}

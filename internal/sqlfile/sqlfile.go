// Package sqlfile reads the SQL statements that a package embeds as files, one statement a file. It
// knows neither tables nor connections.
package sqlfile

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Statement is the statement of one file.
type Statement struct {
	Text  string // as in the file, for pgx.NamedArgs
	SQL   string // with $1, $2 … in the place of named arguments
	names []string
}

var argument = regexp.MustCompile(`@([a-z_]+)`)

// Load reads sql/NAME.sql. It panics where the file is missing: packages load their statements into
// variables, so that the program then does not start.
func Load(fsys fs.FS, name string) Statement {
	content, err := fs.ReadFile(fsys, "sql/"+name+".sql")
	if err != nil {
		panic(err)
	}
	s := Statement{Text: string(content)}
	// pgx numbers named arguments at each call, which costs more than the call: each argument's value
	// is its name here, so that the rewriting shows their order.
	order := pgx.NamedArgs{}
	for _, match := range argument.FindAllStringSubmatch(s.Text, -1) {
		order[match[1]] = match[1]
	}
	sql, args, err := order.RewriteQuery(context.Background(), nil, s.Text, nil)
	if err != nil {
		panic(fmt.Errorf("read sql/%s.sql: %w", name, err))
	}
	s.SQL = sql
	for _, arg := range args {
		s.names = append(s.names, arg.(string))
	}
	return s
}

// Values are the arguments of a statement by name.
type Values map[string]any

// Args are the values in the statement's order.
func (s Statement) Args(of Values) []any {
	args := make([]any, len(s.names))
	for i, name := range s.names {
		value, ok := of[name]
		if !ok {
			panic("sqlfile: no value for argument " + name)
		}
		args[i] = value
	}
	return args
}

// Queue adds the statement to a batch.
func (s Statement) Queue(b *pgx.Batch, of Values) *pgx.QueuedQuery {
	return b.Queue(s.SQL, s.Args(of)...)
}

// Names lists the statements of a package, for the test that prepares each of them.
func Names(fsys fs.FS) (names []string) {
	files, _ := fs.Glob(fsys, "sql/*.sql")
	for _, f := range files {
		names = append(names, strings.TrimSuffix(path.Base(f), ".sql"))
	}
	return names
}

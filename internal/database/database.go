// Package database reads DATABASE_URL and the PG* variables: once, for messages,
// migrations, pages and commands alike. No error of it repeats any of the text,
// which may hold a password, and no piece of a password is looked up as a host.
//
// It knows nothing of what is stored.
package database

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ErrEncoding is the error of a connection to a database that is not in UTF-8.
var ErrEncoding = errors.New("the database is not in UTF-8; make one with: " +
	"create database dcm encoding 'UTF8' template template0")

// Config is how to reach the database. Each connection speaks UTF-8, refuses a
// database that does not, and waits for its commits to be on disk.
type Config struct {
	pool *pgxpool.Config
	// MaxConns is pool_max_conns of the text; 0 if it does not say.
	MaxConns int
	// AsyncCommit becomes true at a connection whose commits would not wait for the disk if
	// no one had set so. Behind a pooler that gives each transaction another
	// connection, what was set on one does not hold for the next: then transactions
	// have to say it themselves.
	AsyncCommit *atomic.Bool
}

// Read reads what DATABASE_URL says; "" leaves it to the PG* variables. It does
// not connect.
func Read(text string) (*Config, error) {
	if err := check(text); err != nil {
		return nil, fmt.Errorf("DATABASE_URL %w", err)
	}
	text = encodeAt(text)
	pool, err := pgxpool.ParseConfig(text)
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL (or a PG* variable) %s", reason(text, err))
	}
	c := &Config{pool: pool, AsyncCommit: &atomic.Bool{}}
	if maxConns.MatchString(text) {
		c.MaxConns = int(pool.MaxConns)
	}
	hosts := []string{pool.ConnConfig.Host}
	for _, fallback := range pool.ConnConfig.Fallbacks {
		hosts = append(hosts, fallback.Host)
	}
	for _, host := range hosts {
		if !isHost(host) {
			return nil, errors.New("DATABASE_URL (or PGHOST) names a host that cannot be one; " + encodeAdvice)
		}
	}
	if name, found := unknownParameter(pool.ConnConfig.RuntimeParams); found {
		if !strings.Contains(text, "://") { // what stands before a = may be a piece of the password
			return nil, errors.New("DATABASE_URL (or a PG* variable) has a parameter that does not exist; " + writeURL)
		}
		return nil, fmt.Errorf("DATABASE_URL has a parameter %s that does not exist: look for a misspelling", name)
	}
	// Also where PGCLIENTENCODING, or the text, says something else: what is
	// written is UTF-8.
	pool.ConnConfig.RuntimeParams["client_encoding"] = "UTF8"
	pool.ConnConfig.AfterConnect = c.prepare
	return c, nil
}

// Pool is a copy for connections that many share.
func (c *Config) Pool() *pgxpool.Config { return c.pool.Copy() }

// Conn is a copy for one connection.
func (c *Config) Conn() *pgx.ConnConfig { return c.pool.ConnConfig.Copy() }

// Connect opens one connection to the database of url ("" leaves it to the PG* variables).
func Connect(ctx context.Context, url string) (*pgx.Conn, error) {
	c, err := Read(url)
	if err != nil {
		return nil, err
	}
	config := c.Conn()
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 30 * time.Second
	}
	return pgx.ConnectConfig(ctx, config)
}

// prepare runs on each new connection.
func (c *Config) prepare(ctx context.Context, conn *pgconn.PgConn) error {
	if encoding := conn.ParameterStatus("server_encoding"); encoding != "" && encoding != "UTF8" {
		return fmt.Errorf("encoding %s: %w", encoding, ErrEncoding)
	}
	// Off, a server that crashes loses messages that were answered 201. What is
	// stronger than on (remote_apply) or chosen for standbys (local) stays.
	const durable = `select case when setting = 'off' then set_config(name, 'on', false) end, reset_val
		from pg_settings where name = 'synchronous_commit'`
	results, err := conn.Exec(ctx, durable).ReadAll()
	if err != nil {
		return fmt.Errorf("set synchronous_commit: %w", err)
	}
	if len(results) == 1 && len(results[0].Rows) == 1 && string(results[0].Rows[0][1]) == "off" {
		c.AsyncCommit.Store(true)
	}
	return nil
}

// unsafeSettings are the settings of the server that lose messages that were
// acknowledged, or the whole database, at a crash.
func unsafeSettings(ctx context.Context, c *Config) ([]string, error) {
	config := c.Conn()
	config.ConnectTimeout = 10 * time.Second
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	rows, err := conn.Query(ctx, `select name from pg_settings
		where name in ('fsync', 'full_page_writes') and setting = 'off' order by name`, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// WarnOfUnsafeSettings logs the settings of the server with which a crash loses
// messages that were acknowledged. It waits until the server can be asked.
func WarnOfUnsafeSettings(ctx context.Context, url string, log *slog.Logger) {
	config, err := Read(url)
	if err != nil {
		return // the start has refused it
	}
	for ctx.Err() == nil {
		off, err := unsafeSettings(ctx, config)
		for _, name := range off {
			log.Warn(
				"a crash of the database can lose or damage what was answered 201: switch this on in postgresql.conf",
				"setting", name, "value", "off")
		}
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Second):
		}
	}
}

// OneLine is an error of connecting in one line: the driver has one for each
// address that it tried, and tries each with and without TLS.
func OneLine(err error) string {
	var parts, withoutTLS []string
	for line := range strings.Lines(err.Error()) {
		line = strings.TrimSpace(line)
		if line == "" || slices.Contains(parts, line) {
			continue
		}
		parts = append(parts, line)
		if !strings.Contains(line, "server refused TLS connection") {
			withoutTLS = append(withoutTLS, line)
		}
	}
	// A server without TLS is no reason, but where it is the only one.
	if last := len(withoutTLS) - 1; last >= 0 && !strings.HasSuffix(withoutTLS[last], ":") {
		parts = withoutTLS
	}
	if len(parts) < 2 {
		return strings.Join(parts, "")
	}
	return parts[0] + " " + strings.Join(parts[1:], "; ")
}

// IsWrong reports whether the server answered, and would not have us: a wrong
// user, password, database or parameter, which only another setting mends.
func IsWrong(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return errors.Is(err, ErrEncoding)
	}
	parameter := pg.Severity == "FATAL" && slices.Contains([]string{"42704", "22023", "55P02", "42501"}, pg.Code)
	return errors.Is(err, ErrEncoding) || strings.HasPrefix(pg.Code, "28") || strings.HasPrefix(pg.Code, "3D") ||
		parameter
}

const encodeAdvice = "special characters in a user's name or password are written with %, such as %40 for @, " +
	"%2F for /, %3A for :, %23 for #, %3F for ? and %25 for % (or leave the password out and set PGPASSWORD)"

var (
	maxConns = regexp.MustCompile(`\bpool_max_conns\s*=`)
	scheme   = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*:`)
	hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_.])?$`)
	adoNet   = regexp.MustCompile(`(?i)^(host|server|data source|database|initial catalog|port|user ?(id|name)|uid)` +
		`\s*=[^;\s']*;`)
	keyword = regexp.MustCompile(`([A-Za-z][A-Za-z0-9_.]*)\s*=`)
)

// check refuses what the driver would take for something else.
func check(text string) error {
	if text == "" {
		return nil
	}
	isURL := strings.HasPrefix(text, "postgres://") || strings.HasPrefix(text, "postgresql://")
	switch {
	case strings.TrimSpace(text) != text || strings.ContainsAny(text, "\r\n"):
		return errors.New("has a space or line end before or after it, or a line end in it: take that out")
	case text[0] == '"' || text[0] == '\'':
		return errors.New("begins with a quotation mark: write it without")
	case strings.HasPrefix(strings.ToLower(text), "jdbc:"):
		return errors.New("begins with jdbc:, which Java alone understands: " + writeURL)
	case isURL && misplaced(text):
		return errors.New("is not clear: " + encodeAdvice)
	case isURL:
		return nil
	case adoNet.MatchString(text):
		return errors.New("has the form of ADO.NET (NAME=VALUE;…): " + writeURL)
	case strings.Contains(text, "://") && scheme.MatchString(text), !strings.Contains(text, "="):
		return errors.New("is no URL of Postgres: " + writeURL)
	}
	return nil
}

const writeURL = "write postgres://USER:PASSWORD@HOST:PORT/DATABASE"

// misplaced reports whether a password's /, ? or # ended the part of the URL that
// names the host. The driver would look up a piece of the password.
func misplaced(text string) bool {
	_, rest, _ := strings.Cut(text, "://")
	authority, tail := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, tail = rest[:i], rest[i:]
	}
	path, query, _ := strings.Cut(tail, "?")
	return strings.Contains(path, "@") || strings.Contains(tail, "#") ||
		!strings.Contains(authority, "@") && strings.Contains(query, "@")
}

// encodeAt writes each @ of a user's name or password as %40: the driver would take
// what follows the first one for the host.
func encodeAt(text string) string {
	head, rest, isURL := strings.Cut(text, "://")
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	if at := strings.LastIndex(rest[:end], "@"); isURL && at > 0 {
		return head + "://" + strings.ReplaceAll(rest[:at], "@", "%40") + rest[at:]
	}
	return text
}

// isHost reports whether host can be a name, an address or the folder of a socket.
func isHost(host string) bool {
	if strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") || host == "" {
		return true
	}
	address, _, _ := strings.Cut(host, "%") // the zone of an IPv6 address
	if net.ParseIP(address) != nil {
		return true
	}
	return len(host) <= 253 && hostName.MatchString(host) && !strings.Contains(host, "..")
}

// reason is why the driver does not take the text. The driver masks passwords only
// where it recognizes them, so its words are not repeated: only the parameter is
// named that they speak of.
func reason(text string, err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return fmt.Sprintf("names a file that cannot be used: %s: %v", path.Path, path.Err)
	}
	said := err.Error()
	said = said[strings.LastIndex(said, "`: ")+1:] // behind the text itself
	if strings.Contains(said, "service") {
		return "names a service that is not there, or not readable: look into PGSERVICE and PGSERVICEFILE"
	}
	if strings.Contains(said, "port") {
		return "names a port that is no number from 1 to 65535; " + encodeAdvice
	}
	_, query, isURL := strings.Cut(text, "?")
	if !isURL {
		query = text
	}
	// PG* variables set these, too.
	names := []string{"sslmode", "sslnegotiation", "connect_timeout", "target_session_attrs"}
	for _, match := range keyword.FindAllStringSubmatch(query, -1) {
		names = append(names, match[1])
	}
	for _, name := range names {
		if regexp.MustCompile(`\b` + regexp.QuoteMeta(name) + `\b`).MatchString(said) {
			return "has a value for " + name + " that cannot be"
		}
	}
	return "cannot be read: " + writeURL + ", or NAME=VALUE pairs separated by spaces; " + encodeAdvice
}

var (
	// What begins so is the driver's, and no parameter of a session.
	drivers = regexp.MustCompile(`(?i)^(ssl|gss|krb|pool_|connect_|target_|channel_|hostaddr|user|db)`)
	// The parameters of a session without _ or . in their name.
	sessionParameters = regexp.MustCompile(`(?i)^(datestyle|timezone|intervalstyle|options|role|replication|` +
		`geqo|jit|seed|xmlbinary|xmloption)$`)
)

// unknownParameter finds a parameter that neither the driver nor any server knows. The
// driver passes what it does not know to the server, which judges the rest.
func unknownParameter(parameters map[string]string) (name string, found bool) {
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		if drivers.MatchString(name) || !strings.ContainsAny(name, "_.") && !sessionParameters.MatchString(name) {
			return name, true
		}
	}
	return "", false
}

package database_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"dcm-receiver/internal/database"
	"dcm-receiver/internal/privatepg/pgtest"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// TestRefused: what cannot work is refused before any host is asked, and no
// piece of the text is repeated.
func TestRefused(t *testing.T) {
	for _, c := range []struct{ name, text, says string }{
		{"/ in the password", "postgres://u:Sec/ret-X@127.0.0.1/d", "%2F for /"},
		{"/ behind digits", "postgres://u:1234/ret-X@127.0.0.1/d", "%2F for /"},
		{"# in the password", "postgres://u:Sec#ret-X@127.0.0.1/d", "%23 for #"},
		{"? in the password", "postgres://u:Sec?ret-X@127.0.0.1/d", "%3F for ?"},
		{"% in the password", "postgres://u:Sec%ret-X@127.0.0.1/d", "%25"},
		{"jdbc", "jdbc:postgresql://127.0.0.1/d?user=u&password=ret-X", "jdbc:"},
		{"JDBC", "JDBC:postgresql://127.0.0.1/d?user=u&password=ret-X", "jdbc:"},
		{"another scheme", "mysql://u:ret-X@127.0.0.1/d", "no URL of Postgres"},
		{"http", "https://u:ret-X@127.0.0.1/d", "no URL of Postgres"},
		{"a name alone", "ret-X", "no URL of Postgres"},
		{"quoted", `"postgres://u:ret-X@127.0.0.1/d"`, "quotation mark"},
		{"line end", "postgres://u:ret-X@127.0.0.1/d\n", "line end"},
		{"no host", "postgres://u@ret-X_$/d", "host that cannot be one"},
		{"host with a space", "host='ret-X y' user=u", "host that cannot be one"},
		{"second host", "postgres://u@127.0.0.1,ret-X!/d", "host that cannot be one"},
		{"port", "postgres://u@127.0.0.1:ret-X/d", "port"},
		{"port too large", "postgres://u@127.0.0.1:65536/d", "port"},
		{"sslmode", "postgres://u:ret-X@127.0.0.1/d?sslmode=ret-X", "sslmode"},
		{"target_session_attrs", "postgres://u:ret-X@127.0.0.1/d?target_session_attrs=ret-X", "target_session_attrs"},
		{"pool_max_conns", "postgres://u:ret-X@127.0.0.1/d?pool_max_conns=ret-X", "pool_max_conns"},
		{"certificate", "postgres://u:ret-X@127.0.0.1/d?sslmode=verify-full&sslrootcert=/does/not/exist",
			"/does/not/exist"},
		{"pairs", "host=127.0.0.1 password=Sec ret-X", "cannot be read"},
		{"# behind digits", "postgres://u:1234#ret-X@127.0.0.1/d", "%23 for #"},
		{"? behind digits", "postgres://u:1234?ret-X=1@127.0.0.1/d", "%3F for ?"},
		{"misspelt parameter", "postgres://u:ret-X@127.0.0.1/d?sslmod=require", "sslmod "},
		{"misspelt beside @ in the password", "postgres://u:Sec@ret-X@127.0.0.1/d?connect_timout=3", "connect_timout"},
		{"upper case", "postgres://u:ret-X@127.0.0.1/d?SSLMode=require", "SSLMode"},
		{"parameter of no program", "postgres://u:ret-X@127.0.0.1/d?sslfoo=1", "sslfoo"},
		{"parameter among pairs", "host=127.0.0.1 user=u password=Sec sslmod=require", "parameter that does not exist"},
		{"password with spaces among pairs", "host=127.0.0.1 user=u password=Sec ret-X=y",
			"parameter that does not exist"},
		{"ADO.NET", "Host=127.0.0.1;Username=u;Password=ret-X", "postgres://"},
		{"ADO.NET, server", "Server=127.0.0.1;Port=5432;User Id=u;Password=ret-X;", "postgres://"},
		{"ADO.NET, password first", "Password=ret-X;Host=127.0.0.1", "postgres://"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := database.Read(c.text)
			if err == nil {
				t.Fatal("taken")
			}
			if says := err.Error(); !strings.Contains(says, "DATABASE_URL") || !strings.Contains(says, c.says) ||
				strings.Contains(says, "ret-X") || strings.Contains(says, "Sec") || strings.Contains(says, "\n") {
				t.Errorf("says %q; want %q in it, and nothing of the text", says, c.says)
			}
		})
	}
}

func TestTaken(t *testing.T) {
	for _, c := range []struct{ name, text, host, user, password, database string }{
		{"encoded", "postgres://u:Sec%40%2F%3A%23%3F%25@127.0.0.1/d", "127.0.0.1", "u", "Sec@/:#?%", "d"},
		{"@ in the password", "postgres://u:p@ss@127.0.0.1/d", "127.0.0.1", "u", "p@ss", "d"},
		{"several @ in the password", "postgres://u:@p@@s@127.0.0.1/d?sslmode=disable", "127.0.0.1", "u", "@p@@s", "d"},
		{"[ in the password", "postgres://u:a[b@127.0.0.1/d", "127.0.0.1", "u", "a[b", "d"},
		{": in the password", "postgres://u:a:b@127.0.0.1/d", "127.0.0.1", "u", "a:b", "d"},
		{"parameters of the session",
			"postgres://u:p@127.0.0.1/d?TimeZone=UTC&lock_timeout=5s&application_name=a&role=r&options=-c%20jit%3Doff",
			"127.0.0.1", "u", "p", "d"},
		{"sub-delimiters", "postgresql://u:a!$&'()*+,;=b@db.example:5433/d", "db.example", "u", "a!$&'()*+,;=b", "d"},
		{"several", "postgres://u:p@pg1,pg2:5433,pg3/d?target_session_attrs=read-write", "pg1", "u", "p", "d"},
		{"IPv6", "postgres://u:p@[::1]:5432/d", "::1", "u", "p", "d"},
		{"socket", "postgres://u@/d?host=/run/postgresql&port=5432", "/run/postgresql", "u", "", "d"},
		{"pairs", "host=127.0.0.1 user=u password='a @/:# b' dbname=d", "127.0.0.1", "u", "a @/:# b", "d"},
		{"@ among the parameters", "postgres://u:p@127.0.0.1/d?user=app@tenant", "127.0.0.1", "app@tenant", "p", "d"},
		{"name with _", "postgres://u:p@my_postgres/d", "my_postgres", "u", "p", "d"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, name := range []string{"PGHOST", "PGPASSWORD", "PGUSER", "PGDATABASE", "PGPASSFILE"} {
				t.Setenv(name, "")
			}
			config, err := database.Read(c.text)
			if err != nil {
				t.Fatal(err)
			}
			conn := config.Conn()
			if conn.Host != c.host || conn.User != c.user || conn.Password != c.password ||
				conn.Database != c.database {
				t.Errorf("host %q user %q password %q database %q", conn.Host, conn.User, conn.Password, conn.Database)
			}
			if conn.RuntimeParams["client_encoding"] != "UTF8" {
				t.Error("client_encoding is not pinned")
			}
		})
	}
	config, err := database.Read("postgres://u@127.0.0.1/d?pool_max_conns=7&client_encoding=LATIN1")
	if err != nil {
		t.Fatal(err)
	}
	if _, sent := config.Conn().RuntimeParams["pool_max_conns"]; sent || config.MaxConns != 7 ||
		config.Conn().RuntimeParams["client_encoding"] != "UTF8" {
		t.Errorf("%d connections, parameters %v", config.MaxConns, config.Conn().RuntimeParams)
	}
}

// TestConnections: each is durable and in UTF-8, whatever role, database and
// environment say.
func TestConnections(t *testing.T) {
	server := pgtest.NewServer(t, map[string]string{"full_page_writes": "off"})
	admin, err := pgx.Connect(t.Context(), server.URL("dcm"))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(context.Background())
	for _, statement := range []string{
		"create database latin encoding 'LATIN1' locale 'C' template template0",
		"create database weak", "alter database weak set synchronous_commit = off",
		"create database strong", "alter database strong set synchronous_commit = remote_apply",
	} {
		if _, err := admin.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PGCLIENTENCODING", "LATIN1")
	for name, want := range map[string]string{"weak": "on", "strong": "remote_apply", "dcm": "on"} {
		config, err := database.Read(server.URL(name))
		if err != nil {
			t.Fatal(err)
		}
		conn, err := pgx.ConnectConfig(t.Context(), config.Conn())
		if err != nil {
			t.Fatal(err)
		}
		pool, err := pgxpool.NewWithConfig(t.Context(), config.Pool())
		if err != nil {
			t.Fatal(err)
		}
		for by, query := range map[string]func(context.Context, string, ...any) pgx.Row{"connection": conn.QueryRow,
			"pool": pool.QueryRow} {
			var commit, encoding string
			if err := query(t.Context(),
				"select current_setting('synchronous_commit'), current_setting('client_encoding')").Scan(&commit,
				&encoding); err != nil {
				t.Fatal(err)
			}
			if commit != want || encoding != "UTF8" {
				t.Errorf("%s, %s: synchronous_commit %s, want %s; client_encoding %s", name, by, commit, want, encoding)
			}
		}
		pool.Close()
		_ = conn.Close(t.Context())
	}
	for _, parameter := range []string{"no_such_parameter=3", "work_mem=abc", "max_connections=5"} {
		config, err := database.Read(server.URL("dcm") + "&" + parameter)
		if err != nil {
			t.Fatal(err)
		}
		name, _, _ := strings.Cut(parameter, "=")
		if _, err := pgx.ConnectConfig(t.Context(), config.Conn()); err == nil || !database.IsWrong(err) ||
			!strings.Contains(database.OneLine(err), name) {
			t.Errorf("%s: %v", parameter, err)
		}
	}
	config, err := database.Read(server.URL("latin"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pgx.ConnectConfig(t.Context(), config.Conn()); !errors.Is(err, database.ErrEncoding) {
		t.Errorf("a database in LATIN1: %v", err)
	}
	var log bytes.Buffer
	database.WarnOfUnsafeSettings(t.Context(), server.URL("dcm"), slog.New(slog.NewTextHandler(&log, nil)))
	if warned := log.String(); strings.Count(warned, "\n") != 1 ||
		!strings.Contains(warned, "setting=full_page_writes") {
		t.Errorf("warned of %q, want full_page_writes alone", warned)
	}
}

// TestOneLine: that a server has no TLS is said where nothing else is wrong, and only
// there.
func TestOneLine(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"one address", "failed to connect to `user=u`: 127.0.0.1:5432 (h): server refused TLS connection",
			"failed to connect to `user=u`: 127.0.0.1:5432 (h): server refused TLS connection"},
		{"several addresses",
			"failed to connect to `user=u`:\n\ta (h): server refused TLS connection\n\tb (h): server refused TLS " +
				"connection",
			"failed to connect to `user=u`: a (h): server refused TLS connection; b (h): server refused TLS " +
				"connection"},
		{"without TLS there is another reason",
			"failed to connect to `user=u`:\n\ta (h): server refused TLS connection\n\ta (h): no such role\n\ta " +
				"(h): no such role",
			"failed to connect to `user=u`: a (h): no such role"},
		{"no connecting", "some fault", "some fault"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := database.OneLine(errors.New(c.text)); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

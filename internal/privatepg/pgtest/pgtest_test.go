package pgtest_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"dcm-receiver/internal/privatepg/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func value[T any](t *testing.T, url, sql string) T {
	t.Helper()
	var v T
	if err := connect(t, url).QueryRow(t.Context(), sql).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func TestEveryTestHasItsOwnMigratedDatabase(t *testing.T) {
	one, two := pgtest.New(t), pgtest.New(t)
	if _, err := connect(t, one).Exec(t.Context(), "create table mark ()"); err != nil {
		t.Fatal(err)
	}
	for url, want := range map[string]bool{one: true, two: false} {
		if got := value[bool](t, url, "select to_regclass('mark') is not null"); got != want {
			t.Errorf("%s: table of one test is there: %t, want %t", url, got, want)
		}
		if !value[bool](t, url, "select to_regclass('planning.capacity_group') is not null") {
			t.Errorf("%s: not migrated", url)
		}
	}
}

func TestDatabaseIsRemovedWithItsTest(t *testing.T) {
	left := func() int {
		return value[int](t, pgtest.New(t), "select count(*)::int from pg_database where datname like 'dcm_test_%'")
	}
	before := left()
	t.Run("a test that leaves a connection open", func(t *testing.T) {
		if _, err := pgx.Connect(context.Background(), pgtest.New(t)); err != nil {
			t.Fatal(err)
		}
	})
	// The database of the second look itself is one more.
	if after := left(); after != before+1 {
		t.Errorf("%d databases of tests, want %d", after, before+1)
	}
}

func TestOwnServerCanDie(t *testing.T) {
	s := pgtest.NewServer(t, map[string]string{"work_mem": "5MB"})
	url := s.URL("dcm")
	conn := connect(t, url)
	if _, err := conn.Exec(t.Context(), "create table kept as select 7 as seven"); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	if err := conn.Ping(t.Context()); err == nil {
		t.Error("a connection outlived the server")
	}
	s.Start()
	if got := value[int](t, url, "select seven from kept"); got != 7 {
		t.Errorf("committed before the crash: %d, want 7", got)
	}
	if got := value[string](t, url, "show work_mem"); got != "5MB" {
		t.Errorf("work_mem after restart is %s, want 5MB", got)
	}
	if got := value[string](t, url, "show fsync"); got != "on" {
		t.Errorf("fsync is %s, want on", got)
	}
}

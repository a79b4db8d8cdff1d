package store_test

import (
	"fmt"
	"testing"

	"dcm-receiver/internal/privatepg/pgtest"

	"github.com/google/uuid"
)

// TestCommitsAreDurable: each commit of a message waits for the disk, and its text is
// UTF-8, also where the database says otherwise, and where PgBouncer gives each transaction another
// connection, of which the receiver has set nothing.
func TestCommitsAreDurable(t *testing.T) {
	for _, c := range []struct {
		name    string
		setting string // of the database
		pooled  bool
		want    string
	}{
		{name: "off", setting: "off", want: "on"},
		{name: "stronger", setting: "remote_apply", want: "remote_apply"},
		{name: "off, behind PgBouncer", setting: "off", pooled: true, want: "on"},
		{name: "stronger, behind PgBouncer", setting: "remote_apply", pooled: true, want: "remote_apply"},
	} {
		t.Run(c.name, func(t *testing.T) {
			direct := pgtest.New(t)
			through := direct
			if c.pooled {
				through = pgtest.BehindPgBouncer(t, direct)
			}
			admin := connect(t, direct)
			for _, statement := range []string{
				"do $$ begin execute format('alter database %I set synchronous_commit = " + c.setting +
					"', current_database()); end $$",
				"do $$ begin execute format('alter database %I set client_encoding = latin1', " +
					"current_database()); end $$",
				"create table seen (at_commit text, encoding text)", // looked at when a transaction commits
				"create function see() returns trigger language plpgsql as $$ begin insert into seen values " +
					"(current_setting('synchronous_commit'), current_setting('client_encoding')); return null; end $$",
				"create constraint trigger see after insert on dcm.message deferrable initially deferred for each " +
					"row execute function see()",
			} {
				if _, err := admin.Exec(t.Context(), statement); err != nil {
					t.Fatal(err)
				}
			}
			s := newSending(t, through)
			for i := range 3 {
				if _, err := s.save(newGroup(1, uuid.New(), fmt.Sprint(i))); err != nil {
					t.Fatal(err)
				}
				if c.pooled { // which then opens a new one for a client that stays connected
					if _, err := admin.Exec(t.Context(), `select pg_terminate_backend(pid, 5000) from pg_stat_activity
						where datname = current_database() and application_name = 'dcm-receiver'`); err != nil {
						t.Fatal(err)
					}
				}
			}
			if n := s.count("select count(*) from seen where at_commit = $1 and encoding = 'UTF8'", c.want); n != 3 {
				t.Errorf("%d of 3 messages were committed with synchronous_commit = %s, in UTF-8", n, c.want)
			}
		})
	}
}

package outbox_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// TestACommentTakenBackIsGone: text and author of a comment of ours are in no table
// after it was taken back, although the partner refused it and quoted them: once
// before that, and once while the refusal was still on its way.
func TestACommentTakenBackIsGone(t *testing.T) {
	w := newWorld(t)
	const text, author = "bananacurvature", "unknown.person@example.com"
	arrived, goOn := make(chan struct{}, 1), make(chan struct{})
	w.partner.Backend = http.HandlerFunc(func(a http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case strings.Contains(string(body), "slow"):
			select {
			case arrived <- struct{}{}:
			default:
			}
			<-goOn
			fallthrough
		case strings.Contains(string(body), text):
			a.Header().Set("Content-Type", "application/problem+json")
			a.WriteHeader(400)
			_, _ = io.WriteString(a,
				`{"results": [{"errors": [{"pointer": "/x", "detail": "we do not like `+text+` of `+author+`"}]}]}`)
		}
	})
	w.start()
	const insert = "insert into outbox.comment (supplier, customer, object_id, comment_text, author) values ($1, " +
		"$2, gen_random_uuid(), $3, $4)"
	w.exec(insert, them, us, text, author)
	w.reach("IdBasedComment refused 400")
	if found := w.everywhere(text, author); len(found) < 3 {
		t.Fatalf("text and author are in %v alone before the comment is taken back, so the test would find nothing",
			found)
	}
	w.exec("update outbox.comment set request_delete = true")
	w.reach("IdBasedComment delivered 200", "IdBasedComment superseded 400")
	if found := w.everywhere(text, author); len(found) > 0 {
		t.Errorf("still in %v", found)
	}
	w.exec(insert, them, us, "slow "+text, author)
	select {
	case <-arrived: // before that, it would not be sent any more
	case <-time.After(20 * time.Second):
		t.Fatal("it is not sent")
	}
	w.exec("update outbox.comment set request_delete = true where not request_delete")
	close(goOn)
	w.reach("IdBasedComment delivered 200", "IdBasedComment delivered 200", "IdBasedComment refused 400",
		"IdBasedComment superseded 400")
	if found := w.everywhere(text, author); len(found) > 0 {
		t.Errorf("still in %v", found)
	}
}

// everywhere lists the tables of all schemas that have one of the words in a row.
func (w *world) everywhere(words ...string) (found []string) {
	w.t.Helper()
	rows, err := w.db.Query(context.Background(), `select c.oid::regclass::text from pg_class c join pg_namespace n
		on n.oid = c.relnamespace
		where c.relkind in ('r', 'm', 'p') and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname
		not like 'pg\_%'`)
	if err != nil {
		w.t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(tables) < 10 {
		w.t.Fatal(err, tables)
	}
	for _, table := range tables {
		for _, word := range words {
			var n int
			if err := w.db.QueryRow(context.Background(),
				`select count(*) from `+table+` as r where r::text like '%' || $1 || '%'`, word).Scan(&n); err != nil {
				w.t.Fatal(err)
			}
			if n > 0 {
				found = append(found, table)
			}
		}
	}
	return found
}

package receiver_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/example"
	"dcm-receiver/internal/receiver"
	"dcm-receiver/internal/standard"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

func withComments(c *receiver.Config) {
	c.Standard, _ = standard.Of("cx-0128")
	c.Partners = nil
}

// commentOn is a message of one comment.
func commentOn(object, objectType, sender, supplier, customer, id, more string) string {
	receiver := customer
	if sender == customer {
		receiver = supplier
	}
	return fmt.Sprintf(`{"messageHeader":{"header":{"messageId":%q,
		"context":"urn:samm:io.catenax.id_based_comment:1.x.x","sentDateTime":"2026-11-20T10:00:05Z","senderBpn":%q,
		"receiverBpn":%q,"version":"3.0.0"}},
		"content":{"informationObject":[{"commentId":%q,"objectId":%q,"objectType":%q,"supplier":%q,
		"customer":%q%s}]}}`,
		uuid.New(), sender, receiver, id, object, objectType, supplier, customer, more)
}

const (
	groupID    = "0157ba42-d2a8-4e28-8565-7b07830c1110"
	oneComment = "f5c151e4-30b5-4456-94fd-2a7b559b6121"
)

// commentFixture has a group to comment on.
func commentFixture(t *testing.T) *fixture {
	f := newFixture(t, withComments)
	if w := f.post(dcm.CapacityGroupEndpoint.Path, read(t,
		"testdata/cx-0128/id-based-comment/group.json")); w.Code != 201 {
		t.Fatal(w.Code, w.Body)
	}
	return f
}

func (f *fixture) comment(more string) (status int) {
	w := f.post(dcm.CommentEndpoint.Path, []byte(commentOn(groupID, dcm.CapacityGroupType, example.Supplier,
		example.Supplier, example.Customer, oneComment, more)))
	return w.Code
}

// TestADeletedCommentIsGone: text and author are in no table of any schema, no log and
// no answer any more: not of the comment, of a refused or unreadable message, nor of
// what came again at the same moment as the deletion. (Postgres itself keeps a dead
// row until it vacuums the table, and its write-ahead log until that is recycled.)
func TestADeletedCommentIsGone(t *testing.T) {
	f := commentFixture(t)
	replicas := []*fixture{f, onDatabase(t, f.url, withComments)}
	const text, author = "Bananenkrümmung", "unbekannte.person@example.com"
	content := fmt.Sprintf(`,"commentText":%q,"author":%q,"changedAt":"2026-11-20T10:00:00Z"`, text, author)
	message := func(more string) []byte {
		return []byte(commentOn(groupID, dcm.CapacityGroupType, example.Supplier, example.Supplier, example.Customer,
			oneComment, more))
	}
	if status := f.comment(content); status != 201 {
		t.Fatal(status)
	}
	// Refused ones leave nothing either.
	for more, want := range map[string]int{
		fmt.Sprintf(`,"commentText":%q,"author":%q`, strings.Repeat(text, 500), author+"@"):           400, // rule 1
		fmt.Sprintf(`,"commentText":[%q],"author":{%q:1}`, text, author):                              400,
		fmt.Sprintf(`,"commentText":%q,"author":%q,"changedAt":"2026-11-19T10:00:00Z"`, text, author): 400, // rule 9
		fmt.Sprintf(`,"commentText":%q,"author":%q,"commentTxt":%q`, text, author, text):              200, // a warning
		fmt.Sprintf(`,"commentText":%q,"author":"%s\ud800"`, text, author):                            422,
		fmt.Sprintf(`,"commentText":%q,"commentText":%q`, text, text):                                 422,
	} {
		if status := f.comment(more); status != want {
			t.Errorf("%s: %d, want %d", more, status, want)
		}
	}
	cutOff := message(content)
	if w := f.post(dcm.CommentEndpoint.Path, cutOff[:bytes.Index(cutOff, []byte(author))+len(author)]); w.Code != 422 {
		t.Errorf("cut off: %d", w.Code)
	}
	notOurs := bytes.Replace(message(content), []byte(`"receiverBpn":"`+example.Customer),
		[]byte(`"receiverBpn":"BPNL0000000000ZZ`), 1)
	if w := f.post(dcm.CommentEndpoint.Path, notOurs); w.Code != 400 {
		t.Errorf("another receiver: %d", w.Code)
	}
	onNothing := bytes.Replace(message(content), []byte(`"objectId":"`+groupID), []byte(`"objectId":"`+oneComment), 1)
	if w := f.post(dcm.CommentEndpoint.Path, onNothing); w.Code != 403 {
		t.Errorf("on nothing: %d", w.Code)
	}
	if found := f.everywhere(text, author); !slices.Equal(found, []string{"dcm.comment", "dcm.comment"}) {
		t.Fatalf("before the deletion it is in %v: not alone in its table, or nothing would be found after it", found)
	}
	// The deletion, while a data plane sends everything before it again.
	var wait sync.WaitGroup
	for i := range 12 {
		wait.Go(func() {
			more, want := content, []int{200, 400}
			if i == 5 {
				more, want = `,"requestDelete":true`, []int{200}
			}
			if w := replicas[i%2].post(dcm.CommentEndpoint.Path, message(more)); !slices.Contains(want, w.Code) {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	wait.Wait()
	if status := f.comment(content); status != 400 {
		t.Errorf("a late repeat: %d", status)
	}
	if found := f.everywhere(text, author); len(found) > 0 {
		t.Errorf("still in %v", found)
	}
	if left := f.query(
		`select strings.left from (select string_agg(key, ' ' order by key) as left from dcm.comment c, ` +
			`jsonb_each_text(to_jsonb(c)) where value is not null) strings`); left[0] !=
		"comment_id content_hash customer deleted_at deleted_at_nanosecond first_received_at originator partner "+
			"received_at supplier" {
		t.Errorf("what is left of it: %s", left)
	}
	for _, replica := range replicas {
		if strings.Contains(replica.log.String(), text) || strings.Contains(replica.log.String(), author) {
			t.Error("it is in the log")
		}
	}
	r := request("", nil)
	r.Method, r.URL.Path, r.URL.RawQuery = "GET", "/messages", "limit=100"
	if w := f.do(r); w.Code != 200 || strings.Contains(w.Body.String(), text) ||
		strings.Contains(w.Body.String(), author) || len(w.Body.String()) < 5000 {
		t.Errorf("answers that are fetched: %d %s", w.Code, w.Body)
	}
}

// everywhere lists the tables of all schemas that have one of the words in any of
// their rows: as it is, escaped in JSON, or among bytes.
func (f *fixture) everywhere(words ...string) (found []string) {
	f.t.Helper()
	tables := f.query(
		`select format('%I.%I', c.relnamespace::regnamespace, c.relname) from pg_class c where c.relkind in ('r', ` +
			`'m', 'p') and c.relnamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace) ` +
			`and c.relnamespace::regnamespace::text not like 'pg_toast%' order by 1`)
	if len(tables) < 5 {
		f.t.Fatalf("tables %v", tables)
	}
	for _, table := range tables {
		for _, word := range words {
			quoted := strings.Trim(strconv.QuoteToASCII(word), `"`)
			if n := f.query(
				`select count(*)::text from `+table+` as r where position($1 in r::text) > 0 or position($2 in `+
					`r::text) > 0 or position(encode(convert_to($1, 'UTF8'), 'hex') in r::text) > 0`, word,
				quoted); n[0] != "0" {
				found = append(found, table)
			}
		}
	}
	return found
}

// TestCommentsOfBothRoles, on groups and on material demands that we received.
func TestCommentsOfBothRoles(t *testing.T) {
	f := newFixture(t, func(c *receiver.Config) {
		withComments(c)
		c.CustomerBPNLs, c.SupplierBPNLs = []string{"BPNL0000000000US"}, []string{"BPNL0000000000US"}
	})
	conn, err := pgx.Connect(context.Background(), f.url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	const demandID = "be4d8470-2de6-43d2-b5f8-2e5d3eebf3fd"
	for _, direction := range []string{"sent", "received"} {
		supplier, customer := "BPNL6666666666YY", "BPNL0000000000US"
		if direction == "received" {
			supplier, customer = customer, supplier
		}
		if _, err := conn.Exec(context.Background(), `insert into dcm.material_demand (partner, direction, supplier,
			customer, material_demand_id, changed_at, changed_at_nanosecond, first_recorded_at, recorded_at,
			unit_of_measure_is_omitted, is_inactive, material_number_customer, material_description_customer)
			values ('BPNL6666666666YY', $1, $2, $3, $4, now(), 0, now(), now(), true, false, 'm',
			'd')`, direction, supplier, customer, demandID); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, sender, supplier, customer string
		status                           int
	}{
		{"of our supplier", "BPNL6666666666YY", "BPNL6666666666YY", "BPNL0000000000US", 201},
		{"of our customer, under the same ID", "BPNL6666666666YY", "BPNL0000000000US", "BPNL6666666666YY", 201},
		{"of somebody else", "BPNL7777777777ZZ", "BPNL7777777777ZZ", "BPNL0000000000US", 403},
		{"on somebody else's", "BPNL7777777777ZZ", "BPNL6666666666YY", "BPNL0000000000US", 403},
	} {
		r := request(dcm.CommentEndpoint.Path, strings.NewReader(commentOn(demandID, dcm.MaterialDemandType, c.sender,
			c.supplier, c.customer, oneComment, "")))
		r.Header.Set("Edc-Bpn", c.sender)
		if w := f.do(r); w.Code != c.status {
			t.Errorf("%s: %d %s; want %d", c.name, w.Code, w.Body, c.status)
		}
	}
	if n := f.query(
		"select count(*)::text from planning.comment where object = 'WeekBasedMaterialDemand' and direction = " +
			"'received'"); n[0] != "2" {
		t.Errorf("%s comments", n[0])
	}
}

// TestOneCommentAtATime: of first messages for one comment that come at once,
// from two replicas, exactly one creates it, and a deletion among them is final.
func TestOneCommentAtATime(t *testing.T) {
	f := commentFixture(t)
	replicas := []*fixture{f, onDatabase(t, f.url, withComments)}
	for round := range 10 {
		id := uuid.NewString()
		var wait sync.WaitGroup
		var mu sync.Mutex
		codes := map[int]int{}
		for i := range 8 {
			wait.Go(func() {
				w := replicas[i%2].post(dcm.CommentEndpoint.Path,
					[]byte(commentOn(groupID, dcm.CapacityGroupType, example.Supplier, example.Supplier,
						example.Customer, id, `,"changedAt":"2026-11-20T10:00:00Z"`)))
				mu.Lock()
				defer mu.Unlock()
				codes[w.Code]++
			})
		}
		wait.Wait()
		if codes[201] != 1 || codes[200] != 7 {
			t.Fatalf("round %d: %v", round, codes)
		}
		for i := range 8 {
			wait.Go(func() {
				more := `,"changedAt":"2026-11-20T10:00:00Z"`
				if i == 3 {
					more = `,"requestDelete":true`
				}
				replicas[i%2].post(dcm.CommentEndpoint.Path, []byte(commentOn(groupID, dcm.CapacityGroupType,
					example.Supplier, example.Supplier, example.Customer, id, more)))
			})
		}
		wait.Wait()
		if n := f.query("select count(*)::text from planning.comment where comment_id = $1", id); n[0] != "0" {
			t.Fatalf("round %d: the comment is there after its deletion", round)
		}
	}
}

// TestCommentsInOneTransaction: what a message writes, changes and deletes is there
// together with its journal entry, or not at all.
func TestCommentsInOneTransaction(t *testing.T) {
	f := commentFixture(t)
	of := func(id, more string) remark {
		return remark{id: id, object: groupID, objectType: dcm.CapacityGroupType, supplier: example.Supplier,
			customer: example.Customer, text: more, requestDelete: more == ""}
	}
	first := inEnvelope(dcm.CommentEndpoint, example.Supplier, example.Customer, of(modelIDs[0], "a").json(),
		of(modelIDs[1], "b").json())
	if w := f.post(dcm.CommentEndpoint.Path, []byte(first)); w.Code != 200 {
		t.Fatal(w.Code, w.Body)
	}
	nothing := of(oneComment, "on nothing")
	nothing.object = oneComment
	second := inEnvelope(dcm.CommentEndpoint, example.Supplier, example.Customer, of(modelIDs[0], "changed").json(),
		of(modelIDs[1], "").json(), of(modelIDs[2], "new").json(), nothing.json())
	if w := f.post(dcm.CommentEndpoint.Path, []byte(second)); w.Code != 400 ||
		!slices.Equal(rulesOf(w), []int{7, 6, 8, 4}) {
		t.Fatal(w.Code, w.Body)
	}
	if got := f.query(`select count(distinct xmin::text) || ' ' || count(*) from (
		select xmin from dcm.comment union all (select xmin from dcm.message order by id desc limit 1))
		written`); got[0] != "1 4" {
		t.Errorf("three comments and the journal entry: transactions and rows %s, want 1 4", got[0])
	}
}

// TestNoCommentsByCX0048: that standard has no such endpoint.
func TestNoCommentsByCX0048(t *testing.T) {
	f := newFixture(t, nil)
	if w := f.post(dcm.CommentEndpoint.Path, []byte("[]")); w.Code != http.StatusNotFound ||
		strings.Contains(w.Body.String(), dcm.CommentEndpoint.Path) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

package receiver_test

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/example"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

// TestOneThread tries the query of api/planners.md: what was said about a group, about
// the groups below it however they are nested, and about the demands that these link;
// and nothing else.
func TestOneThread(t *testing.T) {
	c, partners := newCommented(t, 2)
	partner, other := partners[0], partners[1]
	const child, grandchild, unlinked = "aaaaaaaa-0000-4000-8000-00000000000a",
		"aaaaaaaa-0000-4000-8000-00000000000b", "aaaaaaaa-0000-4000-8000-00000000000c"
	group := func(sender, id, name string, children ...string) string {
		g := linked{object: object{id: id, supplier: sender, customer: example.Customer,
			changedAt: now.Add(time.Second), week: "2026-12-07"}, links: "series"}.json()
		if len(children) > 0 { // instead of the series, which has the demand's material "m"
			_, rest, _ := strings.Cut(g, `,"linkedDemandSeries"`)
			g = strings.Replace(g, `,"linkedDemandSeries"`+rest,
				`,"linkedCapacityGroups":["`+strings.Join(children, `","`)+`"]}`, 1)
		}
		return strings.Replace(g, `"name":"n"`, `"name":"`+name+`"`, 1)
	}
	for _, sender := range partners {
		r := request(dcm.CapacityGroupEndpoint.Path, strings.NewReader(inEnvelope(dcm.CapacityGroupEndpoint, sender,
			example.Customer,
			// a circle
			group(sender, commentedGroup, "parent", child), group(sender, child, "child", grandchild, commentedGroup),
			group(sender, grandchild, "grandchild"), strings.Replace(group(sender, unlinked, "unlinked"),
				`"materialNumberCustomer":"m"`, `"materialNumberCustomer":"x"`, 1))))
		r.Header.Set("Edc-Bpn", sender)
		if w := c.do(r); w.Code != 200 {
			t.Fatal(w.Code, w.Body)
		}
	}
	for i, said := range []struct{ sender, object, objectType, text string }{
		{partner, grandchild, dcm.CapacityGroupType, "on the grandchild"},
		{partner, commentedGroup, dcm.CapacityGroupType, "on the parent"},
		{other, commentedGroup, dcm.CapacityGroupType, "somebody else's"},
		{partner, unlinked, dcm.CapacityGroupType, "on another group"},
		{partner, commentedDemand, dcm.MaterialDemandType, "on the demand"},
		{partner, child, dcm.CapacityGroupType, "deleted"},
	} {
		id := "f5c151e4-30b5-4456-94fd-2a7b559b612" + string(rune('0'+i))
		comment := remark{id: id, object: said.object, objectType: said.objectType, supplier: said.sender,
			customer: example.Customer, text: said.text}.json()
		posted := strings.TrimSuffix(comment, "}") + `,"postedAt":"` +
			now.Add(time.Duration(i)*time.Minute).Format(time.RFC3339) + `"}`
		for _, body := range []string{posted, strings.TrimSuffix(comment, "}") +
			`,"requestDelete":true}`}[:map[bool]int{true: 2, false: 1}[said.text == "deleted"]] {
			r := request(dcm.CommentEndpoint.Path, strings.NewReader(inEnvelope(dcm.CommentEndpoint, said.sender,
				example.Customer, body)))
			r.Header.Set("Edc-Bpn", said.sender)
			if w := c.do(r); w.Code >= 300 {
				t.Fatal(w.Code, w.Body)
			}
		}
	}
	document := string(read(t, "../../api/planners.md"))
	query := regexp.MustCompile("(?s)### What was said about a group.*?```sql\n(.*?);\n```").FindStringSubmatch(
		document)
	if query == nil {
		t.Fatal("api/planners.md does not have the question")
	}
	sql := strings.NewReplacer("'BPNL00000000SUP1'", "'"+partner+"'", "'Plant as a whole'",
		"'parent'").Replace(query[1])
	conn, err := pgx.Connect(context.Background(), c.url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	rows, err := conn.Query(context.Background(),
		"select direction || ' ' || about || ': ' || comment_text from ("+sql+") thread")
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	// Ours was posted at the time of the test itself, before or after these.
	theirs := got[:0]
	ours := 0
	for _, line := range got {
		if strings.HasPrefix(line, "sent ") {
			ours++
		} else {
			theirs = append(theirs, line)
		}
	}
	want := []string{"received grandchild: on the grandchild", "received parent: on the parent",
		"received m: on the demand"}
	if diff := cmp.Diff(want, theirs); diff != "" || ours != 1 {
		t.Errorf("%d of ours, and %s", ours, diff)
	}
}

package planner

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/xuri/excelize/v2"
)

// TestLongNames: names as long as a message are valid. Every page and export shows their
// beginning, and stays as large as one of usual names.
func TestLongNames(t *testing.T) {
	s := newSite(t)
	*s.clock = now
	const groups, length = 12, 1 << 20
	long := strings.Repeat("é", length/2)
	body := func(i int) string {
		text := groupText(fmt.Sprintf("0157ba42-d2a8-4e28-8565-7b07830c%04d", i), fmt.Sprint("name ", i, " ", long),
			"2026-11-20T10:00:00Z", "1/2", "1/2")
		text = strings.Replace(text, `"MNR-1"`, `"M`+long+`","materialNumberSupplier":"S`+long+`"`, 1)
		if i > 0 {
			text = strings.Replace(text, `"supplierLocations"`,
				`"linkedCapacityGroups":["0157ba42-d2a8-4e28-8565-7b07830c0000"],"supplierLocations"`, 1)
		}
		return text
	}
	for i := range groups {
		s.post("week-based-capacity-group", supplier, body(i))
	}
	if n := must(s.count("select count(*) from planning.capacity_group")); n != groups {
		t.Fatalf("%d groups are stored", n)
	}
	group := key{supplier, customer, uuid.MustParse("0157ba42-d2a8-4e28-8565-7b07830c0000")}.Path()
	for _, path := range []string{"/", "/?q=name", "/?q=name+3", "/groups.csv", "/groups.xlsx", group,
		group + "/weeks.xlsx", group + "/changes.csv", "/partners"} {
		w := s.get(path, 200)
		if w.Body.Len() > 200_000 {
			t.Errorf("%s has %d bytes", path, w.Body.Len())
		}
		if path == "/?q=name+3" && strings.Count(w.Body.String(), "/group/") != 1 {
			t.Errorf("the beginning of a name finds %d groups", strings.Count(w.Body.String(), "/group/"))
		}
	}
	for _, row := range must(csv.NewReader(s.get("/groups.csv", 200).Body).ReadAll())[1:] {
		if name := row[3]; utf8.RuneCountInString(name) != mostText+1 || !strings.HasSuffix(name, "é…") {
			t.Errorf("a name of %d characters in CSV: …%q", utf8.RuneCountInString(name), name[len(name)-8:])
		}
	}
	book := must(excelize.OpenReader(bytes.NewReader(s.get("/groups.xlsx", 200).Body.Bytes())))
	defer book.Close()
	if name := must(book.GetCellValue("capacity-groups", "D2")); utf8.RuneCountInString(name) != mostText+1 {
		t.Errorf("a name of %d characters in XLSX", utf8.RuneCountInString(name))
	}
}

func (s *site) count(sql string) (n int, err error) {
	err = s.conn.QueryRow(s.t.Context(), sql).Scan(&n)
	return n, err
}

// TestManyLinks: a group with a hundred thousand links, all of one material, has a page;
// the list shows it, and all other groups as ever.
func TestManyLinks(t *testing.T) {
	s := newSite(t)
	s.made.work = queryTimeout // however busy the machine is
	s.fill()
	var links strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&links,
			`{"materialNumberCustomer":"MNR-1","customerLocation":"BPNS8888888888XX",`+
				`"demandCategory":{"demandCategoryCode":"0001"},"loadFactor":%d.5},`, i)
	}
	text := groupText("0157ba42-d2a8-4e28-8565-7b07830c1112", "Many links", "2026-11-20T10:00:00Z", "1/2", "1/2")
	s.post("week-based-capacity-group", supplier, strings.Replace(text, `"linkedDemandSeries":[`,
		`"linkedDemandSeries":[`+links.String(), 1))
	if n := must(s.count("select count(*) from planning.capacity_group")); n != 3 {
		t.Fatalf("%d groups are stored", n)
	}
	page := s.get("/", 200).Body.String()
	for _, name := range []string{"Spark plugs", "Wide enough", "Many links"} {
		if !strings.Contains(page, name) {
			t.Errorf("%s is not in the list", name)
		}
	}
	group := s.get("/group/"+supplier+"/"+customer+"/0157ba42-d2a8-4e28-8565-7b07830c1112", 200).Body.String()
	if !strings.Contains(group, "These are the first 500 of 100001; planning.linked_demand_series has all.") {
		t.Error("the page of the group does not say that it leaves out links")
	}
	if len(group) > 500_000 {
		t.Errorf("the page of the group has %d bytes", len(group))
	}
}

// TestLongLinks: the page of a group with tens of thousands of links to materials with
// long numbers has the first links, and says which of them have a demand.
func TestLongLinks(t *testing.T) {
	s := newSite(t)
	s.made.work = queryTimeout // however busy the machine is
	s.fill()
	*s.clock = now
	var links strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&links,
			`,{"materialNumberCustomer":"Z%d-%0500d","customerLocation":"BPNS8888888888XX",`+
				`"demandCategory":{"demandCategoryCode":"0001"}}`, i, 0)
	}
	text := groupText("0157ba42-d2a8-4e28-8565-7b07830c1112", "Long links", "2026-11-20T10:00:00Z", "1/2", "1/2")
	s.post("week-based-capacity-group", supplier, strings.Replace(text, `"0001"}}]`, `"0001"}}`+links.String()+"]", 1))
	if n := must(s.count("select count(*) from planning.linked_demand_series")); n < 20_000 {
		t.Fatalf("%d links are stored", n)
	}
	page := s.get("/group/"+supplier+"/"+customer+"/0157ba42-d2a8-4e28-8565-7b07830c1112", 200).Body.String()
	for _, want := range []string{"These are the first 500 of 20001", "<td>matched</td>",
		"<td>unmatched: demand</td>"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not have %q", want)
		}
	}
	if strings.Contains(page, "too many links") {
		t.Error("the page leaves a part out")
	}
}

// TestCutLists: each list of a group's page that is cut says so, and how much there is.
func TestCutLists(t *testing.T) {
	s := newSite(t)
	s.made.work = queryTimeout // however busy the machine is
	s.fill()
	*s.clock = now
	const group = "0157ba42-d2a8-4e28-8565-7b07830c1112"
	repeated := func(n int, format string) string {
		var all strings.Builder
		for i := range n {
			fmt.Fprintf(&all, ","+format, i+1)
		}
		return all.String()[1:]
	}
	text := groupText(group, "Wide", "2026-11-20T10:00:00Z", "1/2", "1/2")
	text = strings.Replace(text, `["BPNS6666666666YY"]`, "["+repeated(150, `"BPNS66666666%04d"`)+"]", 1)
	text = strings.Replace(text, `"supplierLocations"`, `"linkedCapacityGroups":[`+repeated(600,
		`"0157ba42-d2a8-4e28-8565-7b0783%06d"`)+`],"supplierLocations"`, 1)
	text = strings.Replace(text, `"supplierLocations"`,
		`"demandVolatilityParameters":{"startReferenceDateTime":"2026-11-02T00:00:00Z","measurementInterval":1,`+
			`"rollingHorizonAlertThresholds":[`+
			repeated(120, `{"sequenceNumber":%d,"subhorizonLength":1}`)+`]},"supplierLocations"`, 1)
	s.post("week-based-capacity-group", supplier, text)
	if n := must(s.count("select count(*) from planning.alert_threshold")); n != 120 {
		t.Fatalf("%d thresholds are stored", n)
	}
	if _, err := s.conn.Exec(t.Context(), `
		insert into dcm.comment (supplier, customer, comment_id, object_type, object_id, author, comment_text,
		posted_at, changed_at, first_received_at, received_at, partner, originator)
		select $1, $2, gen_random_uuid(),
		'urn:samm:io.catenax.week_based_capacity_group:3.0.0#WeekBasedCapacityGroup', $3, 'a@b', 'said', now(),
		now(), now(), now(), $1, $1
		from generate_series(1, 130)`, // beside the one on the demand
		supplier, customer, group); err != nil {
		t.Fatal(err)
	}
	page := s.get("/group/"+supplier+"/"+customer+"/"+group, 200).Body.String()
	for _, want := range []string{
		"and others, 150 in all; planning.capacity_group has them",
		"These are the first 500 of 600; planning.capacity_group has all.",
		"These are the first 100 of 120; planning.alert_threshold has all.",
		"These are the first 100 of 131; planning.comment has all.",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

// TestLate: what took too long for a reader is tried for none during a minute, and what
// did not is.
func TestLate(t *testing.T) {
	s := newSite(t)
	const limit = 2 * time.Second
	tried := func(seconds float64) (isLate bool, took time.Duration) {
		t.Helper()
		begin := time.Now()
		_, isLate, err := tried[struct{ N int }](t.Context(), s.made, limit, "select 1 as n from pg_sleep(@seconds)",
			map[string]any{"seconds": seconds})
		if err != nil {
			t.Fatal(err)
		}
		return isLate, time.Since(begin)
	}
	if isLate, _ := tried(30); !isLate {
		t.Error("a slow query is not late")
	}
	if isLate, took := tried(30); !isLate || took > limit/2 {
		t.Errorf("the next reader waits %v; late %v", took, isLate)
	}
	if isLate, _ := tried(0); isLate {
		t.Error("the same query of something else counts as late")
	}
	for query := range s.made.late.until {
		s.made.late.until[query] = time.Now()
	}
	if isLate, took := tried(30); !isLate || took < limit {
		t.Errorf("a minute later it is not tried again: %v", took)
	}
}

// TestGroupsThatLinkEachOther: before any overview is made, hundreds of groups that link
// each other keep neither the list nor another group's figures from coming.
func TestGroupsThatLinkEachOther(t *testing.T) {
	s := newSite(t)
	s.fill()
	const groups = 400
	var links, body strings.Builder
	for i := range groups {
		fmt.Fprintf(&links, `,"0157ba42-d2a8-4e28-8565-7b0783%06d"`, i)
	}
	for i := range groups {
		text := groupText(fmt.Sprintf("0157ba42-d2a8-4e28-8565-7b0783%06d", i), "linked", "2026-11-20T10:00:00Z",
			"1/2", "1/2")
		text = strings.Replace(text, `"supplierLocations"`,
			`"linkedCapacityGroups":[`+links.String()[1:]+`],"supplierLocations"`, 1)
		body.WriteString("," + strings.Trim(text, "[]"))
	}
	s.post("week-based-capacity-group", supplier, "["+body.String()[1:]+"]")
	if n := must(s.count("select count(*) from planning.capacity_group")); n != groups+2 {
		t.Fatalf("%d groups are stored", n)
	}
	begin := time.Now()
	first := s.get("/", 200).Body.String()
	if !strings.Contains(first, "linked") {
		t.Error("the list has no group")
	}
	t.Logf("first %v", time.Since(begin))
	begin = time.Now()
	if search := s.get("/?q=plugs", 200).Body.String(); !strings.Contains(search, "Spark plugs") ||
		strings.Contains(search, "not worked out") {
		t.Error("a search does not have the figures of another group")
	}
	t.Logf("search %v", time.Since(begin))

	// Where the background has given them up, no reader waits for them.
	if _, err := s.conn.Exec(t.Context(), `
		insert into dcm.overview (supplier, customer, content, first_week, gave_up_at) select distinct supplier,
		customer, 0, now(), now() from dcm.capacity_group;
		insert into dcm.group_overview (supplier, customer, capacity_group_id, weeks, red_weeks, orange_weeks,
		weeks_without_capacity)
		select supplier, customer, capacity_group_id, 26, 0, 0, 0 from dcm.capacity_group`); err != nil {
		t.Fatal(err)
	}
	s.made.late.until = nil
	rows, isLate, err := within[groupRow](t.Context(), s.made.pool, queryTimeout, groupsSQL, map[string]any{
		"search": "", "from": now, "until": now, "weeks": 26, "at_once": s.made.atOnce, "materials": true,
		"only_bottlenecks": false, "limit": 50, "offset": 0,
	})
	if err != nil || isLate || len(rows) != 50 || !rows[0].IsUnknown || rows[0].IsKept {
		t.Errorf("%d groups, late %v, %+v: %v", len(rows), isLate, rows[:min(1, len(rows))], err)
	}
}

// TestWithin: a query that takes longer than its limit is ended at the server, and the
// connection is good for the next one.
func TestWithin(t *testing.T) {
	s := newSite(t)
	ctx := context.Background()
	_, isLate, err := within[struct{ N int }](ctx, s.made.pool, 50*time.Millisecond,
		"select 1 as n from pg_sleep(30)", nil)
	if err != nil || !isLate {
		t.Errorf("a slow query: late %v, %v", isLate, err)
	}
	rows, isLate, err := within[struct{ N int }](ctx, s.made.pool, time.Second, "select 1 as n", nil)
	if err != nil || isLate || len(rows) != 1 {
		t.Errorf("the next one: %v, late %v, %v", rows, isLate, err)
	}
}

// TestTurns: no more than so many are at work at once, however many come, and a reader
// who has left waits no longer.
func TestTurns(t *testing.T) {
	turns := make(turns, 2)
	var mu sync.Mutex
	var all sync.WaitGroup
	now, most := 0, 0
	for range 50 {
		all.Go(func() {
			end, err := turns.take(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			time.Sleep(time.Millisecond)
			mu.Lock()
			now--
			mu.Unlock()
			end()
		})
	}
	all.Wait()
	if most != 2 {
		t.Errorf("%d were at work at once", most)
	}
	for range 2 {
		if _, err := turns.take(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := turns.take(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("a reader who has left: %v", err)
	}
}

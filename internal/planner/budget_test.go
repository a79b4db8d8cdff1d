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
		text := groupText(fmt.Sprintf("0157ba42-d2a8-4e28-8565-7b07830c%04d", i), fmt.Sprint("name ", i, " ", long), "2026-11-20T10:00:00Z", "1/2", "1/2")
		text = strings.Replace(text, `"MNR-1"`, `"M`+long+`","materialNumberSupplier":"S`+long+`"`, 1)
		if i > 0 {
			text = strings.Replace(text, `"supplierLocations"`, `"linkedCapacityGroups":["0157ba42-d2a8-4e28-8565-7b07830c0000"],"supplierLocations"`, 1)
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
	for _, path := range []string{"/", "/?q=name", "/?q=name+3", "/groups.csv", "/groups.xlsx", group, group + "/weeks.xlsx", group + "/changes.csv", "/partners"} {
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
	s.fill()
	var links strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&links, `{"materialNumberCustomer":"MNR-1","customerLocation":"BPNS8888888888XX","demandCategory":{"demandCategoryCode":"0001"},"loadFactor":%d.5},`, i)
	}
	text := groupText("0157ba42-d2a8-4e28-8565-7b07830c1112", "Many links", "2026-11-20T10:00:00Z", "1/2", "1/2")
	s.post("week-based-capacity-group", supplier, strings.Replace(text, `"linkedDemandSeries":[`, `"linkedDemandSeries":[`+links.String(), 1))
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
	if !strings.Contains(group, "These are the first 500") && !strings.Contains(group, "too many links") {
		t.Error("the page of the group does not say that it leaves out links")
	}
	if len(group) > 500_000 {
		t.Errorf("the page of the group has %d bytes", len(group))
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
		text := groupText(fmt.Sprintf("0157ba42-d2a8-4e28-8565-7b0783%06d", i), "linked", "2026-11-20T10:00:00Z", "1/2", "1/2")
		text = strings.Replace(text, `"supplierLocations"`, `"linkedCapacityGroups":[`+links.String()[1:]+`],"supplierLocations"`, 1)
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
	if search := s.get("/?q=plugs", 200).Body.String(); !strings.Contains(search, "Spark plugs") || strings.Contains(search, "not worked out") {
		t.Error("a search does not have the figures of another group")
	}
	t.Logf("search %v", time.Since(begin))
}

// TestWithin: a query that takes longer than its limit is ended at the server, and the
// connection is good for the next one.
func TestWithin(t *testing.T) {
	s := newSite(t)
	ctx := context.Background()
	_, isLate, err := within[struct{ N int }](ctx, s.made.pool, 50*time.Millisecond, "select 1 as n from pg_sleep(30)", nil)
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

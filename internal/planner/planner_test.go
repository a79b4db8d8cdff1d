package planner

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"html"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"dcm-receiver/internal/example"
	"dcm-receiver/internal/example/load"
	"dcm-receiver/internal/privatepg/pgtest"
	"dcm-receiver/internal/receiver"
	"dcm-receiver/internal/standard"
	"dcm-receiver/internal/store"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/xuri/excelize/v2"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// now is a Wednesday; the current week is 2026-11-23.
var now = time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)

const (
	supplier = "BPNL6666666666YY"
	customer = "BPNL8888888888XX"
	id       = "0157ba42-d2a8-4e28-8565-7b07830c1110"
)

// site is the pages on a database, and the receiver that fills it.
type site struct {
	url   string
	t     testing.TB
	pages http.Handler
	post  func(endpoint, sender, body string)
	clock *time.Time
	conn  *pgx.Conn
	store *store.Store
	made  *Pages
}

func newSite(t testing.TB) *site {
	t.Helper()
	url := pgtest.New(t)
	return newSiteThrough(t, url, url)
}

// newSiteThrough is newSite, whose pages reach the database in another way.
func newSiteThrough(t testing.TB, url, pagesURL string) *site {
	t.Helper()
	config, err := pgxpool.ParseConfig(pagesURL)
	if err != nil {
		t.Fatal(err)
	}
	pool, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	clock := now
	var log bytes.Buffer
	pages, err := New(Config{Access: Loopback{}, Version: "test", Now: func() time.Time { return clock }}, pool,
		slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if strings.Contains(log.String(), "level=ERROR") {
			t.Errorf("log: %s", &log)
		}
	})
	s, err := store.Open(url, 4, 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	partner := func(name string) http.Handler {
		chosen, _ := standard.Of(name)
		return receiver.New(receiver.Config{
			Standard: chosen, CustomerBPNLs: []string{customer}, SupplierBPNLs: []string{supplier},
			SenderHeader:     "Edc-Bpn",
			UnparsableStatus: 422, RequestTimeout: 20 * time.Second, MaxInFlight: 8, MaxBuffered: 64 << 20,
			Now: func() time.Time { return clock },
		}, s, slog.New(slog.DiscardHandler)).Partner()
	}
	handlers := map[bool]http.Handler{false: partner("cx-0048"), true: partner("cx-0128")} // comments are of the latter
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return &site{t: t, url: url, store: s, made: pages, pages: pages.Handler(), clock: &clock, conn: conn,
		post: func(endpoint, sender, body string) {
			t.Helper()
			r := httptest.NewRequest("POST", "/"+endpoint, strings.NewReader(body))
			r.Header.Set("Edc-Bpn", sender)
			w := httptest.NewRecorder()
			handlers[endpoint == "id-based-comment"].ServeHTTP(w, r)
			if w.Code >= 500 || endpoint == "id-based-comment" && w.Code >= 300 {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
		}}
}

// get is a page, which must be there.
func (s *site) get(path string, want int) *httptest.ResponseRecorder {
	s.t.Helper()
	r := httptest.NewRequest("GET", path, nil)
	r.Host = "127.0.0.1:8088"
	w := httptest.NewRecorder()
	s.pages.ServeHTTP(w, r)
	if w.Code != want {
		s.t.Fatalf("%s: %d, want %d\n%s", path, w.Code, want, w.Body)
	}
	return w
}

func groupText(id, name, changedAt string, weeks ...string) string {
	capacities := make([]string, len(weeks))
	for i, w := range weeks {
		actual, maximum, _ := strings.Cut(w, "/")
		capacities[i] = fmt.Sprintf(`{"pointInTime":%q,"actualCapacity":%s,"maximumCapacity":%s}`,
			monday(now).AddDate(0, 0, 7*(i+1)).Format(time.DateOnly), actual, maximum)
	}
	return fmt.Sprintf(`[{"capacityGroupId":%q,"name":%q,"supplier":%q,"customer":%q,"changedAt":%q,
		"unitOfMeasure":"unit:piece","unitOfMeasureIsOmitted":false,
		"capacityGroupIsInactive":false,"supplierLocations":["BPNS6666666666YY"],
		"linkedDemandSeries":[{"materialNumberCustomer":"MNR-1","customerLocation":"BPNS8888888888XX",
		"demandCategory":{"demandCategoryCode":"0001"}}],
		"capacities":[%s]}]`, id, name, supplier, customer, changedAt, strings.Join(capacities, ","))
}

func demandText(quantities ...string) string {
	weeks := make([]string, len(quantities))
	for i, q := range quantities {
		weeks[i] = fmt.Sprintf(`{"pointInTime":%q,"demand":%s}`,
			monday(now).AddDate(0, 0, 7*(i+1)).Format(time.DateOnly), q)
	}
	return fmt.Sprintf(`[{"materialDemandId":"be4d8470-2de6-43d2-b5f8-2e5d3eebf3fd","supplier":%q,"customer":%q,
		"materialNumberCustomer":"MNR-1","materialDescriptionCustomer":"d",
		"changedAt":"2026-11-20T10:00:00Z","unitOfMeasure":"unit:piece","unitOfMeasureIsOmitted":false,
		"materialDemandIsInactive":false,
		"demandSeries":[{"customerLocation":"BPNS8888888888XX","demandCategory":{"demandCategoryCode":"0001"},
		"demands":[%s]}]}]`, supplier, customer, strings.Join(weeks, ","))
}

// world loads the world of the demo, as it is at an instant.
func (s *site) world(at time.Time) {
	s.t.Helper()
	*s.clock = at
	if err := load.World(s.t.Context(), s.url, example.MakeWorld(example.Options{Weeks: 26, Past: 8, Seed: 1,
		Now: at})); err != nil {
		s.t.Fatal(err)
	}
}

// fill makes a group with a bottleneck, one without, one whose demand is not
// known, an older state, and a refused message.
func (s *site) fill() {
	*s.clock = now.AddDate(0, -2, 0)
	s.post("week-based-capacity-group", supplier, groupText(id, "Spark plugs, line 1", "2026-09-20T10:00:00Z",
		"100/120", "100/120", "100/120"))
	*s.clock = now
	s.post("week-based-capacity-group", supplier, groupText(id, "Spark plugs", "2026-11-20T10:00:00Z", "100/120",
		"100/120", "90/110"))
	s.post("week-based-capacity-group", supplier, groupText("0157ba42-d2a8-4e28-8565-7b07830c1111", "Wide enough",
		"2026-11-20T10:00:00Z", "1000/1200", "1000/1200", "1000/1200"))
	s.post("week-based-material-demand", customer, demandText("100", "110", "130.5"))
	for i, on := range []string{id, "be4d8470-2de6-43d2-b5f8-2e5d3eebf3fd"} {
		from, to := supplier, customer
		if i == 1 {
			from, to = customer, supplier // whose demand it is
		}
		s.post("id-based-comment", from, fmt.Sprintf(`
			{"messageHeader":{"header":{"messageId":"6f0e7a3c-94a5-4f0e-9c46-0c9d7f6f1a01",
			"context":"urn:samm:io.catenax.id_based_comment:1.0.0",
			"sentDateTime":"2026-11-20T10:00:05Z","senderBpn":%q,"receiverBpn":%q,"version":"3.0.0"}},
			"content":{"informationObject":[{"commentId":"f5c151e4-30b5-4456-94fd-2a7b559b612%d",
			"objectId":%q,"objectType":"urn:samm:io.catenax.week_based_%s","supplier":%q,"customer":%q,
			"author":"anna@example.com","commentText":"A third shift <b>starts</b> in May.",
			"commentType":"information"}]}}`, from, to, i, on,
			[]string{"capacity_group", "material_demand"}[i], supplier, customer))
	}
	*s.clock = now.Add(time.Minute)
	s.post("week-based-capacity-group", supplier, groupText(id, "Spark plugs", "2026-11-19T10:00:00Z", "1/1", "1/1"))
}

// TestPages: what each page says of a small world.
func TestPages(t *testing.T) {
	s := newSite(t)
	s.get("/", 200) // nothing there yet
	s.fill()
	list := s.get("/", 200).Body.String()
	if worst, best := strings.Index(list, "Spark plugs"),
		strings.Index(list, "Wide enough"); worst < 0 || best < worst {
		t.Error("the worst group is not the first")
	}
	page := s.get("/group/"+supplier+"/"+customer+"/"+id, 200).Body.String()
	message := page[strings.Index(page, "/message/"):]
	message = message[:strings.IndexByte(message, '"')]
	for _, c := range []struct {
		path string
		want []string
		not  []string
	}{
		{path: "/", want: []string{"20.5", "2026-12-07", "2 groups, worst first",
			"26 weeks: 1 above maximum capacity, 1 above actual capacity, the first in the week of 2026-12-07"}},
		{path: "/?only=bottlenecks", want: []string{"Spark plugs"}, not: []string{"Wide enough"}},
		{path: "/?q=wide", want: []string{"Wide enough"}, not: []string{"Spark plugs"}},
		{path: "/?q=MNR-1", want: []string{"Wide enough", "Spark plugs"}},
		{path: "/?q=BPNS6666666666YY", want: []string{"Wide enough"}},
		{path: "/?q=" + supplier, want: []string{"Wide enough"}},
		{path: "/?q=nothing%25", want: []string{"No capacity group matches “nothing%”"}},
		{path: "/group/" + supplier + "/" + customer + "/" + id, want: []string{
			"Spark plugs", "130.5", `data-class="red"`, `data-class="orange"`, `data-class="green"`, "20.5",
			"matched", "overwritten, rule 4 of CX-0048 v1.0.0 §3.2.7", "ignored, rule 6 of CX-0048 v1.0.0 §3.2.7",
			"older than",
			"A third shift &lt;b&gt;starts&lt;/b&gt; in May.", "on material MNR-1",
		}},
		{path: "/group/" + supplier + "/" + customer + "/" + id + "?since=2026-10-30",
			want: []string{"<del>100</del> <ins>90</ins>", "<del>120</del> <ins>110</ins>"}},
		{path: "/group/" + supplier + "/" + customer + "/" + id + "?since=2026-11-26",
			want: []string{"Neither demand nor capacity of these weeks changed since"}},
		{path: "/partners", want: []string{supplier, "changedAt is 2026-11-19T10:00:00Z, older than"}},
		{path: message, want: []string{"400 Bad Request", "/0/changedAt", "rule 6 of CX-0048 v1.0.0 §3.2.7"}},
	} {
		t.Run(c.path, func(t *testing.T) {
			body := s.get(c.path, 200).Body.String()
			for _, want := range c.want {
				if !strings.Contains(body, want) {
					t.Errorf("does not say %q\n%s", want, body)
				}
			}
			for _, not := range c.not {
				if strings.Contains(body, not) {
					t.Errorf("says %q", not)
				}
			}
		})
	}
	for path, want := range map[string]int{
		"/nothing": 404, "/group/" + supplier + "/" + customer + "/x": 404,
		"/group/" + supplier + "/" + customer + "/" + strings.Replace(id, "0157", "0158", 1): 404,
		"/message/0157ba42-d2a8-4e28-8565-7b07830c1110":                                      404, "/?weeks=27": 400,
		"/?page=0": 400, "/?only=x": 400,
		"/?q=" + strings.Repeat("x", 201): 400, "/?q=%00": 400,
		"/group/" + supplier + "/" + customer + "/" + id + "?since=yesterday": 400, "/groups.pdf": 404,
	} {
		s.get(path, want)
	}
}

// TestWorld: each page shows something of what the demo has, and the documents
// promise.
func TestWorld(t *testing.T) {
	s := newSite(t)
	s.world(time.Now())
	path := func(name string) (path string) {
		err := s.conn.QueryRow(t.Context(), `select '/group/' || supplier || '/' || customer || '/' || capacity_group_id
			from planning.capacity_group where name = $1`, name).Scan(&path)
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	month := s.clock.AddDate(0, 0, -30).Format(time.DateOnly)
	for _, c := range []struct {
		name, path string
		want       []string
	}{
		{"groups", "/", []string{`class="old">21 days ago`, "demand of 0.2 weeks", `class="w orange"`,
			`class="w red"`, `class="w nocapacity"`, "inactive"}},
		{"alerts, changed demand and capacity, comments of both", path("Hub forge") + "?since=" + month, []string{
			"relative positive", "in 4 weeks +10 % −20 %; then in 22 weeks +500 −500",
			"<del>2 760</del> <ins>1 920</ins>", "<del>2 010</del> <ins>2 338</ins>",
			"Saturday shift is agreed", "Can you build stock before", "overwritten, rule"}},
		{"delta-production", path("Machining, cell 4"), []string{"of it delta-production", "above: <a",
			"<del>Machining</del> <ins>Machining, cell 4</ins>",
			"<del>load factor 0.2</del> <ins>load factor 0.25</ins>"}},
		{"groups below", path("Plant as a whole"), []string{"below: <a", "links no demand series"}},
		{"a link without demand", path("Spare hubs"), []string{"unmatched: demand"}},
		{"demand without capacity", path("Grease filling"), []string{"1 with demand, but no capacity", "kilogram"}},
		{"partners", "/partners", []string{"(2 times)", "was it cut off?", "<b>1</b> refused",
			"MNR-200002.001 is not known", "<b>2</b> waiting", `class="n">1</td></tr>`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			body := s.get(c.path, 200).Body.String()
			for _, want := range c.want {
				if !strings.Contains(body, want) {
					t.Errorf("does not say %q\n%s", want, body)
				}
			}
		})
	}
	t.Run("kept ready", s.testKeptReady)
}

// testKeptReady: many groups are listed by what is kept ready of them, which is the
// same as what is worked out at once, and the page says how old it is; a search finds
// what came since.
func (s *site) testKeptReady(t *testing.T) {
	csv := func(query string) string {
		lines := strings.SplitAfter(s.get("/groups.csv?weeks="+query, 200).Body.String(), "\n")
		slices.Sort(lines) // those without a bottleneck are not in order of their names
		return strings.Join(lines, "")
	}
	worst := func() string {
		lines := strings.SplitN(s.get("/groups.csv", 200).Body.String(), "\n", 3)
		return lines[1]
	}
	if body := s.get("/", 200).Body.String(); strings.Contains(body, "are kept ready, as of") {
		t.Errorf("few groups are kept ready:\n%s", body)
	}
	first := worst()
	exact26, exact104, found := csv("26"), csv("104"), csv("26&q=e")
	if _, err := s.store.UpdateOverview(t.Context(), func() float64 { return 1 }); err != nil {
		t.Fatal(err)
	}
	s.made.atOnce = 0
	if csv("26") != exact26 || csv("104") != exact104 || csv("26&q=e") != found || worst() != first {
		t.Errorf("kept ready:\n%s\nworked out at once:\n%s", csv("26"), exact26)
	}
	body := s.get("/", 200).Body.String()
	if !strings.Contains(body, "are kept ready, as of "+time.Now().UTC().Format("2006-01-02 ")) {
		t.Errorf("the age is not said:\n%s", body)
	}
	if _, err := s.conn.Exec(t.Context(),
		"delete from dcm.group_overview where capacity_group_id = (select capacity_group_id from "+
			"dcm.capacity_group where name = 'Hub forge')"); err != nil {
		t.Fatal(err)
	}
	if body := s.get("/?q=e", 200).Body.String(); !strings.Contains(body, "Hub forge") {
		t.Errorf("a group that is not in the overview is not found:\n%s", body)
	}
	if body := s.get("/", 200).Body.String(); strings.Contains(body, "Hub forge") ||
		!strings.Contains(body, "Foundry") {
		t.Errorf("without a search there is more than the overview:\n%s", body)
	}
}

// TestPartnersOfASupplier: what we send as a supplier waits for the customer, not
// for ourselves.
func TestPartnersOfASupplier(t *testing.T) {
	s := newSite(t)
	if _, err := s.conn.Exec(t.Context(), `insert into outbox.comment (supplier, customer, sender, object_id,
		comment_text)
		values ($1, $2, $1, $3, 'We are ready.')`, supplier, customer, id); err != nil {
		t.Fatal(err)
	}
	body := s.get("/partners", 200).Body.String()
	if !strings.Contains(body, customer+"</a>") || strings.Contains(body, supplier+"</a>") ||
		!strings.Contains(body, "<b>1</b> waiting") {
		t.Errorf("who has to be called is not said:\n%s", body)
	}
}

// TestOtherChanges: beside weeks, links with their load factors, thresholds, name,
// sites, unit and whether the group is in use are compared with those of a day.
func TestOtherChanges(t *testing.T) {
	s := newSite(t)
	group := func(at time.Time, name string, replace ...string) {
		*s.clock = at
		s.post("week-based-capacity-group", supplier, strings.NewReplacer(replace...).Replace(groupText(id, name,
			at.Format(time.RFC3339), "100/120", "100/120", "100/120")))
	}
	const volatility = `"demandVolatilityParameters":{"startReferenceDateTime":"2026-10-05T00:00:00Z",
		"measurementInterval":2,"rollingHorizonAlertThresholds":[
		{"sequenceNumber":1,"subhorizonLength":4,"relativePositiveDeviation":0.2,"absoluteNegativeDeviation":50}]},`
	const below = "be4d8470-2de6-43d2-b5f8-2e5d3eebf3fd"
	group(now.AddDate(0, -2, 0), "Spark plugs")
	group(now.AddDate(0, -1, 0), "Spark plugs, line 2")
	group(now, "Spark plugs, line 2", `"materialNumberCustomer"`, `"loadFactor":1.5,"materialNumberCustomer"`)
	group(now.Add(time.Hour), "Spark plugs, line 2", "MNR-1", "MNR-2", "unit:piece", "unit:kilogram",
		`"capacityGroupIsInactive":false`, `"capacityGroupIsInactive":true`,
		`"capacities"`, volatility+`"linkedCapacityGroups":["`+below+`"],"capacities"`, "BPNS6666666666YY",
		"BPNS6666666666ZZ")
	row := regexp.MustCompile(`(?s)<tr><th scope="row">([a-z].*?)</th><td class="why">(.*?)</td></tr>`)
	for since, want := range map[string][]string{
		"2026-10-20": {
			"inactive <del>no</del> <ins>yes</ins>", "linked capacity group " + below + " new: <ins>linked</ins>",
			"linked demand series MNR-1, BPNS8888888888XX, 0001 <del>load factor 1</del> is gone",
			"linked demand series MNR-2, BPNS8888888888XX, 0001 new: <ins>load factor 1</ins>",
			"measurement <del>none</del> <ins>every 2 weeks since 2026-10-05 00:00 UTC</ins>",
			"name <del>Spark plugs</del> <ins>Spark plugs, line 2</ins>",
			"sites <del>BPNS6666666666YY</del> <ins>BPNS6666666666ZZ</ins>",
			"threshold sub-horizon 1 new: <ins>4 weeks: +20 % −50</ins>",
			"unit of measure <del>unit:piece</del> <ins>unit:kilogram</ins>",
		},
		"2026-09-01": nil, // before the group was
		"2026-11-27": nil,
	} {
		var got []string
		page := s.get("/group/"+supplier+"/"+customer+"/"+id+"?since="+since, 200).Body.String()
		for _, m := range row.FindAllStringSubmatch(page, -1) {
			got = append(got, html.UnescapeString(m[1]+" "+m[2]))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("since %s: %s", since, diff)
		}
	}
	body := s.get("/group/"+supplier+"/"+customer+"/"+id+"?since=2026-11-26", 200).Body.String()
	if !strings.Contains(body, "Links, thresholds, name, sites and unit are the same") {
		t.Error("it is not said that nothing else changed")
	}
	// As of a time in between, the load factor of then.
	var value string
	if err := s.conn.QueryRow(t.Context(),
		`select value from planning.group_history where detail = 'linked demand series' and received_at <= $1 and `+
			`superseded_at > $1`,
		now.Add(time.Minute)).Scan(&value); err != nil || value != "load factor 1.5" {
		t.Errorf("%q, %v", value, err)
	}
}

// TestRequestsForGroups: who asked us, as a supplier, for capacity groups is a
// partner too, and each message counts once, however many groups it names.
func TestRequestsForGroups(t *testing.T) {
	s := newSite(t)
	for i, groups := range []string{`[]`, `[{"capacityGroupId":"` + id + `"},{"capacityGroupId":"` + id[:35] + `1"}]`} {
		*s.clock = now.AddDate(0, 0, i-2)
		s.post("id-based-request-for-update", customer, fmt.Sprintf(
			`[{"weekBasedMaterialDemand":[{"materialDemandId":%q},{"materialDemandId":%q}],`+
				`"weekBasedCapacityGroup":%s}]`,
			id, id[:35]+"1", groups))
	}
	*s.clock = now
	records, err := csv.NewReader(s.get("/partners.csv", 200).Body).ReadAll()
	if err != nil || len(records) != 2 || records[1][0] != customer || strings.Join(records[1][9:], " ") != "2 2" {
		t.Errorf("want 2 requests for demands and 2 for groups of %s: %q, %v", customer, records, err)
	}
	if body := s.get("/partners", 200).Body.String(); !strings.Contains(body,
		"in 7 days also 2 for capacity groups of ours, the last 24 hours ago") {
		t.Errorf("the requests for groups are not said:\n%s", body)
	}
}

// TestSQLThatIsShown: the queries under the pages run as they stand, in the
// planners' role.
func TestSQLThatIsShown(t *testing.T) {
	s := newSite(t)
	s.fill()
	if _, err := s.conn.Exec(context.Background(), "set role dcm_planner"); err != nil {
		t.Fatal(err)
	}
	for path, queries := range map[string]int{"/?q=it's": 1,
		"/group/" + supplier + "/" + customer + "/" + id + "?since=2026-10-30": 3, "/partners": 1} {
		shown := regexp.MustCompile(`(?s)<pre tabindex="0">(.*?)</pre>`).FindAllStringSubmatch(s.get(path,
			200).Body.String(), -1)
		if len(shown) != queries {
			t.Errorf("%s shows %d queries, want %d", path, len(shown), queries)
		}
		for _, sql := range shown {
			sql := html.UnescapeString(sql[1])
			if _, err := s.conn.Exec(context.Background(), sql); err != nil || len(sql) < 100 {
				t.Errorf("%s: %v\n%s", path, err, sql)
			}
		}
	}
}

// TestTables: CSV and XLSX have what the page shows, numbers as numbers.
func TestTables(t *testing.T) {
	s := newSite(t)
	s.fill()
	weeks := "/group/" + supplier + "/" + customer + "/" + id + "/weeks."
	records, err := csv.NewReader(s.get(weeks+"csv", 200).Body).ReadAll()
	if err != nil || len(records) != 4 {
		t.Fatalf("%d records: %v", len(records), err)
	}
	if got := strings.Join(records[3], " "); got != "2026-12-14 bottleneck red 130.5  90 20 110  20.5 unit:piece" {
		t.Errorf("the last week is %q", got)
	}
	changes := "/group/" + supplier + "/" + customer + "/" + id + "/changes."
	records, err = csv.NewReader(s.get(changes+"csv?since=2026-10-30", 200).Body).ReadAll()
	if err != nil || len(records) != 2 || strings.Join(records[1],
		" ") != "2026-12-14  130.5 100 90 120 110   unit:piece" {
		t.Errorf("changes %q: %v", records, err)
	}
	s.get(changes+"xlsx", 200)
	book, err := excelize.OpenReader(s.get(weeks+"xlsx", 200).Body)
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	if kind, _ := book.GetCellType("weeks", "D4"); kind == excelize.CellTypeInlineString ||
		kind == excelize.CellTypeSharedString {
		t.Errorf("a quantity is a text")
	}
	if value, _ := book.GetCellValue("weeks", "D4"); value != "130.5" {
		t.Errorf("the demand is %q", value)
	}
	for _, path := range []string{"/groups.csv", "/groups.xlsx", "/partners.csv", "/partners.xlsx"} {
		s.get(path, 200)
	}
}

// TestCellsAreNoFormulas: a name of another company must not run in a spreadsheet.
func TestCellsAreNoFormulas(t *testing.T) {
	minus := "-5"
	for cell, want := range map[any]string{
		`=cmd|'/c calc'!A1`: `'=cmd|'/c calc'!A1`, "+1": "'+1", "@x": "'@x", "plain": "plain", "": "", &minus: "'-5",
		number{&minus}: "-5",
		"x;=1+1;y":     "x;'=1+1;y", "x,+1": "x,'+1", "x\t@y": "x\t'@y", "\n=1+1": "\n'=1+1", "\t=1": "'\t'=1",
		"＝1+1": "'＝1+1", `"=1`: `"'=1`,
		"a-b; 3-4": "a-b; 3-4", "A = B": "A = B",
	} {
		if got := csvCell(cell); got != want {
			t.Errorf("%v is written as %q, want %q", cell, got, want)
		}
	}
}

// TestAddressesThatCannotBe: bytes that Postgres does not take are the reader's fault.
func TestAddressesThatCannotBe(t *testing.T) {
	s := newSite(t)
	for path, want := range map[string]int{
		"/?q=%ff": 400, "/?q=a%00b": 400, "/groups.csv?q=%c3%28": 400,
		"/group/X%00/" + customer + "/" + id: 404, "/group/" + supplier + "/%ff/" + id: 404, "/group/a/b/" + id: 404,
	} {
		s.get(path, want)
	}
}

// TestNumbersInXLSX: a number that a spreadsheet would round stays a text.
func TestNumbersInXLSX(t *testing.T) {
	for text, want := range map[string]any{
		"123456789012345": 123456789012345.0, "-12345678901234.5": -12345678901234.5, "0.000000000000001": 1e-15,
		"1234567890123456": "1234567890123456", "9007199254740993": "9007199254740993",
		"-9007199254740993": "-9007199254740993",
		"123456789012345.6": "123456789012345.6",
	} {
		if got := xlsxCell(number{&text}, 0); got != want {
			t.Errorf("%s is written as %v, want %v", text, got, want)
		}
	}
}

// TestShownSQL: a value that looks like an argument, or ends a text, stays a value.
func TestShownSQL(t *testing.T) {
	const query = "select @search, @from, @from_more, @n"
	args := pgx.NamedArgs{"search": "steel @from; drop table x; --'",
		"from": time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC), "n": 5}
	for range 20 {
		if got, want := shownSQL(query, args),
			"select 'steel @from; drop table x; --''', '2026-11-23', @from_more, 5"; got != want {
			t.Fatalf("%s, want %s", got, want)
		}
	}
}

// TestHostileNames: what a partner calls a group, or says of it, can do nothing to a page.
func TestHostileNames(t *testing.T) {
	for name, hostile := range map[string]string{
		"script": `<script>alert(1)</script>`, "attribute": `" onmouseover="alert(1)`,
		"right to left": "abc\u202egnp.exe", "long": strings.Repeat("x", 10_000),
		"zero width": "a\u200bb",
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.post("week-based-capacity-group", supplier, strings.Replace(groupText(id, "NAME",
				"2026-11-20T10:00:00Z", "1/1", "1/1"), `"NAME"`, string(must(jsonText(hostile))), 1))
			// A comment's author has no blanks and at most 64 characters before its @.
			author := strings.ReplaceAll(hostile, " ", "")
			s.post("id-based-comment", supplier, fmt.Sprintf(`
			{"messageHeader":{"header":{"messageId":"6f0e7a3c-94a5-4f0e-9c46-0c9d7f6f1a01",
				"context":"urn:samm:io.catenax.id_based_comment:1.0.0",
				"sentDateTime":"2026-11-20T10:00:05Z","senderBpn":%q,"receiverBpn":%q,"version":"3.0.0"}},
				"content":{"informationObject":[{"commentId":%q,"objectId":%q,
				"objectType":"urn:samm:io.catenax.week_based_capacity_group","supplier":%q,"customer":%q,
				"author":%s,"commentText":%s}]}}`,
				supplier, customer, id, id, supplier, customer, must(
					jsonText(author[:min(len(author), 60)]+"@example.com")), must(
					jsonText(hostile[:min(len(hostile), 4990)]+" said"))))
			if body := s.get("/group/"+supplier+"/"+customer+"/"+id, 200).Body.String(); !strings.Contains(body,
				"said") {
				t.Error("the comment is not on the group's page")
			}
			for _, path := range []string{"/", "/group/" + supplier + "/" + customer + "/" + id} {
				w := s.get(path, 200)
				body := w.Body.String()
				if strings.Contains(body, "<script>alert") || strings.Contains(body, ` onmouseover="`) ||
					strings.ContainsAny(body, "\u202e\u200b") {
					t.Errorf("%s: the name stands in it as it is", path)
				}
				if csp := w.Header().Get("Content-Security-Policy"); !strings.HasPrefix(csp,
					"default-src 'none'; script-src 'self';") || strings.Contains(csp, "unsafe") {
					t.Errorf("policy %q", csp)
				}
			}
			if body := s.get("/", 200).Body.String(); len(body) > 20_000 {
				t.Errorf("the list has %d bytes", len(body))
			}
		})
	}
}

// TestPagesBehindPgBouncer: every page comes through PgBouncer set up as the documents
// say, and cannot change anything there either.
func TestPagesBehindPgBouncer(t *testing.T) {
	url := pgtest.New(t)
	s := newSiteThrough(t, url, pgtest.BehindPgBouncer(t, url))
	s.fill()
	group := key{supplier, customer, uuid.MustParse(id)}.Path()
	for _, path := range []string{"/", "/?q=plugs", "/?q=MNR-1", "/groups.csv", "/groups.xlsx", group,
		group + "/weeks.csv", group + "/changes.xlsx", "/partners", "/partners.csv"} {
		s.get(path, 200)
	}
	var message string
	if err := s.conn.QueryRow(t.Context(), "select id::text from planning.message limit 1").Scan(&message); err != nil {
		t.Fatal(err)
	}
	s.get("/message/"+message, 200)
	_, _, err := within[struct{ N int }](t.Context(), s.made.pool, time.Second,
		"with d as (delete from dcm.capacity_group returning 1) select count(*)::int as n from d", nil)
	if err == nil || !strings.Contains(err.Error(), "25006") {
		t.Errorf("a deletion: %v", err)
	}
}

// TestReadOnly: the connections of the pages cannot change anything.
func TestReadOnly(t *testing.T) {
	config, err := pgxpool.ParseConfig(pgtest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	pool, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := pool.Exec(context.Background(), "update dcm.compatibility set oldest_program = 1"); err == nil ||
		!strings.Contains(err.Error(), "25006") {
		t.Errorf("an update: %v", err)
	}
}

func jsonText(s string) ([]byte, error) { return json.Marshal(s) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

package example_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/example"
	"dcm-receiver/internal/example/load"
	"dcm-receiver/internal/privatepg/pgtest"
	"dcm-receiver/internal/receiver"
	"dcm-receiver/internal/standard"
	"dcm-receiver/internal/store"

	"github.com/jackc/pgx/v5"
)

// receive sends the world through a receiver that is customer and suppliers in
// one: every demand is a received one.
func receive(t *testing.T, url string, standard standard.Standard, w example.World) {
	t.Helper()
	s, err := store.Open(url, 4, 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	var now time.Time
	partner := receiver.New(receiver.Config{
		Standard: standard, CustomerBPNLs: []string{w.Customer}, SupplierBPNLs: w.Suppliers, SenderHeader: "Edc-Bpn",
		UnparsableStatus: 422,
		RequestTimeout:   20 * time.Second, MaxInFlight: 16, MaxBuffered: 64 << 20,
		Now: func() time.Time { return now },
	}, s, slog.New(slog.DiscardHandler)).Partner()
	post := func(messages []example.Sent, want ...int) {
		t.Helper()
		for _, m := range messages {
			now = m.At
			r := httptest.NewRequest(http.MethodPost, "/"+m.Endpoint.Path, bytes.NewReader(m.Body))
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Edc-Bpn", m.Sender)
			answer := httptest.NewRecorder()
			partner.ServeHTTP(answer, r)
			if !slices.Contains(want, answer.Code) {
				t.Errorf("%s of %s: %d, want %v: %s", m.Endpoint.Path, m.Sender, answer.Code, want, answer.Body)
			}
		}
	}
	for _, e := range w.Earlier {
		post(e.MaterialDemands, 200, 201)
		post(e.CapacityGroups, 200, 201)
	}
	post(w.MaterialDemands, 200, 201)
	post(w.CapacityGroups, 200, 201)
	post(w.RequestsForUpdate, 200, 201)
	if standard.Name == "cx-0128" {
		post(w.Comments, 201)
	}
	post(w.Refused, 400, 422)
}

// updateOverview does what serve does in the background.
func updateOverview(t *testing.T, url string) {
	t.Helper()
	s, err := store.Open(url, 1, 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.UpdateOverview(t.Context(), func() float64 { return 1 }); err != nil {
		t.Fatal(err)
	}
}

// TestQuestions asks every question of api/planners.md, and those of the Grafana
// dashboard, in the world: each must
// have an answer, whether the demands were received or released and sent, and so
// must each state that the documents name.
func TestQuestions(t *testing.T) {
	document, err := os.ReadFile("../../api/planners.md")
	if err != nil {
		t.Fatal(err)
	}
	_, document, _ = bytes.Cut(document, []byte("\n## Questions\n"))
	questions := regexp.MustCompile("(?s)\n### ([^\n]*)\n.*?```sql\n(.*?);\n```").FindAllStringSubmatch(
		string(document), -1)
	if n := bytes.Count(document, []byte("\n### ")); len(questions) != n || n < 12 {
		t.Errorf("%d questions with SQL, %d headings", len(questions), n)
	}
	world := example.MakeWorld(example.Options{Weeks: 26, Past: 8, Seed: 1, Now: time.Now()})
	for _, way := range []struct {
		name string
		fill func(*testing.T, string)
	}{
		{"received, cx-0048", func(t *testing.T, url string) {
			standard, _ := standard.Of("cx-0048")
			receive(t, url, standard, world)
		}},
		{"released and sent, cx-0128", func(t *testing.T, url string) {
			if err := load.World(t.Context(), url, world); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(way.name, func(t *testing.T) {
			url := pgtest.New(t)
			way.fill(t, url)
			updateOverview(t, url)
			conn, err := pgx.Connect(t.Context(), url)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close(context.Background())
			if _, err := conn.Exec(t.Context(), "set role dcm_planner; set jit = off"); err != nil {
				t.Fatal(err)
			}
			count := func(sql string) (n int) {
				t.Helper()
				rows, err := conn.Query(t.Context(), sql)
				if err != nil {
					t.Fatalf("%v:\n%s", err, sql)
				}
				for rows.Next() {
					n++
				}
				if err := rows.Err(); err != nil {
					t.Fatalf("%v:\n%s", err, sql)
				}
				return n
			}
			for _, q := range questions {
				// which has no comments
				if count(q[2]) == 0 && !(strings.Contains(q[2], "planning.comment") &&
					strings.HasSuffix(way.name, "cx-0048")) {
					t.Errorf("%s nothing", q[1])
				}
			}
			for _, where := range []string{
				"result = 'surplus'", "result = 'zero deviation'", "colour = 'orange'", "colour = 'red'",
				"result = 'no capacity'", "result = 'no demand'",
			} {
				if count("select from planning.group_week where "+where) == 0 {
					t.Errorf("no week has %s", where)
				}
			}
			for _, missing := range []string{"demand", "capacity group"} {
				if count("select from planning.unmatched_link where missing = '"+missing+"'") == 0 {
					t.Errorf("nothing misses its %s", missing)
				}
			}
			if strings.HasPrefix(way.name, "released") {
				dashboard(t, conn, world.Suppliers)
			}
			// The running week is answered every day, a group and week once.
			if n := count(questions[0][2]); n != 8 {
				t.Errorf("free capacity of four weeks, in two units: %d rows, want 8", n)
			}
			if count("select from ("+questions[0][2]+") q where week = date_trunc('week', current_date)") != 2 {
				t.Error("free capacity of four weeks: the running week is missing")
			}
			for _, q := range questions {
				if strings.Contains(q[2], "MNR-100001.001") && count(q[2]) != 3*26 {
					t.Errorf("who can produce a material: %d rows, want three active groups of 26 weeks", count(q[2]))
				}
			}
		})
	}
}

// TestSameIDs holds the IDs to the seed alone.
func TestSameIDs(t *testing.T) {
	ids := func(bodies ...[]byte) []string {
		return regexp.MustCompile(
			`"(?:capacityGroupId|materialDemandId|commentId|messageId)": "[^"]*"`).FindAllString(
			string(bytes.Join(bodies, nil)), -1)
	}
	now := time.Now()
	of := func(o example.Options) []string {
		w := example.MakeWorld(o)
		all := [][]byte{}
		for _, m := range slices.Concat(w.CapacityGroups, w.MaterialDemands, w.RequestsForUpdate, w.Comments) {
			all = append(all, m.Body)
		}
		o.Supplier, o.Customer, o.Groups = example.Supplier, example.Customer, 3
		return ids(append(all, example.Message(o))...)
	}
	want := of(example.Options{Weeks: 8, Seed: 1, Now: now})
	if len(want) < 20 {
		t.Errorf("only %d IDs found", len(want))
	}
	if got := of(example.Options{Weeks: 104, Seed: 1, Now: now.Add(240 * time.Hour)}); !slices.Equal(got, want) {
		t.Errorf("other weeks have other IDs: %v and %v", want, got)
	}
	if slices.Equal(of(example.Options{Weeks: 8, Seed: 2, Now: now}), want) {
		t.Error("another seed has the same IDs")
	}
}

// TestDemandLines holds the CSV equal to the messages.
func TestDemandLines(t *testing.T) {
	w := example.MakeWorld(example.Options{Weeks: 10, Seed: 3, Now: time.Now()})
	rows, err := csv.NewReader(bytes.NewReader(w.DemandLines)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, r := range rows[1:] {
		got = append(got, strings.Join(r[:7], " "))
	}
	for _, m := range w.MaterialDemands {
		var message struct {
			Content struct {
				InformationObject []struct {
					Supplier, Customer, MaterialNumberCustomer string
					DemandSeries                               []struct {
						CustomerLocation string
						DemandCategory   struct{ DemandCategoryCode string }
						Demands          []struct {
							PointInTime string
							Demand      json.Number
						}
					}
				}
			}
		}
		if err := json.Unmarshal(m.Body, &message); err != nil {
			t.Fatal(err)
		}
		for _, o := range message.Content.InformationObject {
			for _, s := range o.DemandSeries {
				for _, d := range s.Demands {
					want = append(want, strings.Join([]string{o.Supplier, o.Customer, o.MaterialNumberCustomer,
						s.CustomerLocation,
						s.DemandCategory.DemandCategoryCode, d.PointInTime, d.Demand.String()}, " "))
				}
			}
		}
		if m.Endpoint.Path != dcm.MaterialDemandEndpoint.Path {
			t.Errorf("a demand goes to %s", m.Endpoint.Path)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%d lines, %d demands in messages; they differ", len(got), len(want))
	}
}

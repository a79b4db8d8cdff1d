package planner

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/jackc/pgx/v5"
)

// browser is a real one, without a window. The test is skipped where there is
// none.
func browser(t *testing.T) context.Context {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skip("no Chromium here (Debian: apt-get install chromium)")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox,
		chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.UserDataDir(t.TempDir()))
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel = context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// TestInABrowser looks at the pages as a planner does: on a desk and on a phone,
// with the keyboard alone, and with the eyes of axe-core. DCM_TEST_AXE is the path
// of axe.min.js; DCM_TEST_PICTURES a folder for pictures of the pages.
func TestInABrowser(t *testing.T) {
	ctx := browser(t)
	s := newSite(t)
	s.fill()
	s.post("week-based-capacity-group", supplier, strings.Replace(groupText("0157ba42-d2a8-4e28-8565-7b07830c1112",
		"NAME", "2026-11-20T10:00:00Z", "1/1", "1/1"),
		`"NAME"`, string(must(jsonText("<script>alert(1)</script>\u202egnp.exe "+strings.Repeat("x", 10_000)))), 1))
	s.world(time.Now())
	server := httptest.NewServer(s.pages)
	defer server.Close()
	var complaints []string
	var mu sync.Mutex
	err := chromedp.Listen(ctx, func(event any) {
		mu.Lock()
		defer mu.Unlock()
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			complaints = append(complaints, fmt.Sprint(e.ExceptionDetails))
		case *runtime.EventConsoleAPICalled:
			if e.Type == "error" {
				complaints = append(complaints, fmt.Sprint(e.Args))
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	groupPage := "/group/" + supplier + "/" + customer + "/" + id
	var hub, nested string
	for name, path := range map[string]*string{"Hub forge": &hub, "Plant as a whole": &nested} {
		if err := s.conn.QueryRow(t.Context(), `select '/group/' || supplier || '/' || customer || '/' ||
			capacity_group_id
			from planning.capacity_group where name = $1`, name).Scan(path); err != nil {
			t.Fatal(err)
		}
	}
	run := func(t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(ctx, steps...); err != nil {
			t.Fatal(err)
		}
	}
	run(t, chromedp.Navigate(server.URL+groupPage))
	message := ask[string](t, ctx, `document.querySelector('a[href^="/message/"]').getAttribute("href")`)
	pages := map[string]string{"groups": "/", "group": hub, "hostile": strings.TrimSuffix(groupPage, "0") + "2"}
	if os.Getenv("DCM_TEST_AXE") != "" { // make test-pages has more time
		maps.Copy(pages, map[string]string{
			"groups-104": "/?weeks=104", "group-104": hub + "?weeks=104", "nested": nested, "partners": "/partners",
			"message": message,
			"problem": "/?q=" + strings.Repeat("x", 201),
		})
	}
	for _, size := range []struct {
		name          string
		width, height int64
	}{{"desk", 1280, 900}, {"phone", 390, 844}} {
		for name, path := range pages {
			t.Run(size.name+" "+name, func(t *testing.T) {
				run(t, chromedp.EmulateViewport(size.width, size.height), chromedp.Navigate(server.URL+path),
					chromedp.WaitVisible("h1"))
				overflow := ask[int](t, ctx,
					`document.documentElement.scrollWidth - document.documentElement.clientWidth`)
				if overflow > 0 {
					t.Errorf("the page is %d pixels wider than the screen", overflow)
				}
				if dir := os.Getenv("DCM_TEST_PICTURES"); dir != "" {
					picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
					if err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(filepath.Join(dir, size.name+"-"+name+".png"), picture, 0o644); err != nil {
						t.Fatal(err)
					}
				}
				accessible(t, ctx)
			})
		}
	}
	t.Run("the chart has a bar for each week", func(t *testing.T) {
		run(t, chromedp.EmulateViewport(1280, 900), chromedp.Navigate(server.URL+hub),
			chromedp.WaitVisible("#chart canvas"))
		colours := ask[string](t, ctx, `(() => {
			const c = document.querySelector("#chart canvas"), d = c.getContext("2d").getImageData(0, 0, c.width,
			c.height).data, seen = new Set();
			for (let i = 0; i < d.length; i += 4) if (d[i+3] === 255) seen.add([d[i], d[i+1], d[i+2]].join(","));
			return [...seen].join(" ");
		})()`)
		for _, want := range []string{"128,149,0", "255,166,0", "217,30,24"} { // green, orange, red
			if !strings.Contains(colours, want) {
				t.Errorf("nothing in the chart has the colour %s", want)
			}
		}
	})
	t.Run("keyboard alone", func(t *testing.T) {
		// tab presses Tab until the focus is on what is meant, and stays visible.
		tab := func(selector string) {
			t.Helper()
			for range 60 {
				run(t, chromedp.KeyEvent(kb.Tab))
				if ask[bool](t, ctx, `document.activeElement.matches('`+selector+`')`) {
					if ask[string](t, ctx, "getComputedStyle(document.activeElement).outlineStyle") == "none" {
						t.Errorf("the focus on %s is not to be seen", selector)
					}
					return
				}
			}
			t.Fatalf("Tab does not lead to %s", selector)
		}
		run(t, chromedp.EmulateViewport(1280, 900), chromedp.Navigate(server.URL+"/"), chromedp.WaitVisible("#q"))
		tab("a.skip")
		tab("#q")
		run(t, chromedp.KeyEvent("hub forge"+kb.Enter), chromedp.WaitVisible(`//p[starts-with(text(), "1 group")]`))
		tab("tbody a")
		run(t, chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible("#weeks-table"))
		if at := ask[string](t, ctx, "document.title"); !strings.HasPrefix(at, "Hub forge") {
			t.Errorf("the keys lead to %q", at)
		}
		tab(".scroll") // the table can be scrolled
		tab("summary")
		run(t, chromedp.KeyEvent(kb.Enter))
		tab("details > button")
		run(t, chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible(
			`//button[text()="Copied" or text()="Not allowed: press Ctrl-C"]`))
		tab("#since")
	})
	if len(complaints) > 0 {
		t.Errorf("the browser complains: %s", complaints)
	}
}

// ask is the value of an expression in the page, or of the promise that it is.
func ask[T any](t *testing.T, ctx context.Context, expression string) T {
	t.Helper()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression,
		func(p *runtime.EvaluateParams) { p.AwaitPromise = new(true) }))
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// accessible holds a page against axe-core: nothing serious or critical.
func accessible(t *testing.T, ctx context.Context) {
	t.Helper()
	path := os.Getenv("DCM_TEST_AXE")
	if path == "" {
		t.Log("axe-core is not asked: DCM_TEST_AXE is not set (make test-pages sets it)")
		return
	}
	axe, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Do(ctx, chromedp.Evaluate[chromedp.Void](string(axe)+"; 0")); err != nil {
		t.Fatal(err)
	}
	found := ask[string](t, ctx,
		`axe.run().then(r => JSON.stringify(r.violations.map(v => ({id: v.id, impact: v.impact, nodes: `+
			`v.nodes.map(n => n.html).slice(0, 3)}))))`)
	var violations []struct {
		ID, Impact string
		Nodes      []string
	}
	if err := json.Unmarshal([]byte(found), &violations); err != nil {
		t.Fatal(err)
	}
	for _, v := range violations {
		if v.Impact == "serious" || v.Impact == "critical" {
			t.Errorf("axe-core: %s: %q", v.ID, v.Nodes)
		}
	}
}

// many stores n groups of a hundred suppliers, each with its material and 104
// weeks; some are bottlenecks, and some have a name of 10,000 characters.
func (s *site) many(n int) {
	s.t.Helper()
	for _, sql := range []string{`
		create temporary table made as
		select
			i, 'BPNL' || lpad((i % 100)::text, 12, '0') as supplier, 'MNR-' || i as material, 500 + i % 700 as level,
			(select array_agg(@monday::date + 7 * w order by w) from generate_series(0, 103) w) as weeks
		from generate_series(1, @n) i`, `
		insert into dcm.capacity_group
		select
			supplier, @customer, gen_random_uuid(), @monday, 0, @monday, @monday, null, '', false, false, null,
			null, null,
			case when i % 1000 = 7 then repeat('<b>long</b> ', 900) else 'Line ' || i end, 'unit:piece', '{}', '{}',
			weeks,
			array_fill(level::numeric, '{104}'), array_fill(level * 1.1, '{104}'), array_fill(null::numeric,
			'{104}'), array_fill(null::numeric, '{104}'),
			array[material], array[null], array['BPNS8888888888XX'], array['0001'], array[null::numeric], '{}',
			'{}', '{}', '{}', '{}', '{}', null, false
		from made `, `
		insert into dcm.material_demand
		select supplier, 'sent', supplier, @customer, gen_random_uuid(), @monday, 0, @monday, @monday, null, null,
		false, false, material, null, material, null, 'unit:piece'
		from made `, `
		insert into dcm.demand_series
		select
			m.partner, 'sent', m.supplier, m.customer, m.material_number_customer, 'BPNS8888888888XX', '0001',
			m.material_demand_id, null, weeks,
			(select array_agg(trunc(level * (0.7 + 0.02 * ((i * 7 + w) % 23)), 1) order by w) from
			generate_series(1, 104) w)
		from made join dcm.material_demand m on m.supplier = made.supplier and m.material_number_customer =
		made.material `,
	} {
		if _, err := s.conn.Exec(s.t.Context(), sql, pgx.NamedArgs{"n": n, "monday": monday(*s.clock),
			"customer": customer}); err != nil {
			s.t.Fatal(err)
		}
	}
	if _, err := s.conn.Exec(s.t.Context(), "analyze"); err != nil {
		s.t.Fatal(err)
	}
}

// TestManyGroups: 10,000 groups do not make a browser stall. A page lists 50 of
// them, whatever the horizon; the search and the next pages reach all.
func TestManyGroups(t *testing.T) {
	if os.Getenv("DCM_TEST_AXE") == "" {
		t.Skip("make test-pages looks at 10,000 groups")
	}
	ctx := browser(t)
	s := newSite(t)
	const groups = 10_000
	s.many(groups)
	if _, err := s.store.UpdateOverview(t.Context(), func() float64 { return 1 }); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.pages)
	defer server.Close()
	for _, c := range []struct {
		name, path string
		rows       int
	}{
		{"26 weeks", "/", pageSize},
		{"104 weeks", "/?weeks=104", pageSize},
		{"the last page", fmt.Sprintf("/?page=%d", groups/pageSize), pageSize},
		{"one found", "/?q=line+9999", 1},
		{"a supplier", "/?q=BPNL000000000042", pageSize},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := chromedp.Do(ctx, chromedp.Navigate(server.URL+c.path),
				chromedp.WaitVisible("footer")); err != nil {
				t.Fatal(err)
			}
			// Long tasks are reported a moment after they end.
			m := ask[map[string]float64](t, ctx, `new Promise(done => {
				let longest = 0;
				new PerformanceObserver(l => l.getEntries().forEach(e => { longest = Math.max(longest, e.duration);
				})).observe({type: "longtask", buffered: true});
				setTimeout(() => {
					const n = performance.getEntriesByType("navigation")[0];
					done({rows: document.querySelectorAll("tbody tr").length, bytes: n.decodedBodySize, server:
					n.responseStart - n.requestStart,
						content: n.domContentLoadedEventEnd - n.responseStart, longest});
				}, 300);
			})`)
			t.Logf("%.0f ms at the server, %.0f kB, then %.0f ms until the page stands, longest task %.0f ms",
				m["server"], m["bytes"]/1000, m["content"], m["longest"])
			if int(m["rows"]) != c.rows {
				t.Errorf("%v rows, want %d", m["rows"], c.rows)
			}
			if m["bytes"] > 1_000_000 {
				t.Errorf("the page has %.0f bytes", m["bytes"])
			}
			if m["server"] > 1000 {
				t.Errorf("the page takes %.0f ms at the server", m["server"])
			}
			if m["content"] > 2000 || m["longest"] > 1000 {
				t.Errorf("the browser stalls: %.0f ms until the page stands, longest task %.0f ms", m["content"],
					m["longest"])
			}
		})
	}
}

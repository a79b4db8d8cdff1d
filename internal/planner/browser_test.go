package planner

import (
	"context"
	"encoding/json"
	"fmt"
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
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.UserDataDir(t.TempDir()))
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
	s.post("week-based-capacity-group", supplier, strings.Replace(groupText("0157ba42-d2a8-4e28-8565-7b07830c1112", "NAME", "2026-11-20T10:00:00Z", "1/1", "1/1"),
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
		if err := s.conn.QueryRow(t.Context(), `select '/group/' || supplier || '/' || customer || '/' || capacity_group_id
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
	for _, size := range []struct {
		name          string
		width, height int64
	}{{"desk", 1280, 900}, {"phone", 390, 844}} {
		for name, path := range map[string]string{
			"groups": "/", "groups-104": "/?weeks=104", "group": hub, "group-104": hub + "?weeks=104", "nested": nested, "partners": "/partners", "message": message,
			"hostile": strings.TrimSuffix(groupPage, "0") + "2", "problem": "/?q=" + strings.Repeat("x", 201),
		} {
			t.Run(size.name+" "+name, func(t *testing.T) {
				run(t, chromedp.EmulateViewport(size.width, size.height), chromedp.Navigate(server.URL+path), chromedp.WaitVisible("h1"))
				overflow := ask[int](t, ctx, `document.documentElement.scrollWidth - document.documentElement.clientWidth`)
				picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
				if err != nil {
					t.Fatal(err)
				}
				if overflow > 0 {
					t.Errorf("the page is %d pixels wider than the screen", overflow)
				}
				if dir := os.Getenv("DCM_TEST_PICTURES"); dir != "" {
					if err := os.WriteFile(filepath.Join(dir, size.name+"-"+name+".png"), picture, 0o644); err != nil {
						t.Fatal(err)
					}
				}
				accessible(t, ctx)
			})
		}
	}
	t.Run("the chart has a bar for each week", func(t *testing.T) {
		run(t, chromedp.EmulateViewport(1280, 900), chromedp.Navigate(server.URL+hub), chromedp.WaitVisible("#chart canvas"))
		colours := ask[string](t, ctx, `(() => {
			const c = document.querySelector("#chart canvas"), d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data, seen = new Set();
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
		run(t, chromedp.Navigate(server.URL+"/"), chromedp.WaitVisible("#q"), chromedp.Focus("#q"), chromedp.KeyEvent("wide"+kb.Enter),
			chromedp.WaitVisible(`//p[starts-with(text(), "1 group")]`), chromedp.Focus(`//a[text()="Wide enough"]`), chromedp.KeyEvent(kb.Enter),
			chromedp.WaitVisible("#weeks-table"))
		at := ask[string](t, ctx, "document.title")
		if !strings.HasPrefix(at, "Wide enough") {
			t.Errorf("the keys lead to %q", at)
		}
	})
	if len(complaints) > 0 {
		t.Errorf("the browser complains: %s", complaints)
	}
}

// ask is the value of an expression in the page, or of the promise that it is.
func ask[T any](t *testing.T, ctx context.Context, expression string) T {
	t.Helper()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, func(p *runtime.EvaluateParams) { p.AwaitPromise = new(true) }))
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
	found := ask[string](t, ctx, `axe.run().then(r => JSON.stringify(r.violations.map(v => ({id: v.id, impact: v.impact, nodes: v.nodes.map(n => n.html).slice(0, 3)}))))`)
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

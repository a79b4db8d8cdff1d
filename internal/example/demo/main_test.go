package main

import (
	"bytes"
	"html"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDemo runs the demo as a newcomer does, and follows every link of every page:
// each leads somewhere, and each kind of page is there.
func TestDemo(t *testing.T) {
	program := os.Getenv("DCM_TEST_DEMO")
	if program == "" {
		t.Skip("set DCM_TEST_DEMO to the built dcm-receiver, as make test-pages does")
	}
	program, err := filepath.Abs(program)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	demo := filepath.Join(dir, "demo")
	if out, err := exec.Command("go", "build", "-o", demo, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	server := exec.Command(demo, program)
	var said bytes.Buffer
	server.Dir, server.Stdout, server.Stderr = dir, &said, &said
	server.Env = os.Environ()
	pages := ""
	for _, name := range []string{"DCM_LISTEN", "DCM_OPS_LISTEN", "DCM_PLANNING_LISTEN"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		server.Env = append(server.Env, name+"="+l.Addr().String())
		pages = "http://" + l.Addr().String()
		_ = l.Close()
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	defer func() {
		_ = server.Process.Signal(syscall.SIGTERM)
		if err := <-ended; err != nil {
			t.Errorf("the demo ended with %v: %s", err, &said)
		}
	}()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if answer, err := http.Get(pages); err == nil {
			_ = answer.Body.Close()
			break
		}
		select {
		case err := <-ended:
			ended <- nil
			t.Fatalf("the demo ended: %v: %s", err, &said)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("no pages within a minute: %s", &said)
		}
	}
	base, err := url.Parse(pages)
	if err != nil {
		t.Fatal(err)
	}
	link := regexp.MustCompile(`(?:href|src|action)="([^"#]*)[^"]*"`)
	seen, kinds := map[string]bool{}, map[string]int{}
	for queue := []string{pages + "/"}; len(queue) > 0; queue = queue[1:] {
		answer, err := http.Get(queue[0])
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Errorf("%s: %s, %v", queue[0], answer.Status, err)
		}
		path := answer.Request.URL.Path
		kinds[strings.TrimSuffix(strings.Split(path, "/")[1], filepath.Ext(path))+filepath.Ext(path)]++
		if !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/html") {
			continue
		}
		for _, m := range link.FindAllSubmatch(body, -1) {
			to, err := answer.Request.URL.Parse(html.UnescapeString(string(m[1])))
			if err != nil || to.Host != base.Host {
				t.Errorf("%s leads to %s", queue[0], m[1])
			} else if !seen[to.String()] {
				seen[to.String()] = true
				queue = append(queue, to.String())
			}
		}
	}
	for kind, least := range map[string]int{"": 3, "group": 9, "group.csv": 9, "group.xlsx": 9, "groups.csv": 1,
		"partners": 1, "partners.xlsx": 1, "message": 20, "static.js": 3} {
		if kinds[kind] < least {
			t.Errorf("%d addresses of kind %q, want %d or more", kinds[kind], kind, least)
		}
	}
	t.Logf("%d addresses: %v", len(seen), kinds)
}

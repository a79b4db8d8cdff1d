package main_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dcm-receiver/internal/example"
	"dcm-receiver/internal/privatepg"
	"dcm-receiver/internal/privatepg/pgtest"

	"github.com/jackc/pgx/v5"
)

// binary is the built program.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "dcm-receiver")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "dcm-receiver")
	// With the race detector where the tests have it: then everything is compiled
	// already, and races in the program itself are found too.
	build := []string{"build", "-o", binary}
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings,
		debug.BuildSetting{Key: "-race", Value: "true"}) {
		build = append(build, "-race")
	}
	if out, err := exec.Command("go", append(build, ".")...).CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
		os.Exit(1)
	}
	defer os.RemoveAll(dir)
	// Else the race detector keeps every command for a second at its end.
	_ = os.Setenv("GORACE", "atexit_sleep_ms=10")
	pgtest.Main(m)
}

// environment has nothing of the settings that the tests' own may have.
func environment(settings ...string) []string {
	var env []string
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "DCM_") && !strings.HasPrefix(variable, "PG") &&
			!strings.HasPrefix(variable, "DATABASE_URL") {
			env = append(env, variable)
		}
	}
	return append(env, settings...)
}

// program is a running receiver.
type program struct {
	*exec.Cmd
	t             testing.TB
	partners, ops string
	psql          string
	log           *bytes.Buffer
}

func start(t testing.TB, settings ...string) *program {
	t.Helper()
	p := &program{t: t, log: &bytes.Buffer{}}
	p.Cmd = exec.Command(binary, "serve")
	p.Env = environment(append([]string{"DCM_CUSTOMER_BPNLS=" + example.Customer, "DCM_LISTEN=127.0.0.1:0",
		"DCM_OPS_LISTEN=127.0.0.1:0", "DCM_PLANNING_LISTEN=127.0.0.1:0"}, settings...)...)
	p.Stderr = p.log
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.ProcessState == nil {
			_ = p.Process.Kill()
			_ = p.Wait()
		}
		if t.Failed() {
			t.Logf("log of the program:\n%s", p.log)
		}
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		line := lines.Text()
		if _, err := fmt.Sscanf(line, "Partners: %s   Operations: %s", &p.partners, &p.ops); err == nil {
			p.ops = strings.TrimSuffix(p.ops, "/metrics")
		}
		if _, command, ok := strings.Cut(line, "Look:     "); ok {
			p.psql = command
			break
		}
	}
	if p.partners == "" || p.psql == "" {
		_ = p.Wait()
		t.Fatalf("the program did not say where it listens:\n%s", p.log)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	p.ready()
	return p
}

func (p *program) ready() {
	p.t.Helper()
	for range 600 {
		if r, err := http.Get(p.ops + "/readyz"); err == nil {
			_ = r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	p.t.Fatalf("not ready:\n%s", p.log)
}

// end sends a signal and returns the exit status.
func (p *program) end(signal os.Signal) int {
	p.t.Helper()
	if err := p.Process.Signal(signal); err != nil {
		p.t.Fatal(err)
	}
	_ = p.Wait()
	return p.ProcessState.ExitCode()
}

func (p *program) post(endpoint, sender, body string) (int, string) {
	p.t.Helper()
	r, err := http.NewRequest(http.MethodPost, p.partners+"/"+endpoint, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Edc-Bpn", sender)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	return answer.StatusCode, string(text)
}

// published is the published example in an envelope, with text replaced.
func published(t testing.TB, replace ...string) string {
	t.Helper()
	object, err := os.ReadFile(filepath.Join("..", "..", "schemas", "testdata", "week-based-capacity-group-3.0.1.json"))
	if err != nil {
		t.Fatal(err)
	}
	header := `{"header":{"messageId":"6f0e7a3c-94a5-4f0e-9c46-0c9d7f6f1a01",` +
		`"context":"CX-DCM-WeekBasedCapacityGroup:1.0.0","sentDateTime":"2023-03-10T12:27:12Z",` +
		`"senderBpn":"BPNL6666666666YY","receiverBpn":"BPNL8888888888XX","version":"3.0.0"}}`
	return strings.NewReplacer(replace...).Replace(`{"messageHeader":` + header +
		`,"content":{"informationObject":[` + string(object) + `]}}`)
}

// TestFirstAfternoon is what an integration engineer does: start it, send the
// published example, see each rule, read as a planner.
func TestFirstAfternoon(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a folder with spaces")
	p := start(t, "DCM_DATA_DIR="+dir)
	t.Cleanup(func() { _ = privatepg.Remove(dir) })
	const groups, requests = "week-based-capacity-group", "id-based-request-for-update"
	for _, step := range []struct {
		name, endpoint, sender, body string
		status                       int
		contains                     string
	}{
		{"new", groups, example.Supplier, published(t), 201, `"rule":5,"outcome":"created"`},
		{"again", groups, example.Supplier, published(t), 200, `"rule":7,"outcome":"overwritten"`},
		{"older", groups, example.Supplier, published(t, "2023-03-10T12:27:11.320Z",
			"2023-03-10T12:27:11.319999999Z"), 400, `"rule":6,"outcome":"ignored"`},
		{"another sender", groups, "BPNL7777777777ZZ", published(t, `"senderBpn":"BPNL6666666666YY"`,
			`"senderBpn":"BPNL7777777777ZZ"`), 400, `"rule":2,"outcome":"ignored"`},
		{"another customer", groups, example.Supplier, published(t, `"customer" : "BPNL8888888888XX"`,
			`"customer" : "BPNL7777777777ZZ"`), 400, `"rule":3,"outcome":"ignored"`},
		{"a Tuesday", groups, example.Supplier, published(t, "2022-08-01", "2022-08-02"), 400,
			`{"pointer":"/content/informationObject/0/capacities/0/pointInTime","detail":"2022-08-02 is a ` +
				`Tuesday; pointInTime must be a Monday"}`},
		{"request for update", requests, example.Supplier,
			`{"content":{"informationObject":[{"weekBasedMaterialDemand":[]}]}}`, 200, `"instance":"/messages/`},
	} {
		status, answer := p.post(step.endpoint, step.sender, step.body)
		if status != step.status || !strings.Contains(answer, step.contains) {
			t.Errorf("%s: %d %s; want %d with %s", step.name, status, answer, step.status, step.contains)
		}
	}
	// The line that it printed works as it stands.
	out, err := exec.Command("sh", "-c", p.psql).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "1000 |             2000") {
		t.Errorf("%s: %v\n%s", p.psql, err, out)
	}

	// Other commands find the same database, whatever server the environment means.
	status := exec.Command(binary, "demand", "status")
	status.Env = environment("DCM_DATA_DIR="+dir, "PGUSER=somebody", "PGTARGETSESSIONATTRS=standby")
	if out, err := status.CombinedOutput(); err != nil ||
		!strings.Contains(string(out), "requests for update without an answer: 1") {
		t.Errorf("demand status: %v\n%s", err, out)
	}

	// The planners' overview is kept ready from the start.
	metrics := func() string {
		scrape, err := http.Get(p.ops + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer scrape.Body.Close()
		text, _ := io.ReadAll(scrape.Body)
		return string(text)
	}
	overview := regexp.MustCompile(`(?m)^dcm_overview_as_of_timestamp_seconds [1-9]`)
	for deadline := time.Now().Add(20 * time.Second); !overview.MatchString(metrics()); time.Sleep(
		20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the planners' overview was never whole")
		}
	}

	checkMetricNames(t, metrics())

	// What Prometheus' own tool says of the metrics, where it is installed.
	if promtool, err := exec.LookPath("promtool"); err == nil {
		scrape, err := http.Get(p.ops + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		check := exec.Command(promtool, "check", "metrics")
		check.Stdin = scrape.Body
		if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("promtool check metrics: %v\n%s", err, out)
		}
		_ = scrape.Body.Close()
	}

	// Killed, it leaves nothing behind that keeps it from starting again.
	p.end(syscall.SIGKILL)
	p = start(t, "DCM_DATA_DIR="+dir)
	if status, answer := p.post(groups, example.Supplier, published(t)); status != 200 {
		t.Errorf("after a kill: %d %s", status, answer)
	}
	ready := func() (string, int) {
		command := exec.Command(binary, "ready")
		command.Env = environment("DCM_OPS_LISTEN=" + strings.TrimPrefix(p.ops, "http://"))
		out, _ := command.CombinedOutput()
		return string(out), command.ProcessState.ExitCode()
	}
	if said, status := ready(); status != 0 || said != "ready\n" {
		t.Errorf("ready: %d %s", status, said)
	}
	if status := p.end(syscall.SIGTERM); status != 0 {
		t.Errorf("exit status %d after SIGTERM", status)
	}
	if said, status := ready(); status != 3 || !strings.Contains(said, "no receiver answers") {
		t.Errorf("ready: %d %s", status, said)
	}
	// In JSON, as the log is where no one sits: ready when it is, and a last line.
	log := p.log.String()
	if i := strings.Index(log, `"msg":"ready"`); i < 0 || strings.Contains(log[:i], `"msg":"stopping"`) {
		t.Errorf("the log does not say when it was ready:\n%s", log)
	}
	if !strings.HasSuffix(log, "\"msg\":\"stopped\"}\n") {
		t.Errorf("the log has no last line:\n%s", log)
	}
}

// TestGracefulStop: a message under way is finished after SIGTERM, new ones are
// not taken, and the exit status is 0.
func TestGracefulStop(t *testing.T) {
	p := start(t, "DATABASE_URL="+pgtest.New(t))
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.partners, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := published(t)
	fmt.Fprintf(conn,
		"POST /week-based-capacity-group HTTP/1.1\r\nHost: x\r\nEdc-Bpn: %s\r\nContent-Length: %d\r\n\r\n%s",
		example.Supplier, len(body), body[:100])
	time.Sleep(100 * time.Millisecond) // until the handler reads
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for range 100 { // until it has stopped listening
		probe, err := net.Dial("tcp", strings.TrimPrefix(p.partners, "http://"))
		if err != nil {
			break
		}
		_ = probe.Close()
		time.Sleep(20 * time.Millisecond)
	}
	fmt.Fprint(conn, body[100:])
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || answer.StatusCode != http.StatusCreated {
		t.Fatalf("the message under way: %v %v", answer, err)
	}
	if _ = p.Wait(); p.ProcessState.ExitCode() != 0 {
		t.Errorf("exit status %d", p.ProcessState.ExitCode())
	}
}

// TestWrongSettings: each stops the start with one line that names the variable.
func TestWrongSettings(t *testing.T) {
	for _, c := range []struct{ setting, names string }{
		{"DCM_CUSTOMER_BPNLS=", "DCM_CUSTOMER_BPNLS"},
		{"DCM_CUSTOMER_BPNLS=,", "DCM_CUSTOMER_BPNLS"},
		{"DCM_CUSTOMER_BPNLS=BPNS8888888888XX", "DCM_CUSTOMER_BPNLS"},
		{"DCM_PARTNERS=x", "DCM_PARTNERS"},
		{"DCM_LISTEN=0.0.0.0:0", "DCM_API_KEYS"},
		{"DCM_LISTEN=nonsense", "DCM_LISTEN"},
		{"DCM_LISTEN=8180", "DCM_LISTEN"},
		{"DCM_LISTEN=http://127.0.0.1:8180", "without http://"},
		{"DCM_PLANNING_LISTEN=127.0.0.1:many", "DCM_PLANNING_LISTEN"},
		{"DCM_ACCEPT_REQUESTED_PAST_START=true", "DCM_ACCEPT_REQUESTED_PAST_START"},
		{"DCM_OPS_LISTEN=127.0.0.1:99999", "DCM_OPS_LISTEN"},
		{"DCM_API_KEYS_FILE=/does/not/exist", "DCM_API_KEYS_FILE"},
		{"DCM_UNPARSABLE_STATUS=500", "DCM_UNPARSABLE_STATUS"},
		{"DCM_UNPARSABLE_STATUS=x", "DCM_UNPARSABLE_STATUS"},
		{"DCM_STANDARD=cx-0129", "DCM_STANDARD"},
		{"DCM_REFUSE_PAST_WEEKS=true", "DCM_REFUSE_PAST_WEEKS"},
		{"DCM_JOURNAL_RETENTION=1s", "DCM_JOURNAL_RETENTION"},
		{"DCM_JOURNAL_RETENTION=99999999999d", "DCM_JOURNAL_RETENTION"},
		{"DCM_HISTORY_RETENTION=1s", "DCM_HISTORY_RETENTION"},
		{"DCM_REQUEST_TIMEOUT=0s", "DCM_REQUEST_TIMEOUT"},
		{"DCM_REQUEST_TIMEOUT=40s", "DCM_REQUEST_TIMEOUT"},
		{"DCM_SHUTDOWN_DELAY=-1s", "DCM_SHUTDOWN_DELAY"},
		{"DCM_SHUTDOWN_TIMEOUT=1d", "DCM_SHUTDOWN_TIMEOUT"},
		{"DCM_MAX_BUFFERED=96Mb", "DCM_MAX_BUFFERED"},
		{"DCM_MAX_IN_FLIGHT=99999999", "DCM_MAX_IN_FLIGHT"},
		{"DCM_DATABASE_CONNECTIONS=99999999", "DCM_DATABASE_CONNECTIONS"},
		{"DCM_API_KEYS=,", "DCM_API_KEYS"},
		{"DCM_API_KEYS=kéy", "DCM_API_KEYS"},
		{"DCM_API_KEYS=0123456789abcdef,changeme DCM_LISTEN=0.0.0.0:0", "DCM_API_KEYS"},
		{"DCM_API_KEYS_FILE=testdata/key.pem", "DCM_API_KEYS_FILE"},
		{"DCM_PARTNERS=,", "DCM_PARTNERS"},
		{"DCM_SUPPLIER_BPNLS=,", "DCM_SUPPLIER_BPNLS"},
		{"DCM_PLANNING_OIDC_ALLOWED=,", "DCM_PLANNING_OIDC_ALLOWED"},
		{"DCM_PLANNING_LISTEN=0.0.0.0:0", "DCM_PLANNING_LISTEN"},
		{"DCM_PLANNING_PROXY_USER_HEADER=X:User DCM_PLANNING_PROXY_KEY=0123456789abcdef",
			"DCM_PLANNING_PROXY_USER_HEADER"},
		{"DCM_EDC_CAPABILITIES=,", "DCM_EDC_CAPABILITIES"},
		{"DCM_EDC_TOLERATED_ASSETS=,", "DCM_EDC_TOLERATED_ASSETS"},
		{"DCM_SEND=true", "DCM_EDC_MANAGEMENT_URL"},
		{"DCM_EDC_REGISTER=true DCM_EDC_BACKEND_URL=http://x", "DCM_EDC_MANAGEMENT_URL"},
		{"DCM_SENDER_HEADER=Edc:Bpn", "DCM_SENDER_HEADER"},
		{"DCM_SENDER_HEADER=host", "DCM_SENDER_HEADER"},
		{"DCM_SENDER_HEADER=X-Api-Key", "DCM_SENDER_HEADER"},
		{"DCM_SENDER_HEADER=Edc-Contract-Agreement-Id", "DCM_SENDER_HEADER"},
		{"DCM_LISTEN=127.0.0.1:18080 DCM_OPS_LISTEN=127.0.0.1:18080", "DCM_LISTEN and DCM_OPS_LISTEN"},
		{"DCM_LISTEN=127.0.0.1:18080 DCM_PLANNING_LISTEN=localhost:18080", "DCM_LISTEN and DCM_PLANNING_LISTEN"},
		{"DCM_OPS_LISTEN=:19090 DCM_PLANNING_LISTEN=127.0.0.1:19090", "DCM_OPS_LISTEN and DCM_PLANNING_LISTEN"},
		{"DATABASE_URL= DCM_API_KEYS=k DCM_LISTEN=0.0.0.0:0", "DATABASE_URL"},
		{"DATABASE_URL=jdbc:postgresql://localhost/x", "DATABASE_URL"},
		{"DATABASE_URL=postgres://u:a/b@localhost/x", "DATABASE_URL"},
		{"DATABASE_URL=postgres://u:a@localhost/x?sslmod=require", "DATABASE_URL"},
		{"DATABASE_URL=Host=localhost;Username=u;Password=a", "DATABASE_URL"},
		{"DCM_EDC_REGISTER=true DCM_EDC_MANAGEMENT_URL=http://x " +
			"DCM_EDC_BACKEND_URL=http://x/week-based-capacity-group", "DCM_EDC_BACKEND_URL"},
		{"DCM_JOURNAL_RETENTION=-1h", "DCM_JOURNAL_RETENTION"},
		{"DCM_MAX_IN_FLIGHT=0", "DCM_MAX_IN_FLIGHT"},
		{"DCM_MAX_BUFFERED=1", "DCM_MAX_BUFFERED"},
		{"DCM_LOG_LEVEL=loud", "DCM_LOG_LEVEL"},
		{"DATABASE_URL= PGSERVICE=nowhere", "PGSERVICE"},
		{"DATABASE_URL= DCM_DATA_DIR=/proc/nowhere", "DCM_DATA_DIR"},
		{"DCM_LOG_FORMAT=xml", "DCM_LOG_FORMAT"},
		{"DCM_TLS_CERT_FILE=x", "DCM_TLS_KEY_FILE"},
		{"DCM_TLS_CERT_FILE=x DCM_TLS_KEY_FILE=y", "DCM_TLS_CERT_FILE"},
		{"DATABASE_URL=postgres://%", "DATABASE_URL"},
	} {
		t.Run(c.setting, func(t *testing.T) {
			settings := append([]string{"DCM_CUSTOMER_BPNLS=" + example.Customer, "DCM_LISTEN=127.0.0.1:0",
				"DCM_OPS_LISTEN=127.0.0.1:0", "DATABASE_URL=postgres://localhost:1/x"}, strings.Fields(c.setting)...)
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			program := exec.CommandContext(ctx, binary, "serve")
			program.Env = environment(settings...)
			out, err := program.CombinedOutput()
			if err == nil || ctx.Err() != nil {
				t.Fatalf("it started: %v\n%s", err, out)
			}
			if status := program.ProcessState.ExitCode(); status != 2 {
				t.Errorf("exit status %d, want 2", status)
			}
			if said := string(out); strings.Count(said, "\n") != 1 || !strings.HasPrefix(said, "dcm-receiver: ") ||
				!strings.Contains(said, c.names) || strings.Contains(said, "DCM_EXAMPLE") {
				t.Errorf("it says %q; want one line, that names %s", said, c.names)
			}
		})
	}
}

// TestExampleAndValidate: what example prints is valid, also after a change
// that keeps it so, and validate says why it is not.
func TestExampleAndValidate(t *testing.T) {
	run := func(input []byte, args ...string) (string, int) {
		program := exec.Command(binary, args...)
		program.Env = environment()
		program.Stdin = bytes.NewReader(input)
		out, _ := program.Output()
		return string(out), program.ProcessState.ExitCode()
	}
	for _, args := range [][]string{{}, {"--groups", "3", "--weeks", "1"}, {"--weeks", "2"}, {"--weeks", "3"},
		{"--seed", "7", "--groups", "2"}} {
		message, status := run(nil, append([]string{"example"}, args...)...)
		if status != 0 {
			t.Fatalf("example %v: exit status %d", args, status)
		}
		if out, status := run([]byte(message), "validate", "-"); status != 0 || !strings.Contains(out, "-: valid") {
			t.Errorf("example %v: %d %s", args, status, out)
		}
	}
	first, _ := run(nil, "example", "--seed", "5")
	again, _ := run(nil, "example", "--seed", "5")
	other, _ := run(nil, "example", "--seed", "6")
	id := func(message string) string {
		var m struct {
			Content struct {
				InformationObject []struct{ CapacityGroupId string }
			}
		}
		if err := json.Unmarshal([]byte(message), &m); err != nil {
			t.Fatal(err)
		}
		return m.Content.InformationObject[0].CapacityGroupId
	}
	if id(first) != id(again) || id(first) == id(other) {
		t.Error("the same seed does not make the same message, or another seed does")
	}
	out, status := run([]byte(published(t, "2022-08-01", "2022-08-02", `"name" : "Spark`, `"names" : "Spark`)),
		"validate", "-")
	for _, want := range []string{"-: invalid", "/content/informationObject/0: name is missing",
		"/content/informationObject/0/capacities/0/pointInTime: 2022-08-02 is a Tuesday"} {
		if status != 1 || !strings.Contains(out, want) {
			t.Errorf("validate: %d %s; want %q", status, out, want)
		}
	}
	if out, status := run([]byte("{"), "validate", "-"); status != 1 || !strings.Contains(out, "not one JSON text") {
		t.Errorf("validate: %d %s", status, out)
	}
	if out, status := run([]byte(`[{"weekBasedMaterialDemand":[{}]}]`), "validate", "--endpoint",
		"id-based-request-for-update", "-"); status != 1 ||
		!strings.Contains(out, "/0/weekBasedMaterialDemand/0: materialDemandId is missing") {
		t.Errorf("validate: %d %s", status, out)
	}
	// Each file has its verdict, also beside one that is not there.
	valid, invalid := filepath.Join(t.TempDir(), "valid.json"), filepath.Join(t.TempDir(), "invalid.json")
	future := time.Now().AddDate(0, 1, 0).UTC().Format(time.RFC3339)
	ahead := strings.Replace(published(t, "2022-08-01", "2022-08-01"), "2023-03-10T12:27:11.320Z", future, 1)
	for file, text := range map[string]string{valid: ahead,
		invalid: strings.ReplaceAll(first, `"supplier": "BPNL6666666666YY"`, `"supplier": "BPNL6666666666ZZ"`)} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		files  []string
		status int
	}{{[]string{valid}, 0}, {[]string{invalid, valid}, 1}, {[]string{"absent.json", invalid, valid}, 2}, {nil, 2},
		{[]string{"--endpoint", "nothing", valid}, 2}} {
		out, status := run(nil, append([]string{"validate", "--json"}, c.files...)...)
		if status != c.status {
			t.Errorf("validate %v: exit status %d, want %d", c.files, status, c.status)
		}
		if c.files == nil || c.files[0] == "--endpoint" {
			continue
		}
		lines := strings.Split(strings.TrimSpace(out), "\n")
		if len(lines) != len(c.files) {
			t.Fatalf("validate %v: %s", c.files, out)
		}
		for i, line := range lines {
			var f struct {
				File             string
				Valid            bool
				Errors, Warnings []struct{ Pointer, Detail string }
			}
			if err := json.Unmarshal([]byte(line), &f); err != nil || f.File != c.files[i] ||
				f.Valid != (f.File == valid) {
				t.Fatalf("validate %v: %v %s", c.files, err, line)
			}
			switch f.File {
			case valid:
				if len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0].Detail, "more than a day in the future") {
					t.Errorf("a changedAt in the future: %s", line)
				}
			case invalid:
				if !strings.Contains(line,
					"supplier is BPNL6666666666ZZ, but senderBpn in the header is BPNL6666666666YY") {
					t.Errorf("another supplier than the sender: %s", line)
				}
			}
		}
	}
	for _, args := range [][]string{{"help"}, {"help", "edc", "send"}, {"--help"}} {
		if out, status := run(nil, args...); status != 0 || !strings.Contains(out, "Usage: dcm-receiver") {
			t.Errorf("%v: %d %s", args, status, out)
		}
	}
	if out, status := run(nil, "--version"); status != 0 || !strings.HasPrefix(out, "dcm-receiver ") {
		t.Errorf("--version: %d %s", status, out)
	}
	if out, status := run(nil, "version"); status != 0 || !strings.HasPrefix(out, "dcm-receiver ") {
		t.Errorf("version: %d %s", status, out)
	}
}

// TestMigrate: replicas that start together on an empty database do not
// disturb each other, and where the role may not create roles everything else
// is done.
func TestMigrate(t *testing.T) {
	server := pgtest.NewServer(t, nil)
	admin, err := pgx.Connect(context.Background(), server.URL("dcm"))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(context.Background())
	for _, statement := range []string{"create role app login", "create database managed owner app",
		"create database shared", "create database old",
		"create database latin encoding 'LATIN1' locale 'C' template template0"} {
		if _, err := admin.Exec(context.Background(), statement); err != nil {
			t.Fatal(err)
		}
	}
	managed := strings.Replace(server.URL("managed"), "dcm@", "app@", 1)
	if managed == server.URL("managed") {
		config, err := pgx.ParseConfig(server.URL("managed"))
		if err != nil {
			t.Fatal(err)
		}
		managed = fmt.Sprintf("host='%s' port=%d user=app dbname=managed", config.Host, config.Port)
	}
	old, err := pgx.Connect(context.Background(), server.URL("old"))
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close(context.Background())
	if _, err := old.Exec(context.Background(), `create schema dcm;
		create table dcm.schema_version (version_id bigint, is_applied boolean);
		insert into dcm.schema_version select n, true from generate_series(0, 20) n`); err != nil {
		t.Fatal(err)
	}
	// Exit statuses: what another setting mends is 2, what is not there 3.
	for _, c := range []struct {
		name, url string
		status    int
		said      string
	}{
		{"no setting", "", 2, "DATABASE_URL is not set"},
		{"no such database", server.URL("nothing"), 2, "does not exist"},
		{"nobody there", "postgres://u:Secret@127.0.0.1:1/x", 3, "connection refused"},
		{"not UTF-8", server.URL("latin"), 2, "the database is not in UTF-8"},
		{"too old", server.URL("old"), 2,
			"the database is at migration 20, too old for this version: first migrate it"},
	} {
		program := exec.Command(binary, "migrate")
		program.Env = environment("DATABASE_URL="+c.url, "DCM_DATA_DIR="+t.TempDir())
		out, _ := program.CombinedOutput()
		if status := program.ProcessState.ExitCode(); status != c.status || !strings.Contains(string(out), c.said) ||
			strings.Count(string(out), "\n") != 1 || strings.Contains(string(out), "Secret") {
			t.Errorf("%s: exit status %d, want %d, and one line with %q: %s", c.name, status, c.status, c.said, out)
		}
	}
	// serve does not try again where that cannot help.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	serve := exec.CommandContext(ctx, binary, "serve")
	serve.Env = environment("DATABASE_URL="+server.URL("old"), "DCM_CUSTOMER_BPNLS="+example.Customer,
		"DCM_LISTEN=127.0.0.1:0",
		"DCM_OPS_LISTEN=127.0.0.1:0", "DCM_PLANNING_LISTEN=127.0.0.1:0")
	if out, _ := serve.CombinedOutput(); serve.ProcessState.ExitCode() != 2 ||
		!strings.Contains(string(out), "(commit 0ef5ffd,") {
		t.Errorf("serve on a database that is too old: exit status %d:\n%s", serve.ProcessState.ExitCode(), out)
	}
	program := exec.Command(binary, "migrate")
	program.Env = environment("DATABASE_URL=" + managed)
	out, err := program.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "dcm_planner and dcm_sender were not created") {
		t.Errorf("as a role that may not create roles: %v\n%s", err, out)
	}
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			program := exec.Command(binary, "migrate")
			program.Env = environment("DATABASE_URL=" + server.URL("shared"))
			if out, err := program.CombinedOutput(); err != nil {
				t.Errorf("side by side: %v\n%s", err, out)
			}
		})
	}
	wait.Wait()
	again := exec.Command(binary, "migrate")
	again.Env = environment("DATABASE_URL=" + server.URL("shared"))
	if out, err := again.CombinedOutput(); err != nil || strings.Count(string(out), "\n") != 1 ||
		!strings.Contains(string(out), "nothing to migrate: the database is up to date") {
		t.Errorf("again: %v\n%s", err, out)
	}
	var planner bool
	shared, err := pgx.Connect(context.Background(), server.URL("shared"))
	if err != nil {
		t.Fatal(err)
	}
	defer shared.Close(context.Background())
	if err := shared.QueryRow(context.Background(), `select has_table_privilege('dcm_planner', 'planning.capacity',
		'select')
		and not has_table_privilege('dcm_planner', 'planning.capacity', 'insert, update, delete')
		and not has_schema_privilege('dcm_planner', 'dcm', 'usage')`).Scan(&planner); err != nil || !planner {
		t.Errorf("dcm_planner reads the views and nothing else: %t %v", planner, err)
	}
}

// TestTLS: the listener speaks TLS, and takes a changed certificate.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	certificate, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	writeCertificate(t, certificate, key, 1)
	p := start(t, "DATABASE_URL="+pgtest.New(t), "DCM_TLS_CERT_FILE="+certificate, "DCM_TLS_KEY_FILE="+key)
	serial := func() int64 {
		conn, err := tls.Dial("tcp", strings.TrimPrefix(p.partners, "https://"), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	if got := serial(); got != 1 {
		t.Fatalf("serial number %d", got)
	}
	time.Sleep(1100 * time.Millisecond) // it looks once a second
	writeCertificate(t, certificate, key, 2)
	for range 50 {
		if serial() == 2 {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Error("the changed certificate is not used")
}

func writeCertificate(t *testing.T, certificate, key string, serial int64) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "localhost"},
		NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	privateDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{certificate: {Type: "CERTIFICATE", Bytes: der},
		key: {Type: "PRIVATE KEY", Bytes: privateDER}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// checkMetricNames holds the list that alerts and dashboards are checked against equal to the metrics
// that there are.
func checkMetricNames(t *testing.T, metrics string) {
	t.Helper()
	have := map[string]bool{}
	for line := range strings.Lines(metrics) {
		if name, ok := strings.CutPrefix(line, "# TYPE "); ok {
			have[strings.Fields(name)[0]] = true
			if !strings.HasPrefix(name, "dcm_") {
				t.Errorf("%s does not begin with dcm_", name)
			}
		}
	}
	list, err := os.ReadFile("../../deploy/testdata/metrics.txt")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for line := range strings.Lines(string(list)) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		name, _, _ = strings.Cut(name, "{")
		if name == "" || strings.HasPrefix(name, "#") {
			continue
		}
		listed[name] = true
		depends := regexp.MustCompile("^dcm_(edc|tls|outbox|go|process)_") // on settings, or on the platform
		if !have[name] && !depends.MatchString(name) {
			t.Errorf("%s is listed in deploy/testdata/metrics.txt, but there is no such metric", name)
		}
	}
	for name := range have {
		if !listed[name] && !strings.HasPrefix(name, "dcm_go_") && !strings.HasPrefix(name, "dcm_process_") {
			t.Errorf("%s is not listed in deploy/testdata/metrics.txt", name)
		}
	}
}

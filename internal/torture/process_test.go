//go:build linux

package torture

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dcm-receiver/internal/privatepg/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const (
	customer = "BPNL00000000CUST"
	apiKey   = "torture-key"
)

// build makes the program from the source in dir.
func build(t testing.TB, flags ...string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "dcm-receiver")
	args := []string{"build", "-o", binary}
	if underRace() {
		args = append(args, "-race") // as the tests are: then everything is compiled already
	}
	cmd := exec.Command("go", append(append(args, flags...), "./cmd/dcm-receiver")...)
	cmd.Dir = "../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the receiver: %v\n%s", err, out)
	}
	return binary
}

// underRace tells that the tests, and so the program, run under the race detector.
func underRace() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// process is a program that ends with the test, however that ends.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{}
	output *tail
}

func run(t testing.TB, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd, exited: make(chan struct{}), output: &tail{}}
	cmd.Stdout, cmd.Stderr = p.output, p.output
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	started := make(chan error)
	go func() {
		// The kernel sends the signal when the thread ends that started the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // the state is kept in cmd
			close(p.exited)
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.signal(syscall.SIGKILL); <-p.exited })
	return p
}

func (p *process) signal(s os.Signal) { _ = p.cmd.Process.Signal(s) } // it may have ended

func (p *process) kill() { p.signal(syscall.SIGKILL); <-p.exited }

// stop ends the program as an operator does, and reports a bad end.
func (p *process) stop(t testing.TB) {
	p.signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(time.Minute):
		p.kill()
		t.Error("the program did not end after SIGTERM")
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("the program ended with %d after SIGTERM\n%s", code, p.output)
	}
}

// tail keeps the end of a program's output.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (o *tail) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	const most = 64 << 10
	if o.text = append(o.text, p...); len(o.text) > 2*most {
		o.text = bytes.Clone(o.text[len(o.text)-most:])
	}
	return len(p), nil
}

func (o *tail) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text)
}

// dcmReceiver is a receiver process on ports of its own, which it keeps when it
// is started again.
type dcmReceiver struct {
	*process
	t               testing.TB
	binary          string
	env             []string
	partner, operat string // host:port of the two listeners
}

// startReceiver starts a receiver; env are settings beside the needed ones.
func startReceiver(t testing.TB, binary, databaseURL string, env ...string) *dcmReceiver {
	t.Helper()
	r := &dcmReceiver{t: t, binary: binary, partner: freeAddress(t), operat: freeAddress(t)}
	r.env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"),
		"DATABASE_URL=" + databaseURL, "DCM_LISTEN=" + r.partner, "DCM_OPS_LISTEN=" + r.operat, "DCM_PLANNING_LISTEN=",
		"DCM_CUSTOMER_BPNLS=" + customer, "DCM_API_KEYS=" + apiKey, "DCM_LOG_LEVEL=warn",
	}, env...)
	r.start()
	r.waitReady()
	return r
}

func (r *dcmReceiver) start() {
	r.t.Helper()
	cmd := exec.Command(r.binary, "serve")
	cmd.Env = r.env
	r.process = run(r.t, cmd)
}

func (r *dcmReceiver) waitReady() {
	r.t.Helper()
	if !within(time.Minute, func() bool { _, status := r.get("/readyz"); return status == http.StatusOK }) {
		r.t.Fatalf("the receiver does not become ready\n%s", r.output)
	}
}

// operations is for what asks the operations listener; its connections are not
// kept, so that they are not counted.
var operations = http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

func (r *dcmReceiver) get(path string) (body string, status int) {
	resp, err := operations.Get("http://" + r.operat + path)
	if err != nil {
		return err.Error(), 0
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return string(b), resp.StatusCode
}

// metrics are the samples of /metrics by their text, labels included.
func (r *dcmReceiver) metrics() map[string]float64 {
	r.t.Helper()
	body, status := r.get("/metrics")
	if status != http.StatusOK {
		r.t.Fatalf("/metrics: %d %s", status, body)
	}
	samples := map[string]float64{}
	for line := range strings.Lines(body) {
		if name, value, ok := cutLast(strings.TrimSpace(line), " "); ok && !strings.HasPrefix(line, "#") {
			samples[name], _ = strconv.ParseFloat(value, 64) // our own format
		}
	}
	return samples
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// resources of a process that has nothing to do.
type resources struct{ goroutines, files, connections, memory float64 }

func (r *dcmReceiver) resources() resources {
	m := r.metrics()
	return resources{m["dcm_go_goroutines"], m["dcm_process_open_fds"],
		m[`dcm_store_connections{state="idle"}`] + m[`dcm_store_connections{state="used"}`],
		m["dcm_process_resident_memory_bytes"]}
}

// beyond reports what of r is more than begin explains: each connection to the
// database costs a file, and the garbage collector lets some memory stay.
func (r resources) beyond(begin resources, limit float64) error {
	const slack = 8 // pollers, scrapes and the like
	switch {
	case r.goroutines > begin.goroutines+slack:
		return fmt.Errorf("goroutines grew from %.0f to %.0f", begin.goroutines, r.goroutines)
	case r.files-r.connections > begin.files-begin.connections+slack:
		return fmt.Errorf("open files grew from %.0f to %.0f", begin.files, r.files)
	case r.connections > limit:
		return fmt.Errorf("%.0f connections to the database, more than the %.0f there may be", r.connections, limit)
	case r.memory > 400<<20:
		return fmt.Errorf("%.0f MiB of memory", r.memory/(1<<20))
	}
	return nil
}

// within waits until something holds.
func within(limit time.Duration, holds func() bool) bool {
	for end := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		if holds() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// group is the JSON of a small valid WeekBasedCapacityGroup. All its quantities
// are the same number, so that a state put together of two is seen.
func group(supplier, customer, id, changedAt, name string, weeks, quantity int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `{"capacityGroupId":%q,"name":%q,"supplier":%q,"customer":%q,"changedAt":%q,`+
		`"unitOfMeasure":"unit:piece","unitOfMeasureIsOmitted":false,"capacityGroupIsInactive":false,`+
		`"supplierLocations":["BPNS00000000PLNT"],`+
		`"linkedDemandSeries":[{"materialNumberCustomer":"M-1","customerLocation":"BPNS00000000SITE",`+
		`"demandCategory":{"demandCategoryCode":"0001"}}],"capacities":[`,
		id, name, supplier, customer, changedAt)
	monday := time.Date(2040, 1, 2, 0, 0, 0, 0, time.UTC)
	for i := range weeks {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"pointInTime":%q,"actualCapacity":%[2]d,"maximumCapacity":%[2]d}`,
			monday.AddDate(0, 0, 7*i).Format(time.DateOnly), quantity)
	}
	b.WriteString("]}")
	return b.String()
}

// envelope is the JSON of a message.
func envelope(endpoint, messageID, supplier, content string) string {
	context := "CX-DCM-WeekBasedCapacityGroup:1.0.0"
	if endpoint == requestForUpdate {
		context = "CX-DCM-IdBasedRequestForUpdate:1.0.0"
	}
	return fmt.Sprintf(
		`{"messageHeader":{"header":{"messageId":%q,"context":%q,"sentDateTime":"2026-01-05T12:00:00Z",`+
			`"senderBpn":%q,"receiverBpn":%q,"version":"3.0.0"}},`+
			`"content":{"informationObject":%s}}`, messageID, context, supplier, customer, content)
}

const (
	capacityGroup    = "week-based-capacity-group"
	requestForUpdate = "id-based-request-for-update"
)

// newRequest is a request as the data plane sends it.
func newRequest(ctx context.Context, url, supplier, body string) *http.Request {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		panic(err) // the URL is ours
	}
	r.Header.Set("X-Api-Key", apiKey)
	r.Header.Set("Edc-Bpn", supplier)
	r.Header.Set("Content-Type", "application/json;charset=UTF-8")
	return r
}

// documented are the statuses that the API description names.
var documented = map[int]bool{200: true, 201: true, 400: true, 401: true, 403: true, 404: true, 405: true, 413: true,
	415: true, 422: true, 503: true}

var problemType = regexp.MustCompile(`"type":"urn:dcm-receiver:problem:`)

// checkAnswer says what is wrong with the form of an answer of the receiver.
func checkAnswer(resp *http.Response, body []byte) error {
	switch {
	case !documented[resp.StatusCode]:
		return fmt.Errorf("answered with the undocumented status %d", resp.StatusCode)
	case resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") == "":
		return fmt.Errorf("503 without Retry-After")
	case resp.StatusCode >= 400 && (resp.Header.Get("Content-Type") != "application/problem+json" ||
		!problemType.Match(body)):
		return fmt.Errorf("%d without a problem document", resp.StatusCode)
	}
	return nil
}

func sorted[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

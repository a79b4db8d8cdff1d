package edc_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/edc"
	"dcm-receiver/internal/example"
	"dcm-receiver/internal/privatepg/pgtest"
	"dcm-receiver/internal/standard"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// TestDataspace sends through two real connectors (deploy/edc/lab) to the real
// program on a real Postgres. It takes some minutes and needs a JDK and Maven,
// so `make test-edc` runs it, with DCM_TEST_EDC=1.
func TestDataspace(t *testing.T) {
	if os.Getenv("DCM_TEST_EDC") == "" {
		t.Skip("two real connectors are started by make test-edc only")
	}
	l := startLab(t)
	t.Run("a partner that is not named sees nothing", l.invisible)
	t.Run("rules through HttpData", l.rulesFlattened)
	t.Run("rules through ProxyHttpData", l.rulesAsTheyAre)
	t.Run("request for update", l.requestForUpdate)
	t.Run("answers of others", l.foreignAnswers)
	t.Run("spoofed headers", l.spoofed)
	t.Run("14 MiB", l.large)
	t.Run("receiver killed in mid-request", l.killed)
	t.Run("slow database", l.slow)
	t.Run("key rotation", l.rotation)
	t.Run("key in the vault", l.vault)
	t.Run("the consumer", l.consumer)
	t.Run("the commands", l.commands)
	t.Run("CX-0128", l.cx0128)
	t.Run("registered by serve", l.background)
}

// TestDataspaceAsPrinted runs what `make dataspace` runs, which checks each of its
// steps, and compares what it prints with what deploy/connector.md shows of it.
func TestDataspaceAsPrinted(t *testing.T) {
	if os.Getenv("DCM_TEST_EDC") == "" {
		t.Skip("two real connectors are started by make test-edc only")
	}
	folder := t.TempDir()
	program := filepath.Join(folder, "dcm-receiver")
	if out, err := exec.Command("go", "build", "-o", program,
		"dcm-receiver/cmd/dcm-receiver").CombinedOutput(); err != nil {
		t.Fatalf("%s\n%v", out, err)
	}
	// A folder of its own, with a short name: sockets of Postgres are in it.
	temporary, err := os.MkdirTemp("", "ds")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(temporary)
	c := exec.Command(filepath.Join("..", "..", "deploy", "edc", "lab", "dataspace.sh"), program, "--once")
	c.Env = append(environ(), "TMPDIR="+temporary, "CUSTOMER_PORT=19500", "SUPPLIER_PORT=19600")
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s\n%v", out, err)
	}
	if strings.Contains(string(out), "skipped") {
		t.Skipf("%s", out)
	}
	if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	commandLines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range commandLines {
		if line, _ := os.ReadFile(name); bytes.Contains(line, []byte(temporary)) {
			t.Errorf("still running: %s", bytes.ReplaceAll(line, []byte{0}, []byte(" ")))
		}
	}

	document, err := os.ReadFile(filepath.Join("..", "..", "deploy", "connector.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, shown, found := strings.Cut(string(document), "```console\n")
	shown, _, closed := strings.Cut(shown, "```\n")
	if !found || !closed {
		t.Fatal("deploy/connector.md shows nothing of what is printed")
	}
	printed := strings.Split(settled(string(out)), "\n")
	for _, want := range strings.Split(strings.TrimSpace(settled(shown)), "\n") {
		if want == "" || want == "…" {
			continue
		}
		i := slices.Index(printed, want)
		if i < 0 {
			t.Errorf("deploy/connector.md shows this line, which is not printed, or not there:\n%s", want)
			continue
		}
		printed = printed[i+1:]
	}
	if t.Failed() {
		t.Logf("%s", out)
	}
}

// settled is a text with what is different each time made equal.
func settled(text string) string {
	for _, e := range []struct{ pattern, into string }{
		{`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`, "ID"},
		{`127\.0\.0\.1:\d+`, "127.0.0.1:PORT"},
		{`\d{4}-\d\d-\d\d( \d\d:\d\d UTC)?`, "DATE"},
		{`\d+\.\d+ s\b`, "SECONDS"},
		{`\d+ bytes`, "BYTES"},
		{`-{2,}`, "--"},
		{`[ \t]+`, " "},
		{`(?m)^ | $`, ""},
	} {
		text = regexp.MustCompile(e.pattern).ReplaceAllString(text, e.into)
	}
	return text
}

const (
	labKey   = "lab-management-key"
	vaultKey = "lab-vault-key"
	oldKey   = "the-old-key"
	newKey   = "the-new-key"
)

type lab struct {
	t                  *testing.T // of the whole, for cleaning up
	program            string
	run                string
	customer, supplier *edc.Management
	dsp                string
	database           string
	listen, ops        string

	process *exec.Cmd
	ended   chan struct{}
	stderr  *syncBuffer
}

func startLab(t *testing.T) *lab {
	scripts, err := filepath.Abs(filepath.Join("..", "..", "deploy", "edc", "lab"))
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{t: t, run: t.TempDir(), dsp: "http://127.0.0.1:19302/dsp", listen: "127.0.0.1:" + freePort(t),
		ops: "127.0.0.1:" + freePort(t)}
	environment := append(os.Environ(), "LAB_RUN="+filepath.Join(l.run, "edc"), "CUSTOMER_PORT=19300",
		"SUPPLIER_PORT=19400",
		"MANAGEMENT_KEY="+labKey, "VAULT_KEY="+vaultKey, "CUSTOMER_BPN="+example.Customer,
		"SUPPLIER_BPN="+example.Supplier)
	script := func(name string) ([]byte, error) {
		c := exec.Command(filepath.Join(scripts, name))
		c.Env = environment
		return c.CombinedOutput()
	}
	out, err := script("up.sh")
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == 77 {
		t.Skipf("%s", bytes.TrimSpace(out))
	} else if err != nil {
		t.Fatalf("%s\n%v", out, err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, name := range []string{"customer", "supplier"} {
				log, _ := os.ReadFile(filepath.Join(l.run, "edc", name+".log"))
				t.Logf("end of the %s's log:\n%s", name, log[max(0, len(log)-4000):])
			}
		}
		if out, err := script("down.sh"); err != nil {
			t.Errorf("%s\n%v", out, err)
		}
	})
	l.customer, l.supplier = management(t, 19301), management(t, 19401)

	l.program = filepath.Join(l.run, "dcm-receiver")
	if out, err := exec.Command("go", "build", "-o", l.program,
		"dcm-receiver/cmd/dcm-receiver").CombinedOutput(); err != nil {
		t.Fatalf("%s\n%v", out, err)
	}
	l.database = pgtest.NewServer(t, nil).URL("dcm")
	t.Cleanup(func() {
		if l.process != nil {
			l.stop(syscall.SIGTERM)
		}
		if t.Failed() {
			t.Logf("the receiver's log:\n%s", l.stderr)
		}
	})
	l.stderr = &syncBuffer{}
	l.start(t)
	return l
}

func management(t *testing.T, port int) *edc.Management {
	t.Helper()
	m, err := edc.NewManagement(fmt.Sprintf("http://127.0.0.1:%d/management", port), labKey, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
}

// start starts the receiver, with settings instead of or beside the usual ones.
func (l *lab) start(t *testing.T, settings ...string) {
	t.Helper()
	l.process = exec.Command(l.program, "serve")
	l.process.Dir = l.run
	l.process.Env = append(environ(), append([]string{"DATABASE_URL=" + l.database, "DCM_LISTEN=" + l.listen,
		"DCM_OPS_LISTEN=" + l.ops, "DCM_PLANNING_LISTEN=",
		"DCM_CUSTOMER_BPNLS=" + example.Customer, "DCM_API_KEYS=" + oldKey}, settings...)...)
	stdout := &syncBuffer{}
	l.process.Stdout, l.process.Stderr = stdout, l.stderr
	if err := l.process.Start(); err != nil {
		t.Fatal(err)
	}
	l.ended = make(chan struct{})
	go func() { _ = l.process.Wait(); close(l.ended) }()
	eventually(t, "the receiver is ready", func() bool {
		// It prints this once both listeners are its own: before, another program could answer in its place.
		if !strings.Contains(stdout.String(), "Operations: http://"+l.ops+"/") {
			select {
			case <-l.ended:
				t.Fatalf("the receiver ended:\n%s", l.stderr)
			default:
			}
			return false
		}
		resp, err := http.Get("http://" + l.ops + "/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// environ is the environment without settings of the program.
func environ() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "DCM_") ||
			strings.HasPrefix(v, "PG")
	})
}

func (l *lab) stop(signal syscall.Signal) {
	_ = l.process.Process.Signal(signal)
	<-l.ended
	l.process = nil
}

func (l *lab) restart(t *testing.T, settings ...string) {
	t.Helper()
	l.stop(syscall.SIGTERM)
	l.start(t, settings...)
}

// registration is what most tests register; one of them at a time.
func (l *lab) registration() edc.Registration {
	return edc.Registration{Prefix: "dcm", Version: "0.10.0", Backend: "http://" + l.listen, Key: oldKey,
		Type:   "HttpData",
		Header: edc.SenderHeader, Usage: "framework", Messages: true, Partners: []string{example.Supplier}}
}

func (l *lab) register(t *testing.T, r edc.Registration) {
	t.Helper()
	if _, err := edc.Register(t.Context(), l.customer, r, true); err != nil {
		t.Fatal(err)
	}
	if changes, err := edc.Register(t.Context(), l.customer, r, true); err != nil || len(changes) > 0 {
		t.Fatalf("registered a second time: %v, %v", changes, err)
	}
}

// sender is the supplier; a new one agrees on a contract of its own.
func (l *lab) sender(t *testing.T) *sender {
	return &sender{
		Consumer: &edc.Consumer{Management: l.supplier, Say: t.Logf, Whole: true},
		partner:  edc.Partner{BPNL: example.Customer, Address: l.dsp, Protocol: edc.DSP08},
		sessions: map[edc.Kind]edc.Session{},
	}
}

// sender sends to one partner, and keeps its sessions in memory.
type sender struct {
	*edc.Consumer
	partner  edc.Partner
	mu       sync.Mutex
	sessions map[edc.Kind]edc.Session
}

func (s *sender) session(kind edc.Kind) edc.Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[kind]
}

func (s *sender) keep(kind edc.Kind, session edc.Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions[kind] = session
}

func (s *sender) Open(ctx context.Context, kind edc.Kind, _ string, anew bool) error {
	if anew {
		s.keep(kind, edc.Session{})
	}
	session, _, err := s.Consumer.Open(ctx, s.partner, kind, s.session(kind))
	s.keep(kind, session)
	return err
}

func (s *sender) Post(ctx context.Context, kind edc.Kind, asset string, body []byte) (*edc.Answer, error) {
	c := *s.Consumer
	c.Asset = asset
	d, session := c.Send(ctx, s.partner, kind, s.session(kind), body)
	s.keep(kind, session)
	if d.Answer == nil {
		return nil, d.Err
	}
	return d.Answer, nil
}

func (s *sender) Reason(ctx context.Context, messageID string) (*edc.Stored, error) {
	stored, session, err := s.Consumer.Reason(ctx, s.partner, s.session(edc.Messages), messageID)
	s.keep(edc.Messages, session)
	return stored, err
}

// query reads one row.
func (l *lab) query(t *testing.T, sql string, args ...any) func(into ...any) {
	t.Helper()
	return func(into ...any) {
		t.Helper()
		c := l.connect(t)
		defer c.Close(context.Background())
		if err := c.QueryRow(t.Context(), sql, args...).Scan(into...); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

func (l *lab) connect(t *testing.T) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), l.database)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// a message, and what is changed in it.
type message struct {
	id    string
	group string
	body  []byte
}

var seed uint64

func newMessage(t *testing.T, edit func(group map[string]any)) message {
	t.Helper()
	seed++
	return again(t, example.Message(example.Options{Groups: 1, Weeks: 4, Seed: seed, Supplier: example.Supplier,
		Customer: example.Customer, Now: time.Now()}), edit)
}

// again is a message like another one under a messageId of its own.
func again(t *testing.T, body []byte, edit func(group map[string]any)) message {
	t.Helper()
	var m map[string]any
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	if err := decoder.Decode(&m); err != nil {
		t.Fatal(err)
	}
	id := uuid.NewString()
	m["messageHeader"].(map[string]any)["header"].(map[string]any)["messageId"] = id
	group := m["content"].(map[string]any)["informationObject"].([]any)[0].(map[string]any)
	if edit != nil {
		edit(group)
	}
	out, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return message{id, group["capacityGroupId"].(string), out}
}

type result struct {
	Results []struct {
		Rule    int
		Outcome string
		Errors  []struct{ Pointer, Detail string }
	}
}

func (l *lab) post(t *testing.T, s *sender, m message) *edc.Answer {
	t.Helper()
	a, err := s.Post(t.Context(), edc.CapacityGroup, "", m.body)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// cases are one message for each rule of CX-0048 §3.2.7, in an order in which
// they apply.
func cases(t *testing.T) []struct {
	name         string
	message      message
	rule, status int
} {
	first := newMessage(t, nil)
	changed := func(d time.Duration) message {
		return again(t, first.body, func(g map[string]any) {
			at, err := time.Parse(time.RFC3339Nano, g["changedAt"].(string))
			if err != nil {
				t.Fatal(err)
			}
			g["changedAt"] = at.Add(d).Format(time.RFC3339Nano)
		})
	}
	tuesday := func(g map[string]any) {
		week := g["capacities"].([]any)[2].(map[string]any)
		at, err := time.Parse(time.DateOnly, week["pointInTime"].(string))
		if err != nil {
			t.Fatal(err)
		}
		week["pointInTime"] = at.AddDate(0, 0, 1).Format(time.DateOnly)
	}
	return []struct {
		name         string
		message      message
		rule, status int
	}{
		{"unknown", first, 5, 201},
		{"identical", again(t, first.body, nil), 7, 200},
		{"newer", changed(time.Hour), 4, 200},
		{"older", changed(-time.Hour), 6, 400},
		{"a Tuesday", newMessage(t, tuesday), 1, 400},
		{"another supplier", newMessage(t, func(g map[string]any) { g["supplier"] = "BPNL00000000OTHR" }), 2, 400},
		{"another customer", newMessage(t, func(g map[string]any) { g["customer"] = "BPNL00000000OTHR" }), 3, 400},
	}
}

func (l *lab) invisible(t *testing.T) {
	r := l.registration()
	r.Partners = []string{"BPNL00000000OTHR"}
	l.register(t, r)
	_, err := l.sender(t).Post(t.Context(), edc.CapacityGroup, "", []byte("[]"))
	if err == nil || !strings.Contains(err.Error(), "shows your connector no WeekBasedCapacityGroup endpoint") {
		t.Errorf("got %v", err)
	}
	// one of several, and everyone with a valid membership
	for _, partners := range [][]string{{"BPNL00000000OTHR", example.Supplier}, nil} {
		r.Partners = partners
		l.register(t, r)
		if err := l.sender(t).Open(t.Context(), edc.CapacityGroup, "", false); err != nil {
			t.Errorf("%v: %v", partners, err)
		}
	}
}

// HttpData: every 2xx is a 200, everything else a 500; the reason is fetched.
func (l *lab) rulesFlattened(t *testing.T) {
	l.register(t, l.registration())
	s := l.sender(t)
	for _, c := range cases(t) {
		a := l.post(t, s, c.message)
		body := a.Body
		if c.status == 400 {
			code, denied := edc.AnsweredCode(a)
			if a.Status != 500 || code != 400 || denied {
				t.Errorf("%s: %d %s", c.name, a.Status, a.Body)
			}
			for _, id := range []string{c.message.id, "urn:uuid:" + strings.ToUpper(c.message.id), ""} {
				stored, err := s.Reason(t.Context(), id)
				if err != nil {
					t.Fatalf("%s: %v", c.name, err)
				}
				if stored.Status != 400 || stored.MessageID != c.message.id {
					t.Errorf("%s: %+v", c.name, stored)
				}
				body = stored.Answer
			}
		} else if a.Status != 200 {
			t.Errorf("%s: %d %s", c.name, a.Status, a.Body)
		}
		l.judged(t, c.name, c.message, body, c.rule, c.status)
	}
	// what cannot be read has no messageId
	a := l.post(t, s, message{body: []byte(`[{"capacityGroupId":`)})
	if code, _ := edc.AnsweredCode(a); a.Status != 500 || code != 422 {
		t.Errorf("no JSON: %d %s", a.Status, a.Body)
	}
	if stored, err := s.Reason(t.Context(), ""); err != nil || stored.Status != 422 {
		t.Errorf("no JSON: %+v, %v", stored, err)
	}
	if _, err := s.Reason(t.Context(), uuid.NewString()); err == nil ||
		!strings.Contains(err.Error(), "has no answer to this message") {
		t.Errorf("an unknown message: %v", err)
	}
}

// judged compares the answer and the journal with the rule.
func (l *lab) judged(t *testing.T, name string, m message, answer []byte, rule, status int) {
	t.Helper()
	var r result
	if err := json.Unmarshal(answer, &r); err != nil || len(r.Results) != 1 || r.Results[0].Rule != rule {
		t.Errorf("%s: %s, want rule %d (%v)", name, answer, rule, err)
	}
	var journalRule, journalStatus int
	var sender, agreement string
	l.query(t,
		`select o.rule, m.status, m.sender, m.contract_agreement_id from planning.message m join `+
			`planning.message_object o on o.message = m.id where m.message_id::text = $1`, m.id)(
		&journalRule, &journalStatus, &sender, &agreement)
	if journalRule != rule || journalStatus != status || sender != example.Supplier || agreement == "" {
		t.Errorf("%s: journal has rule %d, status %d, sender %s, agreement %q", name, journalRule, journalStatus,
			sender, agreement)
	}
}

// ProxyHttpData before 0.13 does not name the sender, so there is an asset for
// each supplier; status, headers and body are the receiver's.
func (l *lab) rulesAsTheyAre(t *testing.T) {
	r := l.registration()
	r.Type, r.PerSupplier, r.Partners = "ProxyHttpData", true, []string{example.Supplier, "BPNL00000000OTHR"}
	l.register(t, r)
	s := l.sender(t)
	for _, c := range cases(t) {
		a := l.post(t, s, c.message)
		if a.Status != c.status {
			t.Errorf("%s: %d %s", c.name, a.Status, a.Body)
		}
		if c.status == 400 && !strings.HasPrefix(a.ContentType, "application/problem+json") {
			t.Errorf("%s: content type %s", c.name, a.ContentType)
		}
		var r result
		if err := json.Unmarshal(a.Body, &r); err != nil || len(r.Results) != 1 || r.Results[0].Rule != c.rule {
			t.Errorf("%s: %s (%v)", c.name, a.Body, err)
		}
		var sender string
		l.query(t, "select sender from planning.message where message_id::text = $1", c.message.id)(&sender)
		if sender != example.Supplier {
			t.Errorf("%s: sender %s", c.name, sender)
		}
	}
}

func (l *lab) requestForUpdate(t *testing.T) {
	l.register(t, l.registration())
	id, demand := uuid.NewString(), uuid.NewString()
	body := fmt.Sprintf(`{"messageHeader":{"header":{"messageId":%q,
		"context":"CX-DCM-IDBasedRequestForUpdate:1.0.0","sentDateTime":%q,"senderBpn":%q,"receiverBpn":%q,
		"version":"3.0.0"}},
		"content":{"informationObject":[{"weekBasedMaterialDemand":[{"materialDemandId":%q}]}]}}`,
		id, time.Now().UTC().Format(time.RFC3339), example.Supplier, example.Customer, demand)
	a, err := l.sender(t).Post(t.Context(), edc.RequestForUpdate, "", []byte(body))
	if err != nil || a.Status != 200 {
		t.Fatalf("%+v, %v", a, err)
	}
	var found int
	l.query(t,
		"select count(*) from planning.request_for_update where message_id::text = $1 and "+
			"material_demand_id::text = $2 and supplier = $3", id, demand, example.Supplier)(&found)
	if found != 1 {
		t.Errorf("%d rows, answered %s", found, a.Body)
	}
}

// direct is a request without a connector, as only who has the key can make it.
func (l *lab) direct(t *testing.T, sender string, body []byte) int {
	t.Helper()
	req, err := http.NewRequest("POST", "http://"+l.listen+"/week-based-capacity-group", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", oldKey)
	req.Header.Set("Edc-Bpn", sender)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

func (l *lab) foreignAnswers(t *testing.T) {
	l.register(t, l.registration())
	m := newMessage(t, nil)
	if status := l.direct(t, "BPNL00000000OTHR", m.body); status != 400 { // not in the name of this sender
		t.Fatalf("%d", status)
	}
	s := l.sender(t)
	if _, err := s.Reason(t.Context(), m.id); err == nil ||
		!strings.Contains(err.Error(), "no answer to this message") {
		t.Errorf("another sender's answer: %v", err)
	}
	if stored, err := s.Reason(t.Context(), ""); err == nil && stored.MessageID == m.id {
		t.Error("another sender's answer is in the list")
	}
}

// spoofed: nothing that the supplier puts beside its message gets through.
func (l *lab) spoofed(t *testing.T) {
	l.register(t, l.registration())
	s := l.sender(t)
	if err := s.Open(t.Context(), edc.CapacityGroup, "", false); err != nil {
		t.Fatal(err)
	}
	own := s.Management.Client.Transport
	defer func() { s.Management.Client.Transport = own }()
	s.Management.Client.Transport = spoof{http.Header{"Edc-Bpn": {"BPNL00000000OTHR"},
		"Edc-Contract-Agreement-Id": {"spoofed"}, "X-Api-Key": {"spoofed"}}}
	m := newMessage(t, nil)
	if a := l.post(t, s, m); a.Status != 200 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	var sender, agreement string
	l.query(t, "select sender, contract_agreement_id from planning.message where message_id::text = $1",
		m.id)(&sender, &agreement)
	if sender != example.Supplier || agreement == "" || strings.Contains(agreement, "spoofed") {
		t.Errorf("sender %s, agreement %s", sender, agreement)
	}
}

// spoof adds headers on the session to the data plane.
type spoof struct{ header http.Header }

func (s spoof) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, "/public") {
		r = r.Clone(r.Context())
		for k, v := range s.header {
			r.Header[k] = v
		}
	}
	return http.DefaultTransport.RoundTrip(r)
}

func (l *lab) large(t *testing.T) {
	l.register(t, l.registration())
	one := len(example.Message(example.Options{Groups: 100, Weeks: 104, Seed: 7, Supplier: example.Supplier,
		Customer: example.Customer, Now: time.Now()})) / 100
	groups := 14 << 20 / one
	seed++
	body := example.Message(example.Options{Groups: groups, Weeks: 104, Seed: seed, Supplier: example.Supplier,
		Customer: example.Customer, Now: time.Now()})
	a := l.post(t, l.sender(t), message{body: body})
	var r result
	if err := json.Unmarshal(a.Body, &r); err != nil || a.Status != 200 || len(r.Results) != groups {
		t.Fatalf("%d, %d results (%v)", a.Status, len(r.Results), err)
	}
	t.Logf("%d groups, %.1f MiB: %.2f s", groups, float64(len(body))/(1<<20), a.Took.Seconds())
	for i, o := range r.Results {
		if o.Rule != 5 {
			t.Fatalf("group %d: rule %d", i, o.Rule)
		}
	}
	// one byte more than 15 MiB, and one that is over by far, end early and once
	before := l.requests(t, "413")
	for _, size := range []int{15<<20 + 1, 40 << 20} {
		a := l.post(t, l.sender(t), message{body: bytes.Repeat([]byte(" "), size)})
		if code, _ := edc.AnsweredCode(a); a.Status != 500 || code != 413 {
			t.Errorf("%d bytes: %d %.300s", size, a.Status, a.Body)
		}
	}
	if n := l.requests(t, "413") - before; n != 2 {
		t.Errorf("%v requests were answered 413, want 2", n)
	}
}

// requests is how many messages the receiver answered with a status.
func (l *lab) requests(t *testing.T, status string) (n float64) {
	t.Helper()
	resp, err := http.Get("http://" + l.ops + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if name, value, _ := strings.Cut(lines.Text(), "} "); strings.HasPrefix(name, "dcm_messages_total{") &&
			strings.Contains(name, `status="`+status+`"`) {
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatal(err)
			}
			n += v
		}
	}
	return n
}

// lockGroups holds up anyone who writes capacity groups, until the answer is called.
func (l *lab) lockGroups(t *testing.T) (release func()) {
	t.Helper()
	c := l.connect(t)
	for _, sql := range []string{"begin", "lock table dcm.capacity_group in access exclusive mode"} {
		if _, err := c.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	return sync.OnceFunc(func() { _ = c.Close(context.Background()) })
}

func (l *lab) waiting(t *testing.T) int {
	t.Helper()
	var n int
	l.query(t,
		"select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()")(&n)
	return n
}

// killed: the receiver dies while it works on a message. The data plane sends
// the same again until the receiver is back, and the supplier has its 200.
func (l *lab) killed(t *testing.T) {
	l.register(t, l.registration())
	s := l.sender(t)
	if err := s.Open(t.Context(), edc.CapacityGroup, "", false); err != nil {
		t.Fatal(err)
	}
	m := newMessage(t, nil)
	release := l.lockGroups(t)
	defer release()
	done := make(chan *edc.Answer, 1)
	go func() {
		a, err := s.Post(t.Context(), edc.CapacityGroup, "", m.body)
		if err != nil {
			t.Error(err)
		}
		done <- a
	}()
	eventually(t, "the message waits for the store", func() bool { return l.waiting(t) > 0 })
	l.stop(syscall.SIGKILL)
	release()
	l.start(t)
	a := <-done
	if a == nil {
		return
	}
	if a.Status != 200 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	t.Logf("answered after %.1f s", a.Took.Seconds())
	var stored, weeks, entries int
	l.query(t, "select count(*) from planning.capacity_group where capacity_group_id::text = $1", m.group)(&stored)
	l.query(t, "select count(*) from planning.capacity where capacity_group_id::text = $1", m.group)(&weeks)
	l.query(t, "select count(*) from planning.message where message_id::text = $1 and status in (200, 201)",
		m.id)(&entries)
	if stored != 1 || weeks != 4 || entries < 1 {
		t.Errorf("%d groups, %d weeks, %d entries", stored, weeks, entries)
	}
}

// slow: the store hangs. The receiver gives up before the data plane does, so
// nothing is sent again behind the supplier's back and nothing piles up.
func (l *lab) slow(t *testing.T) {
	l.register(t, l.registration())
	l.restart(t, "DCM_REQUEST_TIMEOUT=3s")
	defer l.restart(t)
	s := l.sender(t)
	if err := s.Open(t.Context(), edc.CapacityGroup, "", false); err != nil {
		t.Fatal(err)
	}
	const senders = 8
	release := l.lockGroups(t)
	defer release()
	messages := make([]message, senders)
	for i := range messages {
		messages[i] = newMessage(t, nil)
	}
	var group sync.WaitGroup
	for _, m := range messages {
		group.Go(func() {
			a, err := s.Post(t.Context(), edc.CapacityGroup, "", m.body)
			if err != nil {
				t.Error(err)
				return
			}
			if code, _ := edc.AnsweredCode(a); a.Status != 500 || code != 503 {
				t.Errorf("%d %s", a.Status, a.Body)
			}
		})
	}
	group.Wait()
	if n := l.requests(t, "503"); n != senders {
		t.Errorf("%v requests reached the receiver for %d messages", n, senders)
	}
	release()
	eventually(t, "nothing waits any more", func() bool { return l.waiting(t) == 0 })
	for _, m := range messages {
		if a := l.post(t, s, m); a.Status != 200 {
			t.Errorf("sent again: %d %s", a.Status, a.Body)
		}
	}
	if n := l.requests(t, "503"); n != senders {
		t.Errorf("%v requests answered 503 in the end", n)
	}
}

// rotation: the steps of deploy/connector.md, "Changing the API key". A supplier sends all
// the time, on the session that it opened before; no message is lost.
func (l *lab) rotation(t *testing.T) {
	l.register(t, l.registration())
	s := l.sender(t)
	ok := func(step string, s *sender) {
		t.Helper()
		if a := l.post(t, s, newMessage(t, nil)); a.Status != 200 {
			t.Errorf("%s: %d %s", step, a.Status, a.Body)
		}
	}
	ok("before", s)
	l.restart(t, "DCM_API_KEYS="+oldKey+","+newKey)
	ok("both accepted", s)
	l.restart(t, "DCM_API_KEYS="+newKey+","+oldKey)
	r := l.registration()
	r.Key = newKey
	l.register(t, r)
	ok("new one registered, old way", s)
	fresh := l.sender(t)
	ok("new one registered, new way", fresh)

	// the customer ends the open transfers: the sender opens a new one automatically
	ending := l.sender(t)
	ok("before its end", ending)
	var open []struct {
		ID string `json:"@id"`
	}
	if err := json.Unmarshal(l.api(t, "POST", "/transferprocesses/request",
		`{"@context":{"@vocab":"https://w3id.org/edc/v0.0.1/ns/"},"@type":"QuerySpec",`+
			`"sortField":"stateTimestamp","sortOrder":"DESC","limit":1}`), &open); err != nil || len(open) != 1 {
		t.Fatalf("%v, %v", open, err)
	}
	l.api(t, "POST", "/transferprocesses/"+open[0].ID+"/terminate",
		`{"@context":{"@vocab":"https://w3id.org/edc/v0.0.1/ns/"},"@type":"TerminateTransfer","reason":"new key"}`)
	time.Sleep(time.Second) // the connectors tell each other
	ok("after its end", ending)

	// who drops the old key now, loses anyone who is still on an old way …
	l.restart(t, "DCM_API_KEYS="+newKey)
	ok("new one only, new way", fresh)
	m := newMessage(t, nil)
	a := l.post(t, s, m)
	if _, denied := edc.AnsweredCode(a); a.Status != 500 || !denied {
		t.Errorf("new one only, old way: %d %s", a.Status, a.Body)
	}
	// … until it opens a new one
	if err := s.Open(t.Context(), edc.CapacityGroup, "", true); err != nil {
		t.Fatal(err)
	}
	if a := l.post(t, s, m); a.Status != 200 {
		t.Errorf("new one only, after a new transfer: %d %s", a.Status, a.Body)
	}
	l.restart(t)
}

// api calls the customer's Management API as an operator would.
func (l *lab) api(t *testing.T, method, path, body string) []byte {
	t.Helper()
	req, err := http.NewRequest(method, l.customer.URL+"/v3"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", labKey)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 && resp.StatusCode != 404 {
		t.Fatalf("%s %s: %d %s, %v", method, path, resp.StatusCode, data, err)
	}
	return data
}

// consumer: what the outbox uses. A refusal comes through HttpData with its
// status, and a transfer that was ended is opened anew under the same agreement.
func (l *lab) consumer(t *testing.T) {
	l.register(t, l.registration())
	c := &edc.Consumer{Management: l.supplier, Say: t.Logf}
	to := edc.Partner{BPNL: example.Customer, Address: l.dsp}
	var session edc.Session
	send := func(step string, m message, outcome edc.Outcome, status int) {
		t.Helper()
		var d edc.Delivery
		if d, session = c.Send(t.Context(), to, edc.CapacityGroup, session, m.body); d.Outcome != outcome ||
			d.Status != status {
			t.Errorf("%s: %+v", step, d)
		}
	}
	send("first", newMessage(t, nil), edc.Delivered, 200)
	first := session
	refused := newMessage(t, func(g map[string]any) { g["supplier"] = "BPNL00000000OTHR" })
	send("refused", refused, edc.Refused, 400)
	if session != first {
		t.Errorf("%+v, then %+v", first, session)
	}
	stored, _, err := c.Reason(t.Context(), to, edc.Session{}, refused.id)
	if err != nil || stored.Status != 400 {
		t.Errorf("the reason: %+v, %v", stored, err)
	}
	l.api(t, "POST", "/transferprocesses/"+l.latestTransfer(t, first.Asset)+"/terminate",
		`{"@context":{"@vocab":"https://w3id.org/edc/v0.0.1/ns/"},"@type":"TerminateTransfer","reason":"test"}`)
	time.Sleep(time.Second) // the connectors tell each other
	send("after its end", newMessage(t, nil), edc.Delivered, 200)
	if session.Transfer == first.Transfer || session.Agreement != first.Agreement {
		t.Errorf("%+v, then %+v", first, session)
	}
}

// latestTransfer is the customer's ID of the transfer of an asset that began last.
func (l *lab) latestTransfer(t *testing.T, asset string) string {
	t.Helper()
	var open []struct {
		ID string `json:"@id"`
	}
	query := `{"@context":{"@vocab":"https://w3id.org/edc/v0.0.1/ns/"},"@type":"QuerySpec",
		"sortField":"stateTimestamp","sortOrder":"DESC","limit":1,
		"filterExpression":[{"operandLeft":"assetId","operator":"=","operandRight":"` + asset + `"}]}`
	if err := json.Unmarshal(l.api(t, "POST", "/transferprocesses/request", query), &open); err != nil ||
		len(open) != 1 {
		t.Fatalf("%v, %v", open, err)
	}
	return open[0].ID
}

// vault: the key is not on the asset, and the data plane finds it all the same.
func (l *lab) vault(t *testing.T) {
	l.restart(t, "DCM_API_KEYS="+vaultKey)
	defer l.restart(t)
	r := l.registration()
	r.Key, r.KeyAlias = "", "dcm-receiver-key"
	l.register(t, r)
	if a := l.post(t, l.sender(t), newMessage(t, nil)); a.Status != 200 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}

// commands: what a person would type.
func (l *lab) commands(t *testing.T) {
	l.register(t, l.registration())
	run := func(status int, arguments ...string) string {
		t.Helper()
		c := exec.Command(l.program, arguments...)
		m := l.customer
		if arguments[1] == "send" {
			m = l.supplier
		}
		c.Env = append(environ(), "DCM_EDC_MANAGEMENT_URL="+m.URL, "DCM_EDC_MANAGEMENT_KEY="+m.Key,
			"DCM_EDC_BACKEND_URL=http://"+l.listen, "DCM_API_KEYS="+oldKey,
			"DCM_PARTNERS="+example.Supplier, "DCM_EDC_CUSTOMER="+example.Customer, "DCM_EDC_CUSTOMER_URL="+l.dsp,
			"DCM_EDC_CACHE_DIR="+filepath.Join(l.run, "cache"))
		out, err := c.CombinedOutput()
		if c.ProcessState == nil || c.ProcessState.ExitCode() != status {
			t.Errorf("%v: %v, want exit status %d\n%s", arguments, err, status, out)
		}
		return string(out)
	}
	contains := func(out string, parts ...string) {
		t.Helper()
		for _, p := range parts {
			if !strings.Contains(out, p) {
				t.Errorf("%q is not in\n%s", p, out)
			}
		}
	}
	file := func(m message) string {
		t.Helper()
		name := filepath.Join(l.run, m.id+".json")
		if err := os.WriteFile(name, m.body, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	contains(run(0, "edc", "register", "--backend-url=http://"+l.listen+"/"), "nothing to change")
	contains(run(0, "edc", "register", "--asset-type=ProxyHttpData", "--per-supplier"),
		"create contract definition dcm-capacity-group-"+example.Supplier,
		"withdraw contract definition dcm-capacity-group")
	contains(run(0, "edc", "register"), "create contract definition dcm-capacity-group")
	contains(run(0, "edc", "register"), "nothing to change")
	contains(run(0, "edc", "register", "--check"), "nothing to change", "DCM_EDC_DSP_URL")
	contains(run(0, "edc", "register", "--check", "--dsp-url="+l.dsp, "--customer-bpnls="+example.Customer),
		"it shows none of it, as DCM_PARTNERS wants")
	contains(run(3, "edc", "register", "--check", "--dsp-url=http://127.0.0.1:1/dsp",
		"--customer-bpnls="+example.Customer), "could not get the catalogue")
	contains(run(1, "edc", "register", "--check", "--usage-policy=use"), `policy: "use if `, `wanted "use"`)
	contains(run(0, "edc", "register", "--dry-run"), `"asset:prop:dcm": "weekbasedcapacitygroup-endpoint"`)
	contains(run(3, "edc", "register", "--management-url=http://127.0.0.1:1"), "cannot be reached")
	contains(run(2, "edc", "register", "--management-key=no"), "set DCM_EDC_MANAGEMENT_KEY")
	contains(run(2, "edc", "register", "--prefix=../x"), "DCM_EDC_PREFIX")

	good, bad := newMessage(t, nil), newMessage(t, func(g map[string]any) { g["unitOfMeasureIsOmitted"] = true })
	contains(run(0, "edc", "send", "--dry-run", file(good)), "1. Looking into the catalogue",
		"3. Starting a transfer", "not sent")
	contains(run(0, "edc", "send", file(good)), "Reusing contract agreement ", "answered 200 OK",
		`"outcome": "created"`)
	contains(run(1, "edc", "send", file(good), file(bad)), `"rule": 7`, "answered 500",
		"The receiver's answer, kept since", "400 Bad Request", "/content/informationObject/0/unitOfMeasure")
	contains(run(0, "edc", "send", "--new", file(good)), "2. Agreeing on a contract")
	contains(run(0, "edc", "register", "--json", "--check", "--dsp-url="+l.dsp, "--customer-bpnls="+example.Customer),
		`"catalogue":"`+l.dsp+`","shown":[],"wrong":[]`)
	contains(run(1, "edc", "send", "--json", file(good), file(bad)), `"accepted":true`, `"accepted":false`,
		`"kept":{"id":`)

	l.restart(t, "DCM_PARTNERS=BPNL00000000OTHR")
	contains(run(1, "edc", "send", file(good)), "the partner does not allow your BPNL to send")
	l.restart(t)
}

// cx0128: what the standard adds is offered beside what is there, which keeps its
// IDs; a comment comes in on its own endpoint, and a company in both roles offers
// the endpoints of both.
func (l *lab) cx0128(t *testing.T) {
	r := l.registration()
	l.register(t, r)
	r.Comments, r.Capable = true, edc.Capabilities
	changes, err := edc.Register(t.Context(), l.customer, r, false)
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, c := range changes {
		said = append(said, c.Summary())
	}
	if got, want := strings.Join(said, ", "),
		"create asset dcm-comment, create asset dcm-load-factor, create asset dcm-delta-production, create asset "+
			"dcm-demand-volatility, "+
			"create contract definition dcm-comment, create contract definition dcm-load-factor, create contract "+
			"definition dcm-delta-production, create contract definition dcm-demand-volatility"; got != want {
		t.Errorf("to be changed: %s\nwant %s", got, want)
	}
	l.register(t, r)
	if changes, err := edc.Register(t.Context(), l.customer, r, false); err != nil || len(changes) > 0 {
		t.Errorf("looked at again: %v, %v", changes, err)
	}
	// what the supplier's connector is shown
	shown := func(want ...string) {
		t.Helper()
		asked := r
		asked.Partners = nil
		seen, wrong, err := edc.Seen(t.Context(), l.supplier, edc.Partner{BPNL: example.Customer, Address: l.dsp},
			asked)
		if err != nil || len(wrong) > 0 || !slices.Equal(slices.Sorted(slices.Values(seen)),
			slices.Sorted(slices.Values(want))) {
			t.Errorf("the supplier sees %v, want %v (%v, %v)", seen, want, wrong, err)
		}
	}
	shown("dcm-capacity-group", "dcm-request-for-update", "dcm-comment", "dcm-messages", "dcm-load-factor",
		"dcm-delta-production", "dcm-demand-volatility")

	l.restart(t, "DCM_STANDARD=cx-0128")
	seed++
	options := example.Options{Groups: 1, Weeks: 4, Seed: seed, Supplier: example.Supplier,
		Customer: example.Customer, Now: time.Now(), Context: standard.Latest().Models[dcm.CapacityGroupEndpoint.Path] +
			".x.x"}
	s := l.sender(t)
	group := again(t, example.Message(options), nil)
	if a := l.post(t, s, group); a.Status != 200 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	comment := func(object string) []byte {
		now := time.Now().UTC().Format(time.RFC3339)
		body, err := json.Marshal(map[string]any{
			"messageHeader": map[string]any{"header": map[string]any{"messageId": uuid.NewString(),
				"context": standard.Latest().Models[dcm.CommentEndpoint.Path] + ".x.x", "sentDateTime": now,
				"senderBpn": example.Supplier, "receiverBpn": example.Customer, "version": "3.0.0"}},
			"content": map[string]any{"informationObject": []any{map[string]any{"commentId": uuid.NewString(),
				"supplier": example.Supplier, "customer": example.Customer,
				"objectId": object, "objectType": "urn:samm:io.catenax.week_based_capacity_group",
				"author": "planning@supplier.example", "postedAt": now, "changedAt": now,
				"commentType": "information", "commentText": "Shutdown in August",
				"listOfReferenceDates": []string{}}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	for _, c := range []struct {
		name    string
		object  string
		rule    int
		refused bool
	}{{"on its group", group.group, 8, false}, {"on a group that we do not know", uuid.NewString(), 4, true}} {
		body := comment(c.object)
		a, err := s.Post(t.Context(), edc.Comment, "", body)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		answer := a.Body
		if _, denied := edc.AnsweredCode(a); denied != c.refused || (a.Status == 200) == c.refused {
			t.Errorf("%s: %d %s", c.name, a.Status, a.Body)
		}
		if c.refused {
			stored, err := s.Reason(t.Context(), edc.MessageID(body))
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			answer = stored.Answer
		}
		var got result
		if err := json.Unmarshal(answer, &got); err != nil || len(got.Results) != 1 || got.Results[0].Rule != c.rule {
			t.Errorf("%s: %s, want rule %d (%v)", c.name, answer, c.rule, err)
		}
	}
	var comments int
	l.query(t,
		"select count(*) from planning.comment where object_id::text = $1 and comment_text = 'Shutdown in August'",
		group.group)(&comments)
	if comments != 1 {
		t.Errorf("%d comments", comments)
	}

	r.Roles = []dcm.Role{dcm.CustomerRole, dcm.SupplierRole}
	l.register(t, r)
	shown("dcm-capacity-group", "dcm-material-demand", "dcm-request-for-update", "dcm-comment", "dcm-messages",
		"dcm-load-factor", "dcm-delta-production", "dcm-demand-volatility")

	// Back to CX-0048: the offers go, everything else stays as it is.
	r = l.registration()
	l.register(t, r)
	shown("dcm-capacity-group", "dcm-request-for-update", "dcm-messages")
	l.restart(t)
}

// background: serve registers automatically, and receives whether it can or not.
func (l *lab) background(t *testing.T) {
	settings := []string{"DCM_EDC_REGISTER=true", "DCM_EDC_BACKEND_URL=http://" + l.listen, "DCM_EDC_PREFIX=by-serve",
		"DCM_EDC_MANAGEMENT_URL=" + l.customer.URL, "DCM_PARTNERS=" + example.Supplier}
	for _, o := range l.registration().Objects() { // only one asset of a kind may be offered
		if o.Collection == "contractdefinitions" {
			l.api(t, "DELETE", "/contractdefinitions/"+o.ID, "")
		}
	}
	is := func(state string) func() bool {
		return func() bool {
			resp, err := http.Get("http://" + l.ops + "/metrics")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			return err == nil && bytes.Contains(text, []byte(`dcm_edc_registration_state{state="`+state+`"} 1`))
		}
	}
	l.restart(t, append(settings, "DCM_EDC_MANAGEMENT_KEY=wrong")...)
	eventually(t, "registering has failed", is("failed"))
	resp, err := http.Get("http://" + l.ops + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != 200 ||
		!bytes.Contains(text, []byte("set DCM_EDC_MANAGEMENT_KEY")) {
		t.Errorf("/readyz: %d %s, %v", resp.StatusCode, text, err)
	}
	if status := l.direct(t, example.Supplier, newMessage(t, nil).body); status != 201 {
		t.Errorf("not registered: %d", status)
	}
	l.restart(t, append(settings, "DCM_EDC_MANAGEMENT_KEY="+labKey)...)
	eventually(t, "registered", is("registered"))
	if a := l.post(t, l.sender(t), newMessage(t, nil)); a.Status != 200 {
		t.Errorf("registered: %d %s", a.Status, a.Body)
	}
	l.restart(t)
	eventually(t, "switched off", is("off"))
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after a minute it is not so that %s", what)
		}
	}
}

type syncBuffer struct {
	sync.Mutex
	bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.Lock()
	defer b.Unlock()
	return b.Buffer.Write(p)
}

func (b *syncBuffer) String() string {
	b.Lock()
	defer b.Unlock()
	return b.Buffer.String()
}

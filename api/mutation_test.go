package api_test

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var mutate = flag.Bool("mutate", false, "break the code of rows of conformance.md, and see that a test named there fails (make conformance-check)")

// mutations break what a row of conformance.md names: old, which stands in the file
// once, becomes new. The test, one of those that the row names, must fail then.
// cases stands for internal/receiver: TestCases, which runs what rows call cases.
var mutations = []struct{ row, file, old, new, test string }{
	{"| 3.2.2 ¶9 |", "internal/payload/capacitygroup.go", "if d.Weekday() != time.Monday {", "if false && d.Weekday() != time.Monday {", cases},
	{"At least one other week MUST", "internal/payload/capacitygroup.go", "return week != today.Monday() && week != today.Monday()+7", "return true", cases},
	{"A week MUST NOT be there several times", "internal/payload/capacitygroup.go", "if n.seen[d] {", "if false && n.seen[d] {", cases},
	{"| 3.2.2 ¶17 |", "internal/payload/capacitygroup.go", "if slices.Contains(n.first, entry) {", "if len(n.first) > 0 && n.first[len(n.first)-1] == entry {", "internal/payload: TestViolations"},
	{"| `linkedDemandSeries[]` |", "internal/payload/capacitygroup.go", "if slices.Contains(n.first, entry) {", "if false {", "internal/payload: TestViolations"},
	{"| `unitOfMeasureIsOmitted` |", "internal/payload/capacitygroup.go", "case omitted && sent:", "case false && omitted && sent:", cases},
	{"| `relatedMessageId` |", "internal/payload/payload.go", "id, ok = r.id()\n\t\t\t\t\theader.RelatedMessageID", "id, _ = r.id()\n\t\t\t\t\tok = true\n\t\t\t\t\theader.RelatedMessageID", "internal/payload: TestEnvelope"},
	{"| `senderBpn` |", "internal/receiver/judge.go", "if h.SenderBPN != in.Sender {", "if false {", cases},
	{"| `receiverBpn` |", "internal/receiver/judge.go", "if !ours(h.ReceiverBPN) {", "if false {", cases},
	{"| table, 503 |", "internal/receiver/receiver.go", "if !rc.bytes.Take(sender, size-held) {", "if rc.bytes.Force(sender, size-held); false {", "internal/receiver: TestBytesHeldAtOnce"},
	{"`internal/cx0048/capacitygroup.go: notTheSupplier`", "internal/cx0048/capacitygroup.go", "return s.Object.Supplier != s.Sender", "return false", cases},
	{"`internal/cx0048/capacitygroup.go: notOurCustomer`", "internal/cx0048/capacitygroup.go", "return !s.Ours(s.Object.Customer)", "return false", cases},
	{"`internal/cx0048/capacitygroup.go: newerGroup`", "internal/cx0048/capacitygroup.go", "return known(s) && s.Object.ChangedAt.After(s.Stored.ChangedAt.Time)", "return known(s) && s.Object.ChangedAt.Unix() > s.Stored.ChangedAt.Unix()", cases},
	{"`internal/cx0048/capacitygroup.go: olderGroup`", "internal/cx0048/capacitygroup.go", "return known(s) && s.Object.ChangedAt.Before(s.Stored.ChangedAt.Time)", "return false", cases},
	{"`internal/cx0048/materialdemand.go: notTheCustomer`", "internal/cx0048/materialdemand.go", "return s.Object.Customer != s.Sender", "return false", cases},
}

const cases = "internal/receiver: TestCases"

// TestMutations holds the list above to the tree and the document; with -mutate it
// runs it.
func TestMutations(t *testing.T) {
	document := read(t, "api/conformance.md")
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mutations {
		row := ""
		for line := range strings.Lines(document) {
			if strings.HasPrefix(line, "|") && strings.Contains(line, m.row) && (row == "" || strings.Contains(line, "ase ")) {
				row = line
			}
		}
		if named := "`" + m.test + "`"; row == "" || !strings.Contains(row, named) && (m.test != cases || !strings.Contains(row, "case ")) {
			t.Errorf("%s: there is no such row, or it does not name %s", m.row, m.test)
		}
		source := read(t, m.file)
		if n := strings.Count(source, m.old); n != 1 {
			t.Errorf("%s: %q is there %d times in %s, want once", m.row, m.old, n, m.file)
		}
		if !*mutate {
			continue
		}
		dir := t.TempDir()
		broken, overlay := filepath.Join(dir, "broken.go"), filepath.Join(dir, "overlay.json")
		replace, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(root, m.file): broken}})
		if err != nil {
			t.Fatal(err)
		}
		for file, text := range map[string]string{broken: strings.Replace(source, m.old, m.new, 1), overlay: string(replace)} {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		folder, test, _ := strings.Cut(m.test, ": ")
		cmd := exec.CommandContext(t.Context(), "go", "test", "-vet=off", "-overlay", overlay, "-run", "^"+test+"$", "./"+folder)
		cmd.Dir = root
		out, err := cmd.CombinedOutput()
		switch {
		case err == nil:
			t.Errorf("%s: %s passes although %s has %q instead of %q", m.row, m.test, m.file, m.new, m.old)
		case !strings.Contains(string(out), "--- FAIL: "+test):
			t.Errorf("%s: the broken code does not build: %s", m.row, out)
		default:
			t.Logf("%s noticed by %s", m.row, m.test)
		}
	}
}

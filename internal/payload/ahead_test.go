package payload

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/example"
)

// holdSideBySide checks that it makes no difference into how many pieces a body
// is split.
func holdSideBySide(t *testing.T, body []byte, today dcm.Date) *Message {
	t.Helper()
	want, wantErr := readCapacityGroups(body, today, 1)
	for _, pieces := range []int{2, 5} {
		got, gotErr := readCapacityGroups(body, today, pieces)
		if !reflect.DeepEqual(wantErr, gotErr) {
			t.Fatalf("in %d pieces: %v, in one: %v", pieces, gotErr, wantErr)
		}
		if wantErr == nil && !reflect.DeepEqual(want, got) {
			t.Fatalf("in %d pieces:\n%+v\nin one:\n%+v", pieces, got, want)
		}
	}
	return want
}

// lists are messages in the spellings that matter to where pieces begin.
func lists(t testing.TB, groups int) (bodies [][]byte) {
	indented := example.Message(example.Options{Groups: groups, Weeks: 3, Supplier: example.Supplier, Customer: example.Customer, Now: time.Now()})
	var compact bytes.Buffer
	if err := json.Compact(&compact, indented); err != nil {
		t.Fatal(err)
	}
	var message struct {
		Content struct {
			InformationObject json.RawMessage `json:"informationObject"`
		} `json:"content"`
	}
	if err := json.Unmarshal(indented, &message); err != nil {
		t.Fatal(err)
	}
	return [][]byte{indented, compact.Bytes(), message.Content.InformationObject}
}

func TestListReadSideBySide(t *testing.T) {
	today := dcm.DateOf(time.Now().UTC())
	for _, body := range lists(t, 12) {
		if m := holdSideBySide(t, body, today); len(m.CapacityGroups) != 12 || m.CapacityGroups[11].Errors.Any() {
			t.Errorf("%d groups, the last with %v", len(m.CapacityGroups), m.CapacityGroups[11].Errors)
		}
		for i := range 12 { // one that is not valid
			parts := strings.SplitAfterN(string(body), `"capacityGroupId"`, i+2)
			parts[i+1] = strings.Replace(parts[i+1], example.Customer, "BPNL", 1)
			if m := holdSideBySide(t, []byte(strings.Join(parts, "")), today); !m.CapacityGroups[i].Errors.Any() {
				t.Errorf("group %d is not valid", i)
			}
		}
		for i := range body { // no JSON from here on, or an odd value
			if i%41 == 0 {
				holdSideBySide(t, append(bytes.Clone(body[:i]), body[i+1:]...), today)
			}
		}
		// What looks like the start of a group, in a string and in a group.
		looks := strings.ReplaceAll(string(body), `"name": "`, `"name": "{\"capacityGroupId\": `)
		holdSideBySide(t, []byte(looks), today)
		inner := string(lists(t, 1)[2])
		holdSideBySide(t, []byte(strings.ReplaceAll(string(body), `"name"`, `"other": `+inner+`, "name"`)), today)
	}
}

// TestLimitOfObjectsSideBySide has more objects than can be valid, before some
// that are.
func TestLimitOfObjectsSideBySide(t *testing.T) {
	body := lists(t, 40)[2]
	begin, _, _ := bytes.Cut(body[1:], []byte(":")) // as pieces do
	for bad := 0; bad <= 600; bad += 20 {
		few := fmt.Sprintf("[%s%s", strings.Repeat(string(begin)+":1},", bad), body[1:])
		m := holdSideBySide(t, []byte(few), dcm.DateOf(time.Now().UTC()))
		if refused := bad+40 > max(alwaysObjects, len(few)/minObject); refused != m.Errors.Any() {
			t.Errorf("%d objects in %d bytes: refused as a whole: %v", bad+40, len(few), m.Errors)
		}
	}
}

func FuzzListReadSideBySide(f *testing.F) {
	for _, body := range lists(f, 4) {
		f.Add(body)
	}
	today := dcm.DateOf(time.Now().UTC())
	f.Fuzz(func(t *testing.T, body []byte) { holdSideBySide(t, body, today) })
}

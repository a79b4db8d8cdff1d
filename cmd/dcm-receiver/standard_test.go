package main_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"unicode"

	"dcm-receiver/internal/privatepg/pgtest"

	"github.com/jackc/pgx/v5"
)

// runs a command of the built program; out is what it prints, on both streams.
func runs(t *testing.T, env []string, stdin string, args ...string) (status int, out string) {
	t.Helper()
	command := exec.Command(binary, args...)
	command.Env, command.Dir, command.Stdin = environment(env...), t.TempDir(), strings.NewReader(stdin)
	printed, err := command.CombinedOutput()
	if exit, is := err.(*exec.ExitError); is {
		return exit.ExitCode(), string(printed)
	} else if err != nil {
		t.Fatal(err)
	}
	return 0, string(printed)
}

// publishedGroup is the example of the published model WeekBasedCapacityGroup 3.0.1,
// in an envelope; the envelope is ours.
func publishedGroup(t *testing.T) string {
	t.Helper()
	request, err := os.ReadFile(
		"../../internal/receiver/testdata/cx-0128/" +
			"week-based-capacity-group/published-example-breaks-rules-4-and-5/request.json")
	if err != nil {
		t.Fatal(err)
	}
	return string(request)
}

// TestStandardOfPayloads: what one standard takes and the other refuses, with
// --standard and with DCM_STANDARD, and in the server that this is said for.
func TestStandardOfPayloads(t *testing.T) {
	_, bare := runs(t, nil, "", "example", "--groups", "1", "--weeks", "3")
	_, enveloped := runs(t, nil, "", "example", "--groups", "1", "--weeks", "3", "--standard", "cx-0128")
	var message struct {
		MessageHeader struct{ Header struct{ Context string } }
	}
	if err := json.Unmarshal([]byte(enveloped), &message); err != nil ||
		message.MessageHeader.Header.Context != "urn:samm:io.catenax.week_based_capacity_group:3.x.x" {
		t.Errorf("example --standard cx-0128: %v, %+v", err, message)
	}
	published := publishedGroup(t)
	for _, c := range []struct {
		name, body, standard string
		status               int
		says                 []string
	}{
		{"example", bare, "cx-0048", 0, []string{"valid, 1 object"}},
		{"example", bare, "cx-0128", 1,
			[]string{"/messageHeader/header/context: context must be " +
				"urn:samm:io.catenax.week_based_capacity_group:3.x.x"}},
		{"example of cx-0128", enveloped, "cx-0128", 0, []string{"valid, 1 object"}},
		{"example of cx-0128", enveloped, "cx-0048", 0, []string{"valid, 1 object"}},
		{"published example", published, "cx-0048", 0, []string{"valid, 1 object"}},
		// by rule 1; the receiver refuses it by a later one
		{"published example", published, "cx-0128", 0, []string{"valid, 1 object",
			"warning: /content/informationObject/0/linkedCapacityGroups: it will be refused by a later rule: both " +
				"linkedCapacityGroups and linkedDemandSeries have a value",
			"warning: /content/informationObject/0/demandVolatilityParameters/startReferenceDateTime: it will be " +
				"refused by a later rule: startReferenceDateTime is 2024-01-10T12:00:00.32Z, in the past"}},
		{"a start in the past", strings.Replace(published, `"linkedCapacityGroups"`, `"linkedcapacitygroups"`, 1),
			"cx-0128", 0,
			[]string{"warning: /content/informationObject/0/demandVolatilityParameters/startReferenceDateTime: it " +
				"will be refused unless the receiver has this value already"}},
		{"no JSON", "{", "cx-0128", 1, []string{"not one JSON text"}},
	} {
		t.Run(c.name+" by "+c.standard, func(t *testing.T) {
			status, out := runs(t, nil, c.body, "validate", "--standard", c.standard, "-")
			fromVariable, sameOut := runs(t, []string{"DCM_STANDARD=" + c.standard}, c.body, "validate", "-")
			if itIs := regexp.MustCompile(`it is [^)]*`); status != c.status || fromVariable != status ||
				itIs.ReplaceAllString(sameOut, "") != itIs.ReplaceAllString(out, "") {
				t.Errorf("status %d and by DCM_STANDARD %d, want %d: %s%s", status, fromVariable, c.status, out,
					sameOut)
			}
			for _, words := range c.says {
				if !strings.Contains(out, words) {
					t.Errorf("it lacks %q: %s", words, out)
				}
			}
		})
	}
	// The same message to the program itself.
	url := pgtest.New(t)
	for standard, want := range map[string]int{"cx-0048": 201, "cx-0128": 400} {
		p := start(t, "DATABASE_URL="+url, "DCM_STANDARD="+standard)
		status, answer := p.post("week-based-capacity-group", "BPNL6666666666YY", published)
		if status != want {
			t.Errorf("%s: %d %s", standard, status, answer)
		}
		if both := strings.Contains(answer, "both linkedCapacityGroups and linkedDemandSeries") &&
			strings.Contains(answer, "in the past: rule 5 will refuse that too"); both != (want == 400) {
			t.Errorf("%s: both reasons: %t: %s", standard, both, answer)
		}
		p.end(syscall.SIGTERM)
	}
	// After a restore: a running measurement, of which this database knows nothing.
	running := strings.Replace(published, `"linkedCapacityGroups"`, `"linkedcapacitygroups"`, 1)
	restored := pgtest.New(t)
	conn, err := pgx.Connect(t.Context(), restored)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	if _, err := conn.Exec(t.Context(),
		"insert into outbox.request_for_update (supplier, customer) values ('BPNL6666666666YY', "+
			"'BPNL8888888888XX')"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		accept string
		status int
		rule   string
		// off again: the start is known now
	}{{"false", 400, `"rule":5`}, {"true", 201, `"rule":7`}, {"false", 200, `"rule":9`}} {
		p := start(t, "DATABASE_URL="+restored, "DCM_STANDARD=cx-0128", "DCM_ACCEPT_REQUESTED_PAST_START="+c.accept)
		if status, answer := p.post("week-based-capacity-group", "BPNL6666666666YY", running); status != c.status ||
			!strings.Contains(answer, c.rule) {
			t.Errorf("DCM_ACCEPT_REQUESTED_PAST_START=%s: %d %s; want %d, %s", c.accept, status, answer, c.status,
				c.rule)
		}
		p.end(syscall.SIGTERM)
	}
	if status, out := runs(t, nil, published, "validate", "--standard", "cx-0128", "--refuse-past-weeks",
		"-"); status != 1 ||
		!strings.Contains(out, "/content/informationObject/0/capacities: there is no week after the next one") {
		t.Errorf("past weeks alone, to the letter: %d %s", status, out)
	}
	if status, out := runs(t, nil, published, "validate", "--standard", "cx-0127", "-"); status != 2 ||
		!strings.Contains(out, "--standard") {
		t.Errorf("an unknown standard: %d %s", status, out)
	}
}

// TestNothingDisturbsATerminal: whatever a partner puts into a message, or says of one
// of ours, commands print nothing that moves the cursor or turns the text around.
func TestNothingDisturbsATerminal(t *testing.T) {
	const hostile = "\u202e\u001b[2J\u009b2J\u2066\u200b"
	quoted, _ := json.Marshal(hostile)
	value := string(quoted)
	disturbs := func(r rune) bool { return !unicode.IsPrint(r) && r != '\n' }
	comment := func(property, value string) string {
		properties := map[string]string{"commentId": `"f5c151e4-30b5-4456-94fd-2a7b559b6121"`,
			"objectId":   `"0157ba42-d2a8-4e28-8565-7b07830c1110"`,
			"objectType": `"urn:samm:io.catenax.week_based_capacity_group"`, "supplier": `"BPNL6666666666YY"`,
			"customer": `"BPNL8888888888XX"`}
		properties[property] = value
		var members []string
		for name, value := range properties {
			members = append(members, `"`+name+`":`+value)
		}
		return `{"messageHeader":{"header":{"messageId":"6f0e7a3c-94a5-4f0e-9c46-0c9d7f6f1a01",
			"context":"urn:samm:io.catenax.id_based_comment:1.x.x","sentDateTime":"2026-11-20T10:00:05Z",
			"senderBpn":"BPNL6666666666YY","receiverBpn":"BPNL8888888888XX","version":"3.0.0"}},
			"content":{"informationObject":[{` + strings.Join(members, ",") + `}]}}`
	}
	var bodies []string
	for _, property := range []string{"commentId", "objectId", "objectType", "supplier", "author", "commentType",
		"commentText", "listOfReferenceDates", "postedAt", "changedAt", "requestDelete",
		"commentTxt" + strings.Trim(value, `"`)} {
		bodies = append(bodies, comment(property, value), comment(property, "["+value+"]"))
	}
	bodies = append(bodies, strings.Replace(comment("commentText", `"x"`), `"messageId":"6f0e`,
		`"messageId":"`+strings.Trim(value, `"`), 1),
		`{`+value+`:1,`+value+`:2}`, `{`+value+`:1}`, value, hostile, `[`+value)
	dir := t.TempDir()
	files := []string{"validate", "--endpoint", "id-based-comment", "--standard", "cx-0128"}
	for i, body := range bodies {
		file := filepath.Join(dir, string(rune('a'+i/26))+string(rune('a'+i%26))+".json")
		if err := os.WriteFile(file, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	status, out := runs(t, nil, "", files...)
	if i := strings.IndexFunc(out, disturbs); status != 1 || strings.Count(out, ".json: ") != len(bodies) || i >= 0 {
		t.Errorf("validate: %d, %q", status, out)
	}

	url := pgtest.New(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	if _, err := conn.Exec(t.Context(), `insert into dcm.delivery (partner, object, object_id, changed_at, supplier,
		customer, queued_at, state, status, reason, last_attempt_at)
		values ('BPNL6666666666YY', 'IdBasedComment', gen_random_uuid(), now(), 'BPNL6666666666YY',
		'BPNL8888888888XX', now(), 'refused', 400, $1, now())`, "refused: "+hostile); err != nil {
		t.Fatal(err)
	}
	status, out = runs(t, []string{"DATABASE_URL=" + url}, "", "demand", "status")
	if status != 0 || !strings.Contains(out, `refused: \u202e\x1b[2J`) || strings.ContainsFunc(out, disturbs) {
		t.Errorf("demand status: %d %q", status, out)
	}
}

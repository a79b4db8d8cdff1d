package main_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dcm-receiver/internal/privatepg/pgtest"

	"github.com/jackc/pgx/v5"
)

// TestDemandCommands: from an empty template to a release, and the exit statuses.
func TestDemandCommands(t *testing.T) {
	url, dir := pgtest.New(t), t.TempDir()
	const nowhere = "postgres://nobody@127.0.0.1:1/dcm?connect_timeout=2"
	const header = "supplier,customer,material_number_customer,customer_location,point_in_time,demand\n"
	for name, content := range map[string]string{
		"wrong.csv": header +
			"BPNL6666666666YY,BPNL8888888888XX,X,BPNS8888888888XX,2126-11-24,1\n" +
			"BPNL6666666666YY,BPNL8888888888XX,Y,BPNS8888888888XX,2126-11-25,1\n",
		"text.txt":   "hello",
		"wrong.json": "\n    [{}]",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name   string
		url    string
		args   []string
		status int
		said   string
	}{
		{"no file", url, []string{"demand", "import"}, 2, "--template"},
		{"template", "", []string{"demand", "import", "--template"}, 0, "wrote demands.xlsx"},
		{"template as JSON", "", []string{"demand", "import", "--template", "--json", "other.csv"}, 0,
			`{"file":"other.csv","outcome":"written"}`},
		{"template, again", "", []string{"demand", "import", "--template"}, 2, "demands.csv"},
		{"not there", url, []string{"demand", "import", "none.csv"}, 2, "none.csv"},
		{"no demands", url, []string{"demand", "import", "text.txt"}, 1, "text.txt:1: the header has no supplier"},
		{"no database", "", []string{"demand", "import", "demands.csv"}, 2, "DATABASE_URL is not set"},
		{"a database that is not there", nowhere, []string{"demand", "import", "demands.csv"}, 3,
			"the database cannot be reached"},
		{"a parameter that the server does not know", url + "&nonsense=1", []string{"demand", "status"}, 2, "nonsense"},
		{"wrong", url, []string{"demand", "import", "wrong.csv"}, 1,
			"wrong.csv:2: point_in_time: 2126-11-24 is a Sunday; write the Monday of its week, 2126-11-18"},
		{"dry", url, []string{"demand", "import", "--dry-run", "demands.xlsx"}, 0, "less than nine months ahead"},
		{"dry, what is new", url, []string{"demand", "import", "--dry-run", "demands.csv"}, 0,
			"new: MNR-7307-AU340474.002 for BPNL8888888888XX by BPNL6666666666YY\n"},
		{"nothing yet", url, []string{"demand", "status"}, 0, "Nothing has been released yet."},
		{"import", url, []string{"demand", "import", "demands.xlsx"}, 0,
			"6 lines imported: 1 material new, 0 changed, 0 unchanged"},
		{"the same as CSV", url, []string{"demand", "import", "--json", "demands.csv"}, 0, `"unchanged":1`},
		{"only valid ones", url, []string{"demand", "import", "--only-valid", "demands.csv", "wrong.csv"}, 1,
			"1 material new, 0 changed, 1 unchanged"},
		{"release", url, []string{"demand", "release"}, 0, "2 materials created, 0 changed, 0 unchanged, 0 refused"},
		{"release again", url, []string{"demand", "release", "--json"}, 0, `"outcome":"unchanged"`},
		{"release for nobody", url, []string{"demand", "release", "--supplier", "ACME"}, 2, "--supplier"},
		{"status", url, []string{"demand", "status"}, 0, "BPNL6666666666YY           2         0"},
		{"add", url, []string{"partner", "add", "BPNL6666666666YY", "--dsp-url", "https://example.com/api/v1/dsp"}, 0,
			"BPNL6666666666YY: added"},
		{"add, again", url, []string{"partner", "add", "BPNL6666666666YY"}, 0, "changed"},
		{"add what is none", url, []string{"partner", "add", "ACME"}, 2, "is not a BPNL"},
		{"add nowhere", url, []string{"partner", "add", "BPNL6666666666YY", "--dsp-url", "example.com"}, 2,
			"--dsp-url"},
		{"list", url, []string{"partner", "list", "--json"}, 0, `"dspUrl":null`},
		{"remove", url, []string{"partner", "remove", "BPNL6666666666YY"}, 0, "removed"},
		{"remove, again", url, []string{"partner", "remove", "BPNL6666666666YY"}, 1, "there is no partner"},
		{"status as JSON", url, []string{"demand", "status", "--json"}, 0, `"waiting":2`},
		{"wrong as JSON", url, []string{"demand", "import", "--json", "wrong.csv"}, 1, `"line":2`},
		{"no demands as JSON", url, []string{"demand", "import", "--json", "text.txt"}, 1,
			`"detail":"text.txt:1: the header has no supplier`},
		{"wrong JSON file", url, []string{"demand", "import", "--json", "wrong.json"}, 1, `"position":6`},
		{"dry as JSON", url, []string{"demand", "import", "--json", "--dry-run", "demands.csv"}, 0, `"oddities":["`},
		{"a database without tables", bare(url), []string{"demand", "status"}, 2, "dcm-receiver migrate"},
		{"release, no database there", nowhere, []string{"demand", "release"}, 3, "cannot be reached"},
		{"status, no database there", nowhere, []string{"demand", "status", "--json"}, 3, "cannot be reached"},
		{"partners, no database there", nowhere, []string{"partner", "list", "--json"}, 3, "cannot be reached"},
		{"add, no database there", nowhere, []string{"partner", "add", "BPNL6666666666YY"}, 3, "cannot be reached"},
		{"remove what is none", url, []string{"partner", "remove", "ACME"}, 2, "is not a BPNL"},
		{"remove, again, as JSON", url, []string{"partner", "remove", "--json", "BPNL6666666666YY"}, 1,
			`"outcome":"unknown"`},
		{"add with a DID that is none", url, []string{"partner", "add", "BPNL6666666666YY", "--did", "web:x"}, 2,
			"--did"},
		{"add as JSON", url, []string{"partner", "add", "--json", "BPNL6666666666YY"}, 0, `"outcome":"added"`},
		{"ask for nothing", url, []string{"request"}, 2, "--all"},
		{"ask for what is none", url, []string{"request", "x"}, 2, "is not a UUID"},
		{"ask nobody", url, []string{"request", "--all", "--supplier", "ACME"}, 2, "--supplier"},
		{"ask for all newer ones", url, []string{"request", "--all", "--newer"}, 2, "--newer"},
		{"ask for an unknown group", url, []string{"request", "0157ba42-d2a8-4e28-8565-7b07830c1110"}, 1,
			"is not stored"},
		{"ask all of none", url, []string{"request", "--all", "--json"}, 1, "no supplier"},
		{"ask for a group", url, []string{"request", "--json", "--supplier", "BPNL6666666666YY", "--customer",
			"BPNL8888888888XX", "0157ba42-d2a8-4e28-8565-7b07830c1110"}, 0, `"messageId":"`},
		{"ask, no database there", nowhere, []string{"request", "0157ba42-d2a8-4e28-8565-7b07830c1110"}, 3,
			"cannot be reached"},
		{"unlock, no database there", nowhere, []string{"group", "unlock", "BPNL6666666666YY", "BPNL8888888888XX",
			"0157ba42-d2a8-4e28-8565-7b07830c1110"}, 3, ""},
		{"forget an unknown one", url, []string{"group", "forget", "--json", "BPNL6666666666YY", "BPNL8888888888XX",
			"0157ba42-d2a8-4e28-8565-7b07830c1110"}, 1, `"outcome":"unknown"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			runCommand(t, dir, c.url, c.status, c.said, c.args...)
		})
	}
}

// runCommand runs the program and checks its exit status and that something is
// said. With --json, standard output has JSON objects and nothing else.
func runCommand(t *testing.T, dir, database string, status int, said string, args ...string) {
	t.Helper()
	command := exec.Command(binary, args...)
	command.Env, command.Dir = environment(), dir
	if database != "" {
		command.Env = append(command.Env, "DATABASE_URL="+database)
	}
	var out, more bytes.Buffer
	command.Stdout, command.Stderr = &out, &more
	err := command.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	}
	if got := command.ProcessState.ExitCode(); got != status || !strings.Contains(out.String()+more.String(), said) {
		t.Errorf("%v: exit status %d, want %d; %q in: %s%s", args, got, status, said, out.String(), more.String())
	}
	if !slices.Contains(args, "--json") {
		return
	}
	for line := range strings.Lines(out.String()) {
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			t.Errorf("%v: not a JSON object a line: %v: %s", args, err, line)
		}
	}
	if status == 0 && out.Len() == 0 {
		t.Errorf("%v: no JSON", args)
	}
}

// TestImportAsJSON: an object a file, which says what is in that file.
func TestImportAsJSON(t *testing.T) {
	address, dir := pgtest.New(t), t.TempDir()
	const header = "supplier,customer,material_number_customer,customer_location,point_in_time,demand\n"
	line := func(material, week, demand string) string {
		return "BPNL6666666666YY,BPNL8888888888XX," + material + ",BPNS8888888888XX," + week + "," + demand + "\n"
	}
	for name, content := range map[string]string{
		"a.csv": header + line("A", "2126-11-18", "1") + line("B", "2126-11-18", "1"),
		"b.csv": header + line("B", "2126-11-25", "1") + line("C", "2126-11-18", "1"),
		"c.csv": header + line("D", "2126-11-19", "1"), "d.csv": "hello",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name string
		args []string
		want []string // a regular expression a line
	}{
		{"dry", []string{"--dry-run", "a.csv", "b.csv"}, []string{
			`"changed":0,"changes":\[\],"created":2,"dryRun":true,"file":"a.csv","lines":2,"new":\[.*"A".*"B".*\],` +
				`"oddities":\[\],"taken":false,"unchanged":0`,
			`"created":2,"dryRun":true,"file":"b.csv","lines":2,"new":\[.*"B".*"C".*\],"oddities":\[\],"taken":false`}},
		{"one", []string{"a.csv"},
			[]string{`^{"changed":0,"created":2,"dryRun":false,"file":"a.csv","lines":2,"taken":true,"unchanged":0}$`}},
		{"some valid", []string{"--only-valid", "a.csv", "b.csv", "c.csv"}, []string{
			`^{"changed":1,"created":0,"dryRun":false,"file":"a.csv","lines":2,"taken":true,"unchanged":1}$`,
			`"changed":1,"created":1,.*"file":"b.csv"`,
			`"created":0,.*"file":"c.csv","lines":0,"problems":\[{"column":"point_in_time".*"line":2`}},
		{"a wrong one", []string{"a.csv", "c.csv"},
			[]string{`^{"dryRun":false,"file":"a.csv","lines":2,"taken":false}$`,
				`"file":"c.csv",.*"problems":.*"taken":false`}},
		{"one that is none", []string{"a.csv", "d.csv"},
			[]string{`^{"dryRun":false,"file":"a.csv","lines":0,"taken":false}$`,
				`"problems":.*the header has no supplier`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			command := exec.Command(binary, append([]string{"demand", "import", "--json"}, c.args...)...)
			command.Env, command.Dir = append(environment(), "DATABASE_URL="+address), dir
			out, _ := command.Output() // the exit status is tested elsewhere
			got := strings.Split(strings.TrimSpace(string(out)), "\n")
			if len(got) != len(c.want) {
				t.Fatalf("%d lines, want %d: %s", len(got), len(c.want), out)
			}
			for i, line := range got {
				if !json.Valid([]byte(line)) || !regexp.MustCompile(c.want[i]).MatchString(line) {
					t.Errorf("%s, want %s", line, c.want[i])
				}
			}
		})
	}
}

// TestDemandStatus says who waits for an answer, and since when.
func TestDemandStatus(t *testing.T) {
	address, dir := pgtest.New(t), t.TempDir()
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), `insert into dcm.requested_update (partner, message_key, message_id,
		requested_at, material_demands, requested_id, changed_at, changed_at_nanosecond)
		select 'BPNL6666666666YY', k, k, now() - interval '1 h', 2, array[null, null]::uuid[], '{}', '{}' from
		(values (gen_random_uuid()), (gen_random_uuid())) v (k)`); err != nil {
		t.Fatal(err)
	}
	runCommand(t, dir, address, 0, "BPNL6666666666YY: requests for update without an answer: 2, the oldest for 1h0m",
		"demand", "status")
	runCommand(t, dir, address, 0, `"unansweredRequests":2`, "demand", "status", "--json")
}

// TestNothingIsSent: where something is due, and no receiver serves any partner, status
// says so; not where it is fresh, has to wait anyway, or a receiver is at work.
func TestNothingIsSent(t *testing.T) {
	address, dir := pgtest.New(t), t.TempDir()
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	const waits = `insert into dcm.delivery (partner, object, object_id, changed_at, supplier, customer, queued_at,
		next_attempt_at)
		values ('BPNL6666666666YY', 'WeekBasedMaterialDemand', gen_random_uuid(), now(), 'BPNL6666666666YY',
		'BPNL8888888888XX', now() - interval '1 h', now() + interval '1 h')`
	for _, c := range []struct {
		name, change string
		nobody       bool
	}{
		{"an attempt is to come", waits, false},
		{"it is due", "update dcm.delivery set next_attempt_at = now() - interval '2 min'", true},
		{"another partner is served",
			"insert into dcm.sending values ('BPNL7777777777ZZ', gen_random_uuid(), now() + interval '1 h')", false},
		{"who served it has ended", "update dcm.sending set until = now() - interval '1 s'", true},
		{"it is fresh", "update dcm.delivery set next_attempt_at = null, queued_at = now() + interval '1 h'", false},
		{"a request, what answers it waits", `insert into dcm.requested_update (partner, message_key, message_id,
			requested_at, material_demands, requested_id, changed_at, changed_at_nanosecond)
			select 'BPNL6666666666YY', k, k, now() - interval '1 h', 1, array[null]::uuid[], '{}', '{}' from
			gen_random_uuid() k`, false},
		{"a request, nothing was decided", "delete from dcm.delivery", true},
	} {
		if _, err := conn.Exec(t.Context(), c.change); err != nil {
			t.Fatal(err)
		}
		said := "OLDEST WAITING"
		if c.nobody {
			said = "Nothing is being sent: no running receiver has DCM_SEND=true"
		}
		t.Run(c.name, func(t *testing.T) {
			runCommand(t, dir, address, 0, said, "demand", "status")
			runCommand(t, dir, address, 0, `"nobodySends":`+strconv.FormatBool(c.nobody), "demand", "status", "--json")
		})
	}
}

// bare is another database of the server, without our tables.
func bare(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		panic(err) // it comes from the server
	}
	u.Path = "/postgres"
	return u.String()
}

// TestDemandAsSender: who may write in schema outbox only imports and releases,
// also where no one but the receiver may make temporary tables.
func TestDemandAsSender(t *testing.T) {
	address, dir := pgtest.New(t), t.TempDir()
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	role := "etl_" + strings.ToLower(rand.Text())
	exec := func(sql string) {
		t.Helper()
		if _, err := conn.Exec(context.Background(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec("do $$ begin execute format('revoke temporary on database %I from public', current_database()); end $$")
	exec("create role " + role + " login in role dcm_sender")
	defer exec("drop role " + role)
	as, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	as.User = url.User(role)
	if q := as.Query(); q.Has("user") {
		q.Set("user", role)
		as.RawQuery = q.Encode()
	}
	run := func(database string, want int, said string, args ...string) {
		t.Helper()
		runCommand(t, dir, database, want, said, args...)
	}
	run("", 0, "", "demand", "import", "--template")
	run(as.String(), 2, "grant it dcm_sender", "demand", "import", "demands.csv")
	run(address, 0, "", "migrate") // each grants what the roles need
	run(as.String(), 0, "1 material new", "demand", "import", "--dry-run", "demands.csv")
	run(as.String(), 0, "1 material new", "demand", "import", "demands.csv")
	run(as.String(), 0, "1 material created", "demand", "release")
	run(as.String(), 0, "BPNL6666666666YY", "demand", "status")
	run(as.String(), 0, "added", "partner", "add", "BPNL6666666666YY")
	run(as.String(), 0, "is asked", "request", "--all", "--supplier", "BPNL6666666666YY", "--customer",
		"BPNL8888888888XX")
}

// TestDemandsOfOthers: a customer that is none of ours, or is the supplier too, is
// refused with the setting's name: by import and release, by the variable or by what
// the last serve stored.
func TestDemandsOfOthers(t *testing.T) {
	address, dir := pgtest.New(t), t.TempDir()
	const header = "supplier,customer,material_number_customer,customer_location,point_in_time,demand\n"
	for name, customer := range map[string]string{"ours.csv": "BPNL8888888888XX", "theirs.csv": "BPNL9999999999ZZ",
		"same.csv": "BPNL6666666666YY"} {
		line := "BPNL6666666666YY," + customer + ",A,BPNS8888888888XX,2126-11-18,1\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(header+line), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const none = "theirs.csv:2: customer BPNL9999999999ZZ is none of ours: DCM_CUSTOMER_BPNLS has BPNL8888888888XX"
	run := func(status int, said string, args ...string) {
		t.Helper()
		runCommand(t, dir, address, status, said, args...)
	}
	run(0, "1 line would be imported", "demand", "import", "--dry-run", "theirs.csv")
	run(1, "same.csv:2: supplier and customer are both BPNL6666666666YY", "demand", "import", "same.csv")
	run(1, none, "demand", "import", "--dry-run", "--customer-bpnls", "BPNL8888888888XX", "theirs.csv")
	run(0, "1 line imported", "demand", "import", "theirs.csv")
	run(1, "customer BPNL9999999999ZZ is none of ours", "demand", "release", "--customer-bpnls", "BPNL8888888888XX")
	start(t, "DATABASE_URL="+address, "DCM_CUSTOMER_BPNLS=BPNL8888888888XX")
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for stored := false; !stored; {
		if err := conn.QueryRow(t.Context(),
			"select exists (select from dcm.served_setting where value = 'BPNL8888888888XX'), "+
				"pg_sleep(0.05)::text").Scan(&stored, nil); err != nil {
			t.Fatal(err)
		}
	}
	run(1, none, "demand", "import", "theirs.csv")
	run(1, "1 material new", "demand", "import", "--only-valid", "ours.csv", "theirs.csv")
	run(1, `"outcome":"created"`, "demand", "release", "--json")
	run(0, "1 line would be imported", "demand", "import", "--dry-run", "--customer-bpnls", "BPNL9999999999ZZ",
		"theirs.csv")
}

// TestFilesWithoutEnd are refused.
func TestFilesWithoutEnd(t *testing.T) {
	runCommand(t, t.TempDir(), "", 2, "has over 256 MiB", "demand", "import", "/dev/zero")
}

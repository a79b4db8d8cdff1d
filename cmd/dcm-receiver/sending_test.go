package main_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/edc/edctest"
	"dcm-receiver/internal/example"
	"dcm-receiver/internal/privatepg/pgtest"

	"github.com/jackc/pgx/v5"
)

const capacityGroup = `{"capacityGroupId": "0157ba42-d2a8-4e28-8565-7b07830c1110", "name": "G", "supplier":
		"BPNL6666666666YY", "customer": "BPNL8888888888XX",
"changedAt": "2026-11-01T00:00:00Z", "unitOfMeasure": "unit:piece", "unitOfMeasureIsOmitted": false,
	"capacityGroupIsInactive": false, "supplierLocations": ["BPNS00000000PLNT"],
"linkedDemandSeries": [{"materialNumberCustomer": "M", "customerLocation": "BPNS00000000SITE", "demandCategory":
	{"demandCategoryCode": "0001"}}],
"capacities": [{"pointInTime": "2040-01-02", "actualCapacity": 1, "maximumCapacity": 2}]}`

// TestSending: the built program sends what was released, answers a request for
// update that it received within 10 s, and asks for groups.
func TestSending(t *testing.T) {
	const them = "BPNL6666666666YY"
	url := pgtest.New(t)
	bodies := make(chan string, 10)
	partner := &edctest.Partner{BPNL: them, Sender: "BPNL8888888888XX", Offers: []edctest.Offer{
		edctest.OfferOf(dcm.MaterialDemandEndpoint), edctest.OfferOf(dcm.RequestForUpdateEndpoint)},
		Backend: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			bodies <- r.URL.Path + " " + string(body)
		})}
	connector := edctest.New(t, partner)
	run := func(args ...string) {
		t.Helper()
		command := exec.Command(binary, args...)
		command.Env, command.Dir = environment("DATABASE_URL="+url), t.TempDir()
		if args[0] == "demand" && args[1] == "import" {
			template := exec.Command(binary, "demand", "import", "--template")
			template.Env, template.Dir = environment(), command.Dir
			if out, err := template.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
	}
	arrives := func(want ...string) {
		t.Helper()
		select {
		case got := <-bodies:
			for _, w := range want {
				if !strings.Contains(got, w) {
					t.Errorf("%q is not in %s", w, got)
				}
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("nothing arrived in 10 s; want %v", want)
		}
	}
	p := start(t, "DATABASE_URL="+url, "DCM_SEND=true", "DCM_EDC_MANAGEMENT_URL="+connector.URL,
		"DCM_EDC_MANAGEMENT_KEY="+edctest.Key)
	p.ready()
	run("partner", "add", them, "--dsp-url", connector.Address(partner))
	run("demand", "import", "demands.xlsx")
	run("demand", "release")
	arrives("/week-based-material-demand ", "MNR-7307-AU340474.002", `"senderBpn":"BPNL8888888888XX"`)

	const id = "0157ba42-d2a8-4e28-8565-7b07830c1110"
	if status, said := p.post("id-based-request-for-update", them, `{"messageHeader": {"header": {"messageId": "`+id+`",
		"context": "urn:samm:io.catenax.id_based_request_for_update:3.0.0", "sentDateTime": "2026-11-25T00:00:00Z",
		"senderBpn": "`+them+`",
		"receiverBpn": "BPNL8888888888XX", "version": "3.0.0"}}, "content": {"informationObject":
		[{"weekBasedMaterialDemand": []}]}}`); status != 200 {
		t.Fatal(status, said)
	}
	arrives("/week-based-material-demand ", `"relatedMessageId":"`+id+`"`)
	run("request", "--all", "--supplier", them, "--customer", "BPNL8888888888XX")
	arrives("/id-based-request-for-update ", "weekBasedCapacityGroup")

	// What was asked for is shown as it comes.
	shown := make(chan string)
	go func() {
		command := exec.Command(binary, "request", "--wait", "20s", "--supplier", them, "--customer",
			"BPNL8888888888XX", id)
		command.Env = environment("DATABASE_URL=" + url)
		out, err := command.CombinedOutput()
		shown <- fmt.Sprint(string(out), err)
	}()
	arrives("/id-based-request-for-update ", id)
	if status, said := p.post("week-based-capacity-group", them, "["+capacityGroup+"]"); status != 201 {
		t.Fatal(status, said)
	}
	if got := <-shown; !strings.Contains(got, them+" sent group "+id+": created\n") ||
		!strings.HasSuffix(got, "<nil>") {
		t.Error(got)
	}
	runCommand(t, t.TempDir(), url, 1, "after 1s there is still missing: 1 group, BPNL6666666666YY 0157ba42-",
		"request", "--wait", "1s", "--supplier", them, "--customer", "BPNL8888888888XX",
		"0157ba42-d2a8-4e28-8565-7b07830c1111")

	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var said string
	if err := conn.QueryRow(context.Background(), "select answer from planning.request_for_update").Scan(
		&said); err != nil || said != "sent" {
		t.Errorf("answer %q: %v", said, err)
	}
}

// TestHugeAnswers: partners who answer with 60 MiB of small things, many at once, neither
// end the program nor keep the others from being sent to.
func TestHugeAnswers(t *testing.T) {
	const hostile, good = 24, "BPNL6666666666YY"
	const ownCheck = "/00000000-0000-0000-0000-000000000000" // asks about our own connector, of whom no partner speaks
	url := pgtest.New(t)
	var partners []*edctest.Partner
	for i := range hostile + 1 {
		bpnl := fmt.Sprintf("BPNL0000000000%02d", i)
		if i == hostile {
			bpnl = good
		}
		partners = append(partners, &edctest.Partner{BPNL: bpnl, Sender: example.Customer, Proxy: true,
			Offers:  []edctest.Offer{edctest.OfferOf(dcm.MaterialDemandEndpoint)},
			Backend: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})})
	}
	connector := edctest.New(t, partners...)
	kinds := []struct {
		path        string
		status      int
		begin, part string
	}{
		{"/public", 400, `{"errors":[`, `{},`}, {"/public", 403, `{"errors":[`, `"",`},
		{"/public", 500, `{"errors":[`, `"",`},
		{"/public", 400, `{"detail":"`, `a`}, {"/catalog/", 200, `{"dcat:dataset":[`, `{},`},
		{"/contractnegotiations/", 200, `{"state":"TERMINATED","errorDetail":"`, `a`},
		{"/edrs/", 403, `[`, `{"message":""},`}, {"/transferprocesses/", 200, `{"state":[`, `{},`},
	}
	var asked atomic.Int64
	seen := make([]atomic.Int64, len(kinds))
	connector.Instead(func(w http.ResponseWriter, r *http.Request) bool {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		n := int(asked.Add(1)) % len(kinds)
		if k := kinds[n]; strings.Contains(r.URL.Path, k.path) && !strings.Contains(r.URL.Path, ownCheck) &&
			!bytes.Contains(body, []byte(good)) {
			seen[n].Add(1)
			w.WriteHeader(k.status)
			chunk := []byte(strings.Repeat(k.part, 32<<10/len(k.part)))
			_, err := io.WriteString(w, k.begin)
			for range 60 << 20 / len(chunk) {
				if err == nil {
					_, err = w.Write(chunk)
				}
			}
			return true
		}
		return false
	})
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	p := start(t, "DATABASE_URL="+url, "DCM_SEND=true", "DCM_EDC_MANAGEMENT_URL="+connector.URL,
		"DCM_EDC_MANAGEMENT_KEY="+edctest.Key, "GOMEMLIMIT=400MiB", "GOGC=100")
	for _, partner := range partners {
		if _, err := conn.Exec(t.Context(),
			"insert into outbox.partner (bpnl, dsp_url, protocol) values ($1, $2, 'dataspace-protocol-http')",
			partner.BPNL, connector.Address(partner)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.Exec(t.Context(), `insert into outbox.demand_line (supplier, customer,
		material_number_customer, customer_location, point_in_time, demand)
		select bpnl, $1, 'M' || m, 'BPNS8888888888XX', date_trunc('week', now())::date + 28, 1 from outbox.partner,
		generate_series(1, 20) m`, example.Customer); err != nil {
		t.Fatal(err)
	}
	var delivered string
	for range 10 {
		if _, err := conn.Exec(t.Context(),
			"update outbox.demand_line set demand = demand + 1; select outbox.release(); update dcm.delivery set "+
				"next_attempt_at = now() where state = 'waiting'"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second) // the attack lasts so long
	}
	for range 600 { // a busy machine sends a dozen messages a second
		if err := conn.QueryRow(t.Context(),
			"select count(*) filter (where state = 'delivered') || ' of ' || count(*) from planning.delivery "+
				"where supplier = $1 and state <> 'superseded'", good).Scan(&delivered); err != nil {
			t.Fatal(err)
		}
		if all := strings.Split(delivered, " of "); all[0] == all[1] {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if all := strings.Split(delivered, " of "); all[0] != all[1] {
		t.Errorf("of the good partner %s delivered", delivered)
	}
	var longest int
	if err := conn.QueryRow(t.Context(), "select max(char_length(reason)) from planning.delivery").Scan(
		&longest); err != nil || longest > 4000 {
		t.Errorf("a reason has %d characters: %v", longest, err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Process.Pid))
	if err != nil {
		t.Skip("no /proc")
	}
	var most int
	_, peak, _ := strings.Cut(string(status), "VmHWM:")
	if _, err := fmt.Sscan(peak, &most); err != nil || most > 300<<10 {
		t.Errorf("%d MiB at most: %v", most>>10, err)
	}
	for i := range seen {
		if seen[i].Load() == 0 {
			t.Errorf("nobody was answered with %+v", kinds[i])
		}
	}
	t.Logf("%d MiB at most, in %d requests", most>>10, asked.Load())
}

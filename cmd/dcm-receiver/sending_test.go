package main_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/edc/edctest"
	"dcm-receiver/internal/privatepg/pgtest"

	"github.com/jackc/pgx/v5"
)

const capacityGroup = `{"capacityGroupId": "0157ba42-d2a8-4e28-8565-7b07830c1110", "name": "G", "supplier": "BPNL6666666666YY", "customer": "BPNL8888888888XX",
"changedAt": "2026-11-01T00:00:00Z", "unitOfMeasure": "unit:piece", "unitOfMeasureIsOmitted": false, "capacityGroupIsInactive": false, "supplierLocations": ["BPNS00000000PLNT"],
"linkedDemandSeries": [{"materialNumberCustomer": "M", "customerLocation": "BPNS00000000SITE", "demandCategory": {"demandCategoryCode": "0001"}}],
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
	p := start(t, "DATABASE_URL="+url, "DCM_SEND=true", "DCM_EDC_MANAGEMENT_URL="+connector.URL, "DCM_EDC_MANAGEMENT_KEY="+edctest.Key)
	p.ready()
	run("partner", "add", them, "--dsp-url", connector.Address(partner))
	run("demand", "import", "demands.xlsx")
	run("demand", "release")
	arrives("/week-based-material-demand ", "MNR-7307-AU340474.002", `"senderBpn":"BPNL8888888888XX"`)

	const id = "0157ba42-d2a8-4e28-8565-7b07830c1110"
	if status, said := p.post("id-based-request-for-update", them, `{"messageHeader": {"header": {"messageId": "`+id+`",
		"context": "urn:samm:io.catenax.id_based_request_for_update:3.0.0", "sentDateTime": "2026-11-25T00:00:00Z", "senderBpn": "`+them+`",
		"receiverBpn": "BPNL8888888888XX", "version": "3.0.0"}}, "content": {"informationObject": [{"weekBasedMaterialDemand": []}]}}`); status != 200 {
		t.Fatal(status, said)
	}
	arrives("/week-based-material-demand ", `"relatedMessageId":"`+id+`"`)
	run("request", "--all", "--supplier", them, "--customer", "BPNL8888888888XX")
	arrives("/id-based-request-for-update ", "weekBasedCapacityGroup")

	// What was asked for is shown as it comes.
	shown := make(chan string)
	go func() {
		command := exec.Command(binary, "request", "--wait", "20s", "--supplier", them, "--customer", "BPNL8888888888XX", id)
		command.Env = environment("DATABASE_URL=" + url)
		out, err := command.CombinedOutput()
		shown <- fmt.Sprint(string(out), err)
	}()
	arrives("/id-based-request-for-update ", id)
	if status, said := p.post("week-based-capacity-group", them, "["+capacityGroup+"]"); status != 201 {
		t.Fatal(status, said)
	}
	if got := <-shown; !strings.Contains(got, them+" sent group "+id+": created\n") || !strings.HasSuffix(got, "<nil>") {
		t.Error(got)
	}
	runCommand(t, t.TempDir(), url, 1, "after 1s there is still missing: 1 group, BPNL6666666666YY 0157ba42-", "request", "--wait", "1s", "--supplier", them, "--customer", "BPNL8888888888XX", "0157ba42-d2a8-4e28-8565-7b07830c1111")

	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var said string
	if err := conn.QueryRow(context.Background(), "select answer from planning.request_for_update").Scan(&said); err != nil || said != "sent" {
		t.Errorf("answer %q: %v", said, err)
	}
}

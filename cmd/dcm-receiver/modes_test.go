package main_test

import (
	"os/exec"
	"strings"
	"testing"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/edc/edctest"
	"dcm-receiver/internal/privatepg/pgtest"

	"net/http"
)

// TestModes: messages, pages, commands and sending work in each mode that the documents
// name for a pooler of connections.
func TestModes(t *testing.T) {
	const them = "BPNL6666666666YY"
	for _, mode := range []string{"exec", "simple_protocol", "cache_describe"} {
		t.Run(mode, func(t *testing.T) {
			direct := pgtest.New(t)
			url := direct + "&default_query_exec_mode=" + mode
			arrived := make(chan string, 10)
			partner := &edctest.Partner{BPNL: them, Sender: "BPNL8888888888XX",
				Offers: []edctest.Offer{edctest.OfferOf(dcm.MaterialDemandEndpoint),
					edctest.OfferOf(dcm.RequestForUpdateEndpoint)},
				Backend: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { arrived <- r.URL.Path })}
			connector := edctest.New(t, partner)
			p := start(t, "DATABASE_URL="+url, "DCM_SEND=true", "DCM_EDC_MANAGEMENT_URL="+connector.URL,
				"DCM_EDC_MANAGEMENT_KEY="+edctest.Key)
			p.ready()
			dir := t.TempDir()
			for _, args := range [][]string{{"demand", "import", "--template"},
				{"partner", "add", them, "--dsp-url", connector.Address(partner)}, {"partner", "list"},
				{"demand", "import", "demands.xlsx"}, {"demand", "release"}, {"demand", "status"},
				{"request", "--all", "--supplier", them, "--customer", "BPNL8888888888XX"},
				{"request", "--supplier", them, "--customer", "BPNL8888888888XX",
					"0157ba42-d2a8-4e28-8565-7b07830c1110"}} {
				command := exec.Command(binary, args...)
				command.Env, command.Dir = environment("DATABASE_URL="+url), dir
				if out, err := command.CombinedOutput(); err != nil {
					t.Errorf("%s: %v: %s", strings.Join(args, " "), err, out)
				}
			}
			for range 3 {
				<-arrived
			}
			if status, said := p.post("week-based-capacity-group", them, "["+capacityGroup+"]"); status != 201 {
				t.Error(status, said)
			}
			if status, said := p.post("id-based-request-for-update", them,
				`[{"weekBasedMaterialDemand": []}]`); status != 200 {
				t.Error(status, said)
			}
			<-arrived
			for _, args := range [][]string{{"group", "unlock", them, "BPNL8888888888XX",
				"0157ba42-d2a8-4e28-8565-7b07830c1110"},
				{"group", "forget", them, "BPNL8888888888XX", "0157ba42-d2a8-4e28-8565-7b07830c1110"},
				{"partner", "remove", them}} {
				command := exec.Command(binary, args...)
				command.Env, command.Dir = environment("DATABASE_URL="+url), dir
				if out, err := command.CombinedOutput(); err != nil {
					t.Errorf("%s: %v: %s", strings.Join(args, " "), err, out)
				}
			}
		})
	}
}

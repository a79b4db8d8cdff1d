package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/edc"
	"dcm-receiver/internal/receiver"
	"dcm-receiver/internal/standard"
	"dcm-receiver/internal/strictjson"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/prometheus/client_golang/prometheus"
)

type edcCommands struct {
	Register edcRegisterCommand `cmd:"" help:"${edc_Register}"`
	Send     edcSendCommand     `cmd:"" help:"${edc_Send}"`
}

// connectorSettings say where one's own connector is.
type connectorSettings struct {
	ManagementURL     string `env:"DCM_EDC_MANAGEMENT_URL" placeholder:"URL" help:"${ManagementURL}"`
	ManagementKey     string `env:"DCM_EDC_MANAGEMENT_KEY" placeholder:"KEY" help:"${ManagementKey}"`
	ManagementKeyFile string `env:"DCM_EDC_MANAGEMENT_KEY_FILE" placeholder:"FILE" help:"${ManagementKeyFile}"`
}

func (s connectorSettings) management() (*edc.Management, error) {
	if s.ManagementURL == "" {
		return nil,
			failure{errors.New("DCM_EDC_MANAGEMENT_URL is not set: give the Management API of your own connector"),
				wrongUse}
	}
	key := s.ManagementKey
	if s.ManagementKeyFile != "" {
		content, err := os.ReadFile(s.ManagementKeyFile)
		if err != nil {
			return nil, failure{fmt.Errorf("DCM_EDC_MANAGEMENT_KEY_FILE: %w", err), wrongUse}
		}
		key = strings.TrimSpace(string(content))
	}
	m, err := edc.NewManagement(s.ManagementURL, key, managementNames)
	if err != nil {
		return nil, failure{err, wrongUse}
	}
	return m, nil
}

// The variables of settings that package edc names in errors.
var (
	managementNames   = edc.Names{"URL": "DCM_EDC_MANAGEMENT_URL", "Key": "DCM_EDC_MANAGEMENT_KEY"}
	registrationNames = edc.Names{
		"Prefix": "DCM_EDC_PREFIX", "Version": "DCM_EDC_VERSION", "Backend": "DCM_EDC_BACKEND_URL",
		"Key":      "DCM_API_KEYS",
		"KeyAlias": "DCM_EDC_KEY_ALIAS", "Type": "DCM_EDC_ASSET_TYPE", "PerSupplier": "DCM_EDC_PER_SUPPLIER",
		"Partners": "DCM_PARTNERS", "Usage": "DCM_EDC_USAGE_POLICY", "Capable": "DCM_EDC_CAPABILITIES",
		"Tolerated": "DCM_EDC_TOLERATED_ASSETS",
	}
)

// withStatus gives an error of the connector its exit status.
func withStatus(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, edc.ErrUnreachable):
		return failure{err, notReachable}
	case errors.Is(err, edc.ErrSettings):
		return failure{err, wrongUse}
	}
	return err
}

// registrationSettings say what our connector is to offer. What the
// receiver itself is told, too (keys, partners, header), comes from there.
type registrationSettings struct {
	connectorSettings
	BackendURL  string `env:"DCM_EDC_BACKEND_URL" name:"backend-url" placeholder:"URL" help:"${BackendURL}"`
	Version     string `env:"DCM_EDC_VERSION" name:"connector-version" default:"0.10.0" help:"${Version}"`
	AssetType   string `env:"DCM_EDC_ASSET_TYPE" name:"asset-type" default:"HttpData" help:"${AssetType}"`
	PerSupplier bool   `env:"DCM_EDC_PER_SUPPLIER" name:"per-supplier" help:"${PerSupplier}"`
	UsagePolicy string `env:"DCM_EDC_USAGE_POLICY" name:"usage-policy" default:"framework" help:"${UsagePolicy}"`
	KeyAlias    string `env:"DCM_EDC_KEY_ALIAS" name:"key-alias" placeholder:"NAME" help:"${KeyAlias}"`
	Prefix      string `env:"DCM_EDC_PREFIX" name:"prefix" default:"dcm" help:"${Prefix}"`
	Messages    bool   `env:"DCM_EDC_MESSAGES" default:"true" negatable:"" help:"${Messages}"`
	Capable     list   `env:"DCM_EDC_CAPABILITIES" name:"capabilities" default:"${capabilities}" help:"${Offer}"`
	Tolerated   list   `env:"DCM_EDC_TOLERATED_ASSETS" name:"tolerated-assets" placeholder:"ID,…" help:"${Tolerated}"`
}

// ownSettings are what the receiver itself is told, and the connector must match.
type ownSettings struct {
	keys, partners       []string
	header, standard     string
	customers, suppliers []string
}

// registration checks the settings, which name the variables where they are wrong.
func (s registrationSettings) registration(own ownSettings) (edc.Registration, error) {
	if s.BackendURL == "" {
		return edc.Registration{},
			failure{errors.New(
				"DCM_EDC_BACKEND_URL is not set: give the URL at which the connector's data plane reaches the " +
					"partner listener"), wrongUse}
	}
	if u, err := url.Parse(s.BackendURL); err == nil {
		for _, path := range append(endpointPaths(), "messages") {
			if strings.HasSuffix(strings.TrimSuffix(u.Path, "/"), "/"+strings.TrimPrefix(path, "/")) {
				return edc.Registration{},
					failure{fmt.Errorf(
						"DCM_EDC_BACKEND_URL ends in /%s: give the listener's address alone, the endpoints' paths "+
							"are added to it", strings.TrimPrefix(path, "/")), wrongUse}
			}
		}
	}
	r := edc.Registration{
		Names:  registrationNames,
		Prefix: s.Prefix, Version: s.Version, Backend: s.BackendURL, KeyAlias: s.KeyAlias, Type: s.AssetType,
		Partners: own.partners, PerSupplier: s.PerSupplier, Header: own.header, Usage: s.UsagePolicy,
		Messages: s.Messages, Tolerated: s.Tolerated,
	}
	if s.KeyAlias == "" && len(own.keys) > 0 {
		r.Key = own.keys[0]
	}
	if len(own.customers) > 0 || len(own.suppliers) == 0 {
		r.Roles = append(r.Roles, dcm.CustomerRole)
	}
	if len(own.suppliers) > 0 {
		r.Roles = append(r.Roles, dcm.SupplierRole)
	}
	if by, _ := standard.Of(own.standard); by.Capabilities {
		r.Comments = by.Comments != nil
		if len(s.Capable) != 1 || s.Capable[0] != "none" {
			r.Capable = s.Capable
		}
	}
	if err := r.Validate(); err != nil {
		return r, failure{err, wrongUse}
	}
	return r, nil
}

// edcServeSettings are those of serve.
type edcServeSettings struct {
	Register bool `env:"DCM_EDC_REGISTER" name:"register" help:"${edcServe_Register}"`
	registrationSettings
}

// check says what is wrong with the settings.
func (s edcServeSettings) check(own ownSettings) error {
	if !s.Register {
		return nil
	}
	if _, err := s.management(); err != nil {
		return err
	}
	_, err := s.registration(own)
	return err
}

// prepare registers the metrics. What it returns
// registers in the background until ctx ends; registration is never a reason
// not to receive, only settings that cannot be right are an error.
func (s edcServeSettings) prepare(rc *receiver.Receiver, own ownSettings,
	log *slog.Logger) (run func(context.Context), err error) {
	states := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "dcm_edc_registration_state",
		Help: "1 for the state of the registration at the connector: off, pending, registered, failed.",
	}, []string{"state"})
	attempts := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "dcm_edc_registration_attempts_total",
		Help: "Attempts to register at the connector, by result: registered, failed.",
	}, []string{"result"})
	rc.Register(states, attempts)
	report := func(state edc.State) {
		for _, name := range edc.States {
			states.WithLabelValues(name).Set(0)
		}
		states.WithLabelValues(state.Name).Set(1)
		note := state.Name
		switch state.Name {
		case "failed":
			attempts.WithLabelValues(state.Name).Inc()
			log.Error("not registered at the connector; trying again", "error", state.Err)
			note += ": " + state.Err.Error()
		case "registered":
			attempts.WithLabelValues(state.Name).Inc()
			changes := []string{}
			for _, c := range state.Changes {
				changes = append(changes, c.Action+" "+c.Object)
			}
			log.Info("registered at the connector", "changes", changes)
		}
		rc.Note("registration at the connector", note)
	}
	if !s.Register {
		report(edc.State{Name: "off"})
		return func(context.Context) {}, nil
	}
	m, err := s.management()
	if err != nil {
		return nil, err
	}
	r, err := s.registration(own)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) { edc.Keep(ctx, m, r, report) }, nil
}

type edcRegisterCommand struct {
	registrationSettings
	APIKeys      list   `env:"DCM_API_KEYS" name:"api-keys" placeholder:"KEY,…" help:"${edcRegister_APIKeys}"`
	APIKeysFile  string `env:"DCM_API_KEYS_FILE" name:"api-keys-file" placeholder:"FILE" help:"${APIKeysFile2}"`
	Partners     list   `env:"DCM_PARTNERS" placeholder:"BPNL,…" help:"${edcRegister_Partners}"`
	SenderHeader string `env:"DCM_SENDER_HEADER" default:"Edc-Bpn" help:"${edcRegister_SenderHeader}"`
	Customers    list   `env:"DCM_CUSTOMER_BPNLS" name:"customer-bpnls" placeholder:"BPNL,…" help:"${EDCCustomers}"`
	Suppliers    list   `env:"DCM_SUPPLIER_BPNLS" name:"supplier-bpnls" placeholder:"BPNL,…" help:"${Suppliers}"`
	Standard     string `env:"DCM_STANDARD" default:"${standard}" enum:"${standards}" help:"${Standard}"`
	DSPURL       string `env:"DCM_EDC_DSP_URL" name:"dsp-url" placeholder:"URL" help:"${edcRegister_DSPURL}"`
	DryRun       bool   `env:"DCM_EDC_DRY_RUN" name:"dry-run" xor:"mode" help:"${edcRegister_DryRun}"`
	Check        bool   `env:"DCM_EDC_CHECK" name:"check" xor:"mode" help:"${Check}"`
	JSON         bool   `env:"DCM_JSON" name:"json" help:"${edcRegister_JSON}"`
}

// Run registers once.
func (c *edcRegisterCommand) Run() error {
	keys, err := keysIn(c.APIKeysFile)
	if err != nil {
		return failure{err, wrongUse}
	}
	r, err := c.registration(ownSettings{keys: append(c.APIKeys, keys...), partners: c.Partners, header: c.SenderHeader,
		standard: c.Standard, customers: c.Customers, suppliers: c.Suppliers})
	if err != nil {
		return err
	}
	if c.DryRun {
		for _, o := range r.Objects() {
			fmt.Fprintf(os.Stderr, "POST /v3/%s\n", o.Collection)
			_, _ = os.Stdout.Write(o.JSON())
		}
		return nil
	}
	m, err := c.management()
	if err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	changes, err := edc.Register(ctx, m, r, !c.Check)
	for _, change := range changes {
		if err := say(c.JSON, map[string]any{"object": change.Object, "action": change.Action,
			"differences": change.Differences}, "%s\n", change.Summary()); err != nil {
			return err
		}
	}
	if err != nil {
		return withStatus(err)
	}
	switch {
	case c.Check && len(changes) > 0:
		return errInvalid
	case len(changes) == 0 && !c.JSON:
		fmt.Println("nothing to change: the connector has it all as it should be")
	}
	if c.Check {
		return c.checkOutside(ctx, m, r)
	}
	return nil
}

// checkOutside asks the catalogue for the offers, where it is known under which
// address partners ask.
func (c *edcRegisterCommand) checkOutside(ctx context.Context, m *edc.Management, r edc.Registration) error {
	own := append(slices.Clone(c.Customers), c.Suppliers...)
	if c.DSPURL == "" || len(own) == 0 {
		fmt.Fprintln(os.Stderr,
			"not looked at from the outside: set DCM_EDC_DSP_URL to the address at which partners ask your "+
				"connector, and DCM_CUSTOMER_BPNLS or DCM_SUPPLIER_BPNLS to the connector's own BPNL")
		return nil
	}
	seen, wrong, err := edc.Seen(ctx, m, edc.Partner{BPNL: own[0], Address: c.DSPURL}, r)
	if err != nil {
		return withStatus(err)
	}
	text := ""
	for _, w := range wrong {
		text += "catalogue: " + w + "\n"
	}
	switch {
	case len(wrong) > 0:
	case len(seen) == 0:
		text = fmt.Sprintf(
			"the catalogue at %s answers; to your own BPNL it shows none of it, as DCM_PARTNERS wants. What a "+
				"partner is shown, only the partner's connector can ask\n", c.DSPURL)
	default:
		text = fmt.Sprintf("the catalogue at %s shows: %s\n", c.DSPURL, strings.Join(seen, ", "))
	}
	if err := say(c.JSON, map[string]any{"catalogue": c.DSPURL, "shown": append([]string{}, seen...),
		"wrong": append([]string{}, wrong...)}, "%s", text); err != nil {
		return err
	}
	if len(wrong) > 0 {
		return errInvalid
	}
	return nil
}

type edcSendCommand struct {
	connectorSettings
	Files       []string `arg:"" name:"file" help:"Messages to send, in this order; - is standard input."`
	Customer    string   `env:"DCM_EDC_CUSTOMER" placeholder:"BPNL" help:"${edcSend_Customer}"`
	CustomerURL string   `env:"DCM_EDC_CUSTOMER_URL" name:"customer-url" placeholder:"URL" help:"${CustomerURL}"`
	Protocol    string   `env:"DCM_EDC_PROTOCOL" default:"dataspace-protocol-http" help:"${edcSend_Protocol}"`
	Endpoint    string   `env:"DCM_ENDPOINT" default:"week-based-capacity-group" help:"${Endpoint}"`
	Asset       string   `env:"DCM_EDC_ASSET" placeholder:"ID" help:"${Asset}"`
	New         bool     `env:"DCM_EDC_NEW" name:"new" help:"${New}"`
	DryRun      bool     `env:"DCM_EDC_DRY_RUN" name:"dry-run" help:"Do everything but the POST."`
	Timeout     duration `env:"DCM_EDC_TIMEOUT" default:"5m" help:"${Timeout}"`
	CacheDir    string   `env:"DCM_EDC_CACHE_DIR" name:"cache-dir" placeholder:"DIR" help:"${CacheDir}"`
	JSON        bool     `env:"DCM_JSON" name:"json" help:"Print a JSON object a file."`
}

// check says what is wrong before anything is sent.
func (c *edcSendCommand) check() error {
	address, err := url.Parse(c.CustomerURL)
	switch {
	case c.Customer == "":
		return errors.New("DCM_EDC_CUSTOMER is not set: give the partner's BPNL")
	case !dcm.IsBPNL(c.Customer) && !strings.HasPrefix(c.Customer, "did:"):
		return fmt.Errorf("DCM_EDC_CUSTOMER: %q is not a BPNL (BPNL and 12 letters or digits), nor a DID", c.Customer)
	case c.CustomerURL == "":
		return errors.New("DCM_EDC_CUSTOMER_URL is not set: give the DSP address of the partner's connector")
	case err != nil || address.Host == "" || address.Scheme != "http" && address.Scheme != "https":
		return errors.New(
			"DCM_EDC_CUSTOMER_URL must be the http(s) URL of the partner's connector, such as " +
				"https://connector.customer.example/api/v1/dsp")
	case c.Protocol != edc.DSP08 && c.Protocol != edc.DSP2025:
		return fmt.Errorf("DCM_EDC_PROTOCOL: %q is neither %s nor %s", c.Protocol, edc.DSP08, edc.DSP2025)
	case c.Timeout < duration(time.Second):
		return fmt.Errorf("DCM_EDC_TIMEOUT: %s leaves no time; give at least 1s", c.Timeout)
	}
	for _, file := range c.Files {
		if file == "-" {
			continue
		}
		if _, err := os.Stat(file); err != nil {
			return err
		}
	}
	return nil
}

// Run sends the files one after the other. Progress goes to standard error,
// what came back to standard output; exit status 1 if an answer was not 2xx.
func (c *edcSendCommand) Run() error {
	if err := c.check(); err != nil {
		return failure{err, wrongUse}
	}
	m, err := c.management()
	if err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	endpoint, ok := dcm.EndpointOf(c.Endpoint)
	if !ok {
		return failure{fmt.Errorf("DCM_ENDPOINT: %q is none of %s", c.Endpoint, strings.Join(endpointPaths(), ", ")),
			wrongUse}
	}
	kind := edc.KindOf(endpoint)
	s := c.sending(m)
	if c.New {
		s.forget(kind)
	}
	if c.New || c.DryRun {
		if err := s.open(ctx, kind); err != nil {
			return withStatus(err)
		}
	}
	no := false
	for _, file := range c.Files {
		body, err := read(file)
		if err != nil {
			return failure{err, wrongUse}
		}
		if c.DryRun {
			if err := say(c.JSON, map[string]any{"file": file, "bytes": len(body), "sent": false},
				"%s: %d bytes, not sent\n", file, len(body)); err != nil {
				return err
			}
			continue
		}
		f := sentFile{File: file, Bytes: len(body), Sent: true}
		err = c.send(ctx, s, kind, body, &f)
		if c.JSON && (err == nil || f.Status != 0) {
			if err := json.NewEncoder(os.Stdout).Encode(f); err != nil {
				return err
			}
		}
		if err != nil {
			return withStatus(err)
		}
		no = no || !f.Stored
	}
	if no {
		return errInvalid
	}
	return nil
}

// sentFile is what became of a file; its names are those of --json.
type sentFile struct {
	File    string  `json:"file"`
	Bytes   int     `json:"bytes"`
	Sent    bool    `json:"sent"`
	Status  int     `json:"status"` // as the connector showed it
	Seconds float64 `json:"seconds"`
	Answer  any     `json:"answer"`           // JSON, or text where it is none
	Kept    any     `json:"kept,omitempty"`   // the receiver's own answer, fetched where the connector hides it
	Remark  string  `json:"remark,omitempty"` // what to do
	Stored  bool    `json:"accepted"`         // the receiver answered 2xx, not a page before it
}

const notLetIn = "The receiver answered the connector 401, 403 or 404, which it does before it reads a message: " +
	"the partner does not allow your BPNL to send, or its connector shows the receiver a wrong key or path. Ask " +
	"the partner."

// send sends one file, says what came back, and fetches what the connector hides.
func (c *edcSendCommand) send(ctx context.Context, s *sending, kind edc.Kind, body []byte, f *sentFile) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(c.Timeout))
	defer cancel()
	a, err := s.post(ctx, kind, body)
	if err != nil {
		return err
	}
	f.Status, f.Seconds, f.Answer = a.Status, a.Took.Seconds(), asJSON(a.Body)
	f.Stored, f.Remark = a.Accepted()
	c.print("%s: %d bytes, answered %d %s after %.2f s\n%s\n", f.File, f.Bytes, a.Status, http.StatusText(a.Status),
		a.Took.Seconds(), indented(a.Body))
	if f.Remark != "" {
		c.print("%s\n", f.Remark)
	}
	if a.Status != http.StatusInternalServerError {
		return nil
	}
	// a connector's 500 hides what the receiver said
	code, denied := edc.AnsweredCode(a)
	switch {
	case denied && kind != edc.Comment: // of comments rule 4 says 403, too, and that is kept
		f.Remark = notLetIn
		c.print("%s\n", f.Remark)
		return nil
	case code == http.StatusServiceUnavailable:
		f.Remark = "The receiver answered the connector 503: it is busy or its store is down. Send again later; a " +
			"repeat does no harm."
		c.print("%s\n", f.Remark)
		return nil
	}
	fmt.Fprintln(os.Stderr, "The connector made this 500 of the receiver's own answer; fetching that.")
	stored, err := s.reason(ctx, edc.MessageID(body))
	if err != nil && denied {
		f.Remark = notLetIn
		c.print("%s\n", f.Remark)
		return nil
	} else if err != nil {
		return err
	}
	f.Kept = stored
	c.print("The receiver's answer, kept since %s: %d %s\n%s\n", stored.ReceivedAt, stored.Status,
		http.StatusText(stored.Status), indented(stored.Answer))
	if code != 0 && code != stored.Status {
		f.Remark = fmt.Sprintf(
			"This is the answer to an earlier sending of the message: this time the receiver said %d %s.", code,
			http.StatusText(code))
		c.print("%s\n", f.Remark)
		return nil
	}
	f.Stored = stored.Status/100 == 2
	return nil
}

// print writes for a person.
func (c *edcSendCommand) print(format string, arguments ...any) {
	if !c.JSON {
		fmt.Printf(format, arguments...)
	}
}

// asJSON is a body as it stands in JSON: itself, or as text where it is none.
func asJSON(body []byte) any {
	if json.Valid(body) {
		return json.RawMessage(body)
	}
	return string(body)
}

func endpointPaths() (paths []string) {
	for _, e := range dcm.Endpoints {
		paths = append(paths, e.Path)
	}
	return paths
}

// indented is JSON for a person, unless it nests so deep that it would mostly be spaces.
func indented(data []byte) string {
	d := jsontext.NewDecoder(bytes.NewReader(data), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	for {
		if _, err := d.ReadToken(); err != nil {
			break
		}
		if d.StackDepth() > strictjson.MaxDepth {
			return printable(string(data))
		}
	}
	var out bytes.Buffer
	if json.Indent(&out, bytes.TrimSpace(data), "", "  ") != nil {
		return printable(string(data))
	}
	return printable(out.String())
}

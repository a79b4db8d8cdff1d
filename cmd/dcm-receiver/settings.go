package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"dcm-receiver/internal/database"
	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/edc"
	"dcm-receiver/internal/privatepg"
	"dcm-receiver/internal/standard"

	"github.com/alecthomas/kong"
	"github.com/mattn/go-isatty"
)

// databaseSettings say where the store is.
type databaseSettings struct {
	DatabaseURL string `env:"DATABASE_URL" name:"database-url" placeholder:"URL" help:"${DatabaseURL}"`
	DataDir     string `env:"DCM_DATA_DIR" default:".dcm" placeholder:"DIR" help:"Where the private Postgres lives."`
}

// private reports whether nothing says where a database is.
func (s databaseSettings) private() bool {
	for _, name := range []string{"PGHOST", "PGPORT", "PGDATABASE", "PGSERVICE"} {
		if os.Getenv(name) != "" {
			return false
		}
	}
	return s.DatabaseURL == ""
}

// ofRunning makes the settings name a database: where nothing says where one is,
// the private Postgres that serve runs.
func (s *databaseSettings) ofRunning() error {
	if !s.private() {
		return nil
	}
	url, err := privatepg.RunningURL(s.DataDir)
	if err != nil {
		return failure{fmt.Errorf("DATABASE_URL is not set, and %w: start serve, or say where the database is", err),
			wrongUse}
	}
	forgetPG()
	s.DatabaseURL = url
	return nil
}

// forgetPG takes the PG* variables out of the environment: they are meant for
// another server than the private one. A connection to that must not wait for a
// standby because PGTARGETSESSIONATTRS says so.
func forgetPG() {
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "PG") {
			_ = os.Unsetenv(name)
		}
	}
}

type logSettings struct {
	LogLevel  logLevel `env:"DCM_LOG_LEVEL" default:"info" help:"debug, info, warn or error."`
	LogFormat string   `env:"DCM_LOG_FORMAT" enum:"json,text,auto" default:"auto" help:"${LogFormat}"`
}

func (s logSettings) logger() *slog.Logger {
	if s.LogFormat == "auto" && isatty.IsTerminal(os.Stderr.Fd()) {
		s.LogFormat = "text"
	}
	return slog.New(s.handler(os.Stderr))
}

func (s logSettings) handler(w io.Writer) slog.Handler {
	options := &slog.HandlerOptions{Level: slog.Level(s.LogLevel),
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			switch a.Value.Kind() {
			case slog.KindDuration: // in JSON else a number of nanoseconds
				a.Value = slog.StringValue(a.Value.Duration().String())
			case slog.KindString: // a header, or what a partner's connector says
				a.Value = slog.StringValue(printable(a.Value.String()))
			case slog.KindAny:
				if err, is := a.Value.Any().(error); is {
					a.Value = slog.StringValue(printable(err.Error()))
				}
			}
			return a
		}}
	if s.LogFormat == "text" {
		return slog.NewTextHandler(w, options)
	}
	return slog.NewJSONHandler(w, options)
}

// serveSettings are the settings of serve.
type serveSettings struct {
	databaseSettings
	logSettings
	Listen           string   `env:"DCM_LISTEN" default:"127.0.0.1:8080" help:"${serve_Listen}"`
	OpsListen        string   `env:"DCM_OPS_LISTEN" default:"127.0.0.1:9090" help:"Metrics and health."`
	CustomerBPNLs    list     `env:"DCM_CUSTOMER_BPNLS" name:"customer-bpnls" placeholder:"BPNL,…" help:"${OurBPNLs}"`
	SupplierBPNLs    list     `env:"DCM_SUPPLIER_BPNLS" name:"supplier-bpnls" placeholder:"BPNL,…" help:"${Supplies}"`
	APIKeys          list     `env:"DCM_API_KEYS" name:"api-keys" placeholder:"KEY,…" help:"${serve_APIKeys}"`
	APIKeysFile      string   `env:"DCM_API_KEYS_FILE" placeholder:"FILE" help:"${KeysFile}"`
	Partners         list     `env:"DCM_PARTNERS" placeholder:"BPNL,…" help:"${serve_Partners}"`
	SenderHeader     string   `env:"DCM_SENDER_HEADER" default:"Edc-Bpn" help:"${serve_SenderHeader}"`
	UnparsableStatus int      `env:"DCM_UNPARSABLE_STATUS" default:"422" help:"${UnparsableStatus}"`
	Standard         string   `env:"DCM_STANDARD" default:"${standard}" help:"Rule set: ${standards}."`
	WeekAhead        bool     `env:"DCM_REFUSE_PAST_WEEKS" name:"refuse-past-weeks" help:"${WeekAhead}"`
	Requested        bool     `env:"DCM_ACCEPT_REQUESTED_PAST_START" name:"accept-requested-past-start" help:"${Past}"`
	Migrate          bool     `env:"DCM_MIGRATE" default:"true" negatable:"" help:"Migrate the database at the start."`
	JournalRetention duration `env:"DCM_JOURNAL_RETENTION" default:"90d" help:"${JournalRetention}"`
	HistoryRetention duration `env:"DCM_HISTORY_RETENTION" default:"400d" help:"${HistoryRetention}"`
	RequestTimeout   duration `env:"DCM_REQUEST_TIMEOUT" default:"20s" help:"${RequestTimeout}"`
	ShutdownDelay    duration `env:"DCM_SHUTDOWN_DELAY" default:"0s" help:"${ShutdownDelay}"`
	ShutdownTimeout  duration `env:"DCM_SHUTDOWN_TIMEOUT" default:"25s" help:"${ShutdownTimeout}"`
	MaxInFlight      int      `env:"DCM_MAX_IN_FLIGHT" default:"256" help:"${MaxInFlight}"`
	MaxBuffered      byteSize `env:"DCM_MAX_BUFFERED" default:"96MiB" help:"${MaxBuffered}"`
	Connections      int      `env:"DCM_DATABASE_CONNECTIONS" name:"database-connections" default:"0" help:"${Conns}"`
	TLSCertFile      string   `env:"DCM_TLS_CERT_FILE" name:"tls-cert-file" placeholder:"FILE" help:"${TLSCertFile}"`
	TLSKeyFile       string   `env:"DCM_TLS_KEY_FILE" name:"tls-key-file" placeholder:"FILE" help:"${TLSKeyFile}"`

	Send bool `env:"DCM_SEND" help:"${serve_Send}"`

	EDC      edcServeSettings `embed:"" prefix:"edc-"`
	Planning planningSettings `embed:"" prefix:"planning-"`
}

// check finds the first wrong setting. Its error names the variable.
func (s *serveSettings) check() error {
	for _, check := range []func() error{
		s.checkBPNLs, s.readKeys, s.checkListeners, s.checkStandard, s.checkTimes, s.checkLimits, s.checkHeader,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	if _, err := database.Read(s.DatabaseURL); err != nil {
		return err
	}
	if s.Send {
		if _, err := s.EDC.management(); err != nil {
			return fmt.Errorf("DCM_SEND is set: %w", err)
		}
	}
	if err := s.EDC.check(s.own()); err != nil {
		return err
	}
	return s.Planning.check()
}

func (s *serveSettings) checkBPNLs() error {
	if len(s.CustomerBPNLs) == 0 && len(s.SupplierBPNLs) == 0 {
		return errors.New("neither DCM_CUSTOMER_BPNLS nor DCM_SUPPLIER_BPNLS is set: " +
			"give the BPNLs that this receiver is responsible for, separated by commas")
	}
	for name, bpnls := range map[string]list{
		"DCM_CUSTOMER_BPNLS": s.CustomerBPNLs, "DCM_SUPPLIER_BPNLS": s.SupplierBPNLs, "DCM_PARTNERS": s.Partners,
	} {
		for _, bpnl := range bpnls {
			if !dcm.IsBPNL(bpnl) {
				return fmt.Errorf("%s: %q is not a BPNL (BPNL and 12 letters or digits)", name, bpnl)
			}
		}
	}
	return nil
}

// readKeys adds the keys of the file to those of the variable, and checks all.
func (s *serveSettings) readKeys() error {
	keys, err := keysIn(s.APIKeysFile)
	if err != nil {
		return err
	}
	s.APIKeys = append(s.APIKeys, keys...)
	for _, key := range s.APIKeys {
		if strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r > '~' }) {
			return errors.New("DCM_API_KEYS, DCM_API_KEYS_FILE: a key has a character that no header has: " +
				"use printable ASCII, and save a file as UTF-8 without anything else in it")
		}
		if strings.HasPrefix(key, "-----") {
			return errors.New("DCM_API_KEYS, DCM_API_KEYS_FILE: " +
				"this is a certificate or private key (PEM), not a list of API keys")
		}
	}
	return nil
}

// checkListeners checks the addresses, and that a listener off loopback has what protects it.
func (s *serveSettings) checkListeners() error {
	host, err := listenHost("DCM_LISTEN", s.Listen)
	if err != nil {
		return err
	}
	if _, err := listenHost("DCM_OPS_LISTEN", s.OpsListen); err != nil {
		return err
	}
	switch {
	case (s.TLSCertFile == "") != (s.TLSKeyFile == ""):
		return errors.New("DCM_TLS_CERT_FILE and DCM_TLS_KEY_FILE go together: set both or neither")
	case isLoopback(host):
	case s.private():
		return errors.New("DATABASE_URL is not set: the private Postgres serves loopback listeners only, " +
			"and DCM_LISTEN is not one")
	case len(s.APIKeys) == 0:
		return errors.New("DCM_API_KEYS is not set: it is required unless DCM_LISTEN is a loopback address, " +
			"because anyone who reaches the listener could name any sender")
	case slices.ContainsFunc(s.APIKeys, func(key string) bool { return len(key) < leastKey }):
		return fmt.Errorf("DCM_API_KEYS: a key has fewer than %d characters and can be guessed; "+
			"make one with openssl rand -hex 24", leastKey)
	}
	return s.addresses()
}

func (s *serveSettings) checkStandard() error {
	by, known := standard.Of(s.Standard)
	switch {
	case s.UnparsableStatus != 422 && s.UnparsableStatus != 400:
		return fmt.Errorf("DCM_UNPARSABLE_STATUS: %d is neither 422 nor 400", s.UnparsableStatus)
	case !known:
		return fmt.Errorf("DCM_STANDARD: %q is not known; use %s", s.Standard, standard.List(standard.Names()))
	case s.WeekAhead && !by.CanRequireWeekAhead():
		return fmt.Errorf("DCM_REFUSE_PAST_WEEKS: %s takes past weeks; set DCM_STANDARD=%s, or take it out",
			s.Standard, standard.List(standard.Where((*standard.Standard).CanRequireWeekAhead)))
	case s.Requested && !by.StartRule:
		return fmt.Errorf("DCM_ACCEPT_REQUESTED_PAST_START: %s has no rule about the start of measurement; "+
			"set DCM_STANDARD=%s, or take it out", s.Standard,
			standard.List(standard.Where(func(s *standard.Standard) bool { return s.StartRule })))
	}
	return nil
}

func (s *serveSettings) checkTimes() error {
	const hour, second = duration(time.Hour), duration(time.Second)
	for _, c := range []struct {
		name        string
		value       duration
		least, most duration
		orNone      bool // 0 is allowed too
	}{
		{"DCM_JOURNAL_RETENTION", s.JournalRetention, hour, longest, false},
		{"DCM_HISTORY_RETENTION", s.HistoryRetention, hour, longest, true},
		{"DCM_REQUEST_TIMEOUT", s.RequestTimeout, second / 10, 30*second - second/1000, false},
		{"DCM_SHUTDOWN_DELAY", s.ShutdownDelay, 0, hour, false},
		{"DCM_SHUTDOWN_TIMEOUT", s.ShutdownTimeout, second / 1000, hour, false},
	} {
		if (c.value < c.least || c.value > c.most) && !(c.orNone && c.value == 0) {
			none := ""
			if c.orNone {
				none = ", or 0 to keep nothing"
			}
			return fmt.Errorf("%s: %s is out of range: it must be at least %s and at most %s%s", c.name, c.value,
				c.least, c.most, none)
		}
	}
	return nil
}

func (s *serveSettings) checkLimits() error {
	const oneMessage, most = 16 << 20, 1 << 40
	switch {
	case s.MaxInFlight < 1 || s.MaxInFlight > 100_000:
		return fmt.Errorf("DCM_MAX_IN_FLIGHT: %d is not between 1 and 100000", s.MaxInFlight)
	case s.MaxBuffered < oneMessage:
		return fmt.Errorf("DCM_MAX_BUFFERED: %d is too small for one message of 15 MiB; it must be at least 16MiB",
			s.MaxBuffered)
	case s.MaxBuffered > most:
		return fmt.Errorf("DCM_MAX_BUFFERED: %d is too large; it must be at most 1TiB", s.MaxBuffered)
	case s.Connections < 0 || s.Connections > 10_000:
		return fmt.Errorf("DCM_DATABASE_CONNECTIONS: %d is not between 0 and 10000", s.Connections)
	}
	return nil
}

func (s *serveSettings) checkHeader() error {
	switch {
	case !token.MatchString(s.SenderHeader):
		return fmt.Errorf("DCM_SENDER_HEADER: %q is no name of a header; data planes use Edc-Bpn", s.SenderHeader)
	case slices.Contains(notSender, http.CanonicalHeaderKey(s.SenderHeader)):
		return fmt.Errorf("DCM_SENDER_HEADER: %s has another meaning and never names the sender; data planes use "+
			"Edc-Bpn",
			s.SenderHeader)
	}
	return nil
}

// listenHost is the host of a listener's address; "" listens on all.
func listenHost(name, address string) (host string, err error) {
	host, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return "",
			fmt.Errorf("%s: %q is no address to listen on; give host:port, such as 127.0.0.1:8080, without http://",
				name, address)
	}
	return host, nil
}

// addresses says which two listeners would be one.
func (s *serveSettings) addresses() error {
	listeners := []struct{ name, address string }{{"DCM_LISTEN", s.Listen}, {"DCM_OPS_LISTEN", s.OpsListen},
		{"DCM_PLANNING_LISTEN", s.Planning.Listen}}
	for i, a := range listeners {
		for _, b := range listeners[:i] {
			if samePlace(a.address, b.address) {
				return fmt.Errorf("%s and %s: %s and %s are the same place; give each its own port", b.name, a.name,
					b.address, a.address)
			}
		}
	}
	return nil
}

// samePlace reports whether two listeners cannot be there side by side.
func samePlace(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == "0" {
		return false
	}
	everywhere := []string{"", "0.0.0.0", "::"}
	return hostA == hostB || slices.Contains(everywhere, hostA) || slices.Contains(everywhere, hostB) ||
		strings.Replace(hostA, "localhost", "127.0.0.1", 1) == strings.Replace(hostB, "localhost", "127.0.0.1", 1)
}

// own is what a connector that offers this receiver must match.
func (s *serveSettings) own() ownSettings {
	return ownSettings{
		keys: s.APIKeys, partners: s.Partners, header: s.SenderHeader, standard: s.Standard,
		customers: s.CustomerBPNLs, suppliers: s.SupplierBPNLs,
	}
}

// longest is the longest retention: Postgres cannot subtract much more from now.
const longest = duration(100 * 365 * 24 * time.Hour)

// token is what a header's name can be (RFC 9110 §5.6.2).
var token = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

// notSender are headers with another meaning, or that a proxy or server removes.
var notSender = []string{
	"X-Api-Key", edc.AgreementHeader, "Host", "Content-Type", "Content-Length", "Content-Encoding", "Transfer-Encoding",
	"Connection", "Expect", "Trailer", "Upgrade",
}

// leastKey is the least length of an API key, in characters, where others can reach the listener.
const leastKey = 16

// keysIn reads API keys, separated by commas or line ends; none where no file is
// named. Lines that begin with # are comments.
func keysIn(file string) ([]string, error) {
	if file == "" {
		return nil, nil
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("DCM_API_KEYS_FILE: %w", err)
	}
	content = bytes.TrimPrefix(content, []byte("\xef\xbb\xbf")) // some editors begin a file with it
	var keys []string
	for line := range strings.FieldsFuncSeq(string(content), func(r rune) bool { return r == '\n' || r == '\r' }) {
		if !strings.HasPrefix(strings.TrimSpace(line), "#") {
			keys = append(keys, trimmed(strings.Split(line, ","))...)
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("DCM_API_KEYS_FILE: %s has no key", file)
	}
	return keys, nil
}

// warnOfUnknownVariables finds names that are misspelt.
func warnOfUnknownVariables(log *slog.Logger, parser *kong.Kong) {
	known := map[string]bool{}
	for _, command := range parser.Model.Leaves(false) {
		for _, flag := range slices.Concat(command.AllFlags(false)...) {
			for _, env := range flag.Envs {
				known[env] = true
			}
		}
	}
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, "DCM_") && !known[name] {
			log.Warn("this environment variable is not known; is it misspelt?", "name", name)
		}
	}
}

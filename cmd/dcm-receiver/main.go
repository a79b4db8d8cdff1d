// Command dcm-receiver receives and sends the messages of Catena-X Demand and Capacity Management
// (CX-0048, CX-0128) behind an EDC connector. This package has the commands: their settings, what they
// start, and what they print.
package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/prometheus/client_golang/prometheus"
)

// version is set by the linker.
var version = "dev"

type commands struct {
	ShowVersion kong.VersionFlag `name:"version" help:"Print the version."`

	Serve      serveCommand      `cmd:"" help:"${Serve}"`
	Migrate    migrateCommand    `cmd:"" help:"Bring the database to the tables and views of this version, then end."`
	Ready      readyCommand      `cmd:"" help:"${Ready}"`
	Validate   validateCommand   `cmd:"" help:"${Validate}"`
	Example    exampleCommand    `cmd:"" help:"Print a realistic valid WeekBasedCapacityGroup message."`
	EDC        edcCommands       `cmd:"" name:"edc" help:"${EDC}"`
	Group      groupCommands     `cmd:"" help:"Unlock or remove a stored capacity group."`
	Demand     demandCommands    `cmd:"" help:"${Demand}"`
	Partner    partnerCommands   `cmd:"" help:"Partners that we can send to."`
	Request    requestCommand    `cmd:"" help:"Ask suppliers to send capacity groups again, or all of them."`
	Version    versionCommand    `cmd:"" help:"Print the version."`
	Completion completionCommand `cmd:"" help:"Print completions for a shell: source <(dcm-receiver completion bash)."`
}

func main() {
	runtime.MemProfileRate = 0 // a dependency enables memory profiles, which cannot be read here
	parser, err := kong.New(&commands{}, kong.Name("dcm-receiver"), kong.UsageOnError(),
		vars(),
		kong.Description(
			"Takes and sends the messages of Catena-X Demand and Capacity Management (CX-0048, CX-0128), behind "+
				"an EDC connector. Every option has an environment variable."))
	if err != nil {
		fail(err)
	}
	context, err := parser.Parse(arguments(os.Args[1:]))
	if err != nil {
		fail(failure{nameVariable(err), wrongUse})
	}
	if err := context.Run(parser); err != nil {
		fail(err)
	}
}

// Exit statuses.
const (
	saysNo       = 1 // invalid, refused, not there
	wrongUse     = 2 // of a command, or a setting
	notReachable = 3
)

// failure is an error with its exit status.
type failure struct {
	error
	status int
}

func (f failure) Unwrap() error { return f.error }

// fail ends the program with one line.
func fail(err error) {
	status := saysNo
	var f failure
	if errors.As(err, &f) {
		status = f.status
	}
	if !errors.Is(err, errInvalid) { // validate has printed everything
		fmt.Fprintln(os.Stderr, "dcm-receiver:", printable(err.Error())) // it may quote a partner's connector
	}
	os.Exit(status)
}

// nameVariable adds to an error about an option of a command the environment variable
// that it may come from.
func nameVariable(err error) error {
	var wrong *kong.ParseError
	if !errors.As(err, &wrong) || wrong.Context == nil || wrong.Context.Selected() == nil {
		return err
	}
	for _, flag := range slices.Concat(wrong.Context.Selected().AllFlags(false)...) {
		if len(flag.Envs) == 0 || !regexp.MustCompile("--"+flag.Name+`(?:[^\w-]|$)`).MatchString(err.Error()) {
			continue
		}
		if !strings.Contains(err.Error(), flag.Envs[0]) {
			err = fmt.Errorf("%w (or %s)", err, flag.Envs[0])
		}
		break
	}
	return err
}

type versionCommand struct{}

func (versionCommand) Run() error {
	fmt.Println(versionLine())
	return nil
}

func versionLine() string {
	return fmt.Sprintf("dcm-receiver %s (commit %s, %s)", version, revision(), runtime.Version())
}

// revision is the commit that the program was built from.
func revision() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return "unknown"
}

// buildInfo is a metric whose labels say what is running.
func buildInfo() prometheus.Collector {
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "dcm_build_info", Help: "Always 1; the labels say what is running.",
	}, []string{"version", "revision", "goversion"})
	build.WithLabelValues(version, revision(), runtime.Version()).Set(1)
	return build
}

// arguments makes "help edc send" of what is understood: "edc send --help".
func arguments(given []string) []string {
	if len(given) == 0 || given[0] != "help" {
		return given
	}
	return append(slices.Clone(given[1:]), "--help")
}

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/example"
	"dcm-receiver/internal/payload"
	"dcm-receiver/internal/receiver"
	"dcm-receiver/schemas"
)

// errInvalid makes the exit status 1 where everything has been said.
var errInvalid = errors.New("invalid")

type validateCommand struct {
	Files    []string `arg:"" name:"file" help:"Bodies as they would be POSTed; - is standard input."`
	Endpoint string   `env:"DCM_ENDPOINT" enum:"week-based-capacity-group,week-based-material-demand,id-based-request-for-update,id-based-comment" default:"week-based-capacity-group" help:"What the payload is meant for: ${enum}."`
	Standard string   `env:"DCM_STANDARD" enum:"cx-0048,cx-0128" default:"cx-0048" help:"Rule set: ${enum}."`
}

// Run prints a line for each file, and one for each violation.
func (c *validateCommand) Run() error {
	invalid := false
	for _, file := range c.Files {
		body, err := read(file)
		if err != nil {
			return err
		}
		objects, found, more := check(body, c.Endpoint, c.Standard)
		if len(found) == 0 {
			fmt.Printf("%s: valid, %d objects\n", file, objects)
			continue
		}
		invalid = true
		fmt.Printf("%s: invalid\n", file)
		for _, e := range found {
			fmt.Printf("  %s: %s\n", pointerOr(e.Pointer, "(whole body)"), e.Detail)
		}
		if more > 0 {
			fmt.Printf("  and %d more\n", more)
		}
	}
	if invalid {
		return errInvalid
	}
	return nil
}

func read(file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(os.Stdin)
	}
	return os.ReadFile(file)
}

func pointerOr(pointer, whole string) string {
	if pointer == "" {
		return whole
	}
	return pointer
}

// check is rule 1 of a standard and what comes before it: size and JSON.
func check(body []byte, endpoint, name string) (objects int, found []schemas.Violation, more int) {
	if len(body) > receiver.MaxBody {
		return 0, []schemas.Violation{{Detail: fmt.Sprintf("the body has %d bytes, over 15 MiB (%d); send fewer objects in one message", len(body), receiver.MaxBody)}}, 0
	}
	standard, _ := receiver.StandardOf(name) // the parser has seen to it
	now := time.Now()
	switch endpoint {
	case dcm.CapacityGroupEndpoint.Path:
		return violations(standard.ReadCapacityGroups(body, now))
	case dcm.MaterialDemandEndpoint.Path:
		return violations(standard.ReadMaterialDemands(body, now))
	case dcm.CommentEndpoint.Path:
		return violations(standard.ReadComments(body, now))
	}
	return violations(standard.ReadRequestsForUpdate(body, now))
}

// violations lists what is wrong with a message that was read.
func violations[T any](m *payload.Message[T], err error) (objects int, found []schemas.Violation, more int) {
	var syntax *payload.SyntaxError
	if errors.As(err, &syntax) {
		return 0, []schemas.Violation{{Detail: "not one JSON text: " + syntax.Detail}}, 0
	}
	found, more = m.Errors.List, m.Errors.More
	for i := range m.Objects {
		found = append(found, m.Objects[i].Errors.List...)
		more += m.Objects[i].Errors.More
	}
	return len(m.Objects), found, more
}

type exampleCommand struct {
	Groups   int    `env:"DCM_EXAMPLE_GROUPS" default:"1" help:"Capacity groups in the message."`
	Weeks    int    `env:"DCM_EXAMPLE_WEEKS" default:"104" help:"Weeks of each group."`
	Seed     uint64 `env:"DCM_EXAMPLE_SEED" default:"1" help:"The same seed makes the same IDs and quantities."`
	Supplier string `env:"DCM_EXAMPLE_SUPPLIER" default:"BPNL6666666666YY" help:"BPNL of the sender."`
	Customer string `env:"DCM_EXAMPLE_CUSTOMER" default:"BPNL8888888888XX" help:"BPNL of the receiver."`
	Standard string `env:"DCM_STANDARD" enum:"cx-0048,cx-0128" default:"cx-0048" help:"Rule set that the message is for: ${enum}."`
}

// Run prints the message.
func (c *exampleCommand) Run() error {
	if c.Groups < 1 || c.Weeks < 1 {
		return errors.New("--groups (DCM_EXAMPLE_GROUPS) and --weeks (DCM_EXAMPLE_WEEKS) must be 1 or more")
	}
	for name, bpnl := range map[string]string{"--supplier (DCM_EXAMPLE_SUPPLIER)": c.Supplier, "--customer (DCM_EXAMPLE_CUSTOMER)": c.Customer} {
		if !dcm.IsBPNL(bpnl) {
			return fmt.Errorf("%s: %q is not a BPNL", name, bpnl)
		}
	}
	context := "" // that of the example
	if standard, _ := receiver.StandardOf(c.Standard); standard.HeaderRequired {
		context = dcm.CapacityGroupEndpoint.Model + ".x.x"
	}
	_, err := os.Stdout.Write(append(example.Message(example.Options{
		Context: context, Groups: c.Groups, Weeks: c.Weeks, Seed: c.Seed, Supplier: c.Supplier, Customer: c.Customer, Now: time.Now(),
	}), '\n'))
	return err
}

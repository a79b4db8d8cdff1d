package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/demandfile"
	"dcm-receiver/internal/example"
	"dcm-receiver/internal/payload"
	"dcm-receiver/internal/receiver"
	"dcm-receiver/internal/rules"
	"dcm-receiver/internal/standard"
)

// errInvalid makes the exit status 1 where everything has been said.
var errInvalid = errors.New("invalid")

type validateCommand struct {
	Files    []string `arg:"" name:"file" help:"Bodies as they would be POSTed; - is standard input."`
	Endpoint string   `env:"DCM_ENDPOINT" enum:"${endpoints}" default:"${endpoint}" help:"${validate_Endpoint}"`
	Standard string   `env:"DCM_STANDARD" enum:"${standards}" default:"${standard}" help:"Rule set: ${enum}."`
	Ahead    bool     `env:"DCM_REFUSE_PAST_WEEKS" name:"refuse-past-weeks" help:"${Ahead}"`
	JSON     bool     `env:"DCM_JSON" name:"json" help:"Print one JSON object a file."`
}

// finding is what validate says of one file; its names are those of answers.
type finding struct {
	File         string          `json:"file"`
	Valid        bool            `json:"valid"`
	Objects      int             `json:"objects"`
	Errors       []dcm.Violation `json:"errors"`
	MoreErrors   int             `json:"moreErrors,omitzero"`
	Warnings     []dcm.Violation `json:"warnings,omitempty"`
	MoreWarnings int             `json:"moreWarnings,omitzero"`
}

// Run says of each file what is wrong with it. A file that cannot be read does
// not keep the others from being checked.
func (c *validateCommand) Run() error {
	invalid, unread := false, 0
	for _, file := range c.Files {
		body, err := read(file)
		if err != nil {
			unread++
			fmt.Fprintln(os.Stderr, "dcm-receiver: read payload:", err)
		}
		f := finding{Errors: []dcm.Violation{{Detail: "it cannot be read"}}}
		if err == nil {
			by, _ := standard.Of(c.Standard) // the parser has checked the name
			by.WeekAhead = c.Ahead && by.CanRequireWeekAhead()
			f = check(body, c.Endpoint, by, time.Now())
		}
		f.File = file
		invalid = invalid || !f.Valid
		if c.JSON {
			encoder := json.NewEncoder(os.Stdout)
			encoder.SetEscapeHTML(false)
			err = encoder.Encode(f)
		} else {
			_, err = os.Stdout.WriteString(f.text())
		}
		if err != nil {
			return fmt.Errorf("write what was found: %w", err)
		}
	}
	if unread > 0 {
		return failure{fmt.Errorf("could not be read: %d of %s", unread, counted(len(c.Files), "file")), wrongUse}
	}
	if invalid {
		return errInvalid
	}
	return nil
}

// text is a line for the file, and one for each error and warning.
func (f *finding) text() string {
	var b strings.Builder
	verdict := "invalid"
	if f.Valid {
		verdict = "valid, " + counted(f.Objects, "object")
	}
	fmt.Fprintf(&b, "%s: %s\n", f.File, verdict)
	list := func(word string, found []dcm.Violation, more int) {
		for _, v := range found {
			fmt.Fprintf(&b, "  %s%s: %s\n", word, cmp.Or(v.Pointer, "(whole body)"), v.Detail)
		}
		if more > 0 {
			fmt.Fprintf(&b, "  %sand %d more\n", word, more)
		}
	}
	list("", f.Errors, f.MoreErrors)
	list("warning: ", f.Warnings, f.MoreWarnings)
	return b.String()
}

// read reads a file, of which a device or a pipe may have no end.
func read(file string) ([]byte, error) {
	f := os.Stdin
	if file != "-" {
		var err error
		if f, err = os.Open(file); err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
	}
	content, err := io.ReadAll(io.LimitReader(f, demandfile.MaxFile+1))
	if err == nil && len(content) > demandfile.MaxFile {
		err = fmt.Errorf("%s: has over %d MiB; split it", file, demandfile.MaxFile>>20)
	}
	return content, err
}

// check is rule 1 of a standard, what comes before it (size and JSON), and what
// the receiver would say of a header, of changedAt and by later rules, as far as the
// message shows it.
func check(body []byte, endpoint string, by standard.Standard, now time.Time) finding {
	if len(body) > receiver.MaxBody {
		return finding{Errors: []dcm.Violation{{Detail: fmt.Sprintf(
			"the body has %d bytes, over 15 MiB (%d); send fewer objects in one message", len(body),
			receiver.MaxBody)}}}
	}
	return checks[endpoint](body, by, now)
}

// checks has what validate does for each endpoint.
var checks = map[string]func(body []byte, by standard.Standard, now time.Time) finding{
	dcm.CapacityGroupEndpoint.Path: func(body []byte, by standard.Standard, now time.Time) finding {
		m, err := by.ReadCapacityGroups(body, now)
		return found(m, err, now, func(g *dcm.CapacityGroup) sent {
			always, unlessStored := by.Preview(g, now)
			return sent{"supplier", g.Supplier, &g.ChangedAt, always, unlessStored}
		})
	},
	dcm.MaterialDemandEndpoint.Path: func(body []byte, by standard.Standard, now time.Time) finding {
		m, err := by.ReadMaterialDemands(body, now)
		return found(m, err, now, func(d *dcm.MaterialDemand) sent {
			return sent{senderName: "customer", sender: d.Customer, changedAt: &d.ChangedAt}
		})
	},
	dcm.CommentEndpoint.Path: func(body []byte, by standard.Standard, now time.Time) finding {
		m, err := by.ReadComments(body, now)
		return found(m, err, now, func(c *dcm.Comment) sent { return sent{changedAt: c.ChangedAt} })
	},
	dcm.RequestForUpdateEndpoint.Path: func(body []byte, by standard.Standard, now time.Time) finding {
		m, err := by.ReadRequestsForUpdate(body, now)
		return found(m, err, now, func(*dcm.RequestForUpdate) sent { return sent{} })
	},
}

// sent is what an object says of the message that it is in: by which property it
// names its sender, when it was changed, and why later rules refuse it, whatever
// is stored, or perhaps.
type sent struct {
	senderName, sender string
	changedAt          *dcm.Timestamp
	refused, perhaps   []rules.Detail
}

// found lists what is wrong with a message that was read.
func found[T any](m *payload.Message[T], err error, now time.Time, of func(*T) sent) finding {
	var syntax *payload.SyntaxError
	if errors.As(err, &syntax) {
		return finding{Errors: []dcm.Violation{{Detail: "not one JSON text: " + syntax.Detail}}}
	}
	all := finding{Objects: len(m.Objects), Errors: append([]dcm.Violation{}, m.Errors.List...),
		MoreErrors: m.Errors.More, Warnings: m.Warnings.List, MoreWarnings: m.Warnings.More}
	for i := range m.Objects {
		o := &m.Objects[i]
		if !o.Errors.Any() {
			s := of(&o.Value)
			if s.changedAt != nil {
				receiver.WarnOfFuture(now, o.Pointer, *s.changedAt, &o.Warnings)
			}
			if h := m.Header; h != nil && s.sender != "" && s.sender != h.SenderBPN {
				o.Errors.Add(o.Pointer+"/"+s.senderName, fmt.Sprintf(
					"%s is %s, but senderBpn in the header is %s; they must be the same", s.senderName, s.sender,
					h.SenderBPN))
			}
			// Valid is what rule 1 lets pass; what comes of it by later rules is said too.
			for _, d := range s.refused {
				o.Warnings.Add(o.Pointer+"/"+d.Property, "it will be refused by a later rule: "+d.Text)
			}
			for _, d := range s.perhaps {
				o.Warnings.Add(o.Pointer+"/"+d.Property,
					"it will be refused unless the receiver has this value already: "+d.Text)
			}
		}
		all.Errors, all.MoreErrors = append(all.Errors, o.Errors.List...), all.MoreErrors+o.Errors.More
		all.Warnings, all.MoreWarnings = append(all.Warnings, o.Warnings.List...), all.MoreWarnings+o.Warnings.More
	}
	all.Valid = len(all.Errors) == 0
	return all
}

type exampleCommand struct {
	Groups   int    `env:"DCM_EXAMPLE_GROUPS" default:"1" help:"Capacity groups in the message."`
	Weeks    int    `env:"DCM_EXAMPLE_WEEKS" default:"104" help:"Weeks of each group."`
	Seed     uint64 `env:"DCM_EXAMPLE_SEED" default:"1" help:"The same seed makes the same IDs and quantities."`
	Supplier string `env:"DCM_EXAMPLE_SUPPLIER" default:"BPNL6666666666YY" help:"BPNL of the sender."`
	Customer string `env:"DCM_EXAMPLE_CUSTOMER" default:"BPNL8888888888XX" help:"BPNL of the receiver."`
	Standard string `env:"DCM_STANDARD" enum:"${standards}" default:"${standard}" help:"Its rule set: ${enum}."`
	World    string `env:"DCM_EXAMPLE_WORLD" help:"${World}"`
}

// Run prints the message, or writes the world's.
func (c *exampleCommand) Run() error {
	const mostGroups, mostWeeks = 100_000, 1_040
	if c.Groups < 1 || c.Groups > mostGroups || c.Weeks < 1 || c.Weeks > mostWeeks {
		return failure{fmt.Errorf(
			"--groups (DCM_EXAMPLE_GROUPS) must be from 1 to %d, and --weeks (DCM_EXAMPLE_WEEKS) from 1 to %d",
			mostGroups, mostWeeks), wrongUse}
	}
	for name, bpnl := range map[string]string{"--supplier (DCM_EXAMPLE_SUPPLIER)": c.Supplier,
		"--customer (DCM_EXAMPLE_CUSTOMER)": c.Customer} {
		if !dcm.IsBPNL(bpnl) {
			return failure{fmt.Errorf("%s: %q is not a BPNL", name, bpnl), wrongUse}
		}
	}
	if c.World != "" {
		return c.writeWorld()
	}
	context := "" // that of the example
	if by, _ := standard.Of(c.Standard); by.HeaderRequired {
		context = by.Context(dcm.CapacityGroupEndpoint, ".x.x")
	}
	_, err := os.Stdout.Write(append(example.Message(example.Options{
		Context: context, Groups: c.Groups, Weeks: c.Weeks, Seed: c.Seed, Supplier: c.Supplier, Customer: c.Customer,
		Now: time.Now(),
	}), '\n'))
	return err
}

// writeWorld writes a file for each message, and prints how to send it.
func (c *exampleCommand) writeWorld() error {
	if err := os.MkdirAll(c.World, 0o755); err != nil {
		return fmt.Errorf("write example: %w", err)
	}
	w := example.MakeWorld(example.Options{Weeks: c.Weeks, Seed: c.Seed, Customer: c.Customer, Now: time.Now()})
	n := 0
	write := func(name string, body []byte) (string, error) {
		n++
		file := filepath.Join(c.World, fmt.Sprintf("%02d-%s", n, name))
		if err := os.WriteFile(file, body, 0o644); err != nil {
			return "", fmt.Errorf("write example: %w", err)
		}
		return file, nil
	}
	for _, kind := range []struct {
		note     string
		messages []example.Sent
	}{{"", w.CapacityGroups}, {"", w.MaterialDemands}, {"", w.RequestsForUpdate}, {"", w.Comments},
		{"refused-", w.Refused}} {
		for _, m := range kind.messages {
			file, err := write(kind.note+m.Endpoint.Path+"-"+m.Sender+".json", m.Body)
			if err != nil {
				return err
			}
			fmt.Printf(
				"curl -sS -H 'Content-Type: application/json' -H 'Edc-Bpn: %s' --data-binary @%s "+
					"http://127.0.0.1:8080/%s\n", m.Sender, file, m.Endpoint.Path)
		}
	}
	_, err := write("demand-lines.csv", w.DemandLines)
	return err
}

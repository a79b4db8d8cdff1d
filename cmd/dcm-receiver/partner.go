package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"strings"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/outbox"

	"github.com/jackc/pgx/v5"
)

type partnerCommands struct {
	Add    partnerAddCommand    `cmd:"" help:"Enter a partner and where its connector is, or change that."`
	List   partnerListCommand   `cmd:"" help:"Print the partners that we can send to."`
	Remove partnerRemoveCommand `cmd:"" help:"Stop sending to a partner. Exit status 1 if it is not there."`
}

type partnerAddCommand struct {
	BPNL     string `arg:"" name:"BPNL" help:"The partner's BPNL."`
	DSPURL   string `env:"DCM_PARTNER_DSP_URL" name:"dsp-url" placeholder:"URL" help:"${partnerAdd_DSPURL}"`
	DID      string `env:"DCM_PARTNER_DID" name:"did" placeholder:"DID" help:"${DID}"`
	Protocol string `env:"DCM_PARTNER_PROTOCOL" enum:",${protocols}" default:"" help:"${Protocol}"`
	JSON     bool   `env:"DCM_JSON" name:"json" help:"Print a JSON object."`
	databaseSettings
}

// Run adds or changes a partner.
func (c *partnerAddCommand) Run() error {
	if err := checkBPNL(c.BPNL); err != nil {
		return err
	}
	if u, err := url.Parse(c.DSPURL); c.DSPURL != "" && (err != nil || u.Host == "" || u.Scheme != "http" &&
		u.Scheme != "https") {
		return failure{fmt.Errorf(
			"--dsp-url %q is not an http(s) URL; give one such as https://connector.example.com/api/v1/dsp",
			c.DSPURL), wrongUse}
	}
	if c.DID != "" && !strings.HasPrefix(c.DID, "did:") {
		return failure{fmt.Errorf("--did %q is no DID; it begins with did: and a method", c.DID), wrongUse}
	}
	return c.inDatabase(func(ctx context.Context, conn *pgx.Conn) error {
		added, err := outbox.AddPartner(ctx, conn, c.BPNL, c.DSPURL, c.DID, c.Protocol)
		if err != nil {
			return c.refused(err)
		}
		outcome := map[bool]string{true: "added", false: "changed"}[added]
		return say(c.JSON, map[string]any{"bpnl": c.BPNL, "outcome": outcome}, "%s: %s\n", c.BPNL, outcome)
	})
}

type partnerListCommand struct {
	JSON bool `env:"DCM_JSON" name:"json" help:"Print a JSON object a partner."`
	databaseSettings
}

// Run lists partners.
func (c *partnerListCommand) Run() error {
	return c.inDatabase(func(ctx context.Context, conn *pgx.Conn) error {
		partners, err := outbox.Partners(ctx, conn)
		if err != nil {
			return c.refused(err)
		}
		for _, p := range partners {
			line := []string{p.BPNL}
			for _, v := range []*string{p.DSPURL, p.DID, p.Protocol} {
				if v == nil {
					line = append(line, "(to be found out)")
				} else {
					line = append(line, *v)
				}
			}
			if err := say(c.JSON, p, "%s\n", strings.Join(line, "  ")); err != nil {
				return err
			}
		}
		return nil
	})
}

type partnerRemoveCommand struct {
	BPNL string `arg:"" name:"BPNL" help:"The partner's BPNL."`
	JSON bool   `env:"DCM_JSON" name:"json" help:"Print a JSON object."`
	databaseSettings
}

// Run removes a partner.
func (c *partnerRemoveCommand) Run() error {
	if err := checkBPNL(c.BPNL); err != nil {
		return err
	}
	return c.inDatabase(func(ctx context.Context, conn *pgx.Conn) error {
		removed, err := outbox.RemovePartner(ctx, conn, c.BPNL)
		if err != nil {
			return c.refused(err)
		}
		if !removed {
			_ = say(c.JSON, map[string]any{"bpnl": c.BPNL, "outcome": "unknown"}, "")
			return failure{fmt.Errorf("there is no partner %s", c.BPNL), saysNo}
		}
		return say(c.JSON, map[string]any{"bpnl": c.BPNL, "outcome": "removed"}, "%s: removed\n", c.BPNL)
	})
}

func checkBPNL(bpnl string) error {
	if !dcm.IsBPNL(bpnl) {
		return failure{fmt.Errorf("%q is not a BPNL (BPNL and 12 letters or digits)", bpnl), wrongUse}
	}
	return nil
}

// say prints a result: as JSON, or as text.
func say(asJSON bool, object any, format string, arguments ...any) error {
	if asJSON {
		return json.NewEncoder(os.Stdout).Encode(object)
	}
	if format != "" {
		fmt.Printf(format, arguments...)
	}
	return nil
}

// counted is a number of things in words: 1 line, 2 lines.
func counted(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

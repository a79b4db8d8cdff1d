package main

import (
	_ "embed"
	"strings"

	"github.com/alecthomas/kong"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/edc"
	"dcm-receiver/internal/standard"
)

// helpText has the longer texts of --help: a name, then the text on indented lines.
//
//go:embed help.txt
var helpText string

// vars are what tags of commands refer to.
func vars() kong.Vars {
	v := kong.Vars{
		"version": versionLine(), "endpoints": strings.Join(endpointPaths(), ","),
		"standards": strings.Join(standard.Names(), ","), "standard": standard.Default().Name,
		"endpoint": dcm.CapacityGroupEndpoint.Path, "protocols": edc.DSP08 + "," + edc.DSP2025,
		"capabilities": strings.Join(edc.Capabilities, ","),
	}
	fill := strings.NewReplacer("${standards}", v["standards"], "${endpoints}", v["endpoints"])
	name := ""
	for line := range strings.Lines(helpText) {
		text, isText := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "    ")
		switch {
		case !isText:
			name = text
		case v[name] == "":
			v[name] = fill.Replace(text)
		default:
			v[name] += " " + fill.Replace(text)
		}
	}
	return v
}

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"

	"dcm-receiver/internal/demandfile"
)

// importReport is what demand import says with --json: an object a file.
type importReport struct {
	asked *demandImportCommand
	names []string // of the files, each once
	files map[string]map[string]any
	of    map[demandfile.Material][]string // the files that have lines of it that are taken
}

func newImportReport(c *demandImportCommand) *importReport {
	r := &importReport{asked: c, files: map[string]map[string]any{}, of: map[demandfile.Material][]string{}}
	for _, name := range c.Files {
		if r.files[name] == nil {
			r.names = append(r.names, name)
			r.files[name] = map[string]any{"file": name, "lines": 0, "dryRun": c.DryRun, "taken": false}
		}
	}
	return r
}

func (r *importReport) print() {
	if !r.asked.JSON {
		return
	}
	for _, name := range r.names {
		_ = json.NewEncoder(os.Stdout).Encode(r.files[name])
	}
}

// lines are what is taken.
func (r *importReport) lines(lines []demandfile.Line) {
	for i := range lines {
		l := &lines[i]
		r.files[l.At.File]["lines"] = r.files[l.At.File]["lines"].(int) + 1
		if list := r.of[l.Material]; !slices.Contains(list, l.At.File) {
			r.of[l.Material] = append(list, l.At.File)
		}
	}
}

func (r *importReport) problems(problems []demandfile.Problem) {
	for _, p := range problems {
		problem := map[string]any{"file": p.File, "line": p.Line, "column": p.Column, "detail": p.Detail}
		if p.Sheet != "" {
			problem["sheet"] = p.Sheet
		}
		if p.Position > 0 {
			problem["position"] = p.Position
		}
		if p.More > 0 {
			problem["more"] = p.More
		}
		r.add(p.File, "problems", problem)
	}
}

// odd is what the files have that is taken and may be a mistake.
func (r *importReport) odd(files []*demandfile.File) {
	for _, f := range files {
		for _, p := range f.Odd {
			if r.asked.JSON {
				r.add(p.File, "odd", p.String())
			} else {
				fmt.Fprintln(os.Stderr, "odd:", printable(p.String()))
			}
		}
	}
}

func (r *importReport) add(file, list string, element any) {
	have, _ := r.files[file][list].([]any)
	r.files[file][list] = append(have, element)
}

func (r *importReport) plan(plan *demandfile.Plan) {
	for _, f := range r.files {
		f["taken"], f["created"], f["changed"], f["unchanged"] = !r.asked.DryRun, 0, 0, 0
	}
	for m, outcome := range plan.Outcomes {
		for _, name := range r.of[m] {
			r.files[name][outcome] = r.files[name][outcome].(int) + 1
		}
	}
}

// details are what a dry run says.
func (r *importReport) details(plan *demandfile.Plan, oddities []demandfile.Oddity) {
	for _, f := range r.files {
		f["new"], f["changes"], f["oddities"] = []any{}, []any{}, []any{}
	}
	each := func(m demandfile.Material, list string, element any) {
		for _, name := range r.of[m] {
			r.add(name, list, element)
		}
	}
	for _, m := range plan.New() {
		each(m, "new", map[string]any{"supplier": m.Supplier, "customer": m.Customer,
			"materialNumberCustomer": m.MaterialNumberCustomer})
	}
	for _, w := range plan.Changes {
		each(w.Material, "changes", map[string]any{
			"supplier": w.Supplier, "customer": w.Customer, "materialNumberCustomer": w.MaterialNumberCustomer,
			"customerLocation":   w.CustomerLocation,
			"demandCategoryCode": w.DemandCategoryCode, "pointInTime": w.PointInTime.String(), "before": w.Before,
			"demand": w.Demand,
		})
	}
	for _, o := range oddities {
		each(o.Material, "oddities", o.String())
	}
}

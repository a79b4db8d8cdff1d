// Package outbox is what goes out to partners: it reads the files in which
// planners' demands come in and puts them into outbox.demand_line. It knows
// neither the connector nor HTTP.
package outbox

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"dcm-receiver/internal/dcm"
)

// Line is one row of outbox.demand_line. Optional texts that are not given are "".
type Line struct {
	Series
	PointInTime dcm.Date
	Demand      dcm.Decimal

	MaterialNumberSupplier      string
	MaterialDescriptionCustomer string
	MaterialGlobalAssetID       string
	UnitOfMeasure               string
	ExpectedSupplierLocation    string
	IsInactive                  bool

	At Place // where it was read
}

// Material is what one WeekBasedMaterialDemand is about.
type Material struct{ Supplier, Customer, MaterialNumberCustomer string }

// Series is one demand series of a material.
type Series struct {
	Material
	CustomerLocation, DemandCategoryCode string
}

// Place is where something stands in a file.
type Place struct {
	File     string
	Sheet    string // of a workbook with several; "" else
	Line     int    // from 1; 0 for the file as a whole
	Position int    // of a character in the line of a JSON text, from 1; 0 else
	Column   string // its header, or a JSON Pointer; "" for the whole line
}

func (p Place) String() string {
	s := p.File
	if p.Sheet != "" {
		s += fmt.Sprintf(" (sheet %s)", p.Sheet)
	}
	if p.Line > 0 {
		s += fmt.Sprintf(":%d", p.Line)
	}
	if p.Position > 0 {
		s += fmt.Sprintf(":%d", p.Position)
	}
	if p.Column != "" {
		s += ": " + p.Column
	}
	return s
}

// Problem is why a line is not taken, and what to write.
type Problem struct {
	Place
	Detail string
}

func (p Problem) String() string { return p.Place.String() + ": " + p.Detail }

// column is one column of a file.
type column struct {
	name     string
	required bool
	set      func(*Line, string) error // of a value that is not ""
}

// columns of a file, as outbox.demand_line names them.
var columns = []column{
	{"supplier", true, func(l *Line, v string) error { l.Supplier = v; return bpn(v, "BPNL", dcm.IsBPNL) }},
	{"customer", true, func(l *Line, v string) error { l.Customer = v; return bpn(v, "BPNL", dcm.IsBPNL) }},
	{"material_number_customer", true, func(l *Line, v string) error { l.MaterialNumberCustomer = v; return text(v) }},
	{"customer_location", true, func(l *Line, v string) error { l.CustomerLocation = v; return bpn(v, "BPNS", dcm.IsBPNS) }},
	{"demand_category_code", false, category},
	{"point_in_time", true, week},
	{"demand", true, nil}, // how its decimals are written depends on the others of the file
	{"material_number_supplier", false, func(l *Line, v string) error { l.MaterialNumberSupplier = v; return text(v) }},
	{"material_description_customer", false, func(l *Line, v string) error { l.MaterialDescriptionCustomer = v; return nil }},
	{"material_global_asset_id", false, func(l *Line, v string) error {
		id, err := dcm.ParseID(v)
		if err != nil {
			return fmt.Errorf("%q is not a UUID; write one such as 0157ba42-d2a8-4e28-8565-7b07830c1110, or nothing", v)
		}
		l.MaterialGlobalAssetID = id.String()
		return nil
	}},
	{"unit_of_measure", false, unit},
	{"expected_supplier_location", false, func(l *Line, v string) error {
		l.ExpectedSupplierLocation = v
		return bpn(v, "BPNS", dcm.IsBPNS)
	}},
	{"is_inactive", false, inactive},
}

// columnOf is the place in columns of a header in whatever spelling
// (material_number_customer, materialNumberCustomer, "Material number customer"),
// -1 where it is none.
func columnOf(header string) int {
	plain := strings.NewReplacer("_", "", " ", "", "-", "").Replace(strings.ToLower(strings.TrimSpace(header)))
	return slices.IndexFunc(columns, func(c column) bool { return strings.ReplaceAll(c.name, "_", "") == plain })
}

func bpn(v, prefix string, is func(string) bool) error {
	if is(v) {
		return nil
	}
	return fmt.Errorf("%q is not a %s; write %s and 12 letters or digits", v, prefix, prefix)
}

var scientific = regexp.MustCompile(`^[0-9]+([.,][0-9]+)?E\+[0-9]+$`)

// text refuses what a spreadsheet makes of a long number.
func text(v string) error {
	if scientific.MatchString(v) {
		return fmt.Errorf("%q is what a spreadsheet makes of a long number; give the column the format text and write the number anew", v)
	}
	if strings.ContainsRune(v, 0) {
		return fmt.Errorf("there is a NUL character in it; write it without")
	}
	return nil
}

func category(l *Line, v string) error {
	l.DemandCategoryCode = v
	switch {
	case slices.Contains(dcm.DemandCategoryCodes, v):
		return nil
	case v == "1":
		return fmt.Errorf("%q is not a category; write 0001 (a spreadsheet drops the zeros unless the column has the format text)", v)
	}
	return fmt.Errorf("%q is not a category; write one of %s", v, strings.Join(dcm.DemandCategoryCodes, ", "))
}

// unitsElsewhere are what other systems call the units.
var unitsElsewhere = map[string]string{
	"pcs": "piece", "pc": "piece", "pce": "piece", "st": "piece", "stk": "piece", "stück": "piece", "ea": "piece", "h87": "piece", "pieces": "piece",
	"kg": "kilogram", "g": "gram", "t": "tonneMetricTon", "m": "metre", "cm": "centimetre", "km": "kilometre", "l": "litre", "ml": "millilitre",
	"m2": "squareMetre", "m²": "squareMetre", "m3": "cubicMetre", "m³": "cubicMetre", "h": "hourUnitOfTime", "kwh": "kilowattHour", "liters": "litre",
}

func unit(l *Line, v string) error {
	l.UnitOfMeasure = v
	if slices.Contains(dcm.UnitsOfMeasure, v) {
		return nil
	}
	bare := strings.TrimPrefix(strings.ToLower(v), "unit:")
	if u := unitsElsewhere[bare]; u != "" {
		return fmt.Errorf("%q is not a unit of the standard; write unit:%s", v, u)
	}
	for _, u := range dcm.UnitsOfMeasure {
		if strings.EqualFold(u, "unit:"+bare) {
			return fmt.Errorf("%q is not a unit of the standard; write %s", v, u)
		}
	}
	return fmt.Errorf("%q is not a unit of the standard; write one such as unit:piece or unit:kilogram, or nothing to omit it", v)
}

func inactive(l *Line, v string) error {
	switch strings.ToLower(v) {
	case "true", "yes", "1", "x", "wahr", "ja":
		l.IsInactive = true
	case "false", "no", "0", "falsch", "nein":
	default:
		return fmt.Errorf("%q is neither true nor false; write one of these, or nothing for false", v)
	}
	return nil
}

var germanDate = regexp.MustCompile(`^(\d{1,2})\.(\d{1,2})\.(\d{4})$`)

func week(l *Line, v string) error {
	d, err := dcm.ParseDate(v)
	if err != nil {
		if m := germanDate.FindStringSubmatch(v); m != nil {
			if d, err := dcm.ParseDate(fmt.Sprintf("%s-%02s-%02s", m[3], m[2], m[1])); err == nil {
				return fmt.Errorf("%q is not a date of the form YYYY-MM-DD; write %s", v, d.Monday())
			}
		}
		return fmt.Errorf("%q is not a date; write the Monday of the week as YYYY-MM-DD, such as 2026-11-23", v)
	}
	if d != d.Monday() {
		return fmt.Errorf("%s is a %s; write the Monday of its week, %s", v, d.Weekday(), d.Monday())
	}
	l.PointInTime = d
	return nil
}

// maxDemand is the largest quantity that the model takes.
const maxDemand = "1000000000000000000"

var leadingZeros = regexp.MustCompile(`^(-?)0+([0-9])`)

var number = regexp.MustCompile(`^-?[0-9]+([.,][0-9]+)?$`)

// demand reads a quantity. comma tells that the file writes decimals with a comma.
func demand(v string, comma bool) (dcm.Decimal, error) {
	switch {
	case !number.MatchString(v) && strings.Contains(v, ",") && strings.Contains(v, "."), strings.ContainsAny(v, " '’\u00a0\u202f"):
		return "", fmt.Errorf("%q is not a plain number; write it without separators of thousands, such as 1234.5", v)
	case !number.MatchString(v):
		return "", fmt.Errorf("%q is not a number; write one such as 1234.5, 0 for no demand, or leave the line out where it is not known", v)
	case strings.Contains(v, ",") && !comma:
		return "", fmt.Errorf("%q has a decimal comma, but other lines have a decimal point; write %s", v, strings.Replace(v, ",", ".", 1))
	}
	// ParseDecimal takes JSON numbers: neither a comma nor zeros in front.
	d, err := dcm.ParseDecimal(leadingZeros.ReplaceAllString(strings.Replace(v, ",", ".", 1), "$1$2"))
	switch {
	case err != nil:
		return "", fmt.Errorf("%q needs over %d digits; write fewer", v, dcm.MaxDigits)
	case d.IsNegative():
		return "", fmt.Errorf("%s is negative; a demand is at least 0", v)
	case !d.AtMost(maxDemand):
		return "", fmt.Errorf("%s is too much; a demand is at most 10^18", v)
	}
	return d, nil
}

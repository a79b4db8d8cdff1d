// Package demandfile reads the files in which a customer releases its demands (CSV, XLSX or JSON),
// and imports them into outbox.demand_line. It must not know the connector or HTTP.
package demandfile

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"dcm-receiver/internal/dcm"

	"golang.org/x/text/unicode/norm"
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

// Problem is why a line is not taken and what to write, or what is odd about it.
type Problem struct {
	Place
	Detail string
	More   int // lines of which the same is true
}

func (p Problem) String() string {
	s := p.Detail
	if at := p.Place.String(); at != "" {
		s = at + ": " + s
	}
	if p.More > 0 {
		s += fmt.Sprintf(" (and %s)", MoreLines(p.More))
	}
	return s
}

// Error implements error.
func (p Problem) Error() string { return p.String() }

// MoreLines is a number of lines in words.
func MoreLines(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	if n == 1 {
		return s + " line more"
	}
	return s + " lines more"
}

// oddity is what is taken, although it may be a mistake.
type oddity string

func (o oddity) Error() string { return string(o) }

// column is one column of a file.
type column struct {
	name     string
	required bool
	needs    kind
	set      func(*Line, string) error // of a value that is not ""; an oddity is taken
}

// columns of a file, as outbox.demand_line names them.
var columns = []column{
	{"supplier", true, written, func(l *Line, v string) error { l.Supplier = v; return bpn(v, "BPNL", dcm.IsBPNL) }},
	{"customer", true, written, func(l *Line, v string) error { l.Customer = v; return bpn(v, "BPNL", dcm.IsBPNL) }},
	{"material_number_customer", true, written, func(l *Line,
		v string) error {
		return materialNumber(&l.MaterialNumberCustomer, v)
	}},
	{"customer_location", true, written, func(l *Line, v string) error {
		l.CustomerLocation = v
		return bpn(v, "BPNS",
			dcm.IsBPNS)
	}},
	{"demand_category_code", false, written, category},
	{"point_in_time", true, date, week},
	{"demand", true, number, nil}, // how its decimals are written depends on the others of the file
	{"material_number_supplier", false, written, func(l *Line,
		v string) error {
		return materialNumber(&l.MaterialNumberSupplier, v)
	}},
	{"material_description_customer", false, written, func(l *Line,
		v string) error {
		l.MaterialDescriptionCustomer = v
		return text(v)
	}},
	{"material_global_asset_id", false, written, func(l *Line, v string) error {
		id, err := dcm.ParseID(v)
		if err != nil {
			return fmt.Errorf("%s is not a UUID; write one such as 0157ba42-d2a8-4e28-8565-7b07830c1110, or nothing",
				quoted(v))
		}
		l.MaterialGlobalAssetID = id.String()
		return nil
	}},
	{"unit_of_measure", false, written, unit},
	{"expected_supplier_location", false, written, func(l *Line, v string) error {
		l.ExpectedSupplierLocation = v
		return bpn(v, "BPNS", dcm.IsBPNS)
	}},
	{"is_inactive", false, truth, inactive},
}

// columnOf is the place in columns of a header in whatever spelling
// (material_number_customer, materialNumberCustomer, "Material number customer"),
// -1 where it is none.
func columnOf(header string) int {
	plain := strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) {
			return -1
		}
		return unicode.ToLower(r)
	}, header)
	return slices.IndexFunc(columns, func(c column) bool { return strings.ReplaceAll(c.name, "_", "") == plain })
}

func bpn(v, prefix string, is func(string) bool) error {
	if is(v) {
		return nil
	}
	return fmt.Errorf("%s is not a %s; write %s and 12 letters or digits", quoted(v), prefix, prefix)
}

var (
	errorWord = regexp.MustCompile(
		`(?i)^(#[^\s]*[!?]|#n/a.*|#nv|#+|err:[0-9]+|-?nan|<na>|nat|null|nil|none|n/?a|undefined)$`)
	scientific = regexp.MustCompile(`^[0-9]+([.,][0-9]+[eE]\+?|[eE]\+)[0-9]+$`)
	perhaps    = regexp.MustCompile(`^[0-9]+(\.0+|[eE][0-9]+)$`)
	asText     = regexp.MustCompile(`^(?:="(.*)"|'(.+))$`)
)

// text refuses what no person has written: the words of programs for errors and
// missing values, and characters that an encoding has lost.
func text(v string) error {
	if errorWord.MatchString(v) {
		return fmt.Errorf("%s is what programs write for an error or for a missing value; write the value itself",
			quoted(v))
	}
	for _, r := range v {
		switch {
		case r == utf8.RuneError:
			return fmt.Errorf("%s has a character that was lost (U+FFFD); write it again, and save the file as UTF-8",
				quoted(v))
		case unicode.IsControl(r) && r != '\t' && r != '\n' && r != '\r':
			return fmt.Errorf("%s has the control character %U in it; write it without", quoted(v), r)
		}
	}
	return nil
}

// materialNumber takes a number of a material in its composed form (NFC), so that
// what looks the same is the same. It refuses what programs make of long numbers.
func materialNumber(to *string, v string) error {
	*to = norm.NFC.String(v)
	if err := text(v); err != nil {
		return err
	}
	m := asText.FindStringSubmatch(v)
	invisible := strings.IndexFunc(v, isInvisible)
	switch {
	case scientific.MatchString(v):
		return fmt.Errorf(
			"%s is what a spreadsheet makes of a long number; give the column the format text and write the "+
				"number anew", quoted(v))
	case m != nil:
		return fmt.Errorf("%s has a spreadsheet's mark for text in it; write %s", quoted(v), shorten(m[1]+m[2]))
	case strings.TrimFunc(v, isInvisible) == "":
		return fmt.Errorf("%s has invisible characters alone; write the number of the material", quoted(v))
	case invisible >= 0:
		r, _ := utf8.DecodeRuneInString(v[invisible:])
		return oddity(fmt.Sprintf("%s has the invisible character %U in it", quoted(v), r))
	case perhaps.MatchString(v):
		return oddity(fmt.Sprintf("%s may be what a program made of another number", quoted(v)))
	case *to != v:
		return oddity(fmt.Sprintf("%s is written with combining characters; it is taken in its composed form (NFC)",
			quoted(v)))
	}
	return nil
}

// isInvisible tells the characters that look like a space, or like nothing.
func isInvisible(r rune) bool { return r != ' ' && (unicode.IsSpace(r) || unicode.Is(unicode.Cf, r)) }

func category(l *Line, v string) error {
	l.DemandCategoryCode = v
	switch {
	case slices.Contains(dcm.DemandCategoryCodes, v):
		return nil
	case v == "1":
		return fmt.Errorf(
			"%s is not a category; write 0001 (a spreadsheet drops the zeros unless the column has the format text)",
			quoted(v))
	}
	return fmt.Errorf("%s is not a category; write one of %s", quoted(v), strings.Join(dcm.DemandCategoryCodes, ", "))
}

// unitsElsewhere are what other systems call the units.
var unitsElsewhere = map[string]string{
	"pcs": "piece", "pc": "piece", "pce": "piece", "st": "piece", "stk": "piece", "stück": "piece", "ea": "piece",
	"h87": "piece", "pieces": "piece",
	"kg": "kilogram", "g": "gram", "t": "tonneMetricTon", "m": "metre", "cm": "centimetre", "km": "kilometre",
	"l": "litre", "ml": "millilitre",
	"m2": "squareMetre", "m²": "squareMetre", "m3": "cubicMetre", "m³": "cubicMetre", "h": "hourUnitOfTime",
	"kwh": "kilowattHour", "liters": "litre",
}

func unit(l *Line, v string) error {
	l.UnitOfMeasure = v
	if slices.Contains(dcm.UnitsOfMeasure, v) {
		return nil
	}
	bare := strings.TrimPrefix(strings.ToLower(v), "unit:")
	if u := unitsElsewhere[bare]; u != "" {
		return fmt.Errorf("%s is not a unit of the standard; write unit:%s", quoted(v), u)
	}
	for _, u := range dcm.UnitsOfMeasure {
		if strings.EqualFold(u, "unit:"+bare) {
			return fmt.Errorf("%s is not a unit of the standard; write %s", quoted(v), u)
		}
	}
	return fmt.Errorf(
		"%s is not a unit of the standard; write one such as unit:piece or unit:kilogram, or nothing to omit it",
		quoted(v))
}

func inactive(l *Line, v string) error {
	switch strings.ToLower(v) {
	case "true", "yes", "1", "x", "wahr", "ja":
		l.IsInactive = true
	case "false", "no", "0", "falsch", "nein":
	default:
		return fmt.Errorf("%s is neither true nor false; write one of these, or nothing for false", quoted(v))
	}
	return nil
}

var germanDate = regexp.MustCompile(`^(\d{1,2})\.(\d{1,2})\.(\d{4})$`)

func week(l *Line, v string) error {
	d, err := dcm.ParseDate(v)
	if err != nil {
		if m := germanDate.FindStringSubmatch(v); m != nil {
			if d, err := dcm.ParseDate(fmt.Sprintf("%s-%02s-%02s", m[3], m[2], m[1])); err == nil {
				return fmt.Errorf("%s is not a date of the form YYYY-MM-DD; write %s", quoted(v), d.Monday())
			}
		}
		return fmt.Errorf("%s is not a date; write the Monday of the week as YYYY-MM-DD, such as 2026-11-23", quoted(v))
	}
	if d != d.Monday() {
		return fmt.Errorf("%s is a %s; write the Monday of its week, %s", v, d.Weekday(), d.Monday())
	}
	l.PointInTime = d
	return inBounds(d)
}

// latest is the last day that outbox.demand_line takes.
var latest, _ = dcm.ParseDate("9998-12-31")

func inBounds(d dcm.Date) error {
	if d > latest {
		return fmt.Errorf("%s is after the year 9998; write the week that is meant", d)
	}
	return nil
}

package demandfile

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"unicode/utf8"

	"dcm-receiver/internal/cx0048"
	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/payload"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	utf16 "golang.org/x/text/encoding/unicode"
)

// MaxFile is how many bytes a file may have.
const MaxFile = 256 << 20

// File is what a file with demands holds.
type File struct {
	Lines    []Line // those that are good
	Problems []Problem
	Odd      []Problem         // what is taken and may be a mistake
	Bad      map[Material]bool // materials that a bad line is about
}

// Read reads a file with demands: CSV, XLSX or a WeekBasedMaterialDemand message,
// told apart by what is in it. progress hears of the lines read, now and then. The
// error is of a file that is none of these; what is wrong with lines are problems.
func Read(file string, content []byte, today dcm.Date, progress func(lines int)) (*File, error) {
	if len(content) > MaxFile {
		return nil, fmt.Errorf("%s: has over %d MiB; split it", file, MaxFile>>20)
	}
	if bytes.HasPrefix(content, []byte("PK\x03\x04")) {
		return readXLSX(file, content, progress)
	}
	for _, other := range otherFormats {
		if bytes.HasPrefix(content, []byte(other.begins)) {
			return nil, notAFile(file, other.is)
		}
	}
	content, err := decoded(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	start := bytes.ToLower(bytes.TrimLeft(content[:min(len(content), 1000)], " \t\r\n"))
	switch {
	case bytes.HasPrefix(start, []byte("{\\rtf")):
		return nil, notAFile(file, "a text document (RTF)")
	case bytes.HasPrefix(start, []byte("{")) || bytes.HasPrefix(start, []byte("[")):
		return readJSON(file, content, today)
	case bytes.HasPrefix(start, []byte("<")):
		return nil, notAFile(file, markup(start))
	}
	return readCSV(file, content, progress)
}

// otherFormats are told by their first bytes.
var otherFormats = []struct{ begins, is string }{
	{"\xd0\xcf\x11\xe0", "an old Excel file (.xls) or one with a password"},
	{"\x09\x08", "an old Excel file (.xls)"},
	{"%PDF", "a PDF document"},
	{"\x1f\x8b", "a compressed file (gzip)"},
	{"7z\xbc\xaf", "a compressed file (7z)"},
	{"PAR1", "a Parquet file"},
	{"ID;P", "a SYLK file (.slk)"},
}

// markup names a text that begins with a tag, as SAP and others write it to .xls.
func markup(start []byte) string {
	switch {
	case bytes.Contains(start, []byte("excel.sheet")), bytes.Contains(start, []byte("<workbook")):
		return "an Excel 2003 XML file"
	case bytes.Contains(start, []byte("<html")), bytes.Contains(start, []byte("<table")),
		bytes.Contains(start, []byte("<!doctype")):
		return "a web page (HTML), perhaps named .xls"
	}
	return "an XML file"
}

func notAFile(file, is string) error {
	return fmt.Errorf("%s: %s; save it as .xlsx or CSV without a password", file, is)
}

// decoded is a text in UTF-8, without a byte order mark. UTF-16 without one shows in
// the zero bytes of its ASCII characters.
func decoded(content []byte) ([]byte, error) {
	start := content[:min(len(content), 1000)&^1]
	zeros := [2]int{}
	for i, c := range start {
		if c == 0 {
			zeros[i%2]++
		}
	}
	var from encoding.Encoding
	switch {
	case bytes.HasPrefix(content, []byte{0xff, 0xfe}), zeros[1] > len(start)/4 && zeros[0] == 0:
		from = utf16.UTF16(utf16.LittleEndian, utf16.UseBOM)
	case bytes.HasPrefix(content, []byte{0xfe, 0xff}), zeros[0] > len(start)/4 && zeros[1] == 0:
		from = utf16.UTF16(utf16.BigEndian, utf16.UseBOM)
	case !utf8.Valid(content):
		from = charmap.Windows1252
	default:
		return bytes.TrimPrefix(content, []byte("\ufeff")), nil
	}
	text, err := from.NewDecoder().Bytes(content)
	if err != nil {
		return nil, fmt.Errorf("read %v: %w", from, err)
	}
	return bytes.TrimPrefix(text, []byte("\ufeff")), nil
}

func readCSV(file string, content []byte, progress func(int)) (*File, error) {
	if !bytes.Contains(content, []byte("\n")) {
		content = bytes.ReplaceAll(content, []byte("\r"), []byte("\n")) // as old Macs end lines
	}
	separator, header := layout(content)
	r := newCSV(content, separator)
	t := table{file: file, progress: progress}
	cells := []cell{}
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return t.end()
		}
		if parse, ok := errors.AsType[*csv.ParseError](err); ok {
			t.problems.add(Problem{Place: Place{File: file, Line: parse.Line},
				Detail: fmt.Sprintf(
					"a quotation mark is not closed or stands within a value (%s); write \"\" for one in a quoted "+
						"value",
					parse.Err)})
			return t.end()
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		line, _ := r.FieldPos(0)
		if line < header {
			continue
		}
		cells = cells[:0]
		for _, v := range record {
			cells = append(cells, cell{written, v})
		}
		if err := t.row(line, cells); err != nil {
			return nil, err
		}
	}
}

func newCSV(content []byte, separator rune) *csv.Reader {
	r := csv.NewReader(bytes.NewReader(content))
	r.Comma, r.FieldsPerRecord, r.ReuseRecord = separator, -1, true
	return r
}

// layout finds the separator of a file and the line of its header, above which a
// title or sep=; may stand. Where no line names the columns, it is the first, with
// the separator that is most frequent there.
func layout(content []byte) (separator rune, header int) {
	first, _, _ := bytes.Cut(content, []byte("\n"))
	separator, header = ',', 1
	for _, s := range ",;\t|" {
		if bytes.Count(first, []byte(string(s))) > bytes.Count(first, []byte(string(separator))) {
			separator = s
		}
		r := newCSV(content, s)
		for range titles {
			record, err := r.Read()
			if err != nil {
				break
			}
			cells := []cell{}
			for _, v := range record[:min(len(record), maxColumns)] {
				cells = append(cells, cell{written, v})
			}
			if len(missingIn(cells)) == 0 {
				line, _ := r.FieldPos(0)
				return s, line
			}
		}
	}
	return separator, header
}

// missingIn are the required columns that a header row does not name.
func missingIn(record []cell) (missing []string) {
	have := map[int]bool{}
	for _, h := range record {
		if h.is == written {
			have[columnOf(h.text)] = true
		}
	}
	for i, c := range columns {
		if c.required && !have[i] {
			missing = append(missing, c.name)
		}
	}
	return missing
}

func readJSON(file string, content []byte, today dcm.Date) (*File, error) {
	f := &File{Bad: map[Material]bool{}}
	m, err := payload.ReadMaterialDemands(content, payload.Options{
		Weeks:       cx0048.Weeks,
		DemandWeeks: func(weeks iter.Seq2[int, dcm.Date]) string { return cx0048.DemandWeeks(weeks, today) },
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	pointers := []string{}
	for _, v := range m.Errors.List {
		pointers = append(pointers, v.Pointer)
	}
	for _, o := range m.Objects {
		pointers = append(pointers, o.Pointer)
		for _, v := range o.Errors.List {
			pointers = append(pointers, v.Pointer)
		}
	}
	places := locate(content, pointers)
	at := func(pointer string) Place {
		line, position := places.place(pointer)
		return Place{File: file, Line: line, Position: position, Column: pointer}
	}
	add := func(e dcm.Violations) {
		for _, v := range e.List {
			f.Problems = append(f.Problems, Problem{Place: at(v.Pointer), Detail: v.Detail})
		}
		if e.More > 0 {
			f.Problems = append(f.Problems, Problem{Place: Place{File: file},
				Detail: fmt.Sprintf("and %d more errors", e.More)})
		}
	}
	add(m.Errors)
	for _, o := range m.Objects {
		add(o.Errors)
		d := o.Value
		t := table{}
		if o.Errors.Any() || !t.takesTexts(&d, func(name string) Place { return at(o.Pointer + name) }) {
			f.Problems = append(f.Problems, t.problems.list...)
			f.Bad[Material{d.Supplier, d.Customer, d.MaterialNumberCustomer}] = true
			continue
		}
		f.Odd = append(f.Odd, t.odd.list...)
		f.Lines = append(f.Lines, linesOf(&d, at(o.Pointer))...)
	}
	slices.SortStableFunc(f.Problems, func(a, b Problem) int { return cmp.Or(a.Line-b.Line, a.Position-b.Position) })
	return f, nil
}

// linesOf are the lines of a demand.
func linesOf(d *dcm.MaterialDemand, at Place) (lines []Line) {
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	for _, s := range d.Series {
		for _, week := range s.Demands {
			lines = append(lines, Line{
				Series: Series{
					Material{d.Supplier, d.Customer, d.MaterialNumberCustomer}, s.CustomerLocation,
					s.DemandCategoryCode,
				},
				PointInTime: week.PointInTime, Demand: week.Demand,
				MaterialDescriptionCustomer: d.MaterialDescriptionCustomer,
				MaterialNumberSupplier:      text(d.MaterialNumberSupplier),
				MaterialGlobalAssetID:       strings.TrimPrefix(text(d.MaterialGlobalAssetID), "urn:uuid:"),
				ExpectedSupplierLocation:    text(s.ExpectedSupplierLocation),
				UnitOfMeasure:               d.UnitOfMeasure, IsInactive: d.IsInactive, At: at,
			})
		}
	}
	return lines
}

// takesTexts judges what the standard leaves open as a line of a table is judged.
func (t *table) takesTexts(d *dcm.MaterialDemand, at func(pointer string) Place) bool {
	good := t.found(at("/materialNumberCustomer"), materialNumber(&d.MaterialNumberCustomer, d.MaterialNumberCustomer))
	good = t.found(at("/materialDescriptionCustomer"), text(d.MaterialDescriptionCustomer)) && good
	if d.MaterialNumberSupplier != nil {
		good = t.found(at("/materialNumberSupplier"), materialNumber(d.MaterialNumberSupplier,
			*d.MaterialNumberSupplier)) && good
	}
	for i, s := range d.Series {
		for j, week := range s.Demands {
			good = t.found(at(fmt.Sprintf("/demandSeries/%d/demands/%d/pointInTime", i, j)),
				inBounds(week.PointInTime)) && good
		}
	}
	return good
}

// table reads the rows of a CSV or XLSX file.
type table struct {
	file     string
	sheet    string // "" where there is one only
	progress func(int)
	header   []int // places in columns, -1 for an empty one, or ignored; nil before the header
	lines    []Line
	amounts  []string // demand by line, where it is text: its meaning depends on the others
	faulty   []bool   // by line
	problems findings
	odd      findings
}

// ignored is a column that the header's problem is about already.
const ignored = -2

func (t *table) at(line int, column string) Place {
	return Place{File: t.file, Sheet: t.sheet, Line: line, Column: column}
}

// row takes the next row; the first that is not empty is the header.
func (t *table) row(line int, record []cell) error {
	for i, c := range record {
		record[i].text = strings.TrimSpace(c.text)
	}
	if !slices.ContainsFunc(record, func(c cell) bool { return !c.empty() }) {
		return nil
	}
	if t.header == nil {
		return t.readHeader(line, record)
	}
	l, amount, good := Line{At: t.at(line, "")}, "", true
	l.DemandCategoryCode = "0001"
	for i, place := range t.header {
		var v cell
		if i < len(record) {
			v = record[i]
		}
		column, err := "", error(nil)
		switch {
		case place >= 0:
			column = columns[place].name
			amount, err = columns[place].take(&l, v, amount)
		case place != ignored && !v.empty():
			err = fmt.Errorf("value %d has no header; leave it out (or quote a value that has the separator in it)",
				i+1)
		}
		good = t.found(t.at(line, column), err) && good
	}
	if n := len(record); n > len(t.header) && slices.ContainsFunc(record[len(t.header):],
		func(c cell) bool { return !c.empty() }) {
		good = t.found(t.at(line, ""),
			fmt.Errorf(
				"more values (%d) than the header has columns (%d); quote a value that has the separator in it", n,
				len(t.header)))
	}
	t.lines, t.amounts, t.faulty = append(t.lines, l), append(t.amounts, amount), append(t.faulty, !good)
	if len(t.lines)%50_000 == 0 && t.progress != nil {
		t.progress(len(t.lines))
	}
	return nil
}

// found notes what is wrong or odd with a value, and reports whether it is taken.
func (t *table) found(at Place, err error) bool {
	if o, ok := errors.AsType[oddity](err); ok {
		t.odd.add(Problem{Place: at, Detail: string(o)})
	} else if err != nil {
		t.problems.add(Problem{Place: at, Detail: err.Error()})
		return false
	}
	return true
}

// take sets the column of a line. The text of a quantity comes back instead.
func (c *column) take(l *Line, v cell, amount string) (string, error) {
	text, err := v.as(c.needs)
	switch {
	case err != nil:
		return amount, err
	case text == "" && c.required:
		return amount, errors.New("is empty; write " + wanted[c.name])
	case text == "":
		return amount, nil
	case c.set != nil:
		return amount, c.set(l, text)
	case v.is == written:
		return text, nil
	}
	l.Demand, err = quantity(text)
	return amount, err
}

// wanted says what to write in a required column.
var wanted = map[string]string{
	"supplier": "the supplier's BPNL", "customer": "your BPNL",
	"material_number_customer": "your number of the material",
	"customer_location":        "the BPNS of your site", "point_in_time": "the Monday of the week, such as 2026-11-23",
	"demand": "a number, 0 for no demand, or leave the line out where it is not known",
}

func (t *table) readHeader(line int, record []cell) error {
	if missing := missingIn(record); len(missing) > 0 {
		return fmt.Errorf("%s:%d: the header has no %s; the first line must name the columns: %s", t.file, line,
			strings.Join(missing, ", "), names())
	}
	for i, h := range record {
		c := columnOf(h.text)
		switch {
		case h.empty():
		case c < 0:
			c = ignored
			t.problems.add(Problem{Place: t.at(line, shorten(h.text)),
				Detail: "is no column of demands; leave it out, or write one of " + names()})
		case slices.Contains(t.header, c):
			t.problems.add(Problem{Place: t.at(line, shorten(h.text)),
				Detail: fmt.Sprintf("is there twice; leave value %d out", i+1)})
			c = ignored
		}
		t.header = append(t.header, c)
	}
	return nil
}

func names() string { return strings.Join(columnNames(), ", ") }

// end reads the quantities that are text, which all together show how the file
// writes them.
func (t *table) end() (*File, error) {
	if t.header == nil {
		return nil, fmt.Errorf("%s: is empty; the first line must name the columns: %s", t.file, names())
	}
	f := &File{Bad: map[Material]bool{}}
	n := notationOf(t.amounts)
	for i, l := range t.lines {
		good := !t.faulty[i]
		if v := t.amounts[i]; v != "" {
			var err error
			l.Demand, err = n.demand(v)
			good = t.found(t.at(l.At.Line, "demand"), err) && good
		}
		if good {
			f.Lines = append(f.Lines, l)
		} else {
			f.Bad[l.Material] = true
		}
	}
	f.Problems, f.Odd = t.problems.sorted(t.file), t.odd.sorted(t.file)
	return f, nil
}

// findings are what is wrong or odd in a file: the same of many lines once, and not
// more than a person could read.
type findings struct {
	list []Problem
	of   map[[2]string]int // place in list, by column and detail
	more int
}

const maxFindings = 10_000

func (f *findings) add(p Problem) {
	what := [2]string{p.Column, p.Detail}
	switch i, known := f.of[what]; {
	case known:
		f.list[i].More++
	case len(f.list) == maxFindings:
		f.more++
	default:
		if f.of == nil {
			f.of = map[[2]string]int{}
		}
		f.of[what] = len(f.list)
		f.list = append(f.list, p)
	}
}

func (f *findings) sorted(file string) []Problem {
	slices.SortStableFunc(f.list, func(a, b Problem) int { return cmp.Or(a.Line-b.Line, a.Position-b.Position) })
	if f.more > 0 {
		f.list = append(f.list, Problem{Place: Place{File: file}, Detail: "there is more of other kinds",
			More: f.more - 1})
	}
	return f.list
}

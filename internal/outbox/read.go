package outbox

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"dcm-receiver/internal/cx0048"
	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/payload"

	"github.com/xuri/excelize/v2"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
)

// File is what a file with demands holds.
type File struct {
	Lines    []Line // those that are good
	Problems []Problem
	Bad      map[Material]bool // materials that a bad line is about
}

// Read reads a file with demands: CSV, XLSX or a WeekBasedMaterialDemand message,
// told apart by what is in it. progress hears of the lines read, now and then. The
// error is of a file that is none of these; what is wrong with lines are problems.
func Read(file string, content []byte, today dcm.Date, progress func(lines int)) (*File, error) {
	content16 := bytes.HasPrefix(content, []byte{0xff, 0xfe}) || bytes.HasPrefix(content, []byte{0xfe, 0xff})
	start := bytes.TrimLeft(bytes.TrimPrefix(content, []byte("\ufeff")), " \t\r\n")
	switch {
	case bytes.HasPrefix(content, []byte("PK\x03\x04")):
		return readXLSX(file, content, progress)
	case bytes.HasPrefix(content, []byte{0xd0, 0xcf, 0x11, 0xe0}):
		return nil, fmt.Errorf("%s: an old Excel file (.xls) or one with a password; save it as .xlsx or CSV without a password", file)
	case bytes.HasPrefix(start, []byte("{")) || bytes.HasPrefix(start, []byte("[")):
		return readJSON(file, bytes.TrimPrefix(content, []byte("\ufeff")), today)
	case content16:
		decoded, err := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewDecoder().Bytes(content)
		if err != nil {
			return nil, fmt.Errorf("%s: read UTF-16: %w", file, err)
		}
		content = decoded
	case !utf8.Valid(content):
		decoded, err := charmap.Windows1252.NewDecoder().Bytes(content)
		if err != nil {
			return nil, fmt.Errorf("%s: read Windows-1252: %w", file, err)
		}
		content = decoded
	}
	return readCSV(file, bytes.TrimPrefix(content, []byte("\ufeff")), progress)
}

func readCSV(file string, content []byte, progress func(int)) (*File, error) {
	first, _, _ := bytes.Cut(content, []byte("\n"))
	r := csv.NewReader(bytes.NewReader(content))
	r.FieldsPerRecord, r.ReuseRecord = -1, true
	for _, separator := range ";\t" {
		if bytes.Count(first, []byte(string(separator))) > bytes.Count(first, []byte(string(r.Comma))) {
			r.Comma = separator
		}
	}
	t := table{file: file, progress: progress}
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return t.end()
		}
		if parse, ok := errors.AsType[*csv.ParseError](err); ok {
			t.problems = append(t.problems, Problem{Place{File: file, Line: parse.Line}, fmt.Sprintf("a quotation mark is not closed or stands within a value (%s); write \"\" for one in a quoted value", parse.Err)})
			return t.end()
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		line, _ := r.FieldPos(0)
		if err := t.row(line, record); err != nil {
			return nil, err
		}
	}
}

// readXLSX reads the sheet that has the header row. Formulas count as their values.
func readXLSX(file string, content []byte, progress func(int)) (*File, error) {
	f, err := excelize.OpenReader(bytes.NewReader(content), excelize.Options{UnzipXMLSizeLimit: 4 << 30})
	if err != nil {
		return nil, fmt.Errorf("%s: read XLSX: %w", file, err)
	}
	defer f.Close()
	sheet, skip, err := sheetOf(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	properties, err := f.GetWorkbookProps()
	if err != nil {
		return nil, fmt.Errorf("%s: read XLSX: %w", file, err)
	}
	from1904 := properties.Date1904 != nil && *properties.Date1904
	rows, err := f.Rows(sheet)
	if err != nil {
		return nil, fmt.Errorf("%s: read XLSX: %w", file, err)
	}
	defer rows.Close()
	t := table{file: file, progress: progress}
	if f.SheetCount > 1 {
		t.sheet = sheet
	}
	for line := 1; rows.Next(); line++ {
		if line <= skip {
			continue
		}
		record, err := rows.Columns(excelize.Options{RawCellValue: true})
		if err != nil {
			return nil, fmt.Errorf("%s: read XLSX, row %d: %w", file, line, err)
		}
		for i := range record {
			if t.header == nil || i >= len(t.header) || t.header[i] < 0 {
				continue
			}
			if record[i] == "" && columns[t.header[i]].required {
				// A program that calculates nothing has written a formula without its value.
				if cell, err := excelize.CoordinatesToCellName(i+1, line); err == nil {
					if formula, _ := f.GetCellFormula(sheet, cell); formula != "" {
						record[i], _ = f.CalcCellValue(sheet, cell, excelize.Options{RawCellValue: true})
					}
				}
			}
			switch columns[t.header[i]].name {
			case "point_in_time":
				record[i] = dateOf(record[i], from1904)
			case "demand":
				record[i] = numberOf(record[i])
			}
		}
		if err := t.row(line, record); err != nil {
			return nil, err
		}
	}
	if err := rows.Error(); err != nil {
		return nil, fmt.Errorf("%s: read XLSX: %w", file, err)
	}
	return t.end()
}

// sheetOf finds the sheet that holds demands: the one with the header row, above
// which a few rows with a title and the like may stand. A workbook of one sheet
// is read from its first row where there is none, which then says what is missing.
func sheetOf(f *excelize.File) (name string, skip int, err error) {
	const titles = 20
	sheets := f.GetSheetList()
	found := []string{}
	for _, sheet := range sheets {
		rows, err := f.Rows(sheet)
		if err != nil {
			continue // a chart
		}
		for line := range titles {
			if !rows.Next() {
				break
			}
			record, err := rows.Columns()
			if err != nil {
				break
			}
			if len(missingIn(record)) == 0 {
				name, skip, found = sheet, line, append(found, sheet)
				break
			}
		}
		_ = rows.Close()
	}
	switch {
	case len(found) == 0 && len(sheets) == 1:
		return sheets[0], 0, nil
	case len(found) == 0:
		return "", 0, fmt.Errorf("none of the sheets %s has a row that names the columns: %s", strings.Join(sheets, ", "), names())
	case len(found) > 1:
		return "", 0, fmt.Errorf("the sheets %s have demands each; leave one in the file, or save each as a file of its own", strings.Join(found, ", "))
	}
	return name, skip, nil
}

// missingIn are the required columns that a header row does not name.
func missingIn(record []string) (missing []string) {
	have := map[int]bool{}
	for _, h := range record {
		have[columnOf(h)] = true
	}
	for i, c := range columns {
		if c.required && !have[i] {
			missing = append(missing, c.name)
		}
	}
	return missing
}

// dateOf is the date that a cell holds as a number of days.
func dateOf(v string, from1904 bool) string {
	days, err := strconv.ParseFloat(v, 64)
	if err != nil || days < 1 || days > 2_958_465 {
		return v
	}
	t, err := excelize.ExcelDateToTime(days, from1904)
	if err != nil {
		return v
	}
	return t.Round(time.Second).Format(time.DateOnly)
}

// numberOf is the number that a spreadsheet shows of the binary one in a cell:
// it has 15 digits.
func numberOf(v string) string {
	f, err := strconv.ParseFloat(v, 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		return v
	}
	if digits := strings.Trim(strings.Replace(v, ".", "", 1), "0"); len(digits) <= 15 && !strings.ContainsAny(v, "eE") {
		return v
	}
	d, err := dcm.ParseDecimal(strconv.FormatFloat(f, 'g', 15, 64))
	if err != nil {
		return v
	}
	return string(d)
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
	add := func(e payload.Errors) {
		for _, v := range e.List {
			f.Problems = append(f.Problems, Problem{at(v.Pointer), v.Detail})
		}
		if e.More > 0 {
			f.Problems = append(f.Problems, Problem{Place{File: file}, fmt.Sprintf("and %d more errors", e.More)})
		}
	}
	add(m.Errors)
	for _, o := range m.Objects {
		add(o.Errors)
		d := o.Value
		if o.Errors.Any() {
			f.Bad[Material{d.Supplier, d.Customer, d.MaterialNumberCustomer}] = true
			continue
		}
		place := at(o.Pointer)
		for _, s := range d.Series {
			for _, week := range s.Demands {
				l := Line{
					Series:      Series{Material{d.Supplier, d.Customer, d.MaterialNumberCustomer}, s.CustomerLocation, s.DemandCategoryCode},
					PointInTime: week.PointInTime, Demand: week.Demand, MaterialDescriptionCustomer: d.MaterialDescriptionCustomer,
					UnitOfMeasure: d.UnitOfMeasure, IsInactive: d.IsInactive, At: place,
				}
				for to, value := range map[*string]*string{
					&l.MaterialNumberSupplier: d.MaterialNumberSupplier, &l.MaterialGlobalAssetID: d.MaterialGlobalAssetID,
					&l.ExpectedSupplierLocation: s.ExpectedSupplierLocation,
				} {
					if value != nil {
						*to = *value
					}
				}
				l.MaterialGlobalAssetID = strings.TrimPrefix(l.MaterialGlobalAssetID, "urn:uuid:")
				f.Lines = append(f.Lines, l)
			}
		}
	}
	slices.SortStableFunc(f.Problems, func(a, b Problem) int { return cmp.Or(a.Line-b.Line, a.Position-b.Position) })
	return f, nil
}

// table reads the rows of a CSV or XLSX file.
type table struct {
	file     string
	sheet    string // "" where there is one only
	progress func(int)
	header   []int // places in columns, -1 for an empty one, or ignored; nil before the header
	lines    []Line
	amounts  []string // demand as written, by line
	faulty   []bool   // by line
	problems []Problem
}

// ignored is a column that the header's problem is about already.
const ignored = -2

func (t *table) at(line int, column string) Place {
	return Place{File: t.file, Sheet: t.sheet, Line: line, Column: column}
}

// row takes the next row; the first that is not empty is the header.
func (t *table) row(line int, record []string) error {
	if !slices.ContainsFunc(record, func(v string) bool { return strings.TrimSpace(v) != "" }) {
		return nil
	}
	if t.header == nil {
		return t.readHeader(line, record)
	}
	l := Line{At: t.at(line, "")}
	l.DemandCategoryCode = "0001"
	amount, good := "", true
	bad := func(column, detail string) {
		t.problems = append(t.problems, Problem{t.at(line, column), detail})
		good = false
	}
	for i, c := range t.header {
		value := ""
		if i < len(record) {
			value = strings.TrimSpace(record[i])
		}
		switch {
		case c == ignored:
		case c < 0:
			if value != "" {
				bad("", fmt.Sprintf("value %d has no header; leave it out (or quote a value that has the separator in it)", i+1))
			}
		case value == "" && columns[c].required:
			bad(columns[c].name, "is empty; write "+wanted[columns[c].name])
		case value == "":
		case columns[c].set == nil:
			amount = strings.Clone(value)
		default:
			if err := columns[c].set(&l, strings.Clone(value)); err != nil {
				bad(columns[c].name, err.Error())
			}
		}
	}
	if len(record) > len(t.header) {
		bad("", fmt.Sprintf("more values (%d) than the header has columns (%d); quote a value that has the separator in it", len(record), len(t.header)))
	}
	t.lines, t.amounts, t.faulty = append(t.lines, l), append(t.amounts, amount), append(t.faulty, !good)
	if len(t.lines)%50_000 == 0 && t.progress != nil {
		t.progress(len(t.lines))
	}
	return nil
}

// wanted says what to write in a required column.
var wanted = map[string]string{
	"supplier": "the supplier's BPNL", "customer": "your BPNL", "material_number_customer": "your number of the material",
	"customer_location": "the BPNS of your site", "point_in_time": "the Monday of the week, such as 2026-11-23",
	"demand": "a number, 0 for no demand, or leave the line out where it is not known",
}

func (t *table) readHeader(line int, record []string) error {
	for i, h := range record {
		c := columnOf(h)
		switch {
		case strings.TrimSpace(h) == "":
		case c < 0:
			c = ignored
			t.problems = append(t.problems, Problem{t.at(line, h), "is no column of demands; leave it out, or write one of " + names()})
		case slices.Contains(t.header, c):
			t.problems = append(t.problems, Problem{t.at(line, h), fmt.Sprintf("is there twice; leave value %d out", i+1)})
			c = ignored
		}
		t.header = append(t.header, c)
	}
	if missing := missingIn(record); len(missing) > 0 {
		return fmt.Errorf("%s:%d: the header has no %s; the first line must name the columns: %s", t.file, line, strings.Join(missing, ", "), names())
	}
	return nil
}

func names() string {
	list := []string{}
	for _, c := range columns {
		list = append(list, c.name)
	}
	return strings.Join(list, ", ")
}

// end reads the demands: with a decimal comma where the file is consistent in it.
func (t *table) end() (*File, error) {
	if t.header == nil {
		return nil, fmt.Errorf("%s: is empty; the first line must name the columns: %s", t.file, names())
	}
	commas, points, thousands := 0, 0, true
	for _, v := range t.amounts {
		if whole, decimals, ok := strings.Cut(v, ","); ok {
			commas++
			thousands = thousands && len(decimals) == 3 && len(whole) <= 3 && strings.Trim(whole, "0") != ""
		} else if strings.Contains(v, ".") {
			points++
		}
	}
	f := &File{Bad: map[Material]bool{}}
	for i, l := range t.lines {
		good := !t.faulty[i]
		if v := t.amounts[i]; v != "" {
			d, err := demand(v, commas > 0 && points == 0)
			if err == nil && commas > 0 && thousands && strings.Contains(v, ",") {
				err = fmt.Errorf("%q may mean a thousand or a decimal; write %s or %s", v, strings.Replace(v, ",", "", 1), strings.Replace(v, ",", ".", 1))
			}
			if err != nil {
				t.problems = append(t.problems, Problem{t.at(l.At.Line, "demand"), err.Error()})
				good = false
			}
			l.Demand = d
		}
		if good {
			f.Lines = append(f.Lines, l)
		} else {
			f.Bad[l.Material] = true
		}
	}
	slices.SortStableFunc(t.problems, func(a, b Problem) int { return a.Line - b.Line })
	f.Problems = t.problems
	return f, nil
}

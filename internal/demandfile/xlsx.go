package demandfile

import (
	"archive/zip"
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Bounds of a workbook, so that a small file cannot take much memory: its parts
// are read as streams, and what is kept of them is counted.
const (
	maxUnpacked = 1 << 30   // bytes of all parts together, each time that one is read
	alwaysTaken = 32 << 20  // bytes of these that any file may have, and
	maxRatio    = 100       // how many more for each of its own
	maxTexts    = 256 << 20 // bytes of the texts that are kept
	perText     = 48        // bytes that each takes besides
	maxToken    = 1 << 20   // bytes between two tags
	maxCellText = 32_767    // characters, as spreadsheets have it
	maxListed   = 100_000   // sheets, formats
	maxColumns  = 200       // of a row; what stands to the right counts as one more
	maxRow      = 1 << 20
)

// workbook is an XLSX file.
type workbook struct {
	parts    map[string]*zip.File // by name in lower case
	left     int64                // bytes that may still be unpacked
	texts    int                  // bytes kept
	shared   []string             // texts that cells refer to
	formats  []numberFormat       // by style
	codes    map[int]string       // of formats that the file defines
	from1904 bool                 // whether dates count from there
	sheets   []workbookSheet      // in order
}

type workbookSheet struct {
	name, part string
	hidden     bool
}

// sheetRow is a row of a sheet.
type sheetRow struct {
	line   int
	hidden bool
	cells  []cell
}

// errEnough ends the reading of a part.
var errEnough = errors.New("enough")

func openWorkbook(z *zip.Reader, size int) (*workbook, error) {
	w := &workbook{parts: map[string]*zip.File{}, codes: map[int]string{},
		left: min(maxUnpacked, alwaysTaken+maxRatio*int64(size))}
	for _, f := range z.File {
		name := strings.ToLower(strings.TrimPrefix(f.Name, "/"))
		if w.parts[name] == nil {
			w.parts[name] = f
		}
	}
	main := "xl/workbook.xml"
	root, err := w.relations("")
	if err != nil {
		return nil, err
	}
	for _, r := range root {
		if strings.HasSuffix(r.kind, "/officeDocument") {
			main = r.target
		}
	}
	relations, err := w.relations(main)
	if err != nil {
		return nil, err
	}
	for _, r := range relations {
		switch {
		case strings.HasSuffix(r.kind, "/sharedStrings"):
			err = w.readShared(r.target)
		case strings.HasSuffix(r.kind, "/styles"):
			err = w.readFormats(r.target)
		}
		if err != nil {
			return nil, err
		}
	}
	return w, w.readSheets(main, relations)
}

// relation is what a part of the file refers to.
type relation struct{ kind, target string }

// relations of a part, by identifier; none where the file has none.
func (w *workbook) relations(part string) (map[string]relation, error) {
	dir, base := path.Split(part)
	list, found := path.Join(dir, "_rels", base+".rels"), map[string]relation{}
	if w.parts[strings.ToLower(list)] == nil {
		return found, nil
	}
	err := w.each(list, func(token xml.Token) error {
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "Relationship" && len(found) < maxListed {
			target := attribute(e, "Target")
			if !strings.HasPrefix(target, "/") {
				target = path.Join(dir, target)
			}
			found[attribute(e, "Id")] = relation{attribute(e, "Type"), strings.TrimPrefix(target, "/")}
		}
		return nil
	})
	return found, err
}

func (w *workbook) readSheets(main string, relations map[string]relation) error {
	return w.each(main, func(token xml.Token) error {
		e, ok := token.(xml.StartElement)
		switch {
		case !ok:
		case e.Name.Local == "workbookPr":
			on := attribute(e, "date1904")
			w.from1904 = on == "1" || on == "true"
		case e.Name.Local == "sheet" && len(w.sheets) < maxListed:
			id := ""
			for _, a := range e.Attr {
				if a.Name.Local == "id" && a.Name.Space != "" {
					id = a.Value
				}
			}
			if part := relations[id].target; w.parts[strings.ToLower(part)] != nil {
				state := attribute(e, "state")
				w.sheets = append(w.sheets, workbookSheet{attribute(e, "name"), part,
					state != "" && state != "visible"})
			}
		}
		return nil
	})
}

func (w *workbook) readShared(part string) error {
	var text textReader
	return w.each(part, func(token xml.Token) error {
		text.see(token)
		if e, ok := token.(xml.EndElement); ok && e.Name.Local == "si" {
			w.shared = append(w.shared, text.take())
			return w.keep(len(w.shared[len(w.shared)-1]) + perText)
		}
		return nil
	})
}

// keep counts bytes that are kept.
func (w *workbook) keep(n int) error {
	if w.texts += n; w.texts > maxTexts {
		return fmt.Errorf("it has over %d MiB of text; split it", maxTexts>>20)
	}
	return nil
}

func (w *workbook) readFormats(part string) error {
	within := ""
	byID := map[int]numberFormat{}
	return w.each(part, func(token xml.Token) error {
		switch e := token.(type) {
		case xml.StartElement:
			id, _ := strconv.Atoi(attribute(e, "numFmtId"))
			switch name := e.Name.Local; {
			case name == "numFmts" || name == "cellXfs":
				within = name
			case name == "numFmt" && within == "numFmts" && len(w.codes) < maxListed:
				w.codes[id] = attribute(e, "formatCode")
			case name == "xf" && within == "cellXfs" && len(w.formats) < maxListed:
				f, known := byID[id]
				if !known {
					code, own := w.codes[id]
					if !own {
						code = builtInFormat(id)
					}
					f = newNumberFormat(code)
					byID[id] = f
				}
				w.formats = append(w.formats, f)
			}
		case xml.EndElement:
			if e.Name.Local == within {
				within = ""
			}
		}
		return nil
	})
}

// each reads the tokens of a part. errEnough of a function ends it without error.
func (w *workbook) each(part string, see func(xml.Token) error) error {
	f := w.parts[strings.ToLower(part)]
	if f == nil {
		return fmt.Errorf("read XLSX: it has no part %s", quoted(part))
	}
	r, err := f.Open()
	if err != nil {
		return fmt.Errorf("read XLSX: %w", err)
	}
	defer func() { _ = r.Close() }()
	d := xml.NewDecoder(&guard{from: r, left: &w.left})
	for {
		token, err := d.RawToken()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read XLSX, %s: %w", path.Base(part), err)
		}
		if err := see(token); errors.Is(err, errEnough) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// guard keeps the XML reader from collecting much: it ends where too many bytes
// stand between two tags, or all parts together are too large.
type guard struct {
	from    io.Reader
	left    *int64
	run     int  // since a tag began
	special byte // -, [ or ? in a comment, CDATA section or instruction; 0 else
	last    [2]byte
}

var guarded = map[byte]string{'-': "--", '[': "]]", '?': "?"}

// Read implements io.Reader.
func (g *guard) Read(p []byte) (int, error) {
	n, err := g.from.Read(p)
	if *g.left -= int64(n); *g.left < 0 {
		return 0, errors.New("it unpacks to far more than spreadsheets do; save it anew, or split it")
	}
	for _, b := range p[:n] {
		g.run++
		switch {
		case g.special != 0:
			if b == '>' && strings.HasSuffix(string(g.last[:]), guarded[g.special]) {
				g.special, g.run = 0, 0
			}
		case b == '<':
			g.run = 0
		case g.run == 1 && b == '?', g.run == 2 && g.last == [2]byte{'<', '!'} && (b == '-' || b == '['):
			g.special = b
		case g.run == 2 && g.last == [2]byte{'<', '!'}:
			return 0, errors.New("it has a document type, which no spreadsheet writes")
		}
		g.last = [2]byte{g.last[1], b}
		if g.run > maxToken {
			return 0, fmt.Errorf("a text in it has over %d bytes", maxToken)
		}
	}
	return n, err
}

// attribute is the value of one without a name space.
func attribute(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name && a.Name.Space == "" {
			return a.Value
		}
	}
	return ""
}

// textReader collects the text of a cell or shared string from its runs, without
// what says how to pronounce it.
type textReader struct {
	open      bool
	phonetic  bool
	collected []byte
}

func (t *textReader) see(token xml.Token) {
	switch e := token.(type) {
	case xml.StartElement:
		t.open = !t.phonetic && (e.Name.Local == "t" || e.Name.Local == "v")
		t.phonetic = t.phonetic || e.Name.Local == "rPh"
	case xml.EndElement:
		t.open, t.phonetic = false, t.phonetic && e.Name.Local != "rPh"
	case xml.CharData:
		if t.open && len(t.collected) <= 4*maxCellText { // which the cell is refused for
			t.collected = append(t.collected, e...)
		}
	}
}

var escaped = regexp.MustCompile(`_x[0-9A-Fa-f]{4}_`)

// take is the text, in which _x0009_ stands for a tab.
func (t *textReader) take() string {
	s := string(t.collected)
	t.collected = t.collected[:0]
	if !strings.Contains(s, "_x") {
		return s
	}
	return escaped.ReplaceAllStringFunc(s, func(e string) string {
		n, _ := strconv.ParseUint(e[2:6], 16, 16)
		return string(rune(n))
	})
}

// rowReader puts the rows of a sheet together.
type rowReader struct {
	*workbook
	row     sheetRow
	text    textReader
	kind    string
	style   int
	column  int // from 0
	formula bool
	valued  bool // the cell has a value, be it an empty one
}

// rows reads a sheet row by row; errEnough of a function ends it.
func (w *workbook) rows(part string, see func(sheetRow) error) error {
	r := rowReader{workbook: w}
	return w.each(part, func(token xml.Token) error {
		r.text.see(token)
		switch e := token.(type) {
		case xml.StartElement:
			return r.begin(e)
		case xml.EndElement:
			switch e.Name.Local {
			case "c":
				return r.add()
			case "row":
				return see(r.row)
			case "sheetData":
				return errEnough
			}
		}
		return nil
	})
}

func (r *rowReader) begin(e xml.StartElement) error {
	switch e.Name.Local {
	case "row":
		line := r.row.line + 1
		if v := attribute(e, "r"); v != "" {
			n, err := strconv.Atoi(v)
			if err != nil || n < line {
				return fmt.Errorf("read XLSX: row %s does not follow row %d", quoted(v), line-1)
			}
			line = n
		}
		if line > maxRow {
			return fmt.Errorf("read XLSX: it has over %d rows", maxRow)
		}
		hidden, height := attribute(e, "hidden"), attribute(e, "ht")
		r.row = sheetRow{line, hidden == "1" || hidden == "true" || height == "0", nil}
		r.column = -1
	case "c":
		r.column++
		if v := attribute(e, "r"); v != "" {
			r.column = columnIndex(v)
		}
		r.kind, r.formula, r.valued = attribute(e, "t"), false, false
		r.style, _ = strconv.Atoi(attribute(e, "s"))
		_ = r.text.take() // of the row's spaces
	case "f":
		r.formula = true
	case "v", "is":
		r.valued = true
	}
	return nil
}

// columnIndex of a reference such as AB12, from 0.
func columnIndex(reference string) int {
	n := 0
	for _, c := range reference[:min(3, len(reference))] {
		if c |= 0x20; c < 'a' || c > 'z' {
			break
		}
		n = 26*n + int(c-'a') + 1
	}
	return n - 1
}

// add takes the cell that has ended into the row.
func (r *rowReader) add() error {
	c := r.cell(r.text.take())
	if c.empty() || r.column < 0 {
		return nil
	}
	if r.kind != "s" {
		if err := r.keep(len(c.text)); err != nil {
			return err
		}
	}
	at := min(r.column, maxColumns)
	for len(r.row.cells) <= at {
		r.row.cells = append(r.row.cells, cell{})
	}
	r.row.cells[at] = c
	return nil
}

func (r *rowReader) cell(v string) cell {
	switch {
	case r.formula && v == "" && (!r.valued || r.kind != "str"):
		return cell{unusable,
			"is a formula whose value is not in the file; open the file in a spreadsheet, save it and import " +
				"that, or write the value"}
	case len(v) > maxCellText && len([]rune(v)) > maxCellText:
		return cell{unusable, fmt.Sprintf("has over %d characters; write fewer", maxCellText)}
	}
	switch r.kind {
	case "s":
		i, err := strconv.Atoi(strings.TrimSpace(v))
		if err != nil || i < 0 || i >= len(r.shared) {
			return cell{unusable, "refers to a text that is not in the file; write it again"}
		}
		return cell{written, r.shared[i]}
	case "str", "inlineStr":
		return cell{written, v}
	case "b":
		return cell{truth, map[bool]string{true: "TRUE", false: "FALSE"}[v == "1" || v == "true"]}
	case "e":
		return cell{unusable, fmt.Sprintf("is the error %s; correct the formula, or write the value", quoted(v))}
	case "d":
		return isoDate(v)
	case "", "n":
		if v == "" {
			return cell{}
		}
		f := newNumberFormat("")
		if r.style >= 0 && r.style < len(r.formats) {
			f = r.formats[r.style]
		}
		return numeric(strings.TrimSpace(v), f, r.from1904)
	}
	return cell{unusable, fmt.Sprintf("is of the unknown type %s; write it again", quoted(r.kind))}
}

// readXLSX reads the sheet that has the header row. Formulas count as the values
// that are stored with them; none is calculated.
func readXLSX(file string, content []byte, progress func(int)) (*File, error) {
	z, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return nil, fmt.Errorf("%s: read XLSX: %w", file, err)
	}
	if other := otherZip(z); other != "" {
		return nil, notAFile(file, other)
	}
	w, err := openWorkbook(z, len(content))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	sheet, skip, err := w.demands()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	t := table{file: file, progress: progress}
	if len(w.sheets) > 1 {
		t.sheet = sheet.name
	}
	if sheet.hidden {
		t.odd.add(Problem{Place: t.at(0, ""), Detail: fmt.Sprintf("the sheet %s is hidden; its lines count",
			quoted(sheet.name))})
	}
	var fault error // of the header
	err = w.rows(sheet.part, func(row sheetRow) error {
		if row.line <= skip {
			return nil
		}
		if row.hidden && t.header != nil && len(row.cells) > 0 {
			t.odd.add(Problem{Place: t.at(row.line, ""), Detail: "the row is hidden, perhaps by a filter; it counts"})
		}
		if fault = t.row(row.line, row.cells); fault != nil {
			return errEnough
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", file, err)
	case fault != nil:
		return nil, fault
	}
	return t.end()
}

// titles is how many rows may stand above the header.
const titles = 20

// demands finds the sheet that holds demands: the one with the header row, above
// which a few rows with a title and the like may stand. A workbook of one sheet
// is read from its first row where there is none, which then says what is missing.
func (w *workbook) demands() (found workbookSheet, skip int, err error) {
	all, with := []string{}, []string{}
	for _, sheet := range w.sheets {
		name := sheet.name
		if sheet.hidden {
			name += " (hidden)"
		}
		all = append(all, name)
		err := w.rows(sheet.part, func(row sheetRow) error {
			switch {
			case row.line > titles:
				return errEnough
			case len(missingIn(row.cells)) == 0:
				found, skip, with = sheet, row.line-1, append(with, name)
				return errEnough
			}
			return nil
		})
		if err != nil {
			return found, 0, err
		}
	}
	switch {
	case len(with) == 0 && len(w.sheets) == 1:
		return w.sheets[0], 0, nil
	case len(with) == 0:
		return found, 0, fmt.Errorf("none of the sheets %s has a row that names the columns: %s",
			shorten(strings.Join(all, ", ")), names())
	case len(with) > 1:
		return found, 0,
			fmt.Errorf("the sheets %s have demands each; leave one in the file, or save each as a file of its own",
				shorten(strings.Join(with, ", ")))
	}
	return found, skip, nil
}

// otherZip names what a ZIP file is that is no XLSX.
func otherZip(z *zip.Reader) string {
	has := map[string]bool{}
	for _, f := range z.File[:min(len(z.File), maxListed)] {
		name := strings.ToLower(f.Name)
		has[name], has[path.Ext(name)], has[name[:strings.IndexByte(name+"/", '/')]+"/"] = true, true, true
	}
	for _, of := range []struct{ part, is string }{
		{"xl/workbook.bin", "a binary Excel workbook (.xlsb)"},
		{"xl/", ""}, // what is wrong with it shows below
		{"word/", "a Word document (.docx)"},
		{"ppt/", "a PowerPoint presentation (.pptx)"},
		{".iwa", "an Apple document (.numbers, .pages)"},
		{"mimetype", "an OpenDocument file (.ods, .odt)"},
		{"index/", "an Apple document (.numbers, .pages)"},
	} {
		if has[of.part] {
			return of.is
		}
	}
	if has["_rels/"] || slices.Contains(slices.Collect(maps.Keys(has)), "[content_types].xml") {
		return ""
	}
	return "a ZIP file"
}

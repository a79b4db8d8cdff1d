package demandfile_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"dcm-receiver/internal/demandfile"

	"github.com/google/go-cmp/cmp"
)

// sheetXML is a workbook of parts, by their names; the usual ones are added.
func sheetXML(t testing.TB, parts map[string]string) []byte {
	t.Helper()
	all := map[string]string{
		"_rels/.rels": `<Relationships><Relationship Id="r1" Type="x/officeDocument" ` +
			`Target="xl/workbook.xml"/></Relationships>`,
		"xl/workbook.xml": `<workbook><sheets><sheet name="one" sheetId="1" r:id="r1"/></sheets></workbook>`,
		"xl/_rels/workbook.xml.rels": `<Relationships><Relationship Id="r1" Type="x/worksheet"
			Target="worksheets/sheet1.xml"/>
			<Relationship Id="r2" Type="x/sharedStrings" Target="/xl/sharedStrings.xml"/><Relationship Id="r3"
			Type="x/styles" Target="styles.xml"/></Relationships>`,
		"xl/sharedStrings.xml": `<sst><si><t>shared</t></si><si>` +
			`<r><t>ri</t></r><r><t>ch</t></r><rPh><t>pronounced</t></rPh></si></sst>`,
		"xl/styles.xml": "<styleSheet/>",
	}
	for name, content := range parts {
		all[name] = content
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, content := range all {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func inline(v string) string { return `<c t="inlineStr"><is><t>` + v + `</t></is></c>` }

// sheetOf is a sheet with one line, of which some columns are given as XML.
func sheetOf(given map[string]string) string {
	names := strings.Split(
		"supplier customer material_number_customer customer_location demand_category_code point_in_time demand "+
			"unit_of_measure material_description_customer is_inactive", " ")
	usual := map[string]string{"supplier": "BPNL6666666666YY", "customer": "BPNL8888888888XX",
		"material_number_customer": "A", "customer_location": "BPNS8888888888XX",
		"point_in_time": "2026-11-30", "demand": "5"}
	head, row := "", ""
	for _, name := range names {
		head += inline(name)
		value := `<c/>`
		if usual[name] != "" {
			value = inline(usual[name])
		}
		if given[name] != "" {
			value = given[name]
		}
		row += value
	}
	return "<worksheet><sheetData><row>" + head + "</row><row>" + row + "</row></sheetData></worksheet>"
}

// styled is a cell in a number format.
func styled(format, v string) [2]string {
	return [2]string{format, `<c s="1"><v>` + v + `</v></c>`}
}

// TestCells: a cell is taken as what it is and shows, or refused.
func TestCells(t *testing.T) {
	const noValue = "is a formula whose value is not in the file; open the file in a spreadsheet, save it and " +
		"import that, or write the value"
	raw := func(cell string) [2]string { return [2]string{"", cell} }
	for _, c := range []struct {
		column string
		cell   [2]string // number format and XML
		want   string    // the line, or the problem
	}{
		{"material_number_customer", raw(`<c t="s"><v>0</v></c>`), "shared 2026-11-30 5"},
		{"material_number_customer", raw(`<c t="s"><v>1</v></c>`), "rich 2026-11-30 5"},
		{"material_number_customer", raw(`<c t="s"><v>7</v></c>`),
			"refers to a text that is not in the file; write it again"},
		{"material_number_customer", raw(`<c t="str"><f>B1</f><v>x</v></c>`), "x 2026-11-30 5"},
		{"material_number_customer", raw(`<c><v>12345</v></c>`), "12345 2026-11-30 5"},
		{"material_number_customer", styled("@", "4711.0"), "4711 2026-11-30 5"},
		{"material_number_customer", styled("000000000000000000", "12345"),
			"holds 12345 and shows 000000000000012345; write what is meant: as text in a column of texts, else " +
				"with the format General"},
		{"material_number_customer", raw(`<c><v>4711.5</v></c>`),
			"is the number 4711.5, not text; give the column the format text and write the value again"},
		{"material_number_customer", raw(`<c><v>1.234567890123457e+17</v></c>`),
			"is a number of over 15 digits, of which a spreadsheet loses the last ones; give the column the " +
				"format text and write it again"},
		{"material_number_customer", styled("d. mmm", "46082"),
			"is the date 2026-03-01, not text; give the column the format text and write the value again"},
		{"material_number_customer", raw(`<c t="e"><v>#N/A</v></c>`),
			`is the error "#N/A"; correct the formula, or write the value`},
		{"material_number_customer", raw(`<c t="b"><v>1</v></c>`),
			"is the truth value TRUE, not text; give the column the format text and write the value again"},
		{"material_number_customer", raw(`<c t="d"><v>2026-12-07</v></c>`),
			"is the date 2026-12-07, not text; give the column the format text and write the value again"},
		{"material_number_customer", raw(`<c t="inlineStr"><is><t>A_x0000_B</t></is></c>`),
			`"A\x00B" has the control character U+0000 in it; write it without`},
		{"demand", raw(`<c><v>0.30000000000000004</v></c>`), "A 2026-11-30 0.3"},
		{"demand", raw(`<c><v>1E3</v></c>`), "A 2026-11-30 1000"},
		{"demand", raw(inline("1.250")), `"1.250" may mean a thousand or a decimal; write 1250 or 1.2500`},
		{"demand", raw(`<c t="str"><f>1</f><v>1.250</v></c>`),
			`"1.250" may mean a thousand or a decimal; write 1250 or 1.2500`},
		{"demand", styled("#,##0", "1250"), "A 2026-11-30 1250"},
		{"demand", styled("# ##0.00", "1250.5"), "A 2026-11-30 1250.5"},
		{"demand", styled(`_-* #,##0\ _€_-;\-* #,##0\ _€_-;_-* "-"\ _€_-;_-@_-`, "0"), "A 2026-11-30 0"},
		{"demand", styled("[Red]0;[$-407]0", "7"), "A 2026-11-30 7"},
		{"demand", styled("0", "12.5"),
			"holds 12.5 and shows 12; write what is meant: as text in a column of texts, else with the format General"},
		{"demand", styled("0", "1234.567"),
			"holds 1234.567 and shows 1235; write what is meant: as text in a column of texts, else with the " +
				"format General"},
		{"demand", styled("0;;;", "0"),
			"holds 0 and shows nothing; write what is meant: as text in a column of texts, else with the format " +
				"General"},
		{"demand", styled("0%", "0.5"),
			`holds 0.5 and shows it in the format "0%"; write what is meant: as text in a column of texts, else ` +
				`with the format General`},
		{"demand", styled("0.00E+00", "1200"),
			`holds 1200 and shows it in the format "0.00E+00"; write what is meant: as text in a column of texts, ` +
				`else with the format General`},
		{"demand", styled("# ?/?", "0.5"),
			`holds 0.5 and shows it in the format "# ?/?"; write what is meant: as text in a column of texts, ` +
				`else with the format General`},
		{"demand", styled("#,##0,", "1250000"),
			`holds 1250000 and shows it in the format "#,##0,"; write what is meant: as text in a column of texts,` +
				` else with the format General`},
		{"demand", styled("#,##0 [$€-407]", "5"),
			`holds 5 and shows it in the format "#,##0 [$€-407]"; write what is meant: as text in a column of ` +
				`texts, else with the format General`},
		{"demand", styled(`0" Tsd"`, "5"),
			`holds 5 and shows it in the format "0\" Tsd\""; write what is meant: as text in a column of texts, ` +
				`else with the format General`},
		{"demand", styled("dd.mm.yyyy", "46027"),
			"is the date 2026-01-05; give the cell the format General and write the number again"},
		{"demand", styled("[h]:mm", "1.5"),
			`has the format "[h]:mm", which shows no day; give the cell the format of a date, or of what it is, ` +
				`and write it again`},
		{"demand", raw(`<c t="b"><v>1</v></c>`),
			"is the truth value TRUE; give the cell the format General and write the number again"},
		{"demand", raw(`<c t="d"><v>2026-12-07T00:00:00.000Z</v></c>`),
			"is the date 2026-12-07; give the cell the format General and write the number again"},
		{"demand", raw(`<c t="e"><v>#DIV/0!</v></c>`),
			`is the error "#DIV/0!"; correct the formula, or write the value`},
		{"demand", raw(`<c><f>40+2</f></c>`), noValue},
		{"demand", raw(`<c><f>40+2</f><v></v></c>`), noValue},
		{"demand", raw(`<c><f>SUM(MUNIT(20000))</f><v>42</v></c>`), "A 2026-11-30 42"},
		{"demand", raw(`<c><v>nan</v></c>`), `is stored as a number, but "nan" is none; write the value again`},
		{"point_in_time", styled("yyyy-mm-dd", "46363"), "A 2026-12-07 5"},
		{"point_in_time", styled("ddd d. mmm", "46363"), "A 2026-12-07 5"},
		{"point_in_time", styled("yyyy-mm-dd", "46362.9583333333"),
			"has a time (2026-12-06 23:00:00); write a date without one"},
		{"point_in_time", styled("mmm yy", "46174"),
			`has the format "mmm yy", which shows no day; give the cell the format of a date, or of what it is, ` +
				`and write it again`},
		{"point_in_time", raw(`<c><v>202603</v></c>`),
			"is the number 202603, not a date; write the Monday of the week, such as 2026-11-23"},
		{"point_in_time", raw(`<c><v>50</v></c>`),
			"is the number 50, not a date; write the Monday of the week, such as 2026-11-23"},
		{"point_in_time", raw(`<c t="d"><v>2026-12-07T00:00:00.000Z</v></c>`), "A 2026-12-07 5"},
		{"point_in_time", raw(`<c t="d"><v>2026-12-07</v></c>`), "A 2026-12-07 5"},
		{"point_in_time", raw(`<c t="d"><v>2026-12-06T23:00:00.000Z</v></c>`),
			"has a time (2026-12-06T23:00:00.000Z); write a date without one"},
		{"point_in_time", raw(`<c t="d"><v>next week</v></c>`),
			`is stored as a date, but "next week" is none; write it again`},
		{"point_in_time", raw(inline("9999-12-27")), "9999-12-27 is after the year 9998; write the week that is meant"},
		{"demand_category_code", raw(`<c><v>1</v></c>`),
			`"1" is not a category; write 0001 (a spreadsheet drops the zeros unless the column has the format text)`},
		{"demand_category_code", raw(`<c><f>IF(TRUE,"A1S1","0001")</f></c>`), noValue},
		{"unit_of_measure", raw(`<c><f>"unit:kilogram"</f><v></v></c>`), noValue},
		{"material_description_customer", raw(`<c><f>B1</f></c>`), noValue},
		{"material_description_customer", raw(`<c t="str"><f>IF(B1="","",B1)</f><v></v></c>`), "A 2026-11-30 5"},
		{"material_description_customer", raw(inline("#REF!")),
			`"#REF!" is what programs write for an error or for a missing value; write the value itself`},
		{"is_inactive", raw(`<c><f>TRUE</f></c>`), noValue},
		{"is_inactive", raw(`<c t="b"><v>0</v></c>`), "A 2026-11-30 5"},
		{"is_inactive", raw(`<c><v>1</v></c>`), "A 2026-11-30 5"},
		{"is_inactive", raw(`<c><v>2</v></c>`), "is the number 2; write true or false"},
	} {
		content := sheetXML(t, map[string]string{"xl/worksheets/sheet1.xml": sheetOf(
			map[string]string{c.column: c.cell[1]}), "xl/styles.xml": `<styleSheet><numFmts><numFmt ` +
			`numFmtId="164" formatCode="` +
			strings.NewReplacer("\"", "&quot;").Replace(c.cell[0]) +
			`"/></numFmts><cellXfs><xf numFmtId="0"/><xf numFmtId="164"/></cellXfs></styleSheet>`})
		f, err := demandfile.Read("f", content, today, nil)
		if err != nil {
			t.Errorf("%s %v: %v", c.column, c.cell, err)
			continue
		}
		got := ""
		for _, l := range f.Lines {
			got += fmt.Sprint(l.MaterialNumberCustomer, " ", l.PointInTime, " ", l.Demand)
		}
		for _, p := range f.Problems {
			got += strings.TrimPrefix(p.String(), "f:2: "+c.column+": ")
		}
		if got != c.want {
			t.Errorf("%s %v:\n got %s\nwant %s", c.column, c.cell, got, c.want)
		}
	}
}

// TestDates1904: the days of a workbook from an old Mac count from elsewhere.
func TestDates1904(t *testing.T) {
	f, err := demandfile.Read("f", sheetXML(t, map[string]string{
		"xl/workbook.xml": `<workbook><workbookPr date1904="1"/><sheets><sheet name="one" sheetId="1" ` +
			`r:id="r1"/></sheets></workbook>`,
		"xl/styles.xml":            `<styleSheet><cellXfs><xf numFmtId="14"/></cellXfs></styleSheet>`,
		"xl/worksheets/sheet1.xml": sheetOf(map[string]string{"point_in_time": `<c><v>44901</v></c>`}),
	}), today, nil)
	if err != nil || len(f.Lines) != 1 || f.Lines[0].PointInTime.String() != "2026-12-07" {
		t.Errorf("%v %+v", err, f)
	}
}

// TestNotation: a quantity has one meaning in its file, or is refused with both, and
// what the refusal says to write is taken as what was meant.
func TestNotation(t *testing.T) {
	for _, c := range []struct {
		demands string
		want    string // quantities, or what is written of those that are refused
	}{
		{"1.250 2.500 12.000", "(1250 or 1.2500) (2500 or 2.5000) (12000 or 12.0000)"},
		{"1,250 900 -2,500", "(1250 or 1.2500) 900 (-2500 or -2.5000)"},
		{"1.5 1.250", "1.5 1.25"},
		{"1,5 1,250", "1.5 1.25"},
		{"0.000 500.000", "0 500"},
		{"1234.567 1.250", "1234.567 1.25"},
		{"5,25 1.250", "5.25 (1250 or 1,2500)"},
		{"7.5 1,250", "7.5 (1250 or 1.2500)"},
		{"1.250,5 1.250", "(1250.5) (1250 or 1.2500)"},
		{"1.250,5 1,250", "(1250.5) 1.25"},
		{"1.250,5 7,5", "(1250,5) 7.5"},
		{"1,250.5 1.250", "(1250.5) 1.25"},
		{"1.234.567 1.250", "(1234567) (1250 or 1.2500)"},
		{"1.234.567 1.5 1.250", "(1234567) 1.5 (1250 or 1.2500)"},
		{"1'250 1’250 1_250 1\u00a0250 1\u202f250 1\u2009250", "(1250) (1250) (1250) (1250) (1250) (1250)"},
		{"1'250.500 0,125", "(1250.500) (0.125)"},
		{"1,00,000 1.2.3 1,2.3,4", "(1234.5) (1234.5) (1234.5)"},
		{"５ ٥ 5- (5) 1e3 0x10 ½ +5", "(1234.5) (1234.5) (1234.5) (1234.5) (1234.5) (1234.5) (1234.5) (1234.5)"},
		{"007 0,5", "7 0.5"},
	} {
		for name, read := range map[string]func([]string) []byte{
			"csv": func(list []string) []byte {
				s := header
				for i, v := range list {
					s += strings.Replace(start, ";A;", fmt.Sprintf(";M%d;", i), 1) + "2026-11-30;" + v + ";;\n"
				}
				return []byte(s)
			},
			"xlsx": func(list []string) []byte {
				one := sheetOf(map[string]string{"demand": "%%"})
				at := strings.LastIndex(one, "<row>")
				head, row := one[:at], strings.TrimSuffix(one[at:], "</sheetData></worksheet>")
				for i, v := range list {
					head += strings.NewReplacer("%%", inline(v), ">A<", fmt.Sprintf(">M%d<", i)).Replace(row)
				}
				return sheetXML(t, map[string]string{"xl/worksheets/sheet1.xml": head + "</sheetData></worksheet>"})
			},
		} {
			list := strings.Split(c.demands, " ")
			f, err := demandfile.Read("f", read(list), today, nil)
			if err != nil {
				t.Errorf("%s %s: %v", name, c.demands, err)
				continue
			}
			got := make([]string, len(list))
			for _, l := range f.Lines {
				got[l.At.Line-2] = string(l.Demand)
			}
			for _, p := range f.Problems {
				_, advice, _ := strings.Cut(p.Detail, "write ")
				advice, _, _ = strings.Cut(advice, ", 0 for")
				got[p.Line-2] = "(" + strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(advice,
					"it without separators of thousands, such as "), "one such as "), " ") + ")"
			}
			// The same of several lines is said once.
			if d := cmp.Diff(c.want, strings.Join(got, " ")); d != "" {
				t.Errorf("%s %s: %s", name, c.demands, d)
			}
		}
	}
}

// TestTexts: what programs write for errors and long numbers is no material; what may
// be one is taken with a word.
func TestTexts(t *testing.T) {
	for _, c := range []struct{ material, refused, odd string }{
		{"#N/A", "error", ""}, {"#REF!", "error", ""}, {"#NV", "error", ""}, {"#BEZUG!", "error", ""},
		{"#NAME?", "error", ""}, {"#DIV/0!", "error", ""},
		{"#ÜBERLAUF!", "error", ""}, {"nan", "error", ""}, {"NULL", "error", ""}, {"None", "error", ""},
		{"N/A", "error", ""}, {"Err:502", "error", ""}, {"####", "error", ""},
		{"#1", "", ""}, {"NANO", "", ""}, {"Nullstück", "", ""}, {"A#REF!", "", ""},
		{"1.23457e+17", "long number", ""}, {"1.23457E17", "long number", ""}, {"1,23457E+17", "long number", ""},
		{"1E+17", "long number", ""},
		{"12E5", "", "another number"}, {"4711.0", "", "another number"}, {"4711.01", "", ""},
		{"M-\ufffdL", "U+FFFD", ""}, {"A\x00B", `A\x00B`, ""}, {"A\x01B", "U+0001", ""}, {"A\x1bB", "U+001B", ""},
		{"A\u0085B", "U+0085", ""},
		{"A\u200bB", "", "U+200B"}, {"A\ufeffB", "", "U+FEFF"}, {"A\u202eB", "", "U+202E"}, {"A\tB", "", "U+0009"},
		{"A\nB", "", "U+000A"}, {"A\u00a0B", "", "U+00A0"},
		{"\u200b", "invisible characters alone", ""}, {`="00123"`, "write 00123", ""}, {"'00123", "write 00123", ""},
		{"Bu\u0308gel", "", "composed form"}, {"Bügel", "", ""}, {"A B", "", ""},
	} {
		quoted := `"` + strings.ReplaceAll(c.material, `"`, `""`) + `"`
		demand := fmt.Sprintf(`[{"materialDemandId": "0157ba42-d2a8-4e28-8565-7b07830c1110", "supplier":
			"BPNL6666666666YY", "customer": "BPNL8888888888XX",
			"materialNumberCustomer": %s, "materialDescriptionCustomer": "x", "changedAt": "2026-11-01T00:00:00Z",
			"unitOfMeasureIsOmitted": true,
			"materialDemandIsInactive": false, "demandSeries": [{"customerLocation": "BPNS8888888888XX",
			"demandCategory": {"demandCategoryCode": "0001"},
			"demands": [{"pointInTime": "2026-12-07", "demand": 7}]}]}]`, jsonText(c.material))
		for content, column := range map[string]string{
			header + strings.Replace(start, ";A;", ";"+quoted+";", 1) +
				"2026-11-30;5;;\n": "material_number_customer", demand: "/0/materialNumberCustomer",
		} {
			f, err := demandfile.Read("f", []byte(content), today, nil)
			if err != nil {
				t.Errorf("%q: %v", c.material, err)
				continue
			}
			found, want := f.Odd, c.odd
			if c.refused != "" {
				found, want = f.Problems, c.refused
			}
			if good := len(f.Lines) == 1; good != (c.refused == "") ||
				(len(f.Problems)+len(f.Odd) > 0) != (want != "") {
				t.Errorf("%q (%s): %v %v", c.material, column, f.Problems, f.Odd)
			} else if want != "" && (!strings.Contains(found[0].Detail, want) || found[0].Column != column ||
				found[0].Line == 0) {
				t.Errorf("%q (%s): %+v, want %s", c.material, column, found[0], want)
			} else if good && c.odd == "composed form" && f.Lines[0].MaterialNumberCustomer != "Bügel" {
				t.Errorf("%q is taken as %q", c.material, f.Lines[0].MaterialNumberCustomer)
			}
		}
	}
}

func jsonText(s string) string {
	var b strings.Builder
	for _, r := range s {
		fmt.Fprintf(&b, `\u%04x`, r)
	}
	return `"` + b.String() + `"`
}

// TestOtherFormats: what is no file with demands is named.
func TestOtherFormats(t *testing.T) {
	zipped := func(names ...string) string {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		for _, name := range names {
			if _, err := z.Create(name); err != nil {
				t.Fatal(err)
			}
		}
		_ = z.Close()
		return b.String()
	}
	for content, want := range map[string]string{
		zipped("mimetype", "content.xml"):                  "f: an OpenDocument file (.ods, .odt); save it as .xlsx",
		zipped("Index/Document.iwa", "Metadata/x.plist"):   "f: an Apple document (.numbers, .pages); save",
		zipped("[Content_Types].xml", "word/document.xml"): "f: a Word document (.docx); save",
		zipped("[Content_Types].xml", "xl/workbook.bin"):   "f: a binary Excel workbook (.xlsb); save",
		zipped("a.csv"): "f: a ZIP file; save",
		zipped("[Content_Types].xml",
			"ppt/presentation.xml"): "f: a PowerPoint presentation (.pptx); save",
		`<?xml version="1.0"?><?mso-application progid="Excel.Sheet"?><Workbook>`: "f: an Excel 2003 XML file; save",
		"\ufeff<html><table>": "f: a web page (HTML), perhaps named .xls; save",
		`{\rtf1}`:             "f: a text document (RTF); save",
		"%PDF-1.7":            "f: a PDF document; save",
		"PK\x03\x04":          "f: read XLSX: zip",
	} {
		if _, err := demandfile.Read("f", []byte(content), today, nil); err == nil ||
			!strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %s", content[:min(len(content), 80)], err, want)
		}
	}
}

// TestLayout: what programs write above and around a table in CSV does not matter.
func TestLayout(t *testing.T) {
	line := start + "2026-11-30;5;;x\n"
	utf16 := func(s string, first int) string {
		b := []byte{}
		for _, c := range []byte(s) {
			pair := []byte{c, c}
			pair[1-first] = 0
			b = append(b, pair...)
		}
		return string(b)
	}
	for name, c := range map[string]struct {
		content string
		line    int
	}{
		"sep=":               {"sep=;\n" + header + line, 3},
		"a title":            {"Demands of plant 1, week 48\n\n" + header + line, 4},
		"Mac":                {strings.ReplaceAll(header+line, "\n", "\r"), 2},
		"UTF-16LE":           {utf16(header+line, 0), 2},
		"UTF-16BE":           {utf16(header+line, 1), 2},
		"no-break space":     {strings.ReplaceAll(header, "point_in_time", "Point\u00a0in time\u200b") + line, 2},
		"line break":         {strings.ReplaceAll(header, "point_in_time", "\"Point\nin time\"") + line, 3},
		"trailing separator": {header + strings.ReplaceAll(line, "\n", ";;\n"), 2},
		"in both":            {strings.ReplaceAll(header+line, "\n", ";\n"), 2},
		"pipes":              {strings.ReplaceAll(header+line, ";", "|"), 2},
	} {
		f, err := demandfile.Read("f", []byte(c.content), today, nil)
		if err != nil || len(f.Problems) > 0 || len(f.Lines) != 1 || f.Lines[0].At.Line != c.line ||
			f.Lines[0].Demand != "5" {
			t.Errorf("%s: %v %+v", name, err, f)
		}
	}
}

// TestHidden: what a person does not see in the sheet is said.
func TestHidden(t *testing.T) {
	sheet := strings.ReplaceAll(sheetOf(nil), "<row><c t=\"inlineStr\"><is><t>BPNL",
		"<row hidden=\"1\"><c t=\"inlineStr\"><is><t>BPNL")
	f, err := demandfile.Read("f", sheetXML(t, map[string]string{
		"xl/workbook.xml": `<workbook><sheets><sheet name="one" state="veryHidden" r:id="r1"/><sheet name="notes" ` +
			`r:id="r4"/></sheets></workbook>`,
		"xl/_rels/workbook.xml.rels": `<Relationships><Relationship Id="r1" Type="x/worksheet"
			Target="worksheets/sheet1.xml"/>
			<Relationship Id="r4" Type="x/worksheet" Target="worksheets/sheet2.xml"/></Relationships>`,
		"xl/worksheets/sheet1.xml": sheet, "xl/worksheets/sheet2.xml": "<worksheet/>",
	}), today, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{`f (sheet one): the sheet "one" is hidden; its lines count`,
		"f (sheet one):2: the row is hidden, perhaps by a filter; it counts"}
	got := []string{}
	for _, o := range f.Odd {
		got = append(got, o.String())
	}
	if d := cmp.Diff(want, got); d != "" || len(f.Lines) != 1 {
		t.Error(d, f.Lines)
	}
}

// TestSaidOnce: what is wrong with many lines is one problem.
func TestSaidOnce(t *testing.T) {
	f, err := demandfile.Read("f", []byte(header+strings.Repeat(start+"07.12.2026;5;Stk;\n", 10_000)), today, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`f:2: point_in_time: "07.12.2026" is not a date of the form YYYY-MM-DD; write 2026-12-07 (and 9,999 lines ` +
			`more)`,
		`f:2: unit_of_measure: "Stk" is not a unit of the standard; write unit:piece (and 9,999 lines more)`,
	}
	got := []string{}
	for _, p := range f.Problems {
		got = append(got, p.String())
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestHostileWorkbooks: a small file takes little memory, and says what is wrong.
func TestHostileWorkbooks(t *testing.T) {
	if isRace {
		t.Skip("one goroutine reads, and the race detector makes it take minutes")
	}
	sheet, head := "xl/worksheets/sheet1.xml", strings.TrimSuffix(sheetOf(nil), "</sheetData></worksheet>")
	const unpacked = 64_000_000
	tooMuch := "unpacks to far more"
	for _, c := range []struct{ name, part, begins, repeated, want string }{
		{"shared strings", "xl/sharedStrings.xml", "<sst>", "<si><t>" + strings.Repeat("a", 1000) + "</t></si>",
			tooMuch},
		{"empty strings", "xl/sharedStrings.xml", "<sst>", "<si/>", "MiB of text"},
		{"one long text", sheet, head + "<row><c><v>", "1", "over 1048576 bytes"},
		{"a comment", sheet, head + "<!-- ]]> ", "<a>", "over 1048576 bytes"},
		{"CDATA", sheet, head + "<row><c><v><![CDATA[-->", "<a>", "over 1048576 bytes"},
		{"an instruction", sheet, head + "<?x ", "<a>", "over 1048576 bytes"},
		{"a document type", sheet, "<!DOCTYPE x [", `<!ENTITY a "b">`, "document type"},
		{"depth", sheet, head, "<a>", tooMuch},
		{"cells", sheet, head + "<row>", "<c><v>1</v></c>", tooMuch},
		{"rows", sheet, head, "<row/>", "rows"},
		{"formats", "xl/styles.xml", "<styleSheet><cellXfs>", `<xf numFmtId="1"/>`, tooMuch},
		{"texts of cells", sheet, head, "<row>" + inline(strings.Repeat("a", 30_000)) + "</row>", tooMuch},
		{"sheets", "xl/workbook.xml", "<workbook>", `<sheet name="s" r:id="r1"/>`, tooMuch},
	} {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		usual, err := zip.NewReader(bytes.NewReader(sheetXML(t, map[string]string{sheet: sheetOf(nil)})),
			int64(len(sheetXML(t, map[string]string{sheet: sheetOf(nil)}))))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range usual.File {
			if f.Name != c.part {
				if err := z.Copy(f); err != nil {
					t.Fatal(err)
				}
			}
		}
		w, err := z.Create(c.part)
		if err != nil {
			t.Fatal(err)
		}
		piece := []byte(strings.Repeat(c.repeated, 1+10_000/len(c.repeated)))
		_, _ = w.Write([]byte(c.begins))
		for n := 0; n < unpacked; n += len(piece) {
			_, _ = w.Write(piece)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		content := b.Bytes()
		grown := peak(func() { _, err = demandfile.Read("f", content, today, nil) })
		t.Logf("%s: %d MiB for a file of %d KiB: %v", c.name, grown>>20, len(content)>>10, err)
		if grown > 500<<20 {
			t.Errorf("%s: %d MiB for a file of %d KiB", c.name, grown>>20, len(content)>>10)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// peak is by how much the heap grows at most while run is at work.
func peak(run func()) int64 {
	used := func() int64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapSys - m.HeapReleased)
	}
	debug.FreeOSMemory()
	before := used()
	run()
	return used() - before
}

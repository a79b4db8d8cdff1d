package demandfile_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/demandfile"
	"dcm-receiver/internal/privatepg/pgtest"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/xuri/excelize/v2"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const (
	header = "supplier;customer;material_number_customer;customer_location;demand_category_code;point_in_time;demand;" +
		"unit_of_measure;material_description_customer\n"
	start = "BPNL6666666666YY;BPNL8888888888XX;A;BPNS8888888888XX;0001;"
)

var today, _ = dcm.ParseDate("2026-11-25")

func TestRead(t *testing.T) {
	windows := func(s string) string { return strings.ReplaceAll(s, "ü", "\xfc") }
	utf16le := func(s string) string {
		b := []byte{0xff, 0xfe}
		for _, u := range utf16.Encode([]rune(s)) {
			b = append(b, byte(u), byte(u>>8))
		}
		return string(b)
	}
	for _, c := range []struct {
		name, content string
		want          []string // weeks and demands
		problems      []string
	}{
		{"semicolons", header + start + "2026-11-30;5;unit:piece;Tür\n", []string{"2026-11-30 5 Tür"}, nil},
		{"byte order mark", "\ufeff" + header + start + "2026-11-30;5;unit:piece;Tür\r\n",
			[]string{"2026-11-30 5 Tür"}, nil},
		{"Windows-1252", windows(header + start + "2026-11-30;5;unit:piece;Tür\n"), []string{"2026-11-30 5 Tür"}, nil},
		{"UTF-16", utf16le(header + start + "2026-11-30;5;unit:piece;Tür\n"), []string{"2026-11-30 5 Tür"}, nil},
		{"commas, quoted", strings.ReplaceAll(header+start+"2026-11-30;\"5\";unit:piece;\"Tür\"\n\n", ";", ","),
			[]string{"2026-11-30 5 Tür"}, nil},
		{"tabs, other spelling", strings.ReplaceAll(strings.Replace(header, "point_in_time", "Point in time",
			1)+start+"2026-11-30;5;;Tür\n", ";", "\t"), []string{"2026-11-30 5 Tür"}, nil},
		{"decimal comma", header + start + "2026-11-30;5,25;unit:piece;\n" + start + "2026-12-07;07;unit:piece;\n",
			[]string{"2026-11-30 5.25 ", "2026-12-07 7 "}, nil},
		{"both decimals", header + start + "2026-11-30;5,25;unit:piece;\n" + start + "2026-12-07;7.5;unit:piece;\n",
			[]string{"2026-12-07 7.5 "},
			[]string{`f:2: demand: "5,25" has a decimal comma, but other lines have a decimal point; write 5.25`}},
		{"a thousand or a decimal", header + start + "2026-11-30;1,250;unit:piece;\n", nil,
			[]string{`f:2: demand: "1,250" may mean a thousand or a decimal; write 1250 or 1.2500`}},
		{"thousands", header + start + "2026-11-30;1.234,5;unit:piece;\n", nil,
			[]string{`f:2: demand: "1.234,5" is not a plain number; write it without separators of thousands, ` +
				`such as 1234.5`}},
		{"wrong values", header + start + "2026-11-24;-1;pcs;\n" + strings.Replace(start, "0001", "1", 1) +
			"30.11.2026;#REF!;unit:piece;\n", nil, []string{
			"f:2: point_in_time: 2026-11-24 is a Tuesday; write the Monday of its week, 2026-11-23",
			`f:2: unit_of_measure: "pcs" is not a unit of the standard; write unit:piece`,
			"f:2: demand: -1 is negative; a demand is at least 0",
			`f:3: demand_category_code: "1" is not a category; write 0001 (a spreadsheet drops the zeros unless ` +
				`the column has the format text)`,
			`f:3: point_in_time: "30.11.2026" is not a date of the form YYYY-MM-DD; write 2026-11-30`,
			`f:3: demand: "#REF!" is not a number; write one such as 1234.5, 0 for no demand, or leave the line ` +
				`out where it is not known`,
		}},
		{"empty and too many", header + start + ";;unit:piece;;x\n", nil, []string{
			"f:2: point_in_time: is empty; write the Monday of the week, such as 2026-11-23",
			"f:2: demand: is empty; write a number, 0 for no demand, or leave the line out where it is not known",
			"f:2: more values (10) than the header has columns (9); quote a value that has the separator in it",
		}},
		{"a week twice, two units", header + start + "2026-11-30;5;unit:piece;\n" + start +
			"2026-11-30;6;unit:piece;\n" + start + "2026-12-07;6;unit:gram;\n",
			[]string{"2026-11-30 5 ", "2026-11-30 6 ", "2026-12-07 6 "}, []string{
				"f:3: point_in_time: f:2 has the demand of this week, location and category already; leave one of " +
					"the two out",
				`f:4: unit_of_measure: "unit:gram" is not what f:2 says ("unit:piece"); all lines of a material ` +
					`must say the same`,
			}},
		{"JSON", `[{"materialDemandId": "0157ba42-d2a8-4e28-8565-7b07830c1110", "supplier": "BPNL6666666666YY", ` +
			`"customer": "BPNL8888888888XX",
			"materialNumberCustomer": "A", "materialDescriptionCustomer": "Tür", ` +
			`"changedAt": "2026-11-01T00:00:00Z", ` +
			`"unitOfMeasureIsOmitted": true,
			"materialDemandIsInactive": false, "demandSeries": [{"customerLocation": "BPNS8888888888XX", ` +
			`"demandCategory": {"demandCategoryCode": "0001"},
			"demands": [{"pointInTime": "2026-12-07", "demand": 7.50}]}]}]`, []string{"2026-12-07 7.5 Tür"}, nil},
		{"wrong JSON", "\ufeff\n" + `[{"materialDemandId": "0157ba42-d2a8-4e28-8565-7b07830c1110", "supplier": ` +
			`"BPNL6666666666YY", "customer": "BPNL8888888888XX",
  "materialNumberCustomer": "A", "materialDescriptionCustomer": "Tür", "unitOfMeasure": "pcs",  ` +
			`"unitOfMeasureIsOmitted": false,
  "materialDemandIsInactive": false, "demandSeries": [{"customerLocation": "BPNS8888888888XX", ` +
			`"demandCategory": {"demandCategoryCode": "0001"},
    "demands": [{"pointInTime": "2026-12-07", "demand": 7.50},
      {"pointInTime": "2026-12-08", "demand": -1}]}]}]`, nil, []string{
			"f:2:2: /0: changedAt is missing",
			"f:3:72: /0/unitOfMeasure: ",
			"f:6:8: /0/demandSeries/0/demands/1/pointInTime: 2026-12-08 is a Tuesday",
			"f:6:37: /0/demandSeries/0/demands/1/demand: ",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := demandfile.Read("f", []byte(c.content), today, nil)
			if err != nil {
				t.Fatal(err)
			}
			lines, problems := demandfile.Join([]*demandfile.File{f}, false)
			var have, said []string
			for _, l := range lines {
				have = append(have, l.PointInTime.String()+" "+string(l.Demand)+" "+l.MaterialDescriptionCustomer)
			}
			for i, p := range problems {
				said = append(said, p.String())
				// the words are those of package schemas
				if i < len(c.problems) && strings.HasPrefix(c.content, "\ufeff\n") {
					said[i] = said[i][:min(len(said[i]), len(c.problems[i]))]
				}
			}
			if d := cmp.Diff(c.want, have) + cmp.Diff(c.problems, said); d != "" {
				t.Error(d)
			}
		})
	}
	for content, want := range map[string]string{
		"": "f: is empty",
		"supplier;customer\n": "f:1: the header has no material_number_customer, customer_location, " +
			"point_in_time, demand",
		"{":                "f: read JSON",
		"\xd0\xcf\x11\xe0": "f: an old Excel file",
	} {
		if _, err := demandfile.Read("f", []byte(content), today, nil); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", content, err, want)
		}
	}
}

// TestXLSX: dates are dates, and numbers those that are shown.
func TestXLSX(t *testing.T) {
	content, err := demandfile.TemplateXLSX(today)
	if err != nil {
		t.Fatal(err)
	}
	f, err := excelize.OpenReader(strings.NewReader(string(content)))
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		f.SetCellValue("demands", "G2", 42), f.SetCellValue("demands", "G3", 0.1+0.2),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	b, err := f.WriteToBuffer()
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"template": content, "changed": b.Bytes(),
		"csv": demandfile.TemplateCSV(today)} {
		read, err := demandfile.Read("f", content, today, nil)
		if err != nil || len(read.Problems) > 0 || len(read.Lines) != 6 {
			t.Fatalf("%s: %v %+v", name, err, read)
		}
		want := "2026-11-30 1000 2026-12-07 1200"
		if name == "changed" {
			want = "2026-11-30 42 2026-12-07 0.3"
		}
		l := read.Lines
		if got := l[0].PointInTime.String() + " " + string(l[0].Demand) + " " + l[1].PointInTime.String() + " " +
			string(l[1].Demand); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// TestSheets: the sheet with the header row counts, and is named where there are others.
func TestSheets(t *testing.T) {
	rows := strings.Split(
		strings.TrimSpace(header+start+"2026-11-30;5;unit:piece;\n"+start+"2026-12-01;6;unit:piece;"), "\n")
	for _, c := range []struct {
		name     string
		sheets   map[string]int // rows of a title above; -1: no demands
		lines    int
		problems string
		err      string
	}{
		{"one", map[string]int{"Sheet1": 0}, 1,
			"f:3: point_in_time: 2026-12-01 is a Tuesday; write the Monday of its week, 2026-11-30", ""},
		{"a title above", map[string]int{"Sheet1": 4}, 1,
			"f:7: point_in_time: 2026-12-01 is a Tuesday; write the Monday of its week, 2026-11-30", ""},
		{"the second", map[string]int{"Sheet1": -1, "Demands 2027": 0}, 1,
			"f (sheet Demands 2027):3: point_in_time: 2026-12-01 is a Tuesday; write the Monday of its week, " +
				"2026-11-30", ""},
		{"two", map[string]int{"Sheet1": 0, "Demands 2027": 0}, 0, "",
			"f: the sheets Sheet1, Demands 2027 have demands each; leave one in the file"},
		{"none", map[string]int{"Sheet1": -1}, 0, "", "f:1: the header has no supplier, customer"},
		{"none of two", map[string]int{"Sheet1": -1, "Notes": -1}, 0, "",
			"f: none of the sheets Sheet1, Notes has a row that names the columns: supplier, customer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := excelize.NewFile()
			for sheet, above := range c.sheets {
				if _, err := f.NewSheet(sheet); err != nil {
					t.Fatal(err)
				}
				if above < 0 {
					_ = f.SetCellValue(sheet, "A1", "notes")
					continue
				}
				if above > 0 {
					_ = f.SetCellValue(sheet, "B1", "Demands")
				}
				for y, row := range rows {
					for x, v := range strings.Split(row, ";") {
						cell, _ := excelize.CoordinatesToCellName(x+1, y+1+above)
						_ = f.SetCellValue(sheet, cell, v)
					}
				}
			}
			b, err := f.WriteToBuffer()
			if err != nil {
				t.Fatal(err)
			}
			read, err := demandfile.Read("f", b.Bytes(), today, nil)
			if c.err != "" {
				if err == nil || !strings.HasPrefix(err.Error(), c.err) {
					t.Errorf("%v, want %s", err, c.err)
				}
				return
			}
			if err != nil || len(read.Lines) != c.lines || len(read.Problems) != 1 ||
				read.Problems[0].String() != c.problems {
				t.Errorf("%v %+v, want %s", err, read, c.problems)
			}
		})
	}
}

// TestProgress: a long file says how far it is.
func TestProgress(t *testing.T) {
	var said []int
	f, err := demandfile.Read("f", []byte(header+strings.Repeat(start+"2026-11-30;5;unit:piece;\n", 60_000)), today,
		func(lines int) { said = append(said, lines) })
	if err != nil || len(f.Lines) != 60_000 || !slices.Equal(said, []int{50_000}) {
		t.Errorf("%v %v", said, err)
	}
}

func TestImport(t *testing.T) {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, pgtest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	load := func(content string, dry bool) *demandfile.Plan {
		t.Helper()
		f, err := demandfile.Read("f", []byte(content), today, nil)
		if err != nil || len(f.Problems) > 0 {
			t.Fatal(err, f)
		}
		p, err := demandfile.Import(ctx, conn, f.Lines, dry, 100, nil)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	other := strings.Replace(start, ";A;", ";B;", 1)
	b := demandfile.Material{Supplier: series.Supplier, Customer: series.Customer, MaterialNumberCustomer: "B"}
	first := header + start + "2026-11-30;5;unit:piece;\n" + start + "2026-12-07;6;unit:piece;\n" + other +
		"2026-12-07;6;;\n"
	for _, c := range []struct {
		name, content string
		dry           bool
		want          demandfile.Plan
	}{
		{"dry", first, true, demandfile.Plan{Outcomes: map[demandfile.Material]string{series.Material: "created",
			b: "created"}}},
		{"first", first, false, demandfile.Plan{Outcomes: map[demandfile.Material]string{series.Material: "created",
			b: "created"}}},
		{"again", first, false, demandfile.Plan{Outcomes: map[demandfile.Material]string{series.Material: "unchanged",
			b: "unchanged"}}},
		{"whole materials", header + start + "2026-12-07;6.50;unit:piece;\n" + other + "2026-12-07;6.0;;\n", false,
			demandfile.Plan{Outcomes: map[demandfile.Material]string{series.Material: "changed", b: "unchanged"},
				Changes: []demandfile.Change{
					{Series: series, PointInTime: 20787, Before: "5"},
					{Series: series, PointInTime: 20794, Before: "6", Demand: "6.5"}}}},
	} {
		if d := cmp.Diff(&c.want, load(c.content, c.dry)); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
	var n int
	if err := conn.QueryRow(ctx, "select count(*) from outbox.demand_line").Scan(&n); err != nil || n != 2 {
		t.Errorf("%d lines, want 2: %v", n, err)
	}
}

var series = demandfile.Series{
	Material: demandfile.Material{Supplier: "BPNL6666666666YY", Customer: "BPNL8888888888XX",
		MaterialNumberCustomer: "A"},
	CustomerLocation: "BPNS8888888888XX", DemandCategoryCode: "0001",
}

func TestOddities(t *testing.T) {
	f, err := demandfile.Read("f",
		[]byte(header+start+"2026-11-30;5;;\n"+start+"2026-12-07;60;;\n"+start+"2026-12-14;6;;\n"+start+
			"2026-12-28;6;;\n"), today, nil)
	if err != nil {
		t.Fatal(err)
	}
	name := series.String()
	want := []string{
		name + ": 60 in the week of 2026-12-07 is ten times its neighbours or more",
		name + ": ends with the week of 2026-12-28, less than nine months ahead",
		name + ": no line between 2026-12-14 and 2026-12-28; write 0 where nothing is needed",
	}
	got := []string{}
	for _, o := range demandfile.Oddities(f.Lines, today) {
		got = append(got, o.String())
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestImportsAtOnce take turns; a dry run refuses what the tables refuse, with its place.
func TestImportsAtOnce(t *testing.T) {
	address := pgtest.New(t)
	lines := func() []demandfile.Line {
		f, err := demandfile.Read("f", []byte(header+start+"2026-11-30;5;;\n"+start+"2026-12-07;5;;\n"), today, nil)
		if err != nil {
			t.Fatal(err)
		}
		return f.Lines
	}
	failed := make(chan error)
	for range 8 {
		go func() {
			conn, err := pgx.Connect(t.Context(), address)
			if err == nil {
				_, err = demandfile.Import(t.Context(), conn, lines(), false, 0, nil)
				_ = conn.Close(context.Background())
			}
			failed <- err
		}()
	}
	for range 8 {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	bad := lines()
	bad[1].PointInTime += 7 * 52 * 8000
	const want = "f:3: the database refuses it: point_in_time must be a date of the years 0001 to 9998"
	if _, err := demandfile.Import(t.Context(), conn, bad, true, 0, nil); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// TestOddYears: a week far from now is odd.
func TestOddYears(t *testing.T) {
	for week, odd := range map[string]bool{"0001-01-01": true, "1900-01-01": true, "1999-01-04": true,
		"2454-09-14": true, "2026-01-05": false, "2030-01-07": false} {
		f, err := demandfile.Read("f", []byte(header+start+week+";5;;\n"), today, nil)
		if err != nil || len(f.Lines) != 1 {
			t.Fatal(week, err, f)
		}
		said := false
		for _, o := range demandfile.Oddities(f.Lines, today) {
			said = said || strings.Contains(o.Detail, "more than a")
		}
		if said != odd {
			t.Errorf("%s: odd %v, want %v", week, said, odd)
		}
	}
}

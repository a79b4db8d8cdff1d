package demandfile

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"strconv"

	"dcm-receiver/internal/dcm"

	"github.com/xuri/excelize/v2"
)

// example is the rows of the templates: one material in two weeks of two
// categories, beginning with the week after today's.
func example(today dcm.Date) [][]string {
	rows := [][]string{columnNames()}
	for _, category := range []string{"0001", "A1S1"} {
		for week, amount := range []int{1000, 1200, 0} {
			rows = append(rows, []string{
				"BPNL6666666666YY", "BPNL8888888888XX", "MNR-7307-AU340474.002", "BPNS8888888888XX", category,
				(today.Monday() + dcm.Date(7*(week+1))).String(), strconv.Itoa(amount), "MNR-8101-ID146955.001",
				"Spark plug", "", "unit:piece", "BPNS6666666666YY", "false",
			})
		}
	}
	return rows
}

// TemplateCSV is a CSV file to be filled in.
func TemplateCSV(today dcm.Date) []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	_ = w.WriteAll(example(today)) // a buffer takes everything
	return b.Bytes()
}

// TemplateXLSX is the same as XLSX: dates are dates, and what a spreadsheet would take for a number (0001,
// a material number) is text.
func TemplateXLSX(today dcm.Date) ([]byte, error) {
	f := excelize.NewFile()
	defer f.Close()
	var b bytes.Buffer
	err := writeTemplate(f, today)
	if err == nil {
		err = f.Write(&b)
	}
	if err != nil {
		return nil, fmt.Errorf("write XLSX: %w", err)
	}
	return b.Bytes(), nil
}

func writeTemplate(f *excelize.File, today dcm.Date) error {
	const sheet, asText = "demands", 49
	format := "yyyy-mm-dd"
	date, dateErr := f.NewStyle(&excelize.Style{CustomNumFmt: &format})
	text, textErr := f.NewStyle(&excelize.Style{NumFmt: asText})
	bold, boldErr := f.NewStyle(&excelize.Style{Font: &excelize.Font{Bold: true}})
	if err := errors.Join(f.SetSheetName("Sheet1", sheet), dateErr, textErr, boldErr); err != nil {
		return err
	}
	styles := map[string]int{"point_in_time": date, "demand": 0} // of other columns: text
	for i, c := range columns {
		name, _ := excelize.ColumnNumberToName(i + 1)
		style, ok := styles[c.name]
		if !ok {
			style = text
		}
		if err := errors.Join(f.SetColStyle(sheet, name, style),
			f.SetColWidth(sheet, name, name, float64(max(18, len(c.name)+2)))); err != nil {
			return err
		}
	}
	for y, row := range example(today) {
		for x, v := range row {
			cell, _ := excelize.CoordinatesToCellName(x+1, y+1)
			var value any = v
			style := text
			switch {
			case y == 0:
				style = bold
			case columns[x].name == "demand":
				value, _ = strconv.Atoi(v)
				style = styles["demand"]
			case columns[x].name == "point_in_time":
				d, _ := dcm.ParseDate(v)
				value = int(d) + 25569 // days since 1899-12-30, as spreadsheets count
				style = date
			}
			if err := errors.Join(f.SetCellValue(sheet, cell, value),
				f.SetCellStyle(sheet, cell, cell, style)); err != nil {
				return err
			}
		}
	}
	return f.SetPanes(sheet, &excelize.Panes{Freeze: true, YSplit: 1, TopLeftCell: "A2", ActivePane: "bottomLeft"})
}

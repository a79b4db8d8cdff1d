package planner

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/xuri/excelize/v2"
)

// sheet is a page that can be had as a table.
type sheet interface {
	sheet() (header []string, rows [][]any)
}

// day is a date without a time; number an exact decimal that a spreadsheet
// should take as a number.
type (
	day    struct{ *time.Time }
	number struct{ *string }
)

// export serves what a page shows as CSV or XLSX.
func (p *Pages) export(name string, find find) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, data, err := p.found(r, find)
		if err != nil {
			p.problem(w, r, err)
			return
		}
		format := chi.URLParam(r, "format")
		make, known := tables[format]
		if !known {
			p.problem(w, r, errNotFound)
			return
		}
		end, err := p.rendering.take(r.Context())
		if err != nil {
			p.problem(w, r, err)
			return
		}
		var table bytes.Buffer
		header, rows := data.(sheet).sheet()
		err = make.write(&table, name, header, rows)
		end()
		if err != nil {
			p.problem(w, r, fmt.Errorf("write table: %w", err))
			return
		}
		w.Header().Set("Content-Disposition", `attachment; filename="`+name+"."+format+`"`)
		w.Header().Set("Content-Type", make.contentType)
		write(w, http.StatusOK, table.Bytes())
	}
}

// tables are the formats of exports.
var tables = map[string]struct {
	contentType string
	write       func(w io.Writer, name string, header []string, rows [][]any) error
}{
	"csv":  {"text/csv; charset=utf-8", writeCSV},
	"xlsx": {"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", writeXLSX},
}

func writeCSV(w io.Writer, _ string, header []string, rows [][]any) error {
	out := csv.NewWriter(w)
	if err := out.Write(header); err != nil {
		return err
	}
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = csvCell(cell)
		}
		if err := out.Write(cells); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// csvCell writes a value as text. What a spreadsheet would take as a formula gets an
// apostrophe in front, because names come from other companies.
func csvCell(cell any) string {
	switch v := plain(cell).(type) {
	case nil:
		return ""
	case string:
		if _, exact := cell.(number); exact {
			return v
		}
		return harmless(v)
	case time.Time:
		return v.UTC().Format(time.RFC3339)
	default:
		return fmt.Sprint(v)
	}
}

// harmless puts an apostrophe before what begins a formula, at the beginning of a text
// and behind what a spreadsheet may take for the end of a cell: some separate cells by
// semicolons or tabs, whatever separates them in the file.
func harmless(s string) string {
	var out strings.Builder
	begins := true
	for _, r := range s {
		if begins && strings.ContainsRune("=+-@\t\r＝＋－＠", r) {
			out.WriteByte('\'')
		}
		out.WriteRune(r)
		begins = strings.ContainsRune(";,|\t\r\n", r) || begins && strings.ContainsRune(" \"", r)
	}
	return out.String()
}

// plain is a cell without its wrapping; nil where it is empty.
func plain(cell any) any {
	switch v := cell.(type) {
	case day:
		if v.Time == nil {
			return nil
		}
		return v.Format(time.DateOnly)
	case number:
		if v.string == nil {
			return nil
		}
		return *v.string
	case *string:
		if v == nil {
			return nil
		}
		return cutText(*v)
	case *time.Time:
		if v == nil {
			return nil
		}
		return *v
	case uuid.UUID:
		return v.String()
	case string:
		return cutText(v)
	}
	return cell
}

// cutText is a text as long as a cell shows it; a partner may send texts as long as a
// message.
func cutText(s string) string {
	runes := []rune(s)
	if len(runes) <= mostText {
		return s
	}
	return string(runes[:mostText]) + "…"
}

func writeXLSX(w io.Writer, name string, header []string, rows [][]any) error {
	book := excelize.NewFile()
	defer book.Close()
	if err := book.SetSheetName("Sheet1", name); err != nil {
		return err
	}
	dates, err := book.NewStyle(&excelize.Style{NumFmt: 14})
	if err != nil {
		return err
	}
	out, err := book.NewStreamWriter(name)
	if err != nil {
		return err
	}
	cells := make([]any, len(header))
	for i, title := range header {
		cells[i] = title
	}
	for i := 0; ; i++ {
		if err := out.SetRow("A"+strconv.Itoa(i+1), cells); err != nil {
			return err
		}
		if i == len(rows) {
			break
		}
		cells = cells[:0]
		for _, cell := range rows[i] {
			cells = append(cells, xlsxCell(cell, dates))
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	_, err = book.WriteTo(w)
	return err
}

// xlsxCell is a value as a spreadsheet keeps it: a number as a number where
// that is exact (15 digits), else as text.
func xlsxCell(cell any, dates int) any {
	switch v := cell.(type) {
	case day:
		if v.Time == nil {
			return nil
		}
		return excelize.Cell{StyleID: dates, Value: *v.Time}
	case number:
		if v.string == nil {
			return nil
		}
		digits := strings.TrimLeft(strings.NewReplacer("-", "", ".", "").Replace(*v.string), "0")
		if f, err := strconv.ParseFloat(*v.string, 64); err == nil && len(digits) <= 15 {
			return f
		}
		return *v.string
	}
	return plain(cell)
}

// argument is a named argument of a query.
var argument = regexp.MustCompile(`@[a-z_]+`)

// shownSQL is a query with its values in their places, for readers who run it in a tool
// of their own. A value is never looked through for arguments.
func shownSQL(sql string, args pgx.NamedArgs) string {
	return strings.TrimSpace(argument.ReplaceAllStringFunc(sql, func(name string) string {
		value, known := args[name[1:]]
		if !known {
			return name
		}
		quoted := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
		switch v := value.(type) {
		case string:
			return quoted(v)
		case time.Time:
			if v.Truncate(24*time.Hour) != v {
				return quoted(v.Format(time.RFC3339))
			}
			return quoted(v.Format(time.DateOnly))
		case uuid.UUID:
			return quoted(v.String())
		}
		return fmt.Sprint(value)
	}))
}

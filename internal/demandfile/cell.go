package demandfile

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"dcm-receiver/internal/dcm"
)

// kind is what a cell of a file is.
type kind int

const (
	written  kind = iota // text of whatever meaning: all of CSV, text cells of XLSX
	number               // text has its decimal digits
	date                 // text is YYYY-MM-DD
	truth                // text is TRUE or FALSE
	unusable             // text says why, and what to do
)

// cell is one value of a file.
type cell struct {
	is   kind
	text string
}

func (c cell) empty() bool { return c.is == written && c.text == "" }

// as is the value for a column that needs texts, numbers, dates or truth values.
// Text counts in every column: the column judges it.
func (c cell) as(needs kind) (string, error) {
	switch {
	case c.is == unusable:
		return "", fmt.Errorf("%s", c.text)
	case c.is == written, c.is == needs:
		return c.text, nil
	case c.is == number && needs == truth && (c.text == "0" || c.text == "1"):
		return c.text, nil
	case c.is == number && needs == written && !strings.ContainsAny(c.text, "-."):
		return c.text, nil // spreadsheets of all languages show its digits
	}
	is := map[kind]string{number: "the number " + c.text, date: "the date " + c.text,
		truth: "the truth value " + c.text}[c.is]
	switch needs {
	case number:
		return "", fmt.Errorf("is %s; give the cell the format General and write the number again", is)
	case date:
		return "", fmt.Errorf("is %s, not a date; write the Monday of the week, such as 2026-11-23", is)
	case truth:
		return "", fmt.Errorf("is %s; write true or false", is)
	}
	return "", fmt.Errorf("is %s, not text; give the column the format text and write the value again", is)
}

// spreadsheetDigits is how many decimal digits a number in a cell keeps.
const spreadsheetDigits = 15

var plainFloat = regexp.MustCompile(`^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,4})?$`)

// numeric is the cell of a number that is stored as v and shown in a format: a
// number or date where the sheet shows exactly what the cell holds.
func numeric(v string, f numberFormat, from1904 bool) cell {
	value, err := strconv.ParseFloat(v, 64)
	if err != nil || !plainFloat.MatchString(v) {
		return cell{unusable, fmt.Sprintf("is stored as a number, but %s is none; write the value again", quoted(v))}
	}
	if f.isDate {
		return f.dateCell(value, from1904)
	}
	d, err := dcm.ParseDecimal(strconv.FormatFloat(value, 'g', spreadsheetDigits, 64))
	if err != nil || math.Abs(value) >= 1e15 {
		return cell{unusable,
			fmt.Sprintf(
				"is a number of over %d digits, of which a spreadsheet loses the last ones; give the column the "+
					"format text and write it again",
				spreadsheetDigits)}
	}
	if shown, ok := f.show(string(d), value); !ok {
		return cell{unusable,
			fmt.Sprintf(
				"holds %s and shows %s; write what is meant: as text in a column of texts, else with the format "+
					"General",
				d, shown)}
	}
	return cell{number, string(d)}
}

// numberFormat is how a spreadsheet shows the number in a cell.
type numberFormat struct {
	code     string
	isDate   bool     // or a time
	sections []string // of a number: for positive and, where given, negative numbers and zero
}

// builtInFormats are those that files refer to by number alone. Others are General.
var builtInFormats = map[int]string{
	1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 5: "$#,##0", 6: "$#,##0", 7: "$#,##0.00", 8: "$#,##0.00", 9: "0%",
	10: "0.00%",
	11: "0.00E+00", 12: "# ?/?", 13: "# ??/??", 14: "mm-dd-yy", 15: "d-mmm-yy", 16: "d-mmm", 17: "mmm-yy",
	18: "h:mm AM/PM",
	19: "h:mm:ss AM/PM", 20: "h:mm", 21: "h:mm:ss", 22: "m/d/yy h:mm", 37: "#,##0;-#,##0", 38: "#,##0;-#,##0",
	39: "#,##0.00;-#,##0.00",
	40: "#,##0.00;-#,##0.00", 41: `#,##0;-#,##0;"-"`, 42: "$#,##0", 43: `#,##0.00;-#,##0.00;"-"`, 44: "$#,##0.00",
	45: "mm:ss",
	46: "[h]:mm:ss", 47: "mm:ss.0", 48: "##0.0E+0", 49: "@",
}

// builtInFormat is the code of a format that a file does not define. 27 to 36 and
// 50 to 58 are dates of East Asian languages.
func builtInFormat(id int) string {
	if id >= 27 && id <= 36 || id >= 50 && id <= 58 {
		return "yyyy-mm-dd"
	}
	return builtInFormats[id]
}

// literal stands in a section for what is shown beside the digits.
const literal = "\x00"

var formatToken = regexp.MustCompile(`"[^"]*"?|\\.|_.|\*.|\[[^\]]*\]?|;|[^"\\_*\[;]`)

// newNumberFormat reads the code of a format, such as #,##0.00;[Red]-#,##0.00.
func newNumberFormat(code string) numberFormat {
	f := numberFormat{code: code, sections: []string{""}}
	for _, token := range formatToken.FindAllString(code, -1) {
		shown := token
		switch token[0] {
		case ';':
			f.sections, shown = append(f.sections, ""), ""
		case '_', '*': // a space as wide as a character, and what fills the cell
			shown = ""
		case '[':
			shown = bracket(token)
		case '"', '\\':
			if shown = strings.Trim(strings.Trim(token, `"\`), " \u00a0\u202f()"); shown != "" && shown != "-" {
				shown = literal
			}
		case ' ', '(', ')':
			shown = ""
		}
		f.sections[len(f.sections)-1] += shown
	}
	first := strings.ToLower(f.sections[0])
	f.isDate = first != "general" && strings.ContainsAny(first, "ymdhs")
	return f
}

var colour = regexp.MustCompile(`(?i)^\[(black|blue|cyan|green|magenta|red|white|yellow|color ?[0-9]+)\]$`)

// bracket is what a part of a format in brackets shows: a colour and a language
// nothing, a duration ([h]) times, and a currency or condition something else.
func bracket(token string) string {
	switch inner := strings.ToLower(strings.Trim(token, "[]")); {
	case colour.MatchString(token), strings.HasPrefix(inner, "$-"):
		return ""
	case strings.Trim(inner, "hms") == "":
		return inner
	}
	return literal
}

var digitsFormat = regexp.MustCompile(`^-?([#0?,]*)(?:\.([#0?]*))?-?$`)

// show says what a cell shows of a number, and whether that is the number itself:
// not in another unit, rounded, padded or beside other words.
func (f numberFormat) show(digits string, value float64) (string, bool) {
	section := f.sections[0]
	switch {
	case value < 0 && len(f.sections) > 1:
		section = f.sections[1]
	case value == 0 && len(f.sections) > 2:
		section = f.sections[2]
	}
	if plain := strings.ToLower(section); plain == "general" || plain == "@" || f.code == "" {
		return digits, true
	}
	m := digitsFormat.FindStringSubmatch(section)
	if m == nil || strings.HasSuffix(m[1], ",") { // which shows thousands
		return fmt.Sprintf("it in the format %s", quoted(f.code)), false
	}
	if value == 0 && !strings.ContainsAny(section, "0-") {
		return "nothing", false
	}
	shown := strconv.FormatFloat(math.Abs(value), 'f', len(m[2]), 64)
	whole, decimals, _ := strings.Cut(shown, ".")
	if missing := strings.Count(m[1], "0") - len(whole); missing > 0 {
		return strings.Repeat("0", missing) + shown, false
	}
	wholeHeld, decimalsHeld, _ := strings.Cut(strings.TrimPrefix(digits, "-"), ".")
	return shown, whole == wholeHeld && strings.TrimRight(decimals, "0") == strings.TrimRight(decimalsHeld, "0")
}

// dateCell is the cell of a number of days that is shown as a date.
func (f numberFormat) dateCell(days float64, from1904 bool) cell {
	if !strings.Contains(strings.ToLower(f.sections[0]), "d") {
		return cell{unusable,
			fmt.Sprintf(
				"has the format %s, which shows no day; give the cell the format of a date, or of what it is, and "+
					"write it again", quoted(f.code))}
	}
	const seconds = 86400
	all := math.Round(days * seconds)
	if all < seconds || all >= 2_958_466*seconds {
		return cell{unusable, "has the format of a date, but holds none; write it again"}
	}
	first := -25569 // 1899-12-30, as days since 1970-01-01
	if from1904 {
		first = -24107
	} else if all < 60*seconds {
		first++ // spreadsheets have a day 1900-02-29
	}
	d := dcm.Date(int(all)/seconds + first)
	if rest := int(all) % seconds; rest != 0 {
		return hasTime(d.String() + " " + (time.Time{}).Add(time.Duration(rest)*time.Second).Format(time.TimeOnly))
	}
	return cell{date, d.String()}
}

func hasTime(v string) cell {
	return cell{unusable, fmt.Sprintf("has a time (%s); write a date without one", v)}
}

var midnight = regexp.MustCompile(`^(T00:00(:00(\.0+)?)?(Z|[-+][0-9]{2}:[0-9]{2})?)?$`)

// isoDate is the cell of a date that is stored as ISO 8601 text.
func isoDate(v string) cell {
	day := v[:min(10, len(v))]
	if _, err := dcm.ParseDate(day); err != nil {
		return cell{unusable, fmt.Sprintf("is stored as a date, but %s is none; write it again", quoted(v))}
	}
	if !midnight.MatchString(v[len(day):]) {
		return hasTime(shorten(v))
	}
	return cell{date, day}
}

// quoted shows a value of a file, of which a hostile one may be long.
func quoted(v string) string { return strconv.Quote(shorten(v)) }

func shorten(v string) string {
	const most = 80
	if runes := []rune(v[:min(len(v), 4*most)]); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return v
}

package schemas

import (
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"dcm-receiver/internal/dcm"
)

// usualUnits are what people and other systems (UN/ECE Recommendation 20, SAP)
// write for our units, in lower case.
var usualUnits = map[string]string{
	"pcs": "unit:piece", "pc": "unit:piece", "pce": "unit:piece", "pieces": "unit:piece", "units": "unit:piece",
	"ea": "unit:piece", "each": "unit:piece",
	"h87": "unit:piece", "c62": "unit:piece", "st": "unit:piece", "stk": "unit:piece", "stück": "unit:piece",
	"pr": "unit:pair", "sets": "unit:set", "cycles": "unit:cycle",
	"kg": "unit:kilogram", "kgm": "unit:kilogram", "g": "unit:gram", "grm": "unit:gram", "t": "unit:tonneMetricTon",
	"to": "unit:tonneMetricTon", "tne": "unit:tonneMetricTon",
	"lb": "unit:pound", "lbr": "unit:pound", "oz": "unit:ounceAvoirdupois",
	"m": "unit:metre", "mtr": "unit:metre", "meter": "unit:metre", "cm": "unit:centimetre", "cmt": "unit:centimetre",
	"km": "unit:kilometre", "kmt": "unit:kilometre",
	"in": "unit:inch", "ft": "unit:foot", "yd": "unit:yard",
	"m2": "unit:squareMetre", "m²": "unit:squareMetre", "mtk": "unit:squareMetre", "m3": "unit:cubicMetre",
	"m³": "unit:cubicMetre", "mtq": "unit:cubicMetre",
	"l": "unit:litre", "ltr": "unit:litre", "liter": "unit:litre", "liters": "unit:litre", "ml": "unit:millilitre",
	"mlt": "unit:millilitre", "hl": "unit:hectolitre",
	"kwh": "unit:kilowattHour", "s": "unit:secondUnitOfTime", "min": "unit:minuteUnitOfTime",
	"h": "unit:hourUnitOfTime", "hur": "unit:hourUnitOfTime", "d": "unit:day",
}

// insteadOf completes a sentence about a string that is not valid: what it must be,
// and what the sender probably meant.
func (n *node) insteadOf(s string) string {
	wanted := "; it must be " + n.wanted
	if len(s) > 64 {
		return wanted
	}
	trimmed := strings.TrimSpace(s)
	switch {
	case trimmed != s && n.takes(trimmed):
		return wanted + "; there is white space around it"
	case len(n.self.Enum) > 0:
		if probable := n.meantByEnum(trimmed); probable != "" {
			return "; did you mean " + probable + "?" // the list is long
		}
	case n.self.Comment == dateTime || n.self.Comment == xsdDateTime:
		if _, err := dcm.ParseXSDDateTime(s); errors.Is(err, dcm.ErrYears) {
			return "; it must be from 0001-01-02 on and before 9999-12-31 (UTC), so that its year has four digits " +
				"in every time zone"
		}
	case n.self.Comment == fullDate:
		if probable := meantDate(trimmed); probable != "" && probable != s {
			return wanted + "; did you mean " + probable + "?"
		}
	}
	return wanted
}

// takes reports whether a string is valid here.
func (n *node) takes(s string) bool {
	return (n.pattern == nil || n.pattern.MatchString(s)) && n.self.Validate(s) == nil
}

func (n *node) meantByEnum(s string) string {
	if unit := usualUnits[strings.ToLower(strings.TrimPrefix(s, "unit:"))]; unit != "" &&
		slices.Contains(n.self.Enum, any(unit)) {
		return unit
	}
	for _, value := range n.self.Enum {
		if v, ok := value.(string); ok && len(s) > 1 {
			_, bare, prefixed := strings.Cut(v, ":")
			digits := strings.TrimLeft(v, "0") // a spreadsheet takes leading zeros away
			if Alike(s, v) || prefixed && Alike(s, bare) || digits == s {
				return v
			}
		} else if ok && s != "" && strings.TrimLeft(v, "0") == s {
			return v
		}
	}
	return ""
}

var (
	dayFirst   = regexp.MustCompile(`^([0-9]{1,2})[./]([0-9]{1,2})[./]([0-9]{4})$`)
	yearFirst  = regexp.MustCompile(`^([0-9]{4})[./-]?([0-9]{1,2})[./-]?([0-9]{1,2})$`)
	isoWeek    = regexp.MustCompile(`^([0-9]{4})-?W([0-9]{2})(-?1)?$`)
	withTime   = regexp.MustCompile(`^([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]`)
	daysNumber = regexp.MustCompile(`^[0-9]{5}(\.[0-9]+)?$`)
)

// meantDate is the day that s names in another notation than ours; "" if it names
// none. A day between slashes may be American: then only what can be one of both
// is said.
func meantDate(s string) string {
	day := func(y, m, d string) string {
		pad := func(s string) string { return strings.Repeat("0", max(0, 2-len(s))) + s }
		text := y + "-" + pad(m) + "-" + pad(d)
		if _, err := dcm.ParseDate(text); err != nil {
			return ""
		}
		return text
	}
	if m := dayFirst.FindStringSubmatch(s); m != nil {
		european := day(m[3], m[2], m[1])
		if strings.Contains(s, "/") {
			american := day(m[3], m[1], m[2])
			switch {
			case european == "":
				return american
			case american != "" && american != european:
				return american + " or " + european
			}
		}
		return european
	}
	if m := isoWeek.FindStringSubmatch(s); m != nil {
		return mondayOf(m[1], m[2])
	}
	if m := withTime.FindStringSubmatch(s); m != nil {
		if _, err := dcm.ParseDate(m[1]); err == nil {
			return m[1]
		}
		return ""
	}
	if daysNumber.MatchString(s) {
		return meantByDays(s)
	}
	if m := yearFirst.FindStringSubmatch(s); m != nil {
		return day(m[1], m[2], m[3])
	}
	return ""
}

// mondayOf is the Monday of an ISO 8601 week.
func mondayOf(year, week string) string {
	y, _ := strconv.Atoi(year)
	w, _ := strconv.Atoi(week)
	if w < 1 || w > 53 {
		return ""
	}
	january4 := time.Date(y, 1, 4, 0, 0, 0, 0, time.UTC) // always in week 1
	monday := january4.AddDate(0, 0, -(int(january4.Weekday())+6)%7+(w-1)*7)
	return monday.Format(time.DateOnly)
}

// meantByDays is the day that spreadsheets show for a number of days since the
// end of 1899, where it lies in our time; "" otherwise.
func meantByDays(s string) string {
	whole, _, _ := strings.Cut(s, ".")
	days, err := strconv.Atoi(whole)
	if err != nil || days < 36526 || days > 73050 { // 2000 to 2099
		return ""
	}
	return time.Date(1899, 12, 30, 0, 0, 0, 0, time.UTC).AddDate(0, 0, days).Format(time.DateOnly)
}

// meantByNumber completes a sentence about a number where a string is wanted.
func (n *node) meantByNumber(s string) string {
	probable := ""
	switch {
	case n.self.Comment == fullDate:
		if probable = meantByDays(s); probable != "" {
			return " (spreadsheets count days so; did you mean \"" + probable + "\"?)"
		}
	case len(n.self.Enum) > 0:
		probable = n.meantByEnum(s)
	}
	if probable == "" {
		return ""
	}
	return " (did you mean \"" + probable + "\"?)"
}

// wrapped completes a sentence about a string where an object with one property is
// wanted.
func (n *node) wrapped(s string) string {
	if len(n.members) != 1 || len(n.required) != 1 {
		return ""
	}
	inner := n.members[n.required[0]]
	if !inner.takes(s) {
		return ""
	}
	return ": {\"" + inner.name + "\": " + quote(s) + "}"
}

package dcm

import (
	"errors"
	"fmt"
	"time"
)

// Timestamp is an instant, exact to the nanosecond. Digits beyond the
// nanosecond are dropped.
type Timestamp struct{ time.Time }

// Date is a calendar day as the number of days since 1970-01-01.
type Date int32

// ParseDate reads YYYY-MM-DD; the day must exist, in a year from 0001 to 9999.
func ParseDate(s string) (Date, error) {
	year, ok1 := digits(s, 0, 4)
	month, ok2 := digits(s, 5, 2)
	day, ok3 := digits(s, 8, 2)
	if !ok1 || !ok2 || !ok3 || len(s) != 10 || s[4] != '-' || s[7] != '-' {
		return 0, errors.New("parse date: not of the form YYYY-MM-DD")
	}
	t := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	if year < 1 || month < 1 || month > 12 || t.Day() != day {
		return 0, errors.New("parse date: no such day")
	}
	return Date(t.Unix() / secondsADay), nil // exact: a midnight
}

const secondsADay = 86400

// DateOf is the day that t shows.
func DateOf(t time.Time) Date {
	y, m, d := t.Date()
	return Date(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / secondsADay)
}

// Weekday is the day of the week of d.
func (d Date) Weekday() time.Weekday {
	// 1970-01-01 was a Thursday. The double remainder is for days before it.
	return time.Weekday(((int(d)+int(time.Thursday))%7 + 7) % 7)
}

// String is YYYY-MM-DD.
func (d Date) String() string { return time.Unix(int64(d)*secondsADay, 0).UTC().Format(time.DateOnly) }

// Monday is the Monday of the week (ISO 8601) that d lies in.
func (d Date) Monday() Date { return d - Date((d.Weekday()+6)%7) }

// ParseTimestamp reads an RFC 3339 instant: the zone is required, "T" and "Z"
// may be small letters, and a leap second (23:59:60 UTC) is the second after it.
func ParseTimestamp(s string) (Timestamp, error) {
	t, err := parseDateTime(s)
	switch {
	case err != nil:
		return Timestamp{}, err
	case t.zone == noZone:
		return Timestamp{}, errors.New("parse timestamp: no zone")
	case t.hour > 23:
		return Timestamp{}, errors.New("parse timestamp: no such time of day")
	case t.second == 60:
		utc := t.hour*60 + t.minute - t.zone
		if ((utc%1440)+1440)%1440 != 23*60+59 {
			return Timestamp{}, errors.New("parse timestamp: no leap second at that time")
		}
	}
	return t.instant()
}

// ParseXSDDateTime reads the xsd:dateTime that the message header uses: without
// a zone it is UTC, 24:00:00 is the next midnight, offsets reach 14:00.
func ParseXSDDateTime(s string) (Timestamp, error) {
	t, err := parseDateTime(s)
	switch {
	case err != nil:
		return Timestamp{}, err
	case s[10] != 'T' || s[len(s)-1] == 'z':
		return Timestamp{}, errMalformed
	case t.second == 60:
		return Timestamp{}, errors.New("parse timestamp: no leap seconds here")
	case t.hour == 24 && (t.minute != 0 || t.second != 0 || t.fraction):
		return Timestamp{}, errors.New("parse timestamp: no time after 24:00:00")
	case t.zone != noZone && (t.zone > 14*60 || t.zone < -14*60):
		return Timestamp{}, errors.New("parse timestamp: no offset beyond 14:00")
	}
	return t.instant()
}

// noZone stands for an absent zone; it is no minutes that an offset can have.
const noZone = 1 << 16

// dateTime is what the two timestamp formats have in common, unjudged where
// they differ.
type dateTime struct {
	date                 Date
	hour, minute, second int
	nanosecond           int
	fraction             bool // some digit after the point is not zero
	zone                 int  // minutes east of UTC, or noZone
}

// The instants that a reader in any time zone sees within the years 0001 to 9999,
// which many programs that read the database cannot leave.
var (
	earliest = time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC)
	latest   = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC) // excluded
)

// ErrYears is the error of an instant that some reader would see outside those years.
var ErrYears = errors.New("parse timestamp: outside the years 0001 to 9999 in some time zone")

// instant fails with ErrYears for such a one.
func (t dateTime) instant() (Timestamp, error) {
	seconds := int64(t.date)*secondsADay + int64(t.hour)*3600 + int64(t.minute)*60 + int64(t.second)
	if t.zone != noZone {
		seconds -= int64(t.zone) * 60
	}
	instant := time.Unix(seconds, int64(t.nanosecond)).UTC()
	if instant.Before(earliest) || !instant.Before(latest) {
		return Timestamp{}, ErrYears
	}
	return Timestamp{instant}, nil
}

var errMalformed = errors.New("parse timestamp: not of the form YYYY-MM-DDThh:mm:ss")

func parseDateTime(s string) (t dateTime, err error) {
	if len(s) < 19 || s[10] != 'T' && s[10] != 't' || s[13] != ':' || s[16] != ':' {
		return t, errMalformed
	}
	if t.date, err = ParseDate(s[:10]); err != nil {
		return t, fmt.Errorf("parse timestamp: %w", err)
	}
	var ok1, ok2, ok3 bool
	t.hour, ok1 = digits(s, 11, 2)
	t.minute, ok2 = digits(s, 14, 2)
	t.second, ok3 = digits(s, 17, 2)
	if !ok1 || !ok2 || !ok3 {
		return t, errMalformed
	}
	if t.hour > 24 || t.minute > 59 || t.second > 60 {
		return t, errors.New("parse timestamp: no such time of day")
	}
	rest := s[19:]
	if rest != "" && rest[0] == '.' {
		n, scale := 1, 100_000_000
		for n < len(rest) && rest[n] >= '0' && rest[n] <= '9' {
			t.nanosecond += int(rest[n]-'0') * scale
			t.fraction = t.fraction || rest[n] != '0'
			scale /= 10 // 0 beyond the nanosecond
			n++
		}
		if n == 1 {
			return t, errMalformed
		}
		rest = rest[n:]
	}
	switch {
	case rest == "":
		t.zone = noZone
	case rest == "Z" || rest == "z":
	case len(rest) == 6 && (rest[0] == '+' || rest[0] == '-') && rest[3] == ':':
		hours, ok1 := digits(rest, 1, 2)
		minutes, ok2 := digits(rest, 4, 2)
		if !ok1 || !ok2 || hours > 23 || minutes > 59 {
			return t, errors.New("parse timestamp: no such offset")
		}
		t.zone = hours*60 + minutes
		if rest[0] == '-' {
			t.zone = -t.zone
		}
	default:
		return t, errMalformed
	}
	return t, nil
}

// digits reads the n decimal digits of s that begin at from.
func digits(s string, from, n int) (value int, ok bool) {
	if len(s) < from+n {
		return 0, false
	}
	for _, c := range []byte(s[from : from+n]) {
		if c < '0' || c > '9' {
			return 0, false
		}
		value = value*10 + int(c-'0')
	}
	return value, true
}

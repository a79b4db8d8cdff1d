package dcm

import (
	"fmt"
	"strconv"
	"strings"
)

// MaxDigits is how many digits a number may need when it is written out,
// before and after the point together: the model means 18 digits and 3 decimals,
// and one short 1e-998 must not become a thousand bytes.
const MaxDigits = 40

// Decimal is an exact decimal number in its one canonical spelling: no
// exponent, no needless zeros, "-" only before a value that is not zero.
// So two Decimals are equal exactly if their values are. "" means absent.
type Decimal string

// ParseDecimal reads a JSON number literal, which the caller has checked to be
// one. It fails if the number written out needs over MaxDigits digits.
func ParseDecimal(s string) (Decimal, error) {
	if plain(s) && len(s) <= MaxDigits {
		return Decimal(s), nil
	}
	sign, rest := "", s
	if rest != "" && rest[0] == '-' {
		sign, rest = "-", rest[1:]
	}
	mantissa, exponent := rest, 0
	if i := strings.IndexAny(rest, "eE"); i >= 0 {
		mantissa = rest[:i]
		var err error
		if exponent, err = strconv.Atoi(rest[i+1:]); err != nil || exponent > 1<<31 || exponent < -1<<31 {
			// Beyond any exponent that MaxDigits allows, unless the value is zero.
			exponent = 1 << 31
		}
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	// The value is 0.digits × 10^point.
	point := len(digits) - len(fraction) + exponent
	digits = strings.TrimRight(digits, "0")
	if digits == "" {
		return "0", nil
	}
	if before, after := max(point, 1), max(len(digits)-point, 0); before > MaxDigits || after > MaxDigits ||
		before+after > MaxDigits {
		return "", fmt.Errorf("parse decimal: over %d digits when written out", MaxDigits)
	}
	switch {
	case point <= 0:
		return Decimal(sign + "0." + strings.Repeat("0", -point) + digits), nil
	case point >= len(digits):
		return Decimal(sign + digits + strings.Repeat("0", point-len(digits))), nil
	default:
		return Decimal(sign + digits[:point] + "." + digits[point:]), nil
	}
}

// plain reports whether the JSON number s is a canonical whole number already,
// as nearly all are; then it needs no copy.
func plain(s string) bool {
	if s == "" || s[0] == '0' && len(s) > 1 {
		return false
	}
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// IsNegative reports whether d is below zero.
func (d Decimal) IsNegative() bool { return d != "" && d[0] == '-' }

// AtMost reports whether d, which must not be negative, is ≤ limit, a canonical
// whole number.
func (d Decimal) AtMost(limit string) bool {
	if len(d) < len(limit) {
		return true // as nearly all are
	}
	whole, fraction, _ := strings.Cut(string(d), ".")
	if len(whole) != len(limit) {
		return len(whole) < len(limit)
	}
	return whole < limit || whole == limit && fraction == ""
}

// Below reports whether d is less than other; neither may be negative.
func (d Decimal) Below(other Decimal) bool {
	whole, fraction, _ := strings.Cut(string(d), ".")
	otherWhole, otherFraction, _ := strings.Cut(string(other), ".")
	if len(whole) != len(otherWhole) {
		return len(whole) < len(otherWhole)
	}
	// Of canonical fractions, which end without zeros, a beginning is less.
	return whole < otherWhole || whole == otherWhole && fraction < otherFraction
}

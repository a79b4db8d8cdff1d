package demandfile

import (
	"fmt"
	"regexp"
	"strings"

	"dcm-receiver/internal/dcm"
)

// amount is what the text of a quantity can mean: 1.250 is a number with decimals
// or one with a separator of thousands. Both are written with a point here.
type amount struct {
	decimal  string // "" where it cannot be read so
	thousand string
	mark     string // the separator of decimals, or what may be one
	grouped  bool   // it has separators of thousands for sure
	groups   string // which of . and , these are
}

var (
	oneMark = regexp.MustCompile(`^([0-9]+)(?:([.,])([0-9]+))?$`)
	grouped = map[string]*regexp.Regexp{ // by separator of thousands
		".": regexp.MustCompile(`^([0-9]{1,3}(?:\.[0-9]{3})+)(?:(,)([0-9]+))?$`),
		",": regexp.MustCompile(`^([0-9]{1,3}(?:,[0-9]{3})+)(?:(\.)([0-9]+))?$`),
	}
	otherMark = strings.NewReplacer(" ", "", "\u00a0", "", "\u202f", "", "\u2009", "", "'", "", "’", "", "_", "")
)

// readAmount says what a text may mean; false where it is no number.
func readAmount(v string) (a amount, ok bool) {
	sign, digits := "", v
	if rest, negative := strings.CutPrefix(v, "-"); negative {
		sign, digits = "-", rest
	}
	bare := otherMark.Replace(digits)
	a.grouped = bare != digits
	if m := oneMark.FindStringSubmatch(bare); m != nil {
		whole := strings.TrimLeft(m[1][:len(m[1])-1], "0") + m[1][len(m[1])-1:]
		a.mark, a.decimal = m[2], sign+whole
		if m[2] != "" {
			a.decimal += "." + m[3]
			if len(m[3]) == 3 && len(m[1]) <= 3 && whole != "0" && !a.grouped {
				a.thousand = sign + whole + m[3]
			}
		}
		return a, true
	}
	for groups, pattern := range grouped {
		if m := pattern.FindStringSubmatch(bare); m != nil {
			a.grouped, a.mark, a.groups = true, m[2], groups
			a.decimal = sign + strings.ReplaceAll(m[1], groups, "")
			if m[2] != "" {
				a.decimal += "." + m[3]
			}
			return a, true
		}
	}
	return a, false
}

// notation is how a file writes its quantities, as far as they show it for sure.
type notation struct {
	decimals, plainDecimals, thousands map[string]bool // by separator
}

func notationOf(amounts []string) notation {
	n := notation{map[string]bool{}, map[string]bool{}, map[string]bool{}}
	for _, v := range amounts {
		if a, ok := readAmount(v); ok && a.thousand == "" {
			n.decimals[a.mark] = true
			n.plainDecimals[a.mark] = n.plainDecimals[a.mark] || !a.grouped
			n.thousands[a.groups] = true
		}
	}
	return n
}

// spell writes a number as the other lines of the file do.
func (n notation) spell(v string) string {
	if n.plainDecimals[","] && !n.decimals["."] {
		return strings.Replace(v, ".", ",", 1)
	}
	return v
}

// demand reads the text of a quantity, where the file leaves one meaning.
func (n notation) demand(v string) (dcm.Decimal, error) {
	a, ok := readAmount(v)
	other := map[string]string{".": ",", ",": "."}[a.mark]
	switch {
	case !ok && strings.ContainsAny(v, " '’_\u00a0\u202f\u2009") && strings.ContainsAny(v[:1], "-0123456789"),
		!ok && strings.Contains(v, ",") && strings.Contains(v, "."):
		return "", fmt.Errorf("%s is not a plain number; write it without separators of thousands, such as 1234.5",
			quoted(v))
	case !ok:
		return "",
			fmt.Errorf(
				"%s is not a number; write one such as 1234.5, 0 for no demand, or leave the line out where it is "+
					"not known", quoted(v))
	case a.grouped:
		return "", fmt.Errorf("%s is not a plain number; write it without separators of thousands, such as %s",
			quoted(v), n.spell(a.decimal))
	case a.thousand != "" && (!n.decimals[a.mark] || n.decimals[other] || n.thousands[a.mark]):
		// With a fourth decimal it can mean nothing else.
		return "", fmt.Errorf("%s may mean a thousand or a decimal; write %s or %s", quoted(v), a.thousand,
			n.spell(a.decimal+"0"))
	case a.mark == "," && n.decimals["."]:
		return "", fmt.Errorf("%s has a decimal comma, but other lines have a decimal point; write %s", quoted(v),
			a.decimal)
	}
	return quantity(a.decimal)
}

// maxDemand is the largest quantity that the model takes.
const maxDemand = "1000000000000000000"

// quantity is a demand as a number, within its bounds.
func quantity(v string) (dcm.Decimal, error) {
	d, err := dcm.ParseDecimal(v)
	switch {
	case err != nil:
		return "", fmt.Errorf("%s needs over %d digits; write fewer", quoted(v), dcm.MaxDigits)
	case d.IsNegative():
		return "", fmt.Errorf("%s is negative; a demand is at least 0", v)
	case !d.AtMost(maxDemand):
		return "", fmt.Errorf("%s is too much; a demand is at most 10^18", v)
	}
	return d, nil
}

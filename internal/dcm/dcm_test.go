package dcm_test

import (
	"math/big"
	"regexp"
	"strings"
	"testing"
	"time"

	"dcm-receiver/internal/dcm"
)

var (
	jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)
	rfc3339    = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$`)
	idPattern  = regexp.MustCompile(
		`^(urn:uuid:)?[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$`)
)

func TestParseDecimal(t *testing.T) {
	for in, want := range map[string]dcm.Decimal{
		"0":                              "0",
		"-0":                             "0",
		"0.0":                            "0",
		"0e99999999999999999999":         "0",
		"-0.000E-5":                      "0",
		"1":                              "1",
		"1000":                           "1000",
		"1E+3":                           "1000",
		"1.8E+3":                         "1800",
		"1.80":                           "1.8",
		"0.3":                            "0.3",
		"3e-1":                           "0.3",
		"-12.50":                         "-12.5",
		"123.456e2":                      "12345.6",
		"123.456e-2":                     "1.23456",
		"999999999999999999.999":         "999999999999999999.999",
		"1e39":                           dcm.Decimal("1" + strings.Repeat("0", 39)),
		"1e-39":                          dcm.Decimal("0." + strings.Repeat("0", 38) + "1"),
		"1." + strings.Repeat("0", 5000): "1",
		strings.Repeat("9", 40):          dcm.Decimal(strings.Repeat("9", 40)),
	} {
		if got, err := dcm.ParseDecimal(in); err != nil || got != want {
			t.Errorf("ParseDecimal(%.40s) = %.40q, %v; want %.40q", in, got, err, want)
		}
	}
	for _, in := range []string{"1e40", "1e-40", "1e-998", "1e10000000", "-1e-10000000", "1e99999999999999999999",
		"1e-99999999999999999999", strings.Repeat("9", 41), strings.Repeat("9", 20) + "." + strings.Repeat("9", 21)} {
		if got, err := dcm.ParseDecimal(in); err == nil {
			t.Errorf("ParseDecimal(%.40s) = %.40q; want an error: it needs over 40 digits", in, got)
		}
	}
}

func TestDecimalAtMost(t *testing.T) {
	for _, c := range []struct {
		d     dcm.Decimal
		limit string
		want  bool
	}{
		{"1", "1", true}, {"0.999", "1", true}, {"1.001", "1", false}, {"0", "1", true},
		{"999", "999", true}, {"999.5", "999", false}, {"1000", "999", false}, {"99", "999", true},
		{"1000000000000000000", "1000000000000000000", true},
		{"999999999999999999.999", "1000000000000000000", true},
		{"1000000000000000000.001", "1000000000000000000", false},
	} {
		if got := c.d.AtMost(c.limit); got != c.want {
			t.Errorf("%s at most %s: %t, want %t", c.d, c.limit, got, c.want)
		}
	}
}

// FuzzParseDecimal holds the value of every number that is read equal to what
// exact rational arithmetic makes of it, and its spelling canonical.
func FuzzParseDecimal(f *testing.F) {
	for _, seed := range []string{"0", "-0", "1E+3", "1.80", "-12.5e-3", "999999999999999999.999", "100e-2"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !jsonNumber.MatchString(s) || len(s) > 300 {
			return
		}
		if _, exponent, ok := strings.Cut(strings.ToLower(s), "e"); ok && len(exponent) > 4 {
			return // beyond what exact arithmetic does quickly
		}
		got, err := dcm.ParseDecimal(s)
		if err != nil {
			return
		}
		want, _ := new(big.Rat).SetString(s)
		have, ok := new(big.Rat).SetString(string(got))
		if !ok || want.Cmp(have) != 0 {
			t.Fatalf("ParseDecimal(%q) = %q: another value", s, got)
		}
		again, err := dcm.ParseDecimal(string(got))
		if err != nil || again != got {
			t.Fatalf("%q is not canonical: it becomes %q, %v", got, again, err)
		}
	})
}

func TestParseTimestamp(t *testing.T) {
	for in, want := range map[string]string{
		"2023-03-10T12:27:11.320Z":            "2023-03-10T12:27:11.32Z",
		"2023-03-10t12:27:11z":                "2023-03-10T12:27:11Z",
		"2023-03-10T12:27:11.123456789+01:00": "2023-03-10T11:27:11.123456789Z",
		"2023-03-10T12:27:11.1234567899Z":     "2023-03-10T12:27:11.123456789Z",
		"2023-03-10T12:27:11.000000001-23:59": "2023-03-11T12:26:11.000000001Z",
		"2016-12-31T23:59:60Z":                "2017-01-01T00:00:00Z",
		"2017-01-01T00:59:60.5+01:00":         "2017-01-01T00:00:00.5Z",
		"0001-01-02T00:00:00Z":                "0001-01-02T00:00:00Z",
		"9999-12-30T23:59:59.999999999Z":      "9999-12-30T23:59:59.999999999Z",
		"9999-12-31T00:59:59+01:00":           "9999-12-30T23:59:59Z",
		"1969-12-31T23:59:59.999999999-00:00": "1969-12-31T23:59:59.999999999Z",
		"2024-02-29T00:00:00Z":                "2024-02-29T00:00:00Z",
	} {
		got, err := dcm.ParseTimestamp(in)
		if err != nil || got.Format(time.RFC3339Nano) != want {
			t.Errorf("ParseTimestamp(%s) = %s, %v; want %s", in, got.Format(time.RFC3339Nano), err, want)
		}
	}
	for _, in := range []string{
		"", "2023-03-10", "2023-03-10T12:27:11", "2023-03-10 12:27:11Z", "2023-02-29T00:00:00Z", "2023-13-01T00:00:00Z",
		"2023-00-01T00:00:00Z", "2023-01-00T00:00:00Z", "0000-01-01T00:00:00Z", "2023-03-10T24:00:00Z",
		"2023-03-10T12:60:00Z",
		"2023-03-10T12:27:60Z", "2023-03-10T12:27:61Z", "2023-03-10T12:27:11.Z", "2023-03-10T12:27:11,5Z",
		"2023-03-10T12:27:11+1:00",
		"2023-03-10T12:27:11+24:00", "2023-03-10T12:27:11+01:60", "2023-03-10T12:27:11+0100", "10000-01-01T00:00:00Z",
		"2023-3-10T12:27:11Z",
		"2023-03-10T12:27:11Zx", "+023-03-10T12:27:11Z", "2023-03-10T12:27:11.5", "２023-03-10T12:27:11Z",
		"0001-01-01T23:59:59.999999999Z", "0001-01-02T00:00:00+00:01", "9999-12-31T00:00:00Z",
		"9999-12-30T23:59:59-00:01",
	} {
		if got, err := dcm.ParseTimestamp(in); err == nil {
			t.Errorf("ParseTimestamp(%q) = %s; want an error", in, got)
		}
	}
}

func TestParseXSDDateTime(t *testing.T) {
	for in, want := range map[string]string{
		"2024-01-10T12:00:00.320Z":  "2024-01-10T12:00:00.32Z",
		"2024-01-10T12:00:00":       "2024-01-10T12:00:00Z",
		"2024-01-10T24:00:00":       "2024-01-11T00:00:00Z",
		"2023-12-31T24:00:00.000Z":  "2024-01-01T00:00:00Z",
		"2024-01-10T12:00:00+14:00": "2024-01-09T22:00:00Z",
		"2024-01-10T12:00:00-13:59": "2024-01-11T01:59:00Z",
	} {
		got, err := dcm.ParseXSDDateTime(in)
		if err != nil || got.Format(time.RFC3339Nano) != want {
			t.Errorf("ParseXSDDateTime(%s) = %s, %v; want %s", in, got.Format(time.RFC3339Nano), err, want)
		}
	}
	for _, in := range []string{
		"2024-01-10", "2024-01-10t12:00:00Z", "2024-01-10T12:00:00z", "2024-01-10T24:00:01", "2024-01-10T24:00:00.1",
		"2024-01-10T24:01:00",
		"2024-01-10T12:00:00+14:01", "2024-01-10T12:00:00-15:00", "2024-01-10T23:59:60Z", "-2024-01-10T12:00:00Z",
		"0000-01-10T12:00:00Z",
		"12024-01-10T12:00:00Z", "2023-02-30T12:00:00Z", "2024-01-10T12:00Z", "9999-12-31T24:00:00",
		"0001-01-01T00:00:00+14:00",
	} {
		if got, err := dcm.ParseXSDDateTime(in); err == nil {
			t.Errorf("ParseXSDDateTime(%q) = %s; want an error", in, got)
		}
	}
}

// FuzzParseTimestamp compares with the standard library, which reads the same
// instants but for leap seconds and small letters.
func FuzzParseTimestamp(f *testing.F) {
	f.Add("2023-03-10T12:27:11.320Z")
	f.Add("2023-03-10T12:27:11.000000001-23:59")
	f.Add("0000-03-10T12:27:11Z")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := dcm.ParseTimestamp(s)
		want, wantErr := time.Parse(time.RFC3339Nano, s)
		// time.Parse takes more
		wellFormed := rfc3339.MatchString(s) && s[:4] != "0000" && want.UTC().Year() >= 1 && want.UTC().Year() <= 9999
		switch {
		case err == nil && strings.Contains(s, ":60"), strings.ContainsAny(s, "tz"):
		case err == nil && (wantErr != nil || !got.Equal(want)):
			t.Fatalf("ParseTimestamp(%q) = %s; time.Parse: %s, %v", s, got, want, wantErr)
		case err != nil && wantErr == nil && wellFormed:
			t.Fatalf("ParseTimestamp(%q): %v; time.Parse: %s", s, err, want)
		}
	})
}

func TestDate(t *testing.T) {
	for in, want := range map[string]struct {
		weekday time.Weekday
		monday  string
	}{
		"2023-02-13": {time.Monday, "2023-02-13"},
		"2023-02-14": {time.Tuesday, "2023-02-13"},
		"2023-02-19": {time.Sunday, "2023-02-13"},
		"1969-12-29": {time.Monday, "1969-12-29"},
		"1969-12-28": {time.Sunday, "1969-12-22"},
		"0001-01-01": {time.Monday, "0001-01-01"},
		"9999-12-31": {time.Friday, "9999-12-27"},
	} {
		d, err := dcm.ParseDate(in)
		if err != nil || d.String() != in || d.Weekday() != want.weekday || d.Monday().String() != want.monday {
			t.Errorf("ParseDate(%s) = %s, a %s in the week of %s, %v; want %v", in, d, d.Weekday(), d.Monday(), err,
				want)
		}
	}
	for _, in := range []string{"2023-02-29", "2023-2-13", "20230213", "2023-02-13T00:00:00Z", "2023-02-13 ",
		"0000-01-01", "2023-00-01", "2023-01-32", ""} {
		if d, err := dcm.ParseDate(in); err == nil {
			t.Errorf("ParseDate(%q) = %s; want an error", in, d)
		}
	}
}

func TestParseID(t *testing.T) {
	const want = "0157ba42-d2a8-4e28-8565-7b07830c1110"
	for _, in := range []string{want, strings.ToUpper(want), "urn:uuid:" + want, "urn:uuid:" + strings.ToUpper(want)} {
		if got, err := dcm.ParseID(in); err != nil || got.String() != want {
			t.Errorf("ParseID(%s) = %s, %v; want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"", "{" + want + "}", "URN:UUID:" + want, "urn:uuid:urn:uuid:" + want,
		strings.ReplaceAll(want, "-", ""), want + " ", want[:35] + "g", want[:35]} {
		if got, err := dcm.ParseID(in); err == nil {
			t.Errorf("ParseID(%q) = %s; want an error", in, got)
		}
	}
}

// FuzzParseID holds all spellings of an ID equal.
func FuzzParseID(f *testing.F) {
	f.Add("0157ba42-d2a8-4e28-8565-7b07830c1110")
	f.Add("urn:uuid:0157BA42-d2a8-4e28-8565-7b07830c1110")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := dcm.ParseID(s)
		if wellFormed := idPattern.MatchString(s); wellFormed != (err == nil) {
			t.Fatalf("ParseID(%q): %v, but the standard's pattern says %t", s, err, wellFormed)
		}
		if err == nil && id.String() != strings.ToLower(strings.TrimPrefix(s, "urn:uuid:")) {
			t.Fatalf("ParseID(%q) = %s", s, id)
		}
	})
}

func TestBPN(t *testing.T) {
	for s, want := range map[string]bool{
		"BPNL8888888888XX": true, "BPNLabcdefghijkl": true, "BPNL888888888XX": false, "BPNL88888888888XX": false,
		"bpnl8888888888XX": false, "BPNS8888888888XX": false, "BPNL88888888-8XX": false, "": false,
		"BPNL88888888ééX": false,
	} {
		if dcm.IsBPNL(s) != want {
			t.Errorf("IsBPNL(%q) = %t", s, !want)
		}
	}
	if !dcm.IsBPNS("BPNS8888888888XX") || dcm.IsBPNS("BPNL8888888888XX") {
		t.Error("IsBPNS confuses sites and legal entities")
	}
}

func TestDecimalBelow(t *testing.T) {
	for _, c := range []struct {
		d, other dcm.Decimal
		want     bool
	}{
		{"0", "0", false}, {"0", "1", true}, {"9", "10", true}, {"10", "9", false}, {"10", "10", false},
		{"0.1", "0.11", true}, {"0.11", "0.1", false}, {"0.09", "0.1", true}, {"1", "1.0001", true},
		{"1.5", "1", false},
		{"999999999999999999.999", "1000000000000000000", true}, {"100.25", "100.5", true}, {"100", "100.5", true},
	} {
		if got := c.d.Below(c.other); got != c.want {
			t.Errorf("%s below %s: %t", c.d, c.other, got)
		}
	}
}

package main

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// printable makes text of a partner harmless to a terminal: what would move the
// cursor, change the direction of the text around it or be invisible is escaped.
func printable(s string) string {
	harmless := func(r rune) bool { return unicode.IsPrint(r) || r == '\n' || r == '\t' }
	if strings.IndexFunc(s, func(r rune) bool { return !harmless(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if harmless(r) {
			b.WriteRune(r)
		} else {
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
	}
	return b.String()
}

// duration is a time as people write it: Go's spelling, and days.
type duration time.Duration

// UnmarshalText takes 90d, 1d12h and what time.ParseDuration takes.
func (d *duration) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	if s == "0" {
		*d = 0
		return nil
	}
	var sum time.Duration
	rest := s
	if days := leadingDays.FindStringSubmatch(s); days != nil {
		n, err := strconv.ParseInt(days[1], 10, 64)
		if err != nil || n > int64(math.MaxInt64/(24*time.Hour))-1 {
			return fmt.Errorf("%q is too long a time", s)
		}
		sum, rest = time.Duration(n)*24*time.Hour, s[len(days[0]):]
	}
	if rest != "" {
		more, err := time.ParseDuration(rest)
		if err != nil || sum > 0 && (more < 0 || more > 24*time.Hour) {
			return fmt.Errorf("%q is not a time; write 90d, 36h, 20s or 500ms", s)
		}
		sum += more
	}
	if s == "" {
		return errors.New("is empty; write 90d, 36h, 20s or 500ms")
	}
	*d = duration(sum)
	return nil
}

// String is Go's spelling, in days where it is whole days.
func (d duration) String() string {
	if t := time.Duration(d); t >= 24*time.Hour && t%(24*time.Hour) == 0 {
		return fmt.Sprintf("%dd", t/(24*time.Hour))
	}
	return time.Duration(d).String()
}

var leadingDays = regexp.MustCompile(`^([0-9]+)d`)

// byteSize is a number of bytes as people write it: with or without a unit.
type byteSize int64

var sized = regexp.MustCompile(`^([0-9]+) ?([KMG]i?)?B?$`)

// UnmarshalText takes 100663296, 96MiB, 96M (the same as MB, powers of ten) and 96Mi.
func (b *byteSize) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	m := sized.FindStringSubmatch(s)
	if m == nil {
		return fmt.Errorf("%q is not a number of bytes; write 96MiB or 100663296", s)
	}
	unit := map[string]int64{"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}[m[2]]
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil || n > math.MaxInt64/unit {
		return fmt.Errorf("%q is too many bytes", s)
	}
	*b = byteSize(n * unit)
	return nil
}

// list is what stands between commas. Empty it says nothing; commas and spaces
// alone are a mistake, which must not mean everyone.
type list []string

// UnmarshalText adds to the list, as an option may be given several times.
func (l *list) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		return nil
	}
	items := trimmed(strings.Split(string(text), ","))
	if len(items) == 0 {
		return errors.New("lists nothing: fill it in, or take it out")
	}
	*l = append(*l, items...)
	return nil
}

// trimmed leaves out the empty parts of a list, and spaces around the others.
func trimmed(list []string) (kept []string) {
	for _, item := range list {
		if item = strings.TrimSpace(item); item != "" {
			kept = append(kept, item)
		}
	}
	return kept
}

// logLevel is one of four.
type logLevel slog.Level

// UnmarshalText takes them in capital letters, too.
func (l *logLevel) UnmarshalText(text []byte) error {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn,
		"error": slog.LevelError}
	level, ok := levels[strings.ToLower(strings.TrimSpace(string(text)))]
	if !ok {
		return fmt.Errorf("%q is no level; use debug, info, warn or error", text)
	}
	*l = logLevel(level)
	return nil
}

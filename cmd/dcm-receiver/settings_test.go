package main

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/alecthomas/kong"
)

func TestDuration(t *testing.T) {
	for _, c := range []struct {
		text string
		want time.Duration // -1: refused
	}{
		{"90d", 90 * 24 * time.Hour}, {"1d12h", 36 * time.Hour}, {"20s", 20 * time.Second},
		{"2160h", 90 * 24 * time.Hour}, {"0", 0}, {"0d", 0}, {" 5m ", 5 * time.Minute},
		{"", -1}, {"90", -1}, {"90 d", -1}, {"d", -1}, {"1.5d", -1}, {"99999999999999d", -1}, {"106751d", -1},
		{"1d-1h", -1},
	} {
		var got duration
		if err := got.UnmarshalText([]byte(c.text)); (err != nil) != (c.want == -1) || err == nil &&
			time.Duration(got) != c.want {
			t.Errorf("%q: %s, %v", c.text, got, err)
		}
	}
}

func TestByteSize(t *testing.T) {
	for _, c := range []struct {
		text string
		want byteSize // -1: refused
	}{
		{"100663296", 96 << 20}, {"96MiB", 96 << 20}, {"96Mi", 96 << 20}, {"96 MiB", 96 << 20}, {"1GiB", 1 << 30},
		{"96MB", 96e6}, {"5B", 5},
		{"", -1}, {"96mb", -1}, {"-1", -1}, {"1.5GiB", -1}, {"99999999999GiB", -1}, {"MiB", -1},
	} {
		var got byteSize
		if err := got.UnmarshalText([]byte(c.text)); (err != nil) != (c.want == -1) || err == nil && got != c.want {
			t.Errorf("%q: %d, %v", c.text, got, err)
		}
	}
}

// TestKeysIn: what editors put around keys is no part of them.
func TestKeysIn(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(file,
		[]byte("\xef\xbb\xbf# of the connector, then of its successor\r\none\r\n two ,three\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if keys, err := keysIn(file); err != nil || strings.Join(keys, "|") != "one|two|three" {
		t.Errorf("%q, %v", keys, err)
	}
}

// TestList: a list that is set but empty must not mean everyone.
func TestList(t *testing.T) {
	for _, c := range []struct {
		text string
		want string // "-": refused
	}{
		{"a,b", "a|b"}, {" a , b ,", "a|b"}, {"", ""}, {" ", "-"}, {",", "-"}, {", ,\t", "-"},
	} {
		var got list
		if err := got.UnmarshalText([]byte(c.text)); (err != nil) != (c.want == "-") || err == nil &&
			strings.Join(got, "|") != c.want {
			t.Errorf("%q: %q, %v", c.text, got, err)
		}
	}
}

// TestPrintable: no text of a partner moves the cursor of a terminal, or turns the
// text around it, in what commands print and in either form of the log.
func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"plain, ä, コンニチハ\n\tindented": "plain, ä, コンニチハ\n\tindented",
		"\x1b[2Jgone":                 `\x1b[2Jgone`,
		"\u009b2J":                    `\u009b2J`,
		"abc\u202egnp.exe":            `abc\u202egnp.exe`,
		"\u2066a\u200bb\ufeff":        `\u2066a\u200bb\ufeff`,
		"a\rb\x00":                    `a\rb\x00`,
	} {
		if got := printable(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
		for _, format := range []string{"json", "text"} {
			var line bytes.Buffer
			slog.New(logSettings{LogFormat: format}.handler(&line)).Info("sent", "reason", text, "error",
				errors.New(text))
			if strings.ContainsFunc(strings.TrimSuffix(line.String(), "\n"),
				func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("the %s log has %q", format, line.String())
			}
		}
	}
}

// TestEveryOptionHasAVariable but --help and --version; the same one means the same in
// all commands that have it.
func TestEveryOptionHasAVariable(t *testing.T) {
	parser, err := kong.New(&commands{}, vars())
	if err != nil {
		t.Fatal(err)
	}
	options := map[string]string{}
	for _, command := range parser.Model.Leaves(false) {
		for _, flag := range slices.Concat(command.AllFlags(false)...) {
			switch {
			case flag.Name == "help" || flag.Name == "version":
			case len(flag.Envs) != 1:
				t.Errorf("%s --%s has the variables %q", command.FullPath(), flag.Name, flag.Envs)
			case flag.Envs[0] != "DATABASE_URL" && !strings.HasPrefix(flag.Envs[0], "DCM_"):
				t.Errorf("%s --%s has the variable %s", command.FullPath(), flag.Name, flag.Envs[0])
			default:
				// serve has those of edc register with a prefix.
				name := strings.TrimPrefix(strings.TrimPrefix(flag.Name, "edc-"), "planning-")
				if other, known := options[flag.Envs[0]]; known && other != name {
					t.Errorf("%s is --%s and --%s", flag.Envs[0], other, name)
				}
				options[flag.Envs[0]] = name
			}
		}
	}
}

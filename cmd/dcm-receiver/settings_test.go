package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestDuration(t *testing.T) {
	for _, c := range []struct {
		text string
		want time.Duration // -1: refused
	}{
		{"90d", 90 * 24 * time.Hour}, {"1d12h", 36 * time.Hour}, {"20s", 20 * time.Second}, {"2160h", 90 * 24 * time.Hour}, {"0", 0}, {"0d", 0}, {" 5m ", 5 * time.Minute},
		{"", -1}, {"90", -1}, {"90 d", -1}, {"d", -1}, {"1.5d", -1}, {"99999999999999d", -1}, {"106751d", -1}, {"1d-1h", -1},
	} {
		var got duration
		if err := got.UnmarshalText([]byte(c.text)); (err != nil) != (c.want == -1) || err == nil && time.Duration(got) != c.want {
			t.Errorf("%q: %s, %v", c.text, got, err)
		}
	}
}

func TestByteSize(t *testing.T) {
	for _, c := range []struct {
		text string
		want byteSize // -1: refused
	}{
		{"100663296", 96 << 20}, {"96MiB", 96 << 20}, {"96Mi", 96 << 20}, {"96 MiB", 96 << 20}, {"1GiB", 1 << 30}, {"96MB", 96e6}, {"5B", 5},
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
	if err := os.WriteFile(file, []byte("\xef\xbb\xbfone\r\n two ,three\n\n"), 0o600); err != nil {
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
		if err := got.UnmarshalText([]byte(c.text)); (err != nil) != (c.want == "-") || err == nil && strings.Join(got, "|") != c.want {
			t.Errorf("%q: %q, %v", c.text, got, err)
		}
	}
}

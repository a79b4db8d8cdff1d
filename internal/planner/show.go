package planner

import (
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"
)

// functions are what the templates show values with.
var functions = template.FuncMap{
	"text": text, "day": showDay, "instant": showInstant, "age": age, "sign": sign, "class": class,
	"group": groupDigits,
	"or":    orElse, "short": short, "horizons": func() []int { return horizons }, "status": showStatus,
	"counts": counts, "id": showID, "pair": pair,
	"cut": cut, "unit": unit, "cw": calendarWeek, "old": old,
}

// text makes a partner's text harmless to read: what would change the direction
// of the text around it, or be invisible, is shown by its number.
func text(s any) string {
	switch v := s.(type) {
	case *string:
		if v == nil {
			return ""
		}
		return text(*v)
	case string:
		var b strings.Builder
		for _, r := range v {
			if r != '\n' && (unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Cc, r)) {
				fmt.Fprintf(&b, "⟨U+%04X⟩", r)
			} else {
				b.WriteRune(r)
			}
		}
		return b.String()
	}
	return fmt.Sprint(s)
}

const shortLimit = 120

// short is text cut to a length that a table bears.
func short(s any) string {
	runes := []rune(text(s))
	if len(runes) <= shortLimit {
		return string(runes)
	}
	return string(runes[:shortLimit]) + "…"
}

// cut says whether short leaves something out.
func cut(s string) bool { return len([]rune(text(s))) > shortLimit }

func showDay(t any) string {
	switch v := t.(type) {
	case *time.Time:
		if v == nil {
			return "–"
		}
		return v.Format(time.DateOnly)
	case time.Time:
		return v.Format(time.DateOnly)
	}
	return ""
}

func showInstant(t any) string {
	switch v := t.(type) {
	case *time.Time:
		if v == nil {
			return "never"
		}
		return showInstant(*v)
	case time.Time:
		return v.UTC().Format("2006-01-02 15:04 UTC")
	}
	return ""
}

// age says how long ago something was.
func age(now time.Time, t any) string {
	var at time.Time
	switch v := t.(type) {
	case *time.Time:
		if v == nil {
			return "never"
		}
		at = *v
	case time.Time:
		at = v
	}
	switch d := now.Sub(at); {
	case d < 2*time.Minute:
		return "just now"
	case d < 2*time.Hour:
		return fmt.Sprintf("%d minutes ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d hours ago", int(d.Hours()))
	default:
		return fmt.Sprintf("%d days ago", int(d.Hours()/24))
	}
}

// old says whether figures are so old that somebody should ask for newer ones.
func old(now, at time.Time) bool { return now.Sub(at) > 14*24*time.Hour }

// calendarWeek is the number of an ISO week, by which planners call it.
func calendarWeek(t time.Time) string {
	_, week := t.ISOWeek()
	return fmt.Sprintf("W%02d", week)
}

// unit is a unit of measure without the name of its catalogue.
func unit(s *string) string {
	if s == nil {
		return "no unit"
	}
	return text(strings.TrimPrefix(*s, "unit:"))
}

// sign stands for the result of a week, so that colour is not needed.
func sign(w Week) string {
	if w.Result == nil {
		return "·"
	}
	switch *w.Result {
	case "surplus":
		return "+"
	case "zero deviation":
		return "="
	case "bottleneck":
		if w.Colour != nil && *w.Colour == "orange" {
			return "!"
		}
		return "✕"
	case "no capacity":
		return "?"
	case "no demand":
		return "○"
	}
	return "·"
}

// class is the style of a week.
func class(w Week) string {
	if w.Colour != nil {
		switch *w.Colour {
		case "green", "orange", "red":
			return *w.Colour
		}
	}
	if w.Result != nil && *w.Result == "no capacity" {
		return "nocapacity"
	}
	return "none"
}

// counts says in words what a strip shows.
func counts(strip []Week) string {
	red, orange, open, first := 0, 0, 0, ""
	for _, w := range strip {
		switch class(w) {
		case "red":
			red++
		case "orange":
			orange++
		case "nocapacity":
			open++
			continue
		default:
			continue
		}
		if first == "" {
			first = ", the first in the week of " + w.PointInTime.Format(time.DateOnly)
		}
	}
	weeks := "1 week"
	if len(strip) != 1 {
		weeks = fmt.Sprintf("%d weeks", len(strip))
	}
	said := weeks + " without a bottleneck"
	if red+orange > 0 {
		said = fmt.Sprintf("%s: %d above maximum capacity, %d above actual capacity%s", weeks, red, orange, first)
	}
	if open > 0 {
		said += fmt.Sprintf("; %d with demand, but no capacity", open)
	}
	return said
}

// groupDigits writes an exact decimal with thin spaces between thousands.
func groupDigits(s any) string {
	v, ok := s.(*string)
	if !ok || v == nil {
		return "–"
	}
	whole, fraction, found := strings.Cut(strings.TrimPrefix(*v, "-"), ".")
	var b strings.Builder
	if strings.HasPrefix(*v, "-") {
		b.WriteRune('−')
	}
	for i, digit := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteRune('\u202f')
		}
		b.WriteRune(digit)
	}
	if found {
		b.WriteString("." + fraction)
	}
	return b.String()
}

// pair is a quantity before and after.
func pair(before, after *string) struct{ Before, After string } {
	return struct{ Before, After string }{groupDigits(before), groupDigits(after)}
}

func orElse(s *string, other string) string {
	if s == nil || *s == "" {
		return other
	}
	return text(*s)
}

func showID(id *uuid.UUID) string {
	if id == nil {
		return "–"
	}
	return id.String()
}

func showStatus(status int) string { return fmt.Sprintf("%d %s", status, http.StatusText(status)) }

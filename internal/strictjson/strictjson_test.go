package strictjson_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"dcm-receiver/internal/strictjson"

	"github.com/google/go-cmp/cmp"
)

// read walks over a whole text and says what is there, in our own words.
func read(text string) (string, error) {
	var b strings.Builder
	r := strictjson.New([]byte(text))
	var value func()
	value = func() {
		switch r.Peek() {
		case '{':
			b.WriteByte('{')
			r.Object(func(name string) {
				fmt.Fprintf(&b, "%q:", name)
				value()
			})
			b.WriteByte('}')
		case '[':
			b.WriteByte('[')
			r.Array(func(i int) {
				fmt.Fprintf(&b, "%d=", i)
				value()
			})
			b.WriteByte(']')
		case '"':
			s, ok := r.String()
			fmt.Fprintf(&b, "%q %t ", s, ok)
		case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
			s, ok := r.Number()
			fmt.Fprintf(&b, "%s %t ", s, ok)
		case 't', 'f':
			v, ok := r.Bool()
			fmt.Fprintf(&b, "%t %t ", v, ok)
		default:
			fmt.Fprintf(&b, "%s ", r.Raw(r.Skip))
		}
	}
	value()
	return b.String(), r.End()
}

func TestReader(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	for _, c := range []struct{ text, want string }{
		{` {"a" : [1, -2.50e+1 , "x\u00e9"], "b": {"a": null}, "c": true} `,
			`{"a":[0=1 true 1=-2.50e+1 true 2="xé" true ]"b":{"a":null }"c":true true }`},
		{`{"":[],"ab":{},"ba":false}`, `{"":[]"ab":{}"ba":false true }`},
		{`["` + long + `","y"]`, `[0="` + long + `" true 1="y" true ]`},
	} {
		got, err := read(c.text)
		if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
			t.Errorf("%.60s: %v %s", c.text, err, diff)
		}
	}
	// Many names and values share memory, and none is changed by a later one.
	var text, want strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&text, `,"name%d":"value%d"`, i, i)
		fmt.Fprintf(&want, `"name%d":"value%d" true `, i, i)
	}
	if got, err := read("{" + text.String()[1:] + "}"); err != nil || got != "{"+want.String()+"}" {
		t.Errorf("many members: %v", err)
	}
}

// TestMethodsConsumeOneValue: a value of another kind than the one asked for does
// not hide the next.
func TestMethodsConsumeOneValue(t *testing.T) {
	for _, other := range []string{`null`, `{"a":[{}]}`, `[[1],{"b":2}]`, `"s"`, `7`, `true`} {
		for name, method := range map[string]func(*strictjson.Reader){
			"Object": func(r *strictjson.Reader) { r.Object(func(string) { r.Skip() }) },
			"Array":  func(r *strictjson.Reader) { r.Array(func(int) { r.Skip() }) },
			"String": func(r *strictjson.Reader) { r.String() },
			"Number": func(r *strictjson.Reader) { r.Number() },
			"Bool":   func(r *strictjson.Reader) { r.Bool() },
			"Skip":   func(r *strictjson.Reader) { r.Skip() },
		} {
			r := strictjson.New([]byte("[" + other + `, "next"]`))
			var last string
			r.Array(func(i int) {
				if i == 0 {
					if raw := string(r.Raw(func() { method(r) })); raw != other {
						t.Errorf("%s of %s: raw is %s", name, other, raw)
					}
					return
				}
				last, _ = r.String()
			})
			if err := r.End(); err != nil || last != "next" {
				t.Errorf("%s of %s: %v, next is %q", name, other, err, last)
			}
		}
	}
}

// TestNamesTwice: wherever a name is twice in one object, in values that no one looks
// at too; in another object it may be there again.
func TestNamesTwice(t *testing.T) {
	var many strings.Builder
	for i := range 100 {
		fmt.Fprintf(&many, `"n%d":%d,`, i, i)
	}
	for _, c := range []struct {
		name, text string
		twice      bool
	}{
		{"two objects", `[{"a":{"a":1}},{"a":{"a":2}}]`, false},
		{"after an inner object", `{"a":{"b":1,"c":2},"a":3}`, true},
		{"another spelling", `{"a":1,"\u0061":2}`, true},
		{"the empty name", `{"":1,"":2}`, true},
		{"many names", `{` + many.String() + `"z":{}}`, false},
		{"the first of many", `{` + many.String() + `"n0":1}`, true},
		{"the 33rd of many", `{` + many.String() + `"n32":1}`, true},
		{"the last of many", `{` + many.String() + `"n99":1}`, true},
	} {
		for how, walk := range map[string]func(string) error{
			"read": func(text string) error { _, err := read(text); return err },
			"skipped": func(text string) error {
				r := strictjson.New([]byte(text))
				r.Skip()
				return r.End()
			},
		} {
			if err := walk(c.text); (err != nil) != c.twice || err != nil && !strings.Contains(err.Error(), "twice") {
				t.Errorf("%s, %s: %v", c.name, how, err)
			}
		}
	}
}

func TestWords(t *testing.T) {
	for _, c := range []struct{ text, place, advice string }{
		{"{\n \"a\": 1,5}", "at byte 10 (line 2, column 9)", "decimal comma"},
		{`{"a": 1,854}`, "", "thousands separator? 1854; decimal comma? 1.854"},
		{`{"a": 1,854,000, "b": 1}`, "", "thousands separator? 1854000"},
		{`{"a": 0,854}`, "", "decimal comma; numbers have a point"},
		{`{"a": 1854,125}`, "", "decimal comma; numbers have a point"},
		{"{\"ä\": \"ö\", \"b\": .5}", "at byte 18 (line 1, column 17)", "begins with a digit"},
		{`[1,]`, "line 1, column 3", "no comma may stand before"},
		{`{"a":1,,"b":2}`, "", "a comma too many"},
		{`[1.000.000]`, "", "no separators of thousands"},
		{`[5.]`, "", "followed by a digit"},
		{`[+5]`, "", "no plus sign"},
		{`[nan]`, "", "no NaN"},
		{`[True]`, "", "true in lower case"},
		{`{"a" 1}`, "line 1, column 6", "expecting ':'"},
		{`{a:1}`, "", "double quotation marks"},
		{`{"a":1, name:1}`, "", "double quotation marks"},
		{`{"a":text}`, "", "double quotation marks"},
		{" \n", "", "is empty"},
		{"\x1f\x8b\x08\x00", "", "compressed"},
		{"PK\x03\x04\x14", "", "XLSX"},
		{"['x']", "", "double quotation marks"},
		{"[\"a\tb\"]", "", "line break or tab"},
		{"[\"B\xe4r\"]", "at byte 3", "Windows-1252"},
		{"\xff\xfe[\x00]\x00", "", "UTF-16"},
		{"supplier;customer;name\nBPNL1;BPNL2;x\n", "",
			`this is no JSON: it begins with "supplier;customer;na"; a CSV file?`},
		{"---\ncapacityGroupId: x\n", "", "a YAML file?"},
		{"capacityGroupId: x\n", "", "a YAML file?"},
		{"body=%7B%7D&x=1", "", "form data?"},
		{"W3siY2FwYWNpdHlHcm91cElkIjoiMDE1N2JhNDItZDJhOC00ZTI4LTg1NjUifV0=", "", "base64?"},
		{"Subject: a mail", "", "this is no JSON: it begins with"},
		{"{} {}", "at byte 3", "one list"},
		{`["x`, "line 1, column 4", "cut off"},
		{strings.Repeat("[", 65), "at byte 65", "deeper than 64"},
		{`[{"a":1,"a":2}]`, "/0/a", "twice"},
	} {
		_, err := read(c.text)
		var syntax *strictjson.SyntaxError
		if !errors.As(err, &syntax) || !strings.Contains(syntax.Detail, c.place) ||
			!strings.Contains(syntax.Detail, c.advice) {
			t.Errorf("%q: %v; want %q and %q", c.text, err, c.place, c.advice)
		}
	}
}

package receiver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/example"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// hostileText is what would fool a page or a terminal: it turns the text around it,
// moves the cursor, is invisible.
const hostileText = "\u202eabc\u2066\u200b\x1b[2J\u009b2J\r\ufeff"

// fools reports whether a text that is shown could do that.
func fools(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool {
		return r != '\n' &&
			(unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Cf, r))
	})
}

// oneRemark is a message of one comment on the fixture's group, with one property set
// to a value as it stands in JSON.
func oneRemark(id, property, value string) string {
	members := map[string]string{"commentId": strconv.Quote(id), "objectId": strconv.Quote(groupID),
		"objectType": strconv.Quote(dcm.CapacityGroupType),
		"supplier":   strconv.Quote(example.Supplier), "customer": strconv.Quote(example.Customer)}
	members[property] = value
	var object []string
	for name, value := range members {
		object = append(object, strconv.Quote(name)+":"+value)
	}
	slices.Sort(object)
	return inEnvelope(dcm.CommentEndpoint, example.Supplier, example.Customer, "{"+strings.Join(object, ",")+"}")
}

// TestHostileComments sends what is hard to bear in each property of a comment. Text
// and author are stored as they are, whatever characters they have; everything else is
// refused at its own place; and no answer and no line of the log could fool anybody.
func TestHostileComments(t *testing.T) {
	f := commentFixture(t)
	asJSON := func(s string) string {
		quoted, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return string(quoted)
	}
	hostile := asJSON(hostileText)
	for _, c := range []struct {
		name, property, value string
		status                int
		pointer               string // of the error, within the comment
		stored                string // text or author afterwards
	}{
		{"5,000 characters of one byte", "commentText", asJSON(strings.Repeat("a", 5000)), 201, "",
			strings.Repeat("a", 5000)},
		{"5,000 characters of four bytes, two UTF-16 units each", "commentText", asJSON(strings.Repeat("😀", 5000)),
			201, "", strings.Repeat("😀", 5000)},
		{"5,000 characters, each escaped as a pair of surrogates", "commentText",
			`"` + strings.Repeat(`\ud83d\ude00`, 5000) + `"`, 201, "", strings.Repeat("😀", 5000)},
		{"5,000 characters in 2,500 combinations", "commentText", asJSON(strings.Repeat("e\u0301", 2500)), 201, "",
			strings.Repeat("e\u0301", 2500)},
		{"5,001 characters of one byte", "commentText", asJSON(strings.Repeat("a", 5001)), 400, "/commentText", ""},
		{"5,001 characters of four bytes", "commentText", asJSON(strings.Repeat("😀", 5001)),
			400, "/commentText", ""},
		{"5,001 characters in 2,501 combinations", "commentText", asJSON(strings.Repeat("e\u0301", 2500) + "e"), 400,
			"/commentText", ""},
		{"5,001 characters, the last a line end", "commentText", asJSON(strings.Repeat("a", 5000) + "\n"), 400,
			"/commentText", ""},
		{"a text far too long", "commentText", asJSON(strings.Repeat("a", 100_000)), 400, "/commentText", ""},
		{"controls in the text", "commentText", hostile, 201, "", hostileText},
		{"lines in the text", "commentText", `"a\nb\r\nc\u2028d"`, 201, "", "a\nb\r\nc\u2028d"},
		{"no text at all", "commentText", `""`, 201, "", ""},
		{"what is no character", "commentText", `"\ufffe\uffff"`, 201, "", "\ufffe\uffff"},
		{"NUL in the text", "commentText", `"a\u0000b"`, 400, "/commentText", ""},
		{"a lone high surrogate", "commentText", `"a\ud800b"`, 422, "", ""},
		{"a lone low surrogate", "commentText", `"\udc00"`, 422, "", ""},
		{"surrogates the wrong way round", "commentText", `"\udc00\ud800"`, 422, "", ""},
		{"a surrogate in UTF-8", "commentText", "\"\xed\xa0\x80\"", 422, "", ""},
		{"no UTF-8", "commentText", "\"\xff\"", 422, "", ""},
		{"a text that is a list", "commentText", `["Bananenkurve"]`, 400, "/commentText", ""},
		{"a text that is null", "commentText", `null`, 400, "/commentText", ""},
		{"controls in the author", "author", asJSON("\u202emoc.elpmaxe@anna\u2066"), 201, "",
			"\u202emoc.elpmaxe@anna\u2066"},
		{"NUL in the author", "author", `"anna\u0000@example.com"`, 400, "/author", ""},
		{"an author with blanks", "author", `"anna b@example.com"`, 400, "/author", ""},
		{"an author without end", "author", asJSON("anna@" + strings.Repeat("a", 256)), 400, "/author", ""},
		{"an author of 255 characters of four bytes", "author", asJSON("anna@" + strings.Repeat("😀", 255)), 201, "",
			"anna@" + strings.Repeat("😀", 255)},
		{"an author that is an object", "author", `{"mail":"anna@example.com"}`, 400, "/author", ""},
		{"hostile commentId", "commentId", hostile, 400, "/commentId", ""},
		{"hostile objectId", "objectId", hostile, 400, "/objectId", ""},
		{"hostile objectType", "objectType", hostile, 400, "/objectType", ""},
		{"an endless objectType", "objectType", asJSON("urn:samm:io.catenax." + strings.Repeat("a", 65)), 400,
			"/objectType", ""},
		{"hostile supplier", "supplier", hostile, 400, "/supplier", ""},
		{"hostile customer", "customer", hostile, 400, "/customer", ""},
		{"hostile commentType", "commentType", hostile, 400, "/commentType", ""},
		{"hostile postedAt", "postedAt", hostile, 400, "/postedAt", ""},
		{"changedAt after the end of time", "changedAt", `"9999-12-31T00:00:00Z"`, 400, "/changedAt", ""},
		{"postedAt before its beginning", "postedAt", `"0001-01-01T00:00:00Z"`, 400, "/postedAt", ""},
		{"requestDelete as a text", "requestDelete", `"true"`, 400, "/requestDelete", ""},
		{"requestDelete as a number", "requestDelete", `1`, 400, "/requestDelete", ""},
		{"hostile dates", "listOfReferenceDates", `["2026-12-07",` + hostile + `]`, 400, "/listOfReferenceDates/1", ""},
		{"a Sunday", "listOfReferenceDates", `["2026-12-07","2026-12-13"]`, 400, "/listOfReferenceDates/1", ""},
		{"a Monday twice", "listOfReferenceDates", `["2026-12-07","2026-12-07"]`, 400, "/listOfReferenceDates/1", ""},
		{"dates that are one", "listOfReferenceDates", `"2026-12-07"`, 400, "/listOfReferenceDates", ""},
		{"hostile simulationId", "simulationId", hostile, 400, "/simulationId", ""},
		{"a hostile name", "commentTxt" + hostileText, `"x"`, 201, "", ""},
		{"a name with a lone surrogate", `x\ud800`, `"x"`, 422, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			id := uuid.NewString()
			body := oneRemark(id, c.property, c.value)
			// as JSON quotes it, not as Go does
			if strings.HasPrefix(c.property, "commentTxt") || strings.HasPrefix(c.property, "x\\") {
				body = strings.Replace(body, strconv.Quote(c.property),
					map[bool]string{true: `"x\ud800"`, false: asJSON(c.property)}[c.status == 422], 1)
			}
			w := f.post(dcm.CommentEndpoint.Path, []byte(body))
			if w.Code != c.status {
				t.Fatalf("%d %.1000s", w.Code, w.Body)
			}
			a := pointersResolve(t, []byte(body), w)
			if c.pointer != "" && (len(a) != 1 || a[0] != "/content/informationObject/0"+c.pointer) {
				t.Errorf("errors at %v, want one at %s: %s", a, c.pointer, w.Body)
			}
			var answer any
			if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
				t.Fatal(err)
			}
			if s := fmt.Sprint(answer); fools(s) || len(s) > 4000 {
				t.Errorf("the answer has %.4000q", s)
			}
			if c.status == 201 && (c.property == "commentText" || c.property == "author") {
				column := map[string]string{"commentText": "comment_text", "author": "author"}[c.property]
				if got := f.query(`select `+column+` from planning.comment where comment_id = $1`,
					id); !slices.Equal(got, []string{c.stored}) {
					t.Errorf("stored %.100q, want %.100q", got, c.stored)
				}
			}
		})
	}
	if log := f.log.String(); fools(log) || strings.Contains(log, "Bananenkurve") {
		t.Errorf("the log has %q", log)
	}
	if found := f.everywhere("Bananenkurve"); len(found) > 0 {
		t.Errorf("a refused text stands in %v", found)
	}
}

// pointersResolve fails if an error or warning of the answer is at a place that the
// body has not: its own place, or that of its parent where it is missing. It returns
// the places of all errors.
func pointersResolve(t *testing.T, body []byte, w *httptest.ResponseRecorder) (pointers []string) {
	t.Helper()
	type list []struct{ Pointer string }
	var answer struct {
		Errors, Warnings list
		Results          []struct{ Errors, Warnings list }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	if w.Code == 422 {
		return nil // the body is no JSON
	}
	var document any
	if err := json.Unmarshal(body, &document); err != nil {
		t.Fatalf("%v, but the answer is %d", err, w.Code)
	}
	all := answer.Errors
	for _, r := range answer.Results {
		all = append(all, r.Errors...)
	}
	for _, e := range all {
		pointers = append(pointers, e.Pointer)
	}
	all = append(all, answer.Warnings...)
	for _, r := range answer.Results {
		all = append(all, r.Warnings...)
	}
	for _, e := range all {
		at := document
		steps := strings.Split(e.Pointer, "/")
		for i, step := range steps[1:] {
			step = strings.NewReplacer("~1", "/", "~0", "~").Replace(step)
			is := false
			switch v := at.(type) {
			case map[string]any:
				at, is = v[step]
			case []any:
				if n, err := strconv.Atoi(step); err == nil && n < len(v) {
					at, is = v[n], true
				}
			}
			if !is && i < len(steps)-2 {
				t.Errorf("there is nothing at %s: %.1000s", e.Pointer, w.Body)
				break
			}
		}
	}
	return pointers
}

// FuzzComments sends bodies to the real handler on a real store: every answer is a
// documented one whose pointers lead somewhere, and a comment that is accepted comes
// back from the view as another JSON reader reads it in the body.
func FuzzComments(f *testing.F) {
	fixture := newFixture(f, withComments)
	if w := fixture.post(dcm.CapacityGroupEndpoint.Path,
		read(f, "testdata/cx-0128/id-based-comment/group.json")); w.Code != 201 {
		f.Fatal(w.Code, w.Body)
	}
	conn, err := pgx.Connect(context.Background(), fixture.url)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = conn.Close(context.Background()) })
	for _, name := range []string{"list-create-change-delete-again", "rule-8-bpnl-as-author-and-odd-characters",
		"rule-1-sunday-and-date-twice", "rule-6-delete"} {
		f.Add(read(f, "testdata/cx-0128/id-based-comment/"+name+"/request.json"))
	}
	f.Add([]byte(oneRemark(oneComment, "commentText", `"\u202e\ud83d\ude00\u0000"`)))
	f.Add([]byte(oneRemark(oneComment, "author", `"a\ud800@b"`)))
	f.Fuzz(func(t *testing.T, body []byte) {
		fixture.log.Reset()
		w := fixture.post(dcm.CommentEndpoint.Path, body)
		if !slices.Contains([]int{200, 201, 400, 403, 422}, w.Code) {
			t.Fatalf("%d %s\n%s", w.Code, w.Body, fixture.log)
		}
		pointersResolve(t, body, w)
		if w.Code != 201 { // one new comment
			return
		}
		var sent struct {
			Content struct{ InformationObject []map[string]any }
		}
		if err := json.NewDecoder(bytes.NewReader(body)).Decode(&sent); err != nil {
			t.Fatalf("answered 201, but: %v", err)
		}
		object := sent.Content.InformationObject[0]
		var a struct {
			Results []struct{ CommentId uuid.UUID }
		}
		if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
			t.Fatal(err)
		}
		var text, author *string
		if err := conn.QueryRow(context.Background(),
			`select comment_text, author from planning.comment where $1 in (supplier, customer) and comment_id = $2`,
			example.Supplier, a.Results[0].CommentId).Scan(&text, &author); err != nil {
			t.Fatalf("answered 201, but: %v", err)
		}
		if want, is := object["commentText"].(string); is != (text != nil) || is && want != *text {
			t.Errorf("sent %q, stored %v", object["commentText"], text)
		}
		want, is := object["author"].(string)
		if !is {
			want = example.Supplier
		}
		if author == nil || want != *author {
			t.Errorf("sent %q, stored %v", object["author"], author)
		}
	})
}

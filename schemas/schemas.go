// Package schemas holds the JSON Schemas (draft 2020-12) of what partners send,
// and says what is wrong with a value in words that the partner can act on. The
// schemas are the one source of what is valid in form; they are written from
// the field lists of the WeekBasedCapacityGroup, WeekBasedMaterialDemand and
// IdBasedRequestForUpdate APIs. The package knows nothing of rules between values, nor of HTTP.
package schemas

import (
	"embed"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/santhosh-tekuri/jsonschema/v5"

	"dcm-receiver/internal/dcm"
)

// FS holds the schema files. They refer to each other by relative references,
// so they work side by side in a directory and under any URL.
//
//go:embed *.json
var FS embed.FS

// The schemas that values are checked against, compiled when the program starts.
var (
	// CapacityGroup is one WeekBasedCapacityGroup. That the entries of its sets
	// differ (uniqueItems) is not checked here: the library needs the whole list
	// for it, and can be made to compare each entry with all others.
	CapacityGroup = mustCompile("week-based-capacity-group.json", "the capacity group")
	// MaterialDemand is one WeekBasedMaterialDemand.
	MaterialDemand = mustCompile("week-based-material-demand.json", "the material demand")
	// Comment is one IdBasedComment.
	Comment = mustCompile("id-based-comment.json", "the comment")
	// MessageHeader is the value of messageHeader.
	MessageHeader = mustCompile("message-header.json", "messageHeader")
	// RequestForUpdate is one entry of a request for update.
	RequestForUpdate = mustCompile("id-based-request-for-update.json", "the request")
)

// Schema is a compiled schema. It may be used by several goroutines at once.
type Schema struct{ root *node }

// node is a place in a document, with what the schema says of the value there.
type node struct {
	name     string // what sentences call the value
	wanted   string // completes "it must be …"
	optional bool   // a member that may be left out
	private  bool   // its value is never quoted
	bit      uint64 // of a member: 1 shifted by its index in names

	// self is the compiled schema without what it says of members and entries,
	// which have nodes of their own. So the library, which stays the judge,
	// never sees more of a document than one string or number at a time.
	self *jsonschema.Schema

	// pattern is matched here, with the expression that the library compiled
	// and self is without: for a string that does not match, the library takes
	// many times as long, which a list of millions of them would make felt.
	pattern   *regexp.Regexp
	maxLength int // bytes from which the pattern is not asked; 0 if there is no bound

	// wrong says of each kind of value whether type refuses it.
	wrong [256]bool

	members  map[string]*node // of an object; nil for other types
	names    []string         // of members, sorted
	required []string         // the names that must be among them
	entry    *node            // of a list; nil for other types
	nonempty bool             // whether the list must have an entry
}

// samples has a value of each kind, to ask the library once what it says of all
// values of that kind.
var samples = map[jsontext.Kind]any{
	jsontext.KindNull:        nil,
	jsontext.KindFalse:       false,
	jsontext.KindTrue:        true,
	jsontext.KindString:      "",
	jsontext.KindNumber:      0,
	jsontext.KindBeginObject: map[string]any{},
	jsontext.KindBeginArray:  []any{},
}

func mustCompile(file, name string) *Schema {
	compiled, err := compile(file)
	if err != nil {
		panic(err) // a fault of this package, which its tests would show
	}
	return &Schema{newNode(compiled, name)}
}

// base is what the files' names are relative to while they are compiled; the
// library accepts absolute locations only. Nothing is ever fetched from it.
const base = "schemas:///"

func compile(file string) (*jsonschema.Schema, error) {
	compiler := jsonschema.NewCompiler()
	compiler.Draft = jsonschema.Draft2020
	compiler.ExtractAnnotations = true
	compiler.RegisterExtension("format", nil, formats{})
	files, err := FS.ReadDir(".")
	if err != nil {
		return nil, fmt.Errorf("list schemas: %w", err)
	}
	for _, f := range files {
		content, err := FS.Open(f.Name())
		if err != nil {
			return nil, fmt.Errorf("read schema: %w", err)
		}
		if err := compiler.AddResource(base+f.Name(), content); err != nil {
			return nil, fmt.Errorf("read schema %s: %w", f.Name(), err)
		}
	}
	return compiler.Compile(base + file)
}

func newNode(s *jsonschema.Schema, name string) *node {
	for s.Ref != nil { // beside a $ref our schemas have annotations only
		s = s.Ref
	}
	self := *s
	self.Properties, self.Items2020, self.Pattern, self.UniqueItems = nil, nil, nil, false
	n := &node{name: name, wanted: s.Title, private: s.WriteOnly, self: &self, pattern: s.Pattern,
		maxLength: max(s.MaxLength, 0), required: s.Required}
	if s.Enum != nil {
		n.wanted = "one of " + strings.Trim(strings.ReplaceAll(fmt.Sprint(s.Enum), " ", ", "), "[]")
	}
	for kind, sample := range samples {
		n.wrong[kind] = keyword(self.Validate(sample)) == "type"
	}
	if s.Items2020 != nil {
		n.entry = newNode(s.Items2020, "an entry of "+name)
		n.nonempty = keyword(self.Validate([]any{})) == "minItems"
	}
	if s.Properties != nil {
		n.members = make(map[string]*node)
	}
	for member, schema := range s.Properties {
		n.members[member] = newNode(schema, member)
		n.members[member].optional = true
	}
	n.names = sortedNames(n.members)
	for i, member := range n.names {
		n.members[member].bit = 1 << i
	}
	for _, member := range s.Required {
		n.members[member].optional = false
	}
	return n
}

// keyword is the last part of the place in the schema that err complains of:
// "type", "pattern", …; "" if err is nil.
func keyword(err error) string {
	var finding *jsonschema.ValidationError
	if !errors.As(err, &finding) {
		return ""
	}
	for len(finding.Causes) > 0 {
		finding = finding.Causes[0]
	}
	return path.Base(finding.AbsoluteKeywordLocation)
}

// formats asserts what a pattern cannot say of a time: that the day exists. Such a
// definition is known by its comment, since other validators refuse keywords and
// formats that they do not know: Ajv as it comes even "date".
type formats struct{}

const (
	fullDate    = "full-date of RFC 3339"
	dateTime    = "date-time of RFC 3339"
	xsdDateTime = "xsd:dateTime"
)

func (formats) Compile(_ jsonschema.CompilerContext, schema map[string]any) (jsonschema.ExtSchema, error) {
	switch schema["$comment"] {
	case nil:
		return nil, nil
	case fullDate:
		return format(func(s string) error { _, err := dcm.ParseDate(s); return err }), nil
	case dateTime:
		return format(func(s string) error { _, err := dcm.ParseTimestamp(s); return err }), nil
	case xsdDateTime:
		return format(func(s string) error { _, err := dcm.ParseXSDDateTime(s); return err }), nil
	}
	return nil, fmt.Errorf("compile schema: unknown format %v", schema["$comment"])
}

// format parses a string, and fails if it is not of the format.
type format func(string) error

func (f format) Validate(ctx jsonschema.ValidationContext, v any) error {
	if s, ok := v.(string); ok && f(s) != nil {
		return ctx.Error("format", "not of the format")
	}
	return nil
}

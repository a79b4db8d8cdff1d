package schemas_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dcm-receiver/schemas"
)

// TestPublishedModels: what the published models demand, the schemas demand too, or
// it stands in the list of what another check, or a choice, is there for.
func TestPublishedModels(t *testing.T) {
	const models = "../../shared/standards/models"
	if _, err := os.Stat(models); err != nil {
		t.Skip("the published models are not there: ", err)
	}
	for _, c := range []struct {
		published, ours string
		elsewhere       []string // facts that the schema has in another form
	}{
		{
			published: "WeekBasedCapacityGroup-3.0.1-schema.json", ours: "week-based-capacity-group.json",
			elsewhere: []string{ // whole numbers here, as the field list and xsd:int say
				"/demandVolatilityParameters/measurementInterval type number",
				"/demandVolatilityParameters/rollingHorizonAlertThresholds/sequenceNumber type number",
				"/demandVolatilityParameters/rollingHorizonAlertThresholds/subhorizonLength type number",
			},
		},
		{published: "WeekBasedMaterialDemand-3.0.1-schema.json", ours: "week-based-material-demand.json"},
		{published: "IdBasedRequestForUpdate-3.0.0-schema.json", ours: "id-based-request-for-update.json"},
		{published: "IdBasedComment-1.1.0-schema.json", ours: "id-based-comment.json"},
		{published: "MessageHeader-3.0.0-schema.json", ours: "message-header.json"},
	} {
		t.Run(c.published, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(models, c.published))
			if err != nil {
				t.Fatal(err)
			}
			demanded := facts(t, c.published, func(string) ([]byte, error) { return text, nil })
			have := facts(t, c.ours, schemas.FS.ReadFile)
			for _, fact := range slices.Sorted(maps.Keys(demanded)) {
				if !have[fact] && !slices.Contains(c.elsewhere, fact) {
					t.Errorf("the model demands %s, the schema does not", fact)
				}
			}
			for _, fact := range c.elsewhere {
				if have[fact] || !demanded[fact] {
					t.Errorf("%s is no difference any more", fact)
				}
			}
		})
	}
}

// facts are the keywords of a schema that restrict values, each with its place, such
// as "/capacities uniqueItems true".
func facts(t *testing.T, file string, read func(string) ([]byte, error)) map[string]bool {
	t.Helper()
	found, files := map[string]bool{}, map[string]any{}
	load := func(name string) any {
		if files[name] == nil {
			text, err := read(name)
			if err != nil {
				t.Fatal(err)
			}
			var v any
			if err := json.Unmarshal(text, &v); err != nil {
				t.Fatal(err)
			}
			files[name] = v
		}
		return files[name]
	}
	var walk func(file string, schema any, place string)
	walk = func(file string, schema any, place string) {
		s, _ := schema.(map[string]any)
		if ref, ok := s["$ref"].(string); ok {
			name, pointer, _ := strings.Cut(ref, "#")
			if name == "" {
				name = file
			}
			target := load(name)
			for step := range strings.SplitSeq(strings.Trim(pointer, "/"), "/") {
				if step != "" {
					target = target.(map[string]any)[step]
				}
			}
			walk(name, target, place)
		}
		for _, keyword := range []string{"uniqueItems", "enum", "minItems", "maxItems", "minLength", "maxLength",
			"minimum", "maximum", "type"} {
			if v, ok := s[keyword]; ok {
				found[fmt.Sprint(place, " ", keyword, " ", v)] = true
			}
		}
		required, _ := s["required"].([]any)
		for _, name := range required {
			found[fmt.Sprint(place, " required ", name)] = true
		}
		properties, _ := s["properties"].(map[string]any)
		for name, p := range properties {
			walk(file, p, place+"/"+name)
		}
		if items, ok := s["items"]; ok {
			walk(file, items, place)
		}
	}
	walk(file, load(file), "")
	return found
}

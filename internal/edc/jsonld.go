package edc

import (
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"
)

// Namespaces of the connector's JSON-LD.
const (
	edcNS  = "https://w3id.org/edc/v0.0.1/ns/"
	odrlNS = "http://www.w3.org/ns/odrl/2/"
	dctNS  = "http://purl.org/dc/terms/"
	cxNS   = "https://w3id.org/catenax/policy/"        // policy operands up to tractusx-edc 0.10
	cx25NS = "https://w3id.org/catenax/2025/9/policy/" // from 0.11 on (CX-0152)
)

// Contexts that connectors know by their address.
const (
	policyContext = "https://w3id.org/catenax/2025/9/policy/context.jsonld"
	dspaceProfile = "https://w3id.org/dspace/2025/1/odrl-profile.jsonld"
)

var edcContext = map[string]any{"@vocab": edcNS}

// odrlTerms are the words of the ODRL contexts that a policy or a catalogue
// here can hold, and policyTerms those of CX-0152's: the connector knows the
// contexts by their address, and so must we to read what it made of ours.
var (
	odrlTerms = []string{"permission", "prohibition", "obligation", "constraint", "action", "leftOperand", "operator",
		"rightOperand",
		"and", "or", "xone", "andSequence", "assigner", "assignee", "target", "hasPolicy", "Set", "Offer", "use",
		"eq", "neq", "in", "isAnyOf", "isNoneOf"}
	policyTerms = []string{"access", "Membership", "FrameworkAgreement", "UsagePurpose", "BusinessPartnerNumber",
		"BusinessPartnerGroup"}
)

// terms is a JSON-LD context: word or prefix → IRI, "@vocab" for all others.
type terms map[string]string

// with adds a document's own context. Of contexts given by address, only those
// that connectors use are known; another changes nothing.
func (t terms) with(context any) terms {
	out := make(terms, len(t)+8)
	for k, v := range t {
		out[k] = v
	}
	switch c := context.(type) {
	case []any:
		for _, e := range c {
			out = out.with(e)
		}
	case string:
		switch {
		case c == "http://www.w3.org/ns/odrl.jsonld", strings.HasSuffix(c, "/odrl.jsonld"),
			strings.HasSuffix(c, "/odrl-profile.jsonld"),
			strings.HasSuffix(c, "/dspace/2025/1/context.jsonld"): // a catalogue of DSP 2025-1, which has no prefixes
			for _, w := range odrlTerms {
				out[w] = odrlNS + w
			}
		case strings.HasSuffix(c, "/policy/context.jsonld"):
			out["cx-policy"] = cx25NS // the form in which 0.12 gives operands back
			for _, w := range policyTerms {
				out[w] = cx25NS + w
			}
		}
	case map[string]any:
		for k, v := range c {
			if s, ok := v.(string); ok {
				out[k] = s
			}
		}
	}
	return out
}

func (t terms) iri(word string) string {
	if strings.HasPrefix(word, "@") {
		return word
	}
	if iri, ok := t[word]; ok {
		return iri
	}
	if prefix, rest, ok := strings.Cut(word, ":"); ok {
		if ns, ok := t[prefix]; ok && !strings.HasPrefix(rest, "//") {
			return ns + rest
		}
		return word
	}
	return t["@vocab"] + word
}

// byName are the properties whose values are IRIs even when written as words.
var byName = map[string]bool{"@id": false, "@type": true, odrlNS + "action": true, odrlNS + "leftOperand": true,
	odrlNS + "operator": true}

// expand rewrites a JSON-LD value so that two spellings of one thing become
// equal: IRIs written out; {"@id": x} and {"@value": x} as x; a list of one as
// its element; an empty list or null as nothing; lists, which are sets in
// JSON-LD, in one order; every scalar as text, as the connector keeps it.
// It covers what connectors write, not all of JSON-LD.
func (t terms) expand(v any) any { return t.value("", v) }

func (t terms) value(property string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		if c, ok := v["@context"]; ok {
			t = t.with(c)
		}
		out := map[string]any{}
		for k, e := range v {
			if k == "@context" {
				continue
			}
			k = t.iri(k)
			if e = t.value(k, e); e != nil {
				out[k] = e
			}
		}
		if len(out) == 1 {
			if id, ok := out["@id"].(string); ok {
				return t.iriOrID(id)
			}
			if e, ok := out["@value"]; ok {
				return e
			}
		}
		if len(out) == 0 {
			return nil
		}
		return out
	case []any:
		var out []any
		for _, e := range v {
			if e = t.value(property, e); e != nil {
				out = append(out, e)
			}
		}
		switch len(out) {
		case 0:
			return nil
		case 1:
			return out[0]
		}
		sort.SliceStable(out, func(i, j int) bool { return text(out[i]) < text(out[j]) })
		return out
	case nil:
		return nil
	case string:
		if byName[property] {
			return t.iri(v)
		}
		return v
	default:
		return fmt.Sprint(v)
	}
}

// iriOrID: the value of @id is an IRI, compact or not, or a plain ID of the
// connector's, which has no vocabulary.
func (t terms) iriOrID(id string) string {
	if strings.Contains(id, ":") {
		return t.iri(id)
	}
	return id
}

func text(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	data, _ := json.Marshal(v) // maps in the order of their keys
	return string(data)
}

// differences says where an expanded object of the connector is not what is
// wanted. Outside of the parts that exactly names, the connector may hold more
// than we asked for: its own defaults, an operator's notes.
func differences(path string, got, want any, exact bool) []string {
	w, ok := want.(map[string]any)
	g, ok2 := got.(map[string]any)
	if !ok || !ok2 {
		switch {
		case text(got) == text(want):
			return nil
		case isSecret(path):
			return []string{path + ": another value than wanted (not shown, it may be a key)"}
		}
		return []string{path + ": " + shown(got) + ", wanted " + shown(want)}
	}
	keys := map[string]bool{}
	for k := range w {
		keys[k] = true
	}
	if exact {
		for k := range g {
			keys[k] = true
		}
	}
	var out []string
	for k := range keys {
		below := exact
		gk, wk := g[k], w[k]
		if exactly[k] {
			gk, wk, below = bare(gk), bare(wk), true
		}
		if k == edcNS+"policy" && text(gk) != text(wk) {
			out = append(out, "policy: "+rules(gk)+", wanted "+rules(wk))
			continue
		}
		out = append(out, differences(strings.TrimPrefix(path+"/"+short(k), "/"), gk, wk, below)...)
	}
	slices.Sort(out)
	return out
}

// bare leaves out the IDs and types that a connector gives to the parts of a
// policy, a selector or a data address.
func bare(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			if k != "@id" && k != "@type" {
				out[k] = bare(e)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = bare(e)
		}
		sort.SliceStable(out, func(i, j int) bool { return text(out[i]) < text(out[j]) })
		return out
	}
	return v
}

// exactly are the parts where something more would change what the object
// does: another header in the data address, another rule in the policy.
var exactly = map[string]bool{
	edcNS + "dataAddress": true, edcNS + "assetsSelector": true, edcNS + "policy": true,
}

// short leaves out namespaces, for reading.
func short(iri string) string {
	for _, ns := range []string{edcNS, odrlNS, dctNS, cx25NS, cxNS, "https://w3id.org/tractusx/v0.0.1/ns/"} {
		iri = strings.ReplaceAll(iri, ns, "")
	}
	return iri
}

// rules puts an expanded policy into words: "use if Membership eq active and …".
func rules(policy any) string {
	p, _ := policy.(map[string]any)
	var out []string
	for _, rule := range []string{"permission", "prohibition", "obligation"} {
		for _, e := range list(p[odrlNS+rule]) {
			r, _ := e.(map[string]any)
			s := short(text(r[odrlNS+"action"]))
			if rule != "permission" {
				s = rule + ": " + s
			}
			if c := r[odrlNS+"constraint"]; c != nil {
				s += " if " + condition(c, "and")
			}
			out = append(out, s)
		}
	}
	if len(out) == 0 {
		return "nothing"
	}
	return "\"" + strings.Join(out, "; ") + "\""
}

func condition(v any, junction string) string {
	var out []string
	for _, e := range list(v) {
		c, _ := e.(map[string]any)
		if left, ok := c[odrlNS+"leftOperand"]; ok {
			out = append(out, short(text(left))+" "+short(text(c[odrlNS+"operator"]))+" "+text(
				c[odrlNS+"rightOperand"]))
			continue
		}
		for _, j := range []string{"and", "or", "xone", "andSequence"} {
			if inner, ok := c[odrlNS+j]; ok {
				s := condition(inner, j)
				if junction != j && len(list(inner)) > 1 && len(list(v)) > 1 {
					s = "(" + s + ")"
				}
				out = append(out, s)
			}
		}
	}
	return strings.Join(out, " "+junction+" ")
}

// list is v where it is a list, else v as the only element; nil is empty.
func list(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return v
	}
	return []any{v}
}

// isSecret: in a data address the API key, and other headers than the sender's.
func isSecret(path string) bool {
	return strings.HasSuffix(path, "/authCode") || strings.Contains(path, "/header:") &&
		!strings.HasSuffix(path, "/header:"+SenderHeader)
}

func shown(v any) string {
	if v == nil {
		return "nothing"
	}
	return short(text(v))
}

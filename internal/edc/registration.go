package edc

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"dcm-receiver/internal/dcm"
)

// What the standards call the endpoints in a catalogue. CX-0048 §2.2.5 and
// §3.2.5 ask for the property asset:prop:dcm; dct:type is how today's partners
// search.
const (
	dcmProperty   = "asset:prop:dcm"
	taxonomy      = "https://w3id.org/catenax/taxonomy#"
	typeMessages  = "urn:dcm-receiver:messages" // ours: no standard knows answers that can be fetched
	commonVersion = "https://w3id.org/catenax/ontology/common#version"
)

// Kind is one thing that can be done through the connector, or that its
// catalogue says of its owner.
type Kind struct {
	name    string // in our IDs
	words   string // in descriptions and messages
	path    string // on the partner listener
	dct     string // value of dct:type
	dcm     string // value of asset:prop:dcm, "" where the standard has none
	version string // of the offer
}

// Type is the value of dct:type with which catalogues name the kind.
func (k Kind) Type() string { return k.dct }

// KindOf is an endpoint as a catalogue offers it.
func KindOf(e dcm.Endpoint) Kind {
	// week-based-capacity-group has been registered as capacity-group: what exists keeps its ID
	name := strings.TrimPrefix(strings.TrimPrefix(e.Path, "week-based-"), "id-based-")
	return Kind{name, e.Object + " endpoint", "/" + e.Path, taxonomy + e.Taxonomy, property(e), "2.0"}
}

// property is the value of asset:prop:dcm, where CX-0048 names one: it does for
// the two week-based objects.
func property(e dcm.Endpoint) string {
	if strings.HasPrefix(e.Path, "week-based-") {
		return e.Property
	}
	return ""
}

var (
	CapacityGroup    = KindOf(dcm.CapacityGroupEndpoint)
	MaterialDemand   = KindOf(dcm.MaterialDemandEndpoint)
	RequestForUpdate = KindOf(dcm.RequestForUpdateEndpoint)
	Comment          = KindOf(dcm.CommentEndpoint)
	Messages         = Kind{"messages", "answers for fetching (an addition of dcm-receiver)", "/messages",
		typeMessages, "", "1.0"}
)

// Capabilities are the names of what a company can say that it supports (CX-0128
// §4.6): assets without a function behind them.
var Capabilities = []string{"load-factor", "delta-production", "demand-volatility"}

var capabilities = map[string]Kind{
	"load-factor": {name: "load-factor", words: "load factors are supported", dct: taxonomy + "DcmLoadFactor",
		version: "2.0"},
	"delta-production": {name: "delta-production", words: "delta production is supported",
		dct: taxonomy + "DcmDeltaProduction", version: "2.0"},
	"demand-volatility": {name: "demand-volatility", words: "demand volatility is supported",
		dct: taxonomy + "DcmDemandVolatility", version: "2.0"},
}

// Registration is what a customer's connector is to offer to suppliers.
type Registration struct {
	Names Names // of the fields below

	Prefix string // begins the ID of every object made; one receiver's is not another's
	// tractusx-edc of the customer, such as 0.10 or 0.11.2: policies are written differently from
	// 0.11 on
	Version     string
	Backend     string     // URL of the partner listener as the data plane reaches it
	Key         string     // API key that the data plane shows, in clear in the data address (authCode)
	KeyAlias    string     // instead: its name in the connector's vault (secretName)
	Type        string     // HttpData | ProxyHttpData
	Partners    []string   // BPNLs of those who may see it; none: everyone with a valid membership
	PerSupplier bool       // an asset each for every partner, naming it in header:Edc-Bpn
	Header      string     // the header that names the sender
	Usage       string     // framework | use
	Messages    bool       // offer the answers for fetching, too
	Roles       []dcm.Role // ours; none: customer
	Comments    bool       // offer the endpoint for comments (CX-0128 §4.4)
	Capable     []string   // names of Capabilities to offer (CX-0128 §4.6)
	Tolerated   []string   // IDs of others' assets of the same kinds that are known to be shown to other suppliers
}

// Collections of the Management API, in the order in which objects refer to
// each other.
const (
	assets              = "assets"
	policies            = "policydefinitions"
	contractDefinitions = "contractdefinitions"
)

// Object is one object of the Management API as it is sent.
type Object struct {
	Collection string // assets | policydefinitions | contractdefinitions
	ID         string
	Body       map[string]any
}

// JSON is the body for people and for other tools.
func (o Object) JSON() []byte {
	data, _ := json.MarshalIndent(o.Body, "", "  ") // plain maps and strings: cannot fail
	return append(data, '\n')
}

var singular = map[string]string{assets: "asset", policies: "policy", contractDefinitions: "contract definition"}

func (o Object) String() string { return singular[o.Collection] + " " + o.ID }

// The mark on what is ours. The prefix is in it, because the IDs of one
// receiver (dcm-…) may begin like those of another (dcm-test-…).
const markName = "managedBy"

func (r Registration) mark() string { return "dcm-receiver:" + r.Prefix }

var (
	prefixForm  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)
	versionForm = regexp.MustCompile(`^0\.(\d+)(\.\d+)?([-.].*)?$`)
)

// minor is the second number of the connector's version.
func (r Registration) minor() int {
	m := versionForm.FindStringSubmatch(r.Version)
	if m == nil {
		return -1
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// Validate says in one sentence what is wrong with the settings, naming the
// environment variable.
func (r Registration) Validate() error {
	u, err := url.Parse(r.Backend)
	switch {
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" ||
		u.Fragment != "":
		return errors.New(
			r.Names.of("Backend") + " must be the http(s) URL at which the connector's data plane reaches the " +
				"partner listener, without a query")
	case r.Key == "" && r.KeyAlias == "":
		return errors.New(
			"the data plane needs a key for the receiver: set " + r.Names.of("Key") + " (the first one is " +
				"registered), or " + r.Names.of("KeyAlias") + " to its name in the connector's vault")
	case r.Key != "" && r.KeyAlias != "":
		return errors.New("the API key is registered either in clear or by its name in the vault, not both")
	case r.minor() < 7:
		return fmt.Errorf(
			r.Names.of("Version")+" is %q, but must be the version of the customer's tractusx-edc, from 0.7 on, "+
				"such as 0.10.0", r.Version)
	case r.Type != "HttpData" && r.Type != "ProxyHttpData":
		return fmt.Errorf(r.Names.of("Type")+" is %q, but must be HttpData or ProxyHttpData", r.Type)
	case r.Type == "ProxyHttpData" && r.minor() < 13 && !r.PerSupplier:
		return errors.New(
			"ProxyHttpData of tractusx-edc before 0.13 does not say who is sending: set " + r.Names.of("PerSupplier") +
				"=true, or " + r.Names.of("Type") + "=HttpData")
	case r.PerSupplier && len(r.Partners) == 0:
		return errors.New(r.Names.of("PerSupplier") + " needs " + r.Names.of("Partners") + ": an asset is made " +
			"for each of them")
	case r.Usage != "framework" && r.Usage != "use":
		return fmt.Errorf(r.Names.of("Usage")+" is %q, but must be framework or use", r.Usage)
	case !prefixForm.MatchString(r.Prefix):
		return fmt.Errorf(r.Names.of("Prefix")+" is %q, but must be letters, digits, '.', '_' and '-', at most 100",
			r.Prefix)
	}
	for _, name := range r.Capable {
		if _, ok := capabilities[name]; !ok {
			return fmt.Errorf(r.Names.of("Capable")+": %q is none of %s", name, strings.Join(Capabilities, ", "))
		}
	}
	for _, p := range r.Partners {
		if !dcm.IsBPNL(p) {
			return fmt.Errorf(r.Names.of("Partners")+": %q is no BPNL", p)
		}
	}
	return nil
}

// kinds are those that the roles and the standard ask for.
func (r Registration) kinds() []Kind {
	var kinds []Kind
	roles := r.Roles
	if len(roles) == 0 {
		roles = []dcm.Role{dcm.CustomerRole}
	}
	for _, e := range dcm.Endpoints {
		here := slices.ContainsFunc(e.Roles, func(role dcm.Role) bool { return slices.Contains(roles, role) })
		if here && (r.Comments || e.Path != dcm.CommentEndpoint.Path) {
			kinds = append(kinds, KindOf(e))
		}
	}
	if r.Messages {
		kinds = append(kinds, Messages)
	}
	for _, name := range r.Capable {
		kinds = append(kinds, capabilities[name])
	}
	return kinds
}

// searched are the kinds of which another asset may not be visible beside ours:
// those of the endpoints, and the messages also where they are not offered now.
func (r Registration) searched() []Kind {
	r.Messages, r.Capable = true, nil
	return r.kinds()
}

// Objects is all that is registered, in the order in which it must be made.
func (r Registration) Objects() []Object {
	var offers, rules, contracts []Object
	usage := r.policy("usage", r.usage())
	partners := slices.Compact(slices.Sorted(slices.Values(r.Partners)))
	// whom a policy admits: everybody together, or each partner alone. From 0.11
	// on a policy that names two or more BPNLs admits no one (measured with 0.12.1;
	// "or" is refused there), so each has its own, and its own contract definition.
	groups := [][]string{partners}
	if r.PerSupplier || r.saturn() && len(partners) > 0 {
		groups = nil
		for _, p := range partners {
			groups = append(groups, []string{p})
		}
	}
	if !r.PerSupplier { // one asset for all
		for _, k := range r.kinds() {
			offers = append(offers, r.asset(k, "", nil))
		}
	}
	for _, admitted := range groups {
		suffix := ""
		if r.PerSupplier || r.saturn() && len(partners) > 0 {
			suffix = "-" + admitted[0]
		}
		access := r.policy("access"+suffix, r.access(admitted))
		rules = append(rules, access)
		for i, k := range r.kinds() {
			var asset Object
			if r.PerSupplier {
				asset = r.asset(k, suffix, admitted)
				offers = append(offers, asset)
			} else {
				asset = offers[i]
			}
			contracts = append(contracts, r.contract(r.Prefix+"-"+k.name+suffix, asset, access, usage))
		}
	}
	return slices.Concat(offers, append(rules, usage), contracts)
}

func (r Registration) object(collection, id string, body map[string]any) Object {
	body["@id"] = id
	body["privateProperties"] = map[string]any{markName: r.mark()}
	if _, ok := body["@context"]; !ok {
		body["@context"] = edcContext
	}
	return Object{collection, id, body}
}

func (r Registration) asset(k Kind, suffix string, partners []string) Object {
	properties := map[string]any{
		dctNS + "type": map[string]any{"@id": k.dct},
		commonVersion:  k.version,
		"description":  "Demand and capacity management: " + k.words,
	}
	if k.dcm != "" {
		properties[dcmProperty] = k.dcm
	}
	address := map[string]any{
		"@type": "DataAddress", "type": r.Type,
		"baseUrl": strings.TrimRight(r.Backend, "/") + k.path,
		"method":  "POST", "proxyMethod": "false", "proxyBody": "true", "proxyPath": "false",
		"proxyQueryParams": "false",
		"authKey":          "X-Api-Key",
	}
	if k == Messages {
		address["method"], address["proxyBody"], address["proxyPath"], address["proxyQueryParams"] = "GET", "false",
			"true", "true"
	}
	if k.path == "" { // a mark: there is nothing behind it, so the data plane gets no key for it
		address["baseUrl"] = strings.TrimRight(r.Backend, "/")
		address["method"], address["proxyBody"] = "GET", "false"
		delete(address, "authKey")
	} else if r.KeyAlias != "" {
		address["secretName"] = r.KeyAlias
	} else {
		address["authCode"] = r.Key
	}
	if r.PerSupplier {
		address["header:"+r.Header] = partners[0]
	}
	return r.object(assets, r.Prefix+"-"+k.name+suffix, map[string]any{"properties": properties,
		"dataAddress": address})
}

// saturn: from tractusx-edc 0.11 on, policies are those of CX-0152: another
// namespace, an action of its own for access, other operators.
func (r Registration) saturn() bool { return r.minor() >= 11 }

func (r Registration) policy(name string, permission map[string]any) Object {
	contexts := []any{"http://www.w3.org/ns/odrl.jsonld",
		map[string]any{"cx-policy": cxNS, "tx": "https://w3id.org/tractusx/v0.0.1/ns/"}}
	if r.saturn() {
		contexts = []any{"https://w3id.org/catenax/2025/9/policy/odrl.jsonld",
			"https://w3id.org/catenax/2025/9/policy/context.jsonld"}
	}
	return r.object(policies, r.Prefix+"-"+name, map[string]any{
		"@context": append(contexts, edcContext), "@type": "PolicyDefinition",
		"policy": map[string]any{"@type": "Set", "permission": []any{permission}},
	})
}

func constraint(left, operator string, right any) map[string]any {
	return map[string]any{"leftOperand": left, "operator": operator, "rightOperand": right}
}

// access decides who sees the asset.
func (r Registration) access(partners []string) map[string]any {
	partners = slices.Compact(slices.Sorted(slices.Values(partners)))
	switch {
	case r.saturn() && len(partners) == 0:
		return map[string]any{"action": "access", "constraint": []any{constraint("Membership", "eq", "active")}}
	case r.saturn():
		// always one
		return map[string]any{"action": "access", "constraint": []any{constraint("BusinessPartnerNumber", "isAnyOf",
			partners)}}
	case len(partners) == 0:
		return map[string]any{"action": "use", "constraint": []any{constraint("cx-policy:Membership", "eq", "active")}}
	}
	// isAnyOf with a list is understood by no connector up to 0.10: it lets no one through
	var each []any
	for _, p := range partners {
		each = append(each, constraint("tx:BusinessPartnerNumber", "eq", p))
	}
	if len(each) == 1 {
		return map[string]any{"action": "use", "constraint": each}
	}
	return map[string]any{"action": "use", "constraint": []any{map[string]any{"or": each}}}
}

// usage is what a supplier agrees to.
func (r Registration) usage() map[string]any {
	if r.Usage == "use" {
		return map[string]any{"action": "use"}
	}
	prefix, purpose := "cx-policy:", constraint("cx-policy:UsagePurpose", "eq", "cx.dcm.base:1")
	if r.saturn() {
		prefix, purpose = "", constraint("UsagePurpose", "isAnyOf", []string{"cx.dcm.base:1"})
	}
	return map[string]any{"action": "use", "constraint": []any{map[string]any{"and": []any{
		constraint(prefix+"Membership", "eq", "active"),
		constraint(prefix+"FrameworkAgreement", "eq", "DataExchangeGovernance:1.0"),
		purpose,
	}}}}
}

func (r Registration) contract(id string, asset, access, usage Object) Object {
	return r.object(contractDefinitions, id, map[string]any{
		"@type": "ContractDefinition", "accessPolicyId": access.ID, "contractPolicyId": usage.ID,
		"assetsSelector": []any{criterion{edcNS + "id", "=", asset.ID, "Criterion"}},
	})
}

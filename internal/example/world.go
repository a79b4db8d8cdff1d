package example

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strconv"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/standard"

	"github.com/google/uuid"
)

// A Sent is a message of the world.
type Sent struct {
	Endpoint dcm.Endpoint
	Sender   string // BPNL
	Receiver string // BPNL
	At       time.Time
	Body     []byte
}

// A World is a customer and three suppliers, with what they tell each other. It
// is valid by CX-0048 and by CX-0128 alike: each group is linked either to demand
// series or to other groups, and measures volatility from the Monday after the
// oldest state on.
type World struct {
	Customer  string   // BPNL
	Suppliers []string // BPNLs

	// CapacityGroups has a message for each supplier, and one that is three weeks
	// old. There are groups with one series and with several, one above two
	// others, one inactive, one with alert thresholds, one counted in kilograms,
	// one agreed above what it can do; a series that two groups share, a material
	// of two suppliers, and a link without its demand. Compared with the demands
	// some weeks are a surplus, some a bottleneck (orange and red), one each has no
	// deviation, no capacity and no demand.
	CapacityGroups []Sent

	// MaterialDemands has a message of the customer to each supplier, with every
	// demand that the groups are linked to but one, a series that no group is
	// linked to, and an inactive material.
	MaterialDemands []Sent

	// DemandLines are the same demands as CSV, in the columns of outbox.demand_line.
	DemandLines []byte

	// RequestsForUpdate asks for one demand, and for everything.
	RequestsForUpdate []Sent

	// Comments are suppliers' comments on their groups (CX-0128).
	Comments []Sent

	// Refused are capacity groups that rules 1 and 3 refuse, one body that is cut
	// off, and a group that is older than the stored one.
	Refused []Sent

	// Earlier are the states of the weeks before, the oldest first: since then a
	// tight line was announced, a supplier built another cell, and demands rose and
	// fell by more than was agreed. There are as many as Options.Past.
	Earlier []State
}

// A State is what was known of groups and demands some weeks ago.
type State struct {
	At              time.Time
	CapacityGroups  []Sent
	MaterialDemands []Sent
	DemandLines     []byte
}

// The sites of the customer.
const (
	mainSite   = "BPNS8888888888XX"
	secondSite = "BPNS8888888888ZZ"
)

// part is one material of one supplier, with what is needed of it a week.
type part struct {
	supplier, number, description, unit string
	bySite                              map[string]int
	inactive                            bool
}

// line is a capacity group.
type line struct {
	supplier, name, unit string
	links                []link
	children             []string // names of groups of the same supplier
	inactive, tight      bool
	thresholds           bool
	agreedTooMuch        bool
	stale                bool // sent three weeks ago
	behind               bool // two weeks make up for what was not delivered before
	built                bool // had less capacity until nine weeks ago, another name and load factor until three
	balanced             int  // week in which capacity is exactly the demand; 0 for none
	without              int  // week without capacity; 0 for none
}

type link struct{ number, site, factor string }

var (
	suppliers = []string{"BPNL00000000SUP1", "BPNL00000000SUP2", "BPNL00000000SUP3"}
	sites     = []string{mainSite, secondSite}

	worldParts = []part{
		{supplier: suppliers[0], number: "MNR-100001.001", description: "Brake disc, front", unit: "unit:piece",
			bySite: map[string]int{mainSite: 1200, secondSite: 400}},
		// no group has the second site
		{supplier: suppliers[0], number: "MNR-100002.001", description: "Brake disc, rear", unit: "unit:piece",
			bySite: map[string]int{mainSite: 1000, secondSite: 300}},
		{supplier: suppliers[0], number: "MNR-100003.001", description: "Brake pad", unit: "unit:piece",
			bySite: map[string]int{mainSite: 4800}},
		{supplier: suppliers[0], number: "MNR-100009.001", description: "Brake drum", unit: "unit:piece",
			bySite: map[string]int{secondSite: 50}, inactive: true},
		{supplier: suppliers[1], number: "MNR-200001.001", description: "Wheel hub", unit: "unit:piece",
			bySite: map[string]int{mainSite: 2400}},
		{supplier: suppliers[1], number: "MNR-200002.001", description: "Bearing grease", unit: "unit:kilogram",
			bySite: map[string]int{mainSite: 150}},
		{supplier: suppliers[2], number: "MNR-300001.001", description: "Fuel rail", unit: "unit:piece",
			bySite: map[string]int{secondSite: 800}},
		// a second source
		{supplier: suppliers[2], number: "MNR-100001.001", description: "Brake disc, front", unit: "unit:piece",
			bySite: map[string]int{mainSite: 300}},
	}
	worldLines = []line{
		{supplier: suppliers[0], name: "Foundry, line 1", unit: "unit:piece", tight: true, links: []link{
			{"MNR-100001.001", mainSite, ""}, {"MNR-100001.001", secondSite, ""}, {"MNR-100002.001", mainSite, ""}}},
		{supplier: suppliers[0], name: "Machining, cell 4", unit: "unit:piece", behind: true, built: true,
			links: []link{
				{"MNR-100001.001", mainSite, "1.5"}, {"MNR-100003.001", mainSite, "0.25"}}},
		{supplier: suppliers[0], name: "Plant as a whole", unit: "unit:piece",
			children: []string{"Foundry, line 1", "Machining, cell 4"}},
		{supplier: suppliers[0], name: "Old foundry", unit: "unit:piece", inactive: true,
			links: []link{{"MNR-100001.001", mainSite, ""}}},
		{supplier: suppliers[1], name: "Hub forge", unit: "unit:piece", thresholds: true, agreedTooMuch: true,
			tight: true, links: []link{{"MNR-200001.001", mainSite, ""}}},
		{supplier: suppliers[1], name: "Grease filling", unit: "unit:kilogram", without: 5,
			links: []link{{"MNR-200002.001", mainSite, ""}}},
		// its demand is not known
		{supplier: suppliers[1], name: "Spare hubs", unit: "unit:piece",
			links: []link{{"MNR-200077.001", mainSite, ""}}},
		{supplier: suppliers[2], name: "Brake discs, line 2", unit: "unit:piece", balanced: 2,
			links: []link{{"MNR-100001.001", mainSite, ""}}},
		{supplier: suppliers[2], name: "Fuel rails, line 6", unit: "unit:piece", stale: true,
			links: []link{{"MNR-300001.001", secondSite, ""}}},
	}
)

// MakeWorld makes the world of a seed: its IDs are the same whatever Weeks and
// Now are, and so are the quantities of a week that is counted from Now. Groups
// and Supplier of the options are not looked at; Weeks is at least 8, so that each of
// the states is there.
func MakeWorld(o Options) World {
	o.Weeks = max(o.Weeks, 8)
	w := world{o, cmp.Or(o.Customer, Customer), 0}
	all := World{Customer: w.customer, Suppliers: suppliers}
	for ago := o.Past; ago > 0; ago-- {
		then := w
		then.ago, then.Now = ago, o.Now.AddDate(0, 0, -7*ago)
		all.Earlier = append(all.Earlier, then.state())
	}
	now := w.state()
	all.CapacityGroups, all.MaterialDemands, all.DemandLines = now.CapacityGroups, now.MaterialDemands, now.DemandLines
	one := object{"weekBasedMaterialDemand": []object{{"materialDemandId": w.demandID(worldParts[0]),
		"changedAt": o.Now.Add(-72 * time.Hour).UTC().Format(time.RFC3339)}}}
	all.RequestsForUpdate = []Sent{
		w.sent(dcm.RequestForUpdateEndpoint, suppliers[0], w.customer, "request for one", w.before(4), []object{one}),
		w.sent(dcm.RequestForUpdateEndpoint, suppliers[2], w.customer, "request for all", o.Now, []object{{}}),
	}
	// Comments are as old as they would be, as far as there is a past.
	comment := func(daysAgo int, l line, kind, text string, weeks ...int) Sent {
		dates := make([]string, len(weeks))
		for i, n := range weeks {
			dates[i] = w.week(n)
		}
		at := w.before(daysAgo)
		return w.sent(dcm.CommentEndpoint, l.supplier, w.customer, text, at, []object{{
			"commentId": w.id("comment", l.supplier, l.name, text), "objectId": w.groupID(l),
			"objectType": "urn:samm:io.catenax.week_based_capacity_group",
			"supplier":   l.supplier, "customer": w.customer, "author": "planning@supplier.example",
			"commentType": kind, "commentText": text,
			"listOfReferenceDates": dates, "postedAt": at.UTC().Format(time.RFC3339),
			"changedAt": at.UTC().Format(time.RFC3339),
		}})
	}
	all.Comments = []Sent{
		comment(20, worldLines[0], "warning", "The second furnace is relined in these weeks.", 2, 3, 4),
		comment(19, worldLines[4], "warning",
			"One press stands still for its overhaul. We are looking for hubs from our other plant.", 2, 3, 4),
		comment(2, worldLines[4], "information", "A Saturday shift is agreed for the week after.", 5),
		comment(6, worldLines[5], "information", "The filling line stands still; stock covers this week.", 5),
	}
	tuesday, stranger, older := w.group(worldLines[4]), w.group(worldLines[6]), w.group(worldLines[0])
	tuesday["capacityGroupId"] = w.id("refused", "tuesday")
	weeks := tuesday["capacities"].([]object)
	day, _ := dcm.ParseDate(w.week(2)) // which week made
	weeks[2]["pointInTime"] = (day + 1).String()
	stranger["capacityGroupId"], stranger["customer"] = w.id("refused", "stranger"), "BPNL7777777777ZZ"
	older["changedAt"] = o.Now.AddDate(0, 0, -10).UTC().Format(time.RFC3339)
	cut := w.sent(dcm.CapacityGroupEndpoint, suppliers[2], w.customer, "cut off", w.before(1),
		[]object{w.group(worldLines[7])})
	cut.Body = cut.Body[:500]
	all.Refused = []Sent{
		w.sent(dcm.CapacityGroupEndpoint, suppliers[1], w.customer, "tuesday", w.before(3), []object{tuesday}),
		w.sent(dcm.CapacityGroupEndpoint, suppliers[1], w.customer, "tuesday again", w.before(2), []object{tuesday}),
		w.sent(dcm.CapacityGroupEndpoint, suppliers[1], w.customer, "stranger", w.before(2), []object{stranger}),
		cut,
		w.sent(dcm.CapacityGroupEndpoint, suppliers[0], w.customer, "older", o.Now, []object{older}),
	}
	return all
}

// world is the one that is known so many weeks ago; Now is then.
type world struct {
	Options
	customer string
	ago      int
}

// staleFor is for how many weeks a stale group has not been sent.
const staleFor = 3

// before is so many days ago, or now where the world has no past.
func (w world) before(days int) time.Time {
	if w.Past == 0 {
		return w.Now
	}
	return w.Now.AddDate(0, 0, -days)
}

func (w world) stale() time.Time { return w.Now.AddDate(0, 0, -7*max(0, staleFor-w.ago)) }

// state is what the suppliers and the customer say of one week.
func (w world) state() State {
	s := State{At: w.Now, DemandLines: w.csv()}
	what := func(kind string) string {
		if w.ago > 0 {
			kind += " " + strconv.Itoa(w.ago) + " weeks ago"
		}
		return kind
	}
	for _, supplier := range suppliers {
		var groups, demands, stale []object
		for _, l := range worldLines {
			if l.supplier == supplier && l.stale {
				stale = append(stale, w.group(l))
			} else if l.supplier == supplier {
				groups = append(groups, w.group(l))
			}
		}
		for _, p := range worldParts {
			if p.supplier == supplier {
				demands = append(demands, w.demand(p))
			}
		}
		// After its last state it is not sent again, and the present one says which that is.
		if len(stale) > 0 && (w.ago == 0 || w.ago > staleFor) {
			s.CapacityGroups = append(s.CapacityGroups, w.sent(dcm.CapacityGroupEndpoint, supplier, w.customer,
				what("stale"), w.stale(), stale))
		}
		s.CapacityGroups = append(s.CapacityGroups, w.sent(dcm.CapacityGroupEndpoint, supplier, w.customer,
			what("groups"), w.Now, groups))
		s.MaterialDemands = append(s.MaterialDemands, w.sent(dcm.MaterialDemandEndpoint, w.customer, supplier,
			what("demands"), w.Now, demands))
	}
	return s
}

// random is a generator of its own for each thing, so that none depends on how
// often another one was asked.
func (w world) random(of ...string) *rand.Rand {
	h := fnv.New64a()
	for _, s := range of {
		fmt.Fprintf(h, "%q", s)
	}
	return rand.New(rand.NewPCG(w.Seed, h.Sum64()))
}

func (w world) id(of ...string) uuid.UUID { return id(w.random(of...)) }
func (w world) groupID(l line) uuid.UUID  { return w.id("group", l.supplier, l.name) }
func (w world) demandID(p part) uuid.UUID { return w.id("demand", p.supplier, p.number) }
func (w world) week(n int) string         { return (dcm.DateOf(w.Now.UTC()).Monday() + dcm.Date(7*n)).String() }

// needed is the demand of a week as it was known then. Weeks are counted from
// then: the same calendar week has another number in every state.
func (w world) needed(p part, site string, week int) int {
	level := p.bySite[site]
	now := level - level/20 + w.random("needed", p.supplier, p.number, site, strconv.Itoa(week-w.ago)).IntN(level/10)
	switch {
	case p.number == "MNR-200001.001" && w.ago >= 7: // a demand that went down, and up again
		return now * 112 / 100
	case p.number == "MNR-200001.001" && w.ago >= 3:
		return now * 86 / 100
	case p.number == "MNR-100001.001" && w.ago >= 8:
		return now * 95 / 100
	}
	return now
}

// hasDemand says whether the customer names a demand in the week: of fuel rails
// none is known in week 6.
func hasDemand(p part, week int) bool { return p.number != "MNR-300001.001" || week != 6 }

// worldStandard is the one with comments; its messages are valid under the others too.
var worldStandard = standard.Latest()

// sent is a message in its envelope.
func (w world) sent(e dcm.Endpoint, sender, receiver, what string, at time.Time, objects []object) Sent {
	body, err := json.MarshalIndent(object{
		"messageHeader": object{"header": object{
			"messageId": w.id("message", sender, receiver, what), "context": worldStandard.Context(e, ".x.x"),
			"sentDateTime": at.UTC().Format(time.RFC3339),
			"senderBpn":    sender, "receiverBpn": receiver, "version": "3.0.0",
		}},
		"content": object{"informationObject": objects},
	}, "", " ")
	if err != nil {
		panic(err) // strings and numbers only
	}
	return Sent{e, sender, receiver, at, body}
}

// group is the object of a line.
func (w world) group(l line) object {
	at := w.Now
	if l.stale {
		at = w.stale()
	}
	g := object{
		"capacityGroupId": w.groupID(l), "name": l.name, "supplier": l.supplier, "customer": w.customer,
		"changedAt": at.UTC().Format(time.RFC3339Nano), "unitOfMeasure": l.unit, "unitOfMeasureIsOmitted": false,
		"capacityGroupIsInactive": l.inactive, "supplierLocations": []string{"BPNS" + l.supplier[4:]},
	}
	if l.built && w.ago > 3 {
		g["name"] = "Machining"
	}
	g["capacities"] = w.capacities(l)
	if len(l.children) > 0 {
		var children []uuid.UUID
		for _, c := range l.children {
			children = append(children, w.id("group", l.supplier, c))
		}
		g["linkedCapacityGroups"] = children
	}
	if series := w.links(l); len(series) > 0 {
		g["linkedDemandSeries"] = series
	}
	if l.thresholds {
		g["demandVolatilityParameters"] = object{
			"startReferenceDateTime": (dcm.DateOf(w.Now.UTC()).Monday() + dcm.Date(7*(w.ago-w.Past+1))).String() +
				"T00:00:00Z", "measurementInterval": 1,
			"rollingHorizonAlertThresholds": []object{
				{"sequenceNumber": 1, "subhorizonLength": 4, "relativePositiveDeviation": json.Number("0.1"),
					"relativeNegativeDeviation": json.Number("0.2")},
				{"sequenceNumber": 2, "subhorizonLength": 22, "absolutePositiveDeviation": 500,
					"absoluteNegativeDeviation": 500},
			},
		}
	}
	return g
}

// capacities are the weeks of a line.
func (w world) capacities(l line) []object {
	usual, exact := w.load(l)
	weeks := []object{}
	for n := range w.Weeks {
		now := n - w.ago // the number that the same calendar week has now
		if now == l.without && now > 0 {
			continue
		}
		actual, maximum := usual*115/100, usual*130/100
		switch {
		case l.tight && w.ago > 3: // it is known for three weeks
		case l.tight && (now == 2 || now == 3):
			actual, maximum = usual*90/100, usual*110/100
		case l.tight && now == 4:
			actual, maximum = usual*80/100, usual*85/100
		case l.balanced == now && now > 0:
			actual = exact(n)
		case l.built && w.ago > 9:
			actual, maximum = usual*95/100, usual*105/100
		}
		week := object{"pointInTime": w.week(n), "actualCapacity": actual, "maximumCapacity": max(maximum, actual)}
		if l.behind && (now == 1 || now == 2) {
			week["deltaProductionResult"] = usual / 5
		}
		if l.agreedTooMuch {
			week["agreedCapacity"] = usual * 120 / 100
		}
		weeks = append(weeks, week)
	}
	return weeks
}

// links are the demand series of a line.
func (w world) links(l line) []object {
	var series []object
	for _, k := range l.links {
		s := object{
			"materialNumberCustomer": k.number, "materialNumberSupplier": "S-" + k.number[4:10],
			"customerLocation": k.site,
			"demandCategory":   object{"demandCategoryCode": "0001"},
		}
		if factor := k.factor; factor != "" {
			if l.built && w.ago > 3 && factor == "0.25" {
				factor = "0.2"
			}
			s["loadFactor"] = json.Number(factor)
		}
		series = append(series, s)
	}
	return series
}

// load is the usual demand of a line in a week, in hundredths rounded down, and
// the exact one of a line whose links have no load factors.
func (w world) load(l line) (usual int, exact func(week int) int) {
	for _, c := range l.children {
		for _, child := range worldLines {
			if child.supplier == l.supplier && child.name == c {
				u, _ := w.load(child)
				usual += u
			}
		}
	}
	of := func(k link) (part, bool) {
		for _, p := range worldParts {
			if p.supplier == l.supplier && p.number == k.number {
				return p, true
			}
		}
		return part{}, false
	}
	for _, k := range l.links {
		p, known := of(k)
		level := p.bySite[k.site]
		if !known {
			level = 100
		}
		factor, err := strconv.ParseFloat(cmp.Or(k.factor, "1"), 64)
		if err != nil {
			panic(err) // the table above
		}
		usual += int(float64(level) * factor)
	}
	return usual, func(week int) (sum int) {
		for _, k := range l.links {
			if p, known := of(k); known {
				sum += w.needed(p, k.site, week)
			}
		}
		return sum
	}
}

// demand is the object of a part.
func (w world) demand(p part) object {
	var series []object
	for _, site := range sites {
		if p.bySite[site] == 0 {
			continue
		}
		var demands []object
		for n := range w.Weeks {
			if hasDemand(p, n-w.ago) {
				demands = append(demands, object{"pointInTime": w.week(n), "demand": w.needed(p, site, n)})
			}
		}
		series = append(series, object{"customerLocation": site,
			"demandCategory": object{"demandCategoryCode": "0001"}, "demands": demands})
	}
	return object{
		"materialDemandId": w.demandID(p), "supplier": p.supplier, "customer": w.customer,
		"materialNumberCustomer":      p.number,
		"materialDescriptionCustomer": p.description, "changedAt": w.Now.UTC().Format(time.RFC3339Nano),
		"unitOfMeasure":          p.unit,
		"unitOfMeasureIsOmitted": false, "materialDemandIsInactive": p.inactive, "demandSeries": series,
	}
}

// csv has the demands of all parts, a row a site and week.
func (w world) csv() []byte {
	var out bytes.Buffer
	to := csv.NewWriter(&out)
	rows := [][]string{{"supplier", "customer", "material_number_customer", "customer_location",
		"demand_category_code", "point_in_time", "demand",
		"material_description_customer", "unit_of_measure", "is_inactive"}}
	for _, p := range worldParts {
		for _, site := range sites {
			for n := range w.Weeks {
				if p.bySite[site] > 0 && hasDemand(p, n-w.ago) {
					rows = append(rows, []string{p.supplier, w.customer, p.number, site, "0001", w.week(n),
						strconv.Itoa(w.needed(p, site, n)),
						p.description, p.unit, strconv.FormatBool(p.inactive)})
				}
			}
		}
	}
	if err := to.WriteAll(rows); err != nil {
		panic(err) // a bytes.Buffer
	}
	return out.Bytes()
}

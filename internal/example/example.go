// Package example makes realistic valid messages: for anyone who tries the
// receiver, and for its tests and measurements.
package example

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"dcm-receiver/internal/dcm"

	"github.com/google/uuid"
)

// BPNLs of the example that is published with the data model.
const (
	Supplier = "BPNL6666666666YY"
	Customer = "BPNL8888888888XX"
)

// Options say what a message is to look like. The same options make the same
// message; IDs depend on the seed alone.
type Options struct {
	Groups   int // objects in the message
	Weeks    int // capacities of each
	Seed     uint64
	Supplier string // BPNL
	Customer string // BPNL
	Now      time.Time
	Context  string // of the header; "" for the one of CX-0048's time
	Past     int    // weeks of history of a world
}

type object = map[string]any

// Message is a WeekBasedCapacityGroup message in its envelope.
func Message(o Options) []byte {
	groups := make([]object, o.Groups)
	for i := range groups {
		// Each from a generator of its own: no ID depends on how many weeks or
		// groups come before.
		groups[i] = group(rand.New(rand.NewPCG(o.Seed, uint64(i+1))), o)
	}
	body, err := json.MarshalIndent(object{
		"messageHeader": object{"header": object{
			"messageId":    id(rand.New(rand.NewPCG(o.Seed, 0))),
			"context":      cmp.Or(o.Context, "CX-DCM-WeekBasedCapacityGroup:1.0.0"),
			"sentDateTime": o.Now.UTC().Format(time.RFC3339),
			"senderBpn":    o.Supplier,
			"receiverBpn":  o.Customer,
			"version":      "3.0.0",
		}},
		"content": object{"informationObject": groups},
	}, "", " ")
	if err != nil {
		panic(err) // strings and numbers only
	}
	return body
}

var parts = []string{"Spark plugs", "Brake callipers", "Wheel hubs", "Fuel rails", "Wiper motors", "Seat frames",
	"Camshafts"}

func group(random *rand.Rand, o Options) object {
	// A plan begins with the current week. The standard asks for another week
	// than this and the next one, so a short plan begins later.
	first := dcm.DateOf(o.Now.UTC()).Monday()
	if o.Weeks < 3 {
		first += 14
	}
	groupID := id(random)
	number := 100_000 + random.IntN(900_000)
	name := fmt.Sprintf("%s, line %d", parts[random.IntN(len(parts))], 1+random.IntN(9))
	factor := json.Number(fmt.Sprintf("%d.%d", random.IntN(3), 1+random.IntN(9)))
	level := 500 + random.IntN(2000)
	weeks := make([]object, o.Weeks)
	for i := range weeks {
		actual := level + random.IntN(200)
		weeks[i] = object{
			"pointInTime":     (first + dcm.Date(7*i)).String(),
			"actualCapacity":  actual,
			"maximumCapacity": actual + 100 + random.IntN(400),
			"agreedCapacity":  level,
		}
	}
	return object{
		"capacityGroupId":         groupID,
		"name":                    name,
		"supplier":                o.Supplier,
		"customer":                o.Customer,
		"changedAt":               o.Now.UTC().Format(time.RFC3339Nano),
		"unitOfMeasure":           "unit:piece",
		"unitOfMeasureIsOmitted":  false,
		"capacityGroupIsInactive": false,
		"supplierLocations":       []string{"BPNS6666666666YY"},
		"linkedDemandSeries": []object{{
			"materialNumberCustomer": fmt.Sprintf("MNR-%d.001", number),
			"materialNumberSupplier": fmt.Sprintf("S-%d", number),
			"customerLocation":       "BPNS8888888888XX",
			"demandCategory":         object{"demandCategoryCode": "0001"},
			"loadFactor":             factor,
		}},
		"capacities": weeks,
	}
}

func id(random *rand.Rand) uuid.UUID {
	var u uuid.UUID
	for i := range u {
		u[i] = byte(random.UintN(256))
	}
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80 // version 4
	return u
}

// Package cx0128 holds the ordered rules of CX-0128 "Demand and Capacity
// Management Data Exchange", version 2.3, and those of its checks that a JSON
// Schema cannot say and CX-0048 does not ask for. It decides and nothing else: it
// knows no HTTP, no JSON and no database.
//
// The numbers of its rules mean other things than those of CX-0048, which it
// superseded (package cx0048).
package cx0128

import (
	"dcm-receiver/internal/cx0048"
	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/rules"
)

// MaterialDemands is the table of §4.1.2.7: the eight rules of CX-0048 §2.2.7,
// word by word.
var MaterialDemands = rules.Table[dcm.MaterialDemand]{Standard: "CX-0128 v2.3.0 §4.1.2.7",
	Rules: cx0048.MaterialDemands.Rules}

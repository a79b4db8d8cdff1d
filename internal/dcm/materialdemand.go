package dcm

import "github.com/google/uuid"

// MaterialDemand is a customer's need of one material, week by week
// (WeekBasedMaterialDemand 3.0, CX-0048 §2).
type MaterialDemand struct {
	ID                          uuid.UUID // one for ever per supplier, customer and MaterialNumberCustomer (§2.2.3)
	Supplier                    string    // BPNL of the party that is to deliver
	Customer                    string    // BPNL of the party that needs the material
	MaterialNumberCustomer      string
	MaterialNumberSupplier      *string // nil if not sent
	MaterialDescriptionCustomer string
	MaterialGlobalAssetID       *string // nil if not sent
	ChangedAt                   Timestamp
	UnitOfMeasure               string // "" exactly if it is omitted
	UnitOfMeasureIsOmitted      bool
	IsInactive                  bool
	Series                      []DemandSeries
}

// DemandSeries is the demand of one customer location and category; each pair is
// in a MaterialDemand once.
type DemandSeries struct {
	CustomerLocation         string  // BPNS
	DemandCategoryCode       string  // one of DemandCategoryCodes
	ExpectedSupplierLocation *string // BPNS; nil if not sent
	Demands                  []Demand
}

// Demand is what is needed in one week, in the object's unit of measure.
type Demand struct {
	PointInTime Date // the week's Monday
	Demand      Decimal
}

package standard

import (
	"dcm-receiver/internal/cx0048"
	"dcm-receiver/internal/dcm"
)

var cx0048Standard = Standard{
	Name: "cx-0048", Document: "conformance.md", Models: models,
	CapacityGroups: cx0048.CapacityGroups, MaterialDemands: cx0048.MaterialDemands,
	groupWeeks: cx0048.GroupWeeks, demandWeeks: cx0048.DemandWeeks,
}

// models are those of both standards.
var models = map[string]string{
	dcm.CapacityGroupEndpoint.Path:    "urn:samm:io.catenax.week_based_capacity_group:3",
	dcm.MaterialDemandEndpoint.Path:   "urn:samm:io.catenax.week_based_material_demand:3",
	dcm.RequestForUpdateEndpoint.Path: "urn:samm:io.catenax.id_based_request_for_update:3",
	dcm.CommentEndpoint.Path:          "urn:samm:io.catenax.id_based_comment:1",
}

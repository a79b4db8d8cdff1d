package standard

import (
	"dcm-receiver/internal/cx0048"
	"dcm-receiver/internal/cx0128"
	"dcm-receiver/internal/dcm"
)

var cx0128Standard = Standard{
	Name: "cx-0128", Document: "conformance-cx0128.md", Models: models,
	OtherModels: map[string]string{ // some number comments like the other models
		dcm.CommentEndpoint.Path: "urn:samm:io.catenax.id_based_comment:3",
	},
	CapacityGroups: cx0128.CapacityGroups, MaterialDemands: cx0128.MaterialDemands, Comments: &cx0128.Comments,
	HeaderRequired: true, Capabilities: true, StartRule: true, checkCapacityGroup: cx0128.CheckCapacityGroup,
	groupWeeks: cx0048.GroupWeeks, demandWeeks: cx0048.DemandWeeks,
	groupWeeksAhead: cx0128.GroupWeeksAhead, demandWeeksAhead: cx0128.DemandWeeksAhead,
}

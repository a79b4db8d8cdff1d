package dcm

// Role is the part that a company of ours plays in a relationship.
type Role string

// The roles. A company may have both, towards different partners.
const (
	CustomerRole Role = "customer" // needs the material
	SupplierRole Role = "supplier" // can produce it
)

// Endpoint is one way into the receiver: what is sent there, by whom, and under
// which names the connector offers it.
type Endpoint struct {
	Path     string // below the root, without its slash; also the name in journal, log and metrics
	Object   string // the model's name of what is sent
	IDName   string // the JSON name of an object's ID in answers; "" where objects have no answer of their own
	Taxonomy string // of the asset, behind https://w3id.org/catenax/taxonomy#
	Property string // value of the asset's property asset:prop:dcm (CX-0048)
	Roles    []Role // ours: the roles that receive here
}

// The endpoints. This is the one list of them: routes, registration, metrics and
// documents follow it.
var (
	CapacityGroupEndpoint = Endpoint{
		Path: "week-based-capacity-group", Object: "WeekBasedCapacityGroup", IDName: "capacityGroupId",
		Taxonomy: "DcmWeekBasedCapacityGroup", Property: "weekbasedcapacitygroup-endpoint", Roles: []Role{CustomerRole},
	}
	MaterialDemandEndpoint = Endpoint{
		Path: "week-based-material-demand", Object: "WeekBasedMaterialDemand", IDName: "materialDemandId",
		Taxonomy: "DcmWeekBasedMaterialDemand", Property: "weekbasedmaterialdemand-endpoint",
		Roles: []Role{SupplierRole},
	}
	RequestForUpdateEndpoint = Endpoint{
		Path: "id-based-request-for-update", Object: "IdBasedRequestForUpdate",
		Taxonomy: "DcmIdBasedRequestForUpdate", Property: "idbasedrequestforupdate-endpoint",
		Roles: []Role{CustomerRole, SupplierRole},
	}
	CommentEndpoint = Endpoint{
		Path: "id-based-comment", Object: "IdBasedComment", IDName: "commentId",
		Taxonomy: "DcmIdBasedComment", Property: "idbasedcomment-endpoint", Roles: []Role{CustomerRole, SupplierRole},
	}
	Endpoints = []Endpoint{CapacityGroupEndpoint, MaterialDemandEndpoint, RequestForUpdateEndpoint, CommentEndpoint}
)

// EndpointOf is the endpoint with the given path; ok is false if there is none.
func EndpointOf(path string) (e Endpoint, ok bool) {
	for _, e := range Endpoints {
		if e.Path == path {
			return e, true
		}
	}
	return Endpoint{}, false
}

// Package dcm holds the words of Demand and Capacity Management: the objects
// that suppliers send (CapacityGroup, RequestForUpdate, MessageHeader) and the
// values they are made of. It parses single values and knows no JSON documents,
// no HTTP and no database.
//
// Strings in these types may share memory with the body they were read from.
package dcm

import (
	"errors"
	"regexp"
	"strings"

	"github.com/google/uuid"
)

// CapacityGroup is a supplier's capacity for materials that share a production
// resource, week by week (WeekBasedCapacityGroup 3.0, CX-0048 §3).
// Optional quantities that were not sent are "".
type CapacityGroup struct {
	ID                     uuid.UUID // unique for one supplier and customer only (§3.2.3)
	Supplier               string    // BPNL of the party that can produce
	Customer               string    // BPNL of the party that needs the material
	Name                   string
	ChangedAt              Timestamp // when the content was changed at the supplier
	UnitOfMeasure          string    // "unit:piece", …; "" exactly if it is omitted
	UnitOfMeasureIsOmitted bool
	IsInactive             bool
	SupplierLocations      []string // BPNS of the sites that produce
	LinkedCapacityGroups   []uuid.UUID
	LinkedDemandSeries     []LinkedDemandSeries
	Capacities             []Capacity
	DemandVolatility       *DemandVolatilityParameters // nil if not sent
}

// Capacity is what can be produced in one week, in the group's unit of measure.
type Capacity struct {
	PointInTime           Date // the week's Monday
	ActualCapacity        Decimal
	MaximumCapacity       Decimal
	AgreedCapacity        Decimal // "" if not sent
	DeltaProductionResult Decimal // "" if not sent; may be negative
}

// LinkedDemandSeries names a WeekBasedMaterialDemand series that a
// CapacityGroup serves (CX-0048 §3.2.2).
type LinkedDemandSeries struct {
	MaterialNumberCustomer string
	MaterialNumberSupplier *string // nil if not sent; informational only
	CustomerLocation       string  // BPNS
	DemandCategoryCode     string
	LoadFactor             Decimal // "" if not sent
}

// DemandVolatilityParameters calibrate how demand volatility is measured.
type DemandVolatilityParameters struct {
	StartReferenceDateTime Timestamp
	MeasurementInterval    Decimal // weeks
	AlertThresholds        []AlertThreshold
}

// AlertThreshold is one subhorizon of rollingHorizonAlertThresholds.
// Deviations that were not sent are "".
type AlertThreshold struct {
	SequenceNumber            Decimal
	SubhorizonLength          Decimal // weeks
	RelativePositiveDeviation Decimal // share: 0.2 is 20 %
	RelativeNegativeDeviation Decimal // share
	AbsolutePositiveDeviation Decimal // in the group's unit of measure
	AbsoluteNegativeDeviation Decimal // in the group's unit of measure
}

// MessageHeader is the value of messageHeader.header.
type MessageHeader struct {
	MessageID          uuid.UUID
	Context            string
	SentDateTime       Timestamp
	SenderBPN          string
	ReceiverBPN        string
	ExpectedResponseBy *Timestamp
	RelatedMessageID   *uuid.UUID
	Version            string
}

// RequestForUpdate is one object that a partner asks to be sent again
// (IdBasedRequestForUpdate 3.0).
type RequestForUpdate struct {
	// Object is the model's name of what is wanted: WeekBasedMaterialDemand, which
	// a customer answers, or WeekBasedCapacityGroup, which a supplier does.
	Object string
	// ID of the wanted object; nil asks for all of its kind.
	ID *uuid.UUID
	// ChangedAt, if sent, restricts the request to what is newer.
	ChangedAt *Timestamp
}

// DemandCategoryCodes lists the codes that a LinkedDemandSeries may carry.
var DemandCategoryCodes = []string{"0001", "A1S1", "SR99", "PI01", "OS01", "OI01", "ED01", "PO01"}

// UnitsOfMeasure lists the units that quantities may be sent in.
var UnitsOfMeasure = []string{
	"unit:piece", "unit:set", "unit:pair", "unit:page", "unit:cycle",
	"unit:kilowattHour",
	"unit:gram", "unit:kilogram", "unit:tonneMetricTon", "unit:tonUsOrShortTonUkorus", "unit:ounceAvoirdupois",
	"unit:pound",
	"unit:metre", "unit:centimetre", "unit:kilometre", "unit:inch", "unit:foot", "unit:yard",
	"unit:squareCentimetre", "unit:squareMetre", "unit:squareInch", "unit:squareFoot", "unit:squareYard",
	"unit:cubicCentimetre", "unit:cubicMetre", "unit:cubicInch", "unit:cubicFoot", "unit:cubicYard",
	"unit:litre", "unit:millilitre", "unit:hectolitre",
	"unit:secondUnitOfTime", "unit:minuteUnitOfTime", "unit:hourUnitOfTime", "unit:day",
}

// IsBPNL reports whether s has the form of the number of a legal entity.
func IsBPNL(s string) bool { return isBPN(s, "BPNL") }

// IsBPNS reports whether s has the form of the number of a site.
func IsBPNS(s string) bool { return isBPN(s, "BPNS") }

func isBPN(s, prefix string) bool {
	if len(s) != 16 || s[:4] != prefix {
		return false
	}
	for _, c := range []byte(s[4:]) {
		if !(c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z') {
			return false
		}
	}
	return true
}

// ParseID reads a UUID in its 36-character form, in either case, with or
// without "urn:uuid:" in front. Every spelling of an ID gives the same value.
func ParseID(s string) (uuid.UUID, error) {
	bare := strings.TrimPrefix(s, "urn:uuid:")
	if len(bare) != 36 { // uuid.Parse takes more forms than the standard
		return uuid.UUID{}, errors.New("parse ID: not a UUID")
	}
	return uuid.Parse(bare)
}

// headerVersion is the pattern that the standard's page gives for the version
// of the message header; its dots stand for any character there too.
var headerVersion = regexp.MustCompile(
	`^(0|[1-9][0-9]*).(0|[1-9][0-9]*).(0|[1-9][0-9]*)` +
		`(-(0|[1-9A-Za-z-][0-9A-Za-z-]*)(.[0-9A-Za-z-]+)*)?([0-9A-Za-z-]+(.[0-9A-Za-z-]+)*)?$`)

// maxHeaderVersion is more bytes than any version has: the pattern takes long for
// long strings.
const maxHeaderVersion = 256

// IsHeaderVersion reports whether s may be the version of a MessageHeader.
func IsHeaderVersion(s string) bool {
	return len(s) <= maxHeaderVersion && headerVersion.MatchString(s)
}

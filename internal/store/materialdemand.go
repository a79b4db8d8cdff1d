package store

import (
	"cmp"
	"crypto/sha256"
	"time"

	"dcm-receiver/internal/dcm"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// materialDemands is the kind of received material demands.
var materialDemands = kind{
	endpoint: dcm.MaterialDemandEndpoint, lock: lockDemands, write: writeDemands,
	conflicts: []string{"material_demand_", "demand_series_pkey"}, tables: []string{"material_demand", "demand_series"},
	columns: append(insertMaterialDemands.names(), insertDemandSeries.names()...),
}

// WriteMaterialDemand stores a received demand with the given content.
func WriteMaterialDemand(d *dcm.MaterialDemand, content Content) Write {
	for i := range d.Series {
		sortUnlessSorted(d.Series[i].Demands, func(a, b dcm.Demand) int {
			return cmp.Compare(a.PointInTime,
				b.PointInTime)
		})
	}
	return Write{state: state{changedAt: d.ChangedAt, material: d.MaterialNumberCustomer, hash: content}, object: d}
}

// received is the direction of the demands that partners send.
const received = "received"

// demandRow is a received demand on its way into its tables.
type demandRow struct {
	*dcm.MaterialDemand
	hash    [sha256.Size]byte
	message *Arrival
	before  string // materialNumberCustomer so far
}

var materialDemandColumns = []column[demandRow]{
	{"partner", func(r demandRow) any { return r.Customer }},
	{"direction", func(demandRow) any { return received }},
	{"supplier", func(r demandRow) any { return r.Supplier }},
	{"customer", func(r demandRow) any { return r.Customer }},
	{"material_demand_id", func(r demandRow) any { return pgUUID(&r.ID) }},
	{"changed_at", func(r demandRow) any { return r.ChangedAt.Time }},
	{"changed_at_nanosecond", func(r demandRow) any { return nanosecond(r.ChangedAt) }},
	{"first_recorded_at", func(r demandRow) any { return r.message.ReceivedAt }},
	{"recorded_at", func(r demandRow) any { return r.message.ReceivedAt }},
	{"message_id", func(r demandRow) any { return pgUUID(r.message.MessageID) }},
	{"content_hash", func(r demandRow) any { return r.hash[:] }},
	{"unit_of_measure_is_omitted", func(r demandRow) any { return r.UnitOfMeasureIsOmitted }},
	{"is_inactive", func(r demandRow) any { return r.IsInactive }},
	{"is_unlocked", func(demandRow) any { return false }},
	{"material_number_customer", func(r demandRow) any { return r.MaterialNumberCustomer }},
	{"material_number_supplier", func(r demandRow) any { return r.MaterialNumberSupplier }},
	{"material_description_customer", func(r demandRow) any { return r.MaterialDescriptionCustomer }},
	{"material_global_asset_id", func(r demandRow) any { return r.MaterialGlobalAssetID }},
	{"unit_of_measure", func(r demandRow) any { return nullable(r.UnitOfMeasure) }},
}

// seriesRow is one series of a demand.
type seriesRow struct {
	demandRow
	*dcm.DemandSeries
}

var demandSeriesColumns = []column[seriesRow]{
	{"partner", func(r seriesRow) any { return r.Customer }},
	{"direction", func(seriesRow) any { return received }},
	{"supplier", func(r seriesRow) any { return r.Supplier }},
	{"customer", func(r seriesRow) any { return r.Customer }},
	{"material_number_customer", func(r seriesRow) any { return r.MaterialNumberCustomer }},
	{"customer_location", func(r seriesRow) any { return r.CustomerLocation }},
	{"demand_category_code", func(r seriesRow) any { return r.DemandCategoryCode }},
	{"material_demand_id", func(r seriesRow) any { return pgUUID(&r.ID) }},
	{"changed_at", func(r seriesRow) any { return r.ChangedAt.Time }},
	{"changed_at_nanosecond", func(r seriesRow) any { return nanosecond(r.ChangedAt) }},
	{"valid_from", func(r seriesRow) any { return r.message.ReceivedAt }},
	{"expected_supplier_location", func(r seriesRow) any { return r.ExpectedSupplierLocation }},
	{"point_in_time", func(r seriesRow) any {
		return days{len(r.Demands), func(i int) dcm.Date { return r.Demands[i].PointInTime }}
	}},
	{"demand", func(r seriesRow) any {
		return numbers(r.Demands, func(d *dcm.Demand) dcm.Decimal { return d.Demand })
	}},
}

var (
	insertMaterialDemands    = insertInto("material_demand", materialDemandColumns, "")
	overwriteMaterialDemands = insertMaterialDemands.overwriting(
		[]string{"partner", "direction", "supplier", "customer", "material_demand_id"}, "first_recorded_at")
	insertDemandSeries    = insertInto("demand_series", demandSeriesColumns, "")
	overwriteDemandSeries = insertDemandSeries.overwriting(
		[]string{"partner", "direction", "supplier", "customer", "material_number_customer", "customer_location",
			"demand_category_code"})

	lockMaterialDemands  = load("lock_material_demands")
	touchMaterialDemand  = load("touch_material_demand")
	touchMaterialDemands = load("touch_material_demands")
	removeDemandSeries   = load("remove_demand_series")
)

// lockDemands reads and locks the stored demands of one supplier and customer:
// those of the subjects, and those that hold their materials.
func lockDemands(b *batches, o owner, subjects []Subject, into *locked) {
	lockMaterialDemands.Queue(&b.next, values{
		"supplier": o.supplier, "customer": o.customer, "ids": sortedIDs(subjects),
		"materials": mapSlice(subjects, func(s *Subject) string { return s.Material }),
	}).Query(func(rows pgx.Rows) error {
		var id pgtype.UUID
		var number string
		var at time.Time
		var ns int16
		var hash []byte
		var isUnlocked bool
		_, err := pgx.ForEachRow(rows, []any{&id, &number, &at, &ns, &hash, &isUnlocked}, func() error {
			into.objects[Key{o.supplier, o.customer, id.Bytes}] = state{changedAt: instant(at, ns), material: number,
				hash: hashIn(hash), unlocked: isUnlocked}
			into.holders[material{o.supplier, o.customer, number}] = id.Bytes
			return nil
		})
		return err
	})
}

// writeDemands stores the demands that messages write.
func writeDemands(b *batches, messages []*saving) error {
	insertions, changes, err := partition(b, messages, touchMaterialDemand, touchMaterialDemands,
		func(m *saving, k Key, w Write) (demandRow, bool) {
			d, ok := w.object.(*dcm.MaterialDemand)
			return demandRow{d, w.hash, &m.Arrival, m.snapshot.stored.objects[k].material}, ok
		})
	if err != nil {
		return err
	}
	// What a demand no longer has goes first: its material may be another one's now.
	for _, r := range changes {
		locations, categories := []string{}, []string{}
		if r.before == r.MaterialNumberCustomer {
			locations = mapSlice(r.Series, func(s *dcm.DemandSeries) string { return s.CustomerLocation })
			categories = mapSlice(r.Series, func(s *dcm.DemandSeries) string { return s.DemandCategoryCode })
		}
		removeDemandSeries.Queue(&b.next, values{
			"supplier": r.Supplier, "customer": r.Customer, "material": r.before, "locations": locations,
			"categories": categories,
		})
	}
	if err := overwriteMaterialDemands.write(b, changes); err != nil {
		return err
	}
	if err := insertMaterialDemands.copy(b, insertions); err != nil {
		return err
	}
	if err := overwriteDemandSeries.write(b, seriesOf(changes)); err != nil {
		return err
	}
	return insertDemandSeries.copy(b, seriesOf(insertions))
}

func seriesOf(demands []demandRow) (rows []seriesRow) {
	for _, d := range demands {
		for i := range d.Series {
			rows = append(rows, seriesRow{d, &d.Series[i]})
		}
	}
	return rows
}

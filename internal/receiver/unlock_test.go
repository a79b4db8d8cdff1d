package receiver_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/example"
	"dcm-receiver/internal/receiver"
	"dcm-receiver/internal/store"

	"github.com/google/uuid"
)

// TestAnOperatorUnlocks what a changedAt in the future has locked: a group, or a
// demand that we received.
func TestAnOperatorUnlocks(t *testing.T) {
	id := uuid.MustParse("0157ba42-d2a8-4e28-8565-7b07830c1110")
	for _, c := range []struct {
		name   string
		path   string
		sender string
		object string // with %s for changedAt
		key    store.Key
		unlock func(*store.Store, context.Context, store.Key) (*dcm.Timestamp, error)
		role   func(*receiver.Config)
	}{
		{"a capacity group", dcm.CapacityGroupEndpoint.Path, example.Supplier,
			`[{"capacityGroupId":"` + id.String() + `","supplier":"` + example.Supplier + `","customer":"` +
				example.Customer + `","changedAt":"%s","capacityGroupIsInactive":false,
				"unitOfMeasureIsOmitted":true,"name":"x","supplierLocations":["BPNS0000000000AA"],
				"capacities":[{"pointInTime":"2026-12-14","actualCapacity":1,"maximumCapacity":2}],
				"linkedDemandSeries":[{"materialNumberCustomer":"m","customerLocation":"BPNS0000000000AA",
				"demandCategory":{"demandCategoryCode":"0001"}}]}]`,
			store.Key{Supplier: example.Supplier, Customer: example.Customer, ID: id},
			(*store.Store).UnlockCapacityGroup, nil},
		{"a material demand", dcm.MaterialDemandEndpoint.Path, example.Customer,
			`[{"materialDemandId":"` + id.String() + `","supplier":"` + example.Supplier + `","customer":"` +
				example.Customer + `","changedAt":"%s","materialDemandIsInactive":false,
				"unitOfMeasureIsOmitted":true,"materialNumberCustomer":"m","materialDescriptionCustomer":"d",
				"demandSeries":[{"customerLocation":"BPNS0000000000AA",
				"demandCategory":{"demandCategoryCode":"0001"},"demands":[{"pointInTime":"2026-12-14","demand":1}]}]}]`,
			store.Key{Supplier: example.Supplier, Customer: example.Customer, ID: id},
			(*store.Store).UnlockMaterialDemand,
			func(c *receiver.Config) { c.CustomerBPNLs, c.SupplierBPNLs = nil, []string{example.Supplier} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t, c.role)
			s, err := store.Open(f.url, 1, 5*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Close)
			send := func(changedAt string, status, rule int) {
				t.Helper()
				r := request(c.path, strings.NewReader(fmt.Sprintf(c.object, changedAt)))
				r.Header.Set("Edc-Bpn", c.sender)
				if w := f.do(r); w.Code != status || !strings.Contains(w.Body.String(),
					fmt.Sprintf(`"rule":%d,`, rule)) {
					t.Errorf("changedAt %s: %d %s; want %d by rule %d", changedAt, w.Code, w.Body, status, rule)
				}
			}
			const future, honest, older = "2126-11-25T00:00:00Z", "2026-11-25T07:00:00Z", "2026-11-24T07:00:00Z"
			created, newer, tooOld := 5, 4, 6
			if c.path == dcm.MaterialDemandEndpoint.Path {
				created, newer, tooOld = 6, 4, 7
			}
			if at, err := c.unlock(s, context.Background(), c.key); at != nil || err != nil {
				t.Errorf("what is not there: %v %v", at, err)
			}
			send(future, 201, created)
			send(honest, 400, tooOld)
			at, err := c.unlock(s, context.Background(), c.key)
			if err != nil || at == nil || !at.Equal(time.Date(2126, 11, 25, 0, 0, 0, 0, time.UTC)) {
				t.Fatalf("unlocked: %v %v", at, err)
			}
			send(future, 200, newer) // sent again, it locks nothing again
			send(honest, 200, newer)
			send(older, 400, tooOld)
		})
	}
}

// TestAnOperatorForgets a group: the next message is the first.
func TestAnOperatorForgets(t *testing.T) {
	f := newFixture(t, nil)
	s, err := store.Open(f.url, 1, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	group := read(t, "testdata/week-based-capacity-group/rule-5-bare-list/request.json")
	for range 2 {
		if w := f.post(dcm.CapacityGroupEndpoint.Path, group); w.Code != 201 {
			t.Fatal(w.Code, w.Body)
		}
		key := f.query("select supplier || ' ' || customer || ' ' || capacity_group_id from planning.capacity_group")
		names := strings.Fields(key[0])
		if at, err := s.ForgetCapacityGroup(context.Background(),
			store.Key{Supplier: names[0], Customer: names[1], ID: uuid.MustParse(names[2])}); at == nil || err != nil {
			t.Fatal(at, err)
		}
	}
	if left := f.query("select capacity_group_id::text from planning.capacity"); len(left) > 0 {
		t.Errorf("%d weeks are left", len(left))
	}
}

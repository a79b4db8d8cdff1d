package main

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"time"

	"dcm-receiver/internal/example"
)

// suppliers is how many send at once, where it is not one.
const suppliers = 100

// customer is who the receiver under test is responsible for.
const customer = example.Customer

// supplierName is the BPNL of one of the suppliers.
func supplierName(i int) string { return fmt.Sprintf("BPNLBENCH000%04d", i) }

// message is a body of which single bytes are replaced, because making every
// body anew would cost more than receiving it.
type message struct {
	body                     []byte
	messageID                int
	suppliers, ids, versions []int // where each stands; version is changedAt
	groups                   int
}

var agreed = regexp.MustCompile(`"agreedCapacity":\d+,`)

// newMessage makes a compact message of 104 weeks a group. Lean ones lack the
// optional agreedCapacity: 1,650 such groups are a body of 13 MiB.
func newMessage(groups int, seed uint64, lean bool, base time.Time) *message {
	const supplier = "BPNLSUPPLIER0000"
	indented := example.Message(example.Options{Groups: groups, Weeks: 104, Seed: seed, Supplier: supplier,
		Customer: customer, Now: base})
	var compact bytes.Buffer
	if err := json.Compact(&compact, indented); err != nil {
		panic(err)
	}
	m := &message{body: compact.Bytes(), groups: groups}
	if lean {
		m.body = agreed.ReplaceAll(m.body, nil)
	}
	m.messageID = places(m.body, `"messageId":"`, 1)[0]
	m.suppliers = places(m.body, `"`+supplier[:4]+`SUPPLIER`, groups+1)
	for i := range m.suppliers {
		m.suppliers[i] -= len(supplier) - 4 // to its first byte
	}
	m.ids = places(m.body, `"capacityGroupId":"`, groups)
	m.versions = places(m.body, `"changedAt":"`, groups)
	return m
}

// places finds the bytes that follow each name.
func places(body []byte, name string, want int) (found []int) {
	for at := 0; ; {
		i := bytes.Index(body[at:], []byte(name))
		if i < 0 {
			break
		}
		at += i + len(name)
		found = append(found, at)
	}
	if len(found) != want {
		panic(fmt.Sprintf("%s is there %d times, not %d", name, len(found), want))
	}
	return found
}

// fill writes a message about the groups key, key+1, … of a supplier.
func (m *message) fill(buf []byte, supplier string, key uint64, changedAt time.Time) []byte {
	buf = append(buf[:0], m.body...)
	writeID(buf[m.messageID:], rand.Uint64(), rand.Uint64())
	for _, at := range m.suppliers {
		copy(buf[at:], supplier)
	}
	for g, at := range m.ids {
		writeID(buf[at:], spread(key+uint64(g)), key+uint64(g))
	}
	for _, at := range m.versions {
		changedAt.AppendFormat(buf[at:at], timestamp)
	}
	return buf
}

// timestamp has as many bytes for every instant with nine decimals.
const timestamp = "2006-01-02T15:04:05.000000000Z"

func writeID(to []byte, a, b uint64) {
	var id [16]byte
	binary.BigEndian.PutUint64(id[:8], a)
	binary.BigEndian.PutUint64(id[8:], b)
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80 // version 4
	hex.Encode(to, id[:4])
	hex.Encode(to[9:], id[4:6])
	hex.Encode(to[14:], id[6:8])
	hex.Encode(to[19:], id[8:10])
	hex.Encode(to[24:], id[10:])
}

// spread makes IDs as random as suppliers' UUIDs are (the splitmix64 function).
func spread(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// request writes a request for the update of one material demand.
func request(buf []byte, supplier string, now time.Time) []byte {
	var message, demand [36]byte
	for _, id := range []*[36]byte{&message, &demand} {
		copy(id[:], "--------------------------------------"[:36])
		writeID(id[:], rand.Uint64(), rand.Uint64())
	}
	at := now.UTC().Format(time.RFC3339)
	return fmt.Appendf(buf[:0],
		`{"messageHeader":{"header":{"messageId":"%s","context":"CX-DCM-IdBasedRequestForUpdate:1.0.0",`+
			`"sentDateTime":"%s",`+
			`"senderBpn":"%s","receiverBpn":"%s","version":"3.0.0"}},`+
			`"content":{"informationObject":[{"weekBasedMaterialDemand":[{"materialDemandId":"%s",`+
			`"changedAt":"%s"}]}]}}`,
		message[:], at, supplier, customer, demand[:], at)
}

package store

import (
	"database/sql/driver"
	"encoding/binary"
	"slices"
	"strings"

	"dcm-receiver/internal/dcm"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
)

// decimals is a numeric[] parameter of n numbers; "" is NULL. A group of 104
// weeks carries hundreds of them, so they are written in Postgres' own form
// directly, instead of by way of big integers, and from where they are.
type decimals struct {
	n  int
	at func(i int) dcm.Decimal
}

// days is a date[] parameter of n days.
type days struct {
	n  int
	at func(i int) dcm.Date
}

// arrayCodec adds our types to the library's codec of an array type.
type arrayCodec struct{ pgtype.Codec }

func (c arrayCodec) PlanEncode(m *pgtype.Map, oid uint32, format int16, value any) pgtype.EncodePlan {
	switch value.(type) {
	case decimals, days:
		if format == pgtype.BinaryFormatCode {
			return encodeBinary{}
		}
		return encodeText{}
	}
	return c.Codec.PlanEncode(m, oid, format, value)
}

func (c arrayCodec) DecodeDatabaseSQLValue(m *pgtype.Map, oid uint32, format int16, src []byte) (driver.Value, error) {
	return c.Codec.DecodeDatabaseSQLValue(m, oid, format, src)
}

// register teaches a connection our parameter types.
func register(m *pgtype.Map) {
	for _, t := range []struct {
		oid  uint32
		name string
		zero any
	}{{pgtype.NumericArrayOID, "_numeric", decimals{}}, {pgtype.DateArrayOID, "_date", days{}}} {
		known, _ := m.TypeForOID(t.oid)
		m.RegisterType(&pgtype.Type{Name: t.name, OID: t.oid, Codec: arrayCodec{known.Codec}})
		m.RegisterDefaultPgType(t.zero, t.name)
	}
	// Where the server is not asked for the types of parameters (behind a pooler),
	// they follow from ours.
	m.RegisterDefaultPgType([]pgtype.UUID(nil), "_uuid")
}

// pgUUID is an ID in the driver's own type, which it writes without the detour
// by way of text. nil is NULL.
func pgUUID(id *uuid.UUID) pgtype.UUID {
	if id == nil {
		return pgtype.UUID{}
	}
	return pgtype.UUID{Bytes: *id, Valid: true}
}

func pgUUIDs(ids []uuid.UUID) []pgtype.UUID {
	values := make([]pgtype.UUID, len(ids))
	for i := range ids {
		values[i] = pgUUID(&ids[i])
	}
	return values
}

type encodeBinary struct{}

// Encode writes the array as array_recv of Postgres reads it.
func (encodeBinary) Encode(value any, buf []byte) ([]byte, error) {
	be := binary.BigEndian
	header := func(n int, hasNull uint32, element uint32) {
		if n == 0 { // an empty array has no dimension
			buf = be.AppendUint32(be.AppendUint32(be.AppendUint32(buf, 0), 0), element)
			return
		}
		buf = be.AppendUint32(be.AppendUint32(be.AppendUint32(buf, 1), hasNull), element)
		buf = be.AppendUint32(be.AppendUint32(buf, uint32(n)), 1)
	}
	switch v := value.(type) {
	case days:
		buf = slices.Grow(buf, 20+8*v.n)
		header(v.n, 0, pgtype.DateOID)
		for i := range v.n {
			const postgresEpoch = 10957 // 2000-01-01
			buf = be.AppendUint32(be.AppendUint32(buf, 4), uint32(int32(v.at(i))-postgresEpoch))
		}
	case decimals:
		buf = slices.Grow(buf, 20+18*v.n)
		header(v.n, 1, pgtype.NumericOID)
		for i := range v.n {
			d := v.at(i)
			if d == "" {
				buf = be.AppendUint32(buf, ^uint32(0))
				continue
			}
			at := len(buf)
			buf = appendNumeric(append(buf, 0, 0, 0, 0), d)
			be.PutUint32(buf[at:], uint32(len(buf)-at-4))
		}
	}
	return buf, nil
}

// appendNumeric writes d as numeric_recv of Postgres reads it: digits in base
// 10,000, the weight of the first, a sign, and how many digits follow the point.
func appendNumeric(buf []byte, d dcm.Decimal) []byte {
	text, sign := string(d), uint16(0)
	if d.IsNegative() {
		text, sign = text[1:], 0x4000
	}
	whole, fraction, _ := strings.Cut(text, ".")
	groups := (len(whole) + 3) / 4
	first := len(whole) - groups*4 // ≤ 0: where the first group begins
	digit := func(i int) uint16 {  // the i-th decimal digit from the point's left end on
		switch {
		case i >= 0 && i < len(whole):
			return uint16(whole[i] - '0')
		case i >= len(whole) && i < len(whole)+len(fraction):
			return uint16(fraction[i-len(whole)] - '0')
		default:
			return 0
		}
	}
	n := groups + (len(fraction)+3)/4
	be := binary.BigEndian
	at := len(buf)
	buf = be.AppendUint16(buf, 0)
	buf = be.AppendUint16(buf, 0)
	buf = be.AppendUint16(buf, sign)
	buf = be.AppendUint16(buf, uint16(len(fraction)))
	weight, count := groups-1, 0
	for g := range n {
		i := first + g*4
		value := digit(i)*1000 + digit(i+1)*100 + digit(i+2)*10 + digit(i+3)
		if value == 0 && count == 0 {
			weight-- // leading zeros are not written
			continue
		}
		buf = be.AppendUint16(buf, value)
		count++
	}
	if count == 0 {
		weight = 0
	}
	be.PutUint16(buf[at:], uint16(count))
	be.PutUint16(buf[at+2:], uint16(int16(weight)))
	return buf
}

type encodeText struct{}

// Encode writes the array as text, for connections that cannot take the binary
// form (the simple protocol).
func (encodeText) Encode(value any, buf []byte) ([]byte, error) {
	buf = append(buf, '{')
	switch v := value.(type) {
	case days:
		for i := range v.n {
			if i > 0 {
				buf = append(buf, ',')
			}
			buf = append(buf, v.at(i).String()...)
		}
	case decimals:
		for i := range v.n {
			if i > 0 {
				buf = append(buf, ',')
			}
			d := v.at(i)
			if d == "" {
				d = "NULL"
			}
			buf = append(buf, d...)
		}
	}
	return append(buf, '}'), nil
}

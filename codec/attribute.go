package codec

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"strconv"
	"time"

	"github.com/odradek/odradek/record"
)

// The values of search attributes are kept in bytes that compare as the values do,
// because they are parts of keys.

// AttributeString is the order-keeping form of a text.
func AttributeString(v string) []byte { return []byte(v) }

// AttributeNumber is that of an integer.
func AttributeNumber(v int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(v)^signBit) }

// AttributeDecimal is that of a floating-point number: negative ones have all bits
// turned over, the others the sign bit. There is no order for NaN: it comes last.
func AttributeDecimal(v float64) []byte {
	bits := math.Float64bits(v)
	switch {
	case math.IsNaN(v):
		bits = math.MaxUint64
	case bits&signBit != 0:
		bits = ^bits
	default:
		bits |= signBit
	}
	return binary.BigEndian.AppendUint64(nil, bits)
}

// AttributeFlag is that of a boolean.
func AttributeFlag(v bool) []byte { return appendBool(nil, v) }

// AttributeMoment is that of a time, to the millisecond.
func AttributeMoment(v time.Time) []byte { return AttributeNumber(v.UnixMilli()) }

// AppendAttributeJSON appends the value as JSON of its type; null where it is removed
// or its bytes are not of the type.
func AppendAttributeJSON(dst []byte, a record.Attribute) []byte {
	v := a.Value
	switch {
	case v == nil:
	case a.Type == record.AttributeText:
		return appendJSONString(dst, v)
	case a.Type == record.AttributeBool && len(v) == 1:
		return strconv.AppendBool(dst, v[0] == 1)
	case len(v) != 8:
	case a.Type == record.AttributeInt:
		return strconv.AppendInt(dst, int64(binary.BigEndian.Uint64(v)^signBit), 10)
	case a.Type == record.AttributeTime:
		at := record.Millis(binary.BigEndian.Uint64(v) ^ signBit)
		return append(at.Time().AppendFormat(append(dst, '"'), timeFormat), '"')
	case a.Type == record.AttributeFloat:
		bits := binary.BigEndian.Uint64(v)
		if bits&signBit != 0 {
			bits &^= signBit
		} else {
			bits = ^bits
		}
		if b, err := json.Marshal(math.Float64frombits(bits)); err == nil {
			return append(dst, b...)
		}
	}
	return append(dst, "null"...)
}

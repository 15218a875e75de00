package rulesql

import (
	"encoding/base64"
	"math"
	"strconv"

	"github.com/hawser-iot/hawser/protocol/codec"
)

// vkind is the kind of a value. From vBool to vString the order is that of conversion upward.
type vkind uint8

const (
	vMissing vkind = iota
	vNull
	vBool
	vInt
	vFloat
	vString
	vNode   // an array or an object of the payload
	vArray  // an array that was made
	vObject // an object that was made
)

// val is a value under evaluation.
type val struct {
	kind vkind
	num  int64 // vBool: 0 or 1; vInt; vFloat: its bits
	str  string
	node codec.Value
	box  *box // vArray, vObject
}

// box holds what an array or object that was made consists of; it never changes.
type box struct {
	keys   []string // of an object, in their order
	vals   []val
	weight int // see weigh
}

func array(vals []val) val { return val{kind: vArray, box: &box{vals: vals, weight: weigh(vals)}} }
func object(keys []string, v []val) val {
	return val{kind: vObject, box: &box{keys: keys, vals: v, weight: weigh(v)}}
}

func (v val) composite() bool { return v.kind >= vNode }
func (v val) isArray() bool {
	return v.kind == vArray || v.kind == vNode && v.node.Kind() == codec.Array
}
func (v val) isObject() bool {
	return v.kind == vObject || v.kind == vNode && v.node.Kind() == codec.Object
}
func (v val) number() bool { return v.kind >= vBool && v.kind <= vFloat }
func null() val            { return val{kind: vNull} }

func text(s string) val   { return val{kind: vString, str: s} }
func integer(n int64) val { return val{kind: vInt, num: n} }
func float(f float64) val { return val{kind: vFloat, num: int64(math.Float64bits(f))} }

func boolean(b bool) val {
	if b {
		return val{kind: vBool, num: 1}
	}
	return val{kind: vBool}
}

// fromNode takes a value out of the payload.
func fromNode(v codec.Value) val {
	switch v.Kind() {
	case codec.Missing:
		return val{}
	case codec.Null:
		return val{kind: vNull}
	case codec.Bool:
		b, _ := v.Bool()
		return boolean(b)
	case codec.Int:
		n, _ := v.Int()
		return integer(n)
	case codec.Float:
		f, _ := v.Float()
		return float(f)
	case codec.String:
		s, _ := v.Str()
		return text(s)
	case codec.Bytes:
		b, _ := v.Bytes()
		return text(base64.StdEncoding.EncodeToString(b))
	}
	return val{kind: vNode, node: v}
}

// float returns a bool, an integer or a float as a float.
func (v val) float() float64 {
	if v.kind == vFloat {
		return math.Float64frombits(uint64(v.num))
	}
	return float64(v.num)
}

// appendText appends the value as a string: what a conversion upward makes of it.
func (v val) appendText(dst []byte) []byte {
	switch v.kind {
	case vNode:
		return v.node.AppendJSON(dst)
	case vArray, vObject:
		return v.appendBox(dst)
	}
	return v.appendScalar(dst)
}

// appendScalar is appendText for all but arrays and objects; dst may be on the stack.
func (v val) appendScalar(dst []byte) []byte {
	switch v.kind {
	case vString:
		return append(dst, v.str...)
	case vBool:
		return strconv.AppendBool(dst, v.num != 0)
	case vInt:
		return strconv.AppendInt(dst, v.num, 10)
	case vFloat:
		return strconv.AppendFloat(dst, v.float(), 'f', -1, 64)
	}
	return dst
}

// appendJSON appends the value for a result; what JSON has no number for (infinity) is null.
func (v val) appendJSON(dst []byte) []byte {
	switch v.kind {
	case vString:
		return codec.AppendString(dst, v.str)
	case vFloat:
		return codec.AppendFloat(dst, v.float())
	case vMissing, vNull:
		return append(dst, "null"...)
	}
	return v.appendText(dst)
}

// truth is the third-valued result of a condition.
type truth uint8

const (
	unknown truth = iota
	no
	yes
)

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

// truth returns the value as a condition: bools and numbers are true unless 0, all else is unknown.
func (v val) truth() truth {
	switch v.kind {
	case vBool, vInt:
		return truthOf(v.num != 0)
	case vFloat:
		return truthOf(v.float() != 0)
	}
	return unknown
}

func (t truth) val() val {
	if t == unknown {
		return val{kind: vNull}
	}
	return boolean(t == yes)
}

// ordering is the result of comparing two values that can be.
type ordering int8

func order[T int64 | float64 | string](a, b T) ordering {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// compare orders two values after conversion upward. ok is false if one is missing, null, an array, an object or NaN.
func compare(a, b val) (o ordering, ok bool) {
	if a.kind < vBool || b.kind < vBool || a.composite() || b.composite() {
		return 0, false
	}
	switch max(a.kind, b.kind) {
	case vBool, vInt:
		return order(a.num, b.num), true
	case vFloat:
		x, y := a.float(), b.float()
		return order(x, y), x == x && y == y
	}
	var room [32]byte
	if a.kind != vString {
		return orderText(a.appendScalar(room[:0]), b.str), true
	}
	if b.kind != vString {
		return -orderText(b.appendScalar(room[:0]), a.str), true
	}
	return order(a.str, b.str), true
}

// orderText orders bytes and a string without making a string of the bytes.
func orderText(b []byte, s string) ordering {
	switch {
	case string(b) < s:
		return -1
	case string(b) > s:
		return 1
	}
	return 0
}

package codec

import (
	"strings"
	"unsafe"
)

// Kind is what a Value is.
type Kind uint8

// The kinds. Int is a number written without fraction and exponent (or a CBOR integer) that fits int64; every other
// number is a Float.
const (
	Missing Kind = iota // there is no such value
	Null
	Bool
	Int
	Float
	String
	Bytes // a CBOR byte string; base64 in JSON
	Array
	Object
)

// String returns the kind in lower case.
func (k Kind) String() string {
	names := [...]string{"missing", "null", "bool", "int", "float", "string", "bytes", "array", "object"}
	if int(k) < len(names) {
		return names[k]
	}
	return "unknown"
}

// Value is a value of a Doc, valid until the Doc is released. The zero Value is Missing, and asking anything of a value
// of the wrong kind gives Missing, zero or false, so that chains need no checks in between.
type Value struct {
	doc *Doc
	at  int32
}

func (v Value) node() *node { return &v.doc.nodes[v.at] }

// Kind returns what v is.
func (v Value) Kind() Kind {
	if v.doc == nil {
		return Missing
	}
	return v.node().kind
}

// Exists reports whether v is not Missing; it may be Null.
func (v Value) Exists() bool { return v.doc != nil }

// Get returns the member of an object with that key.
func (v Value) Get(key string) Value {
	if v.Kind() != Object {
		return Value{}
	}
	if m := v.doc.member(v.at, key); m != 0 {
		return Value{v.doc, m}
	}
	return Value{}
}

// Path follows keys from object to object.
func (v Value) Path(keys ...string) Value {
	for _, k := range keys {
		v = v.Get(k)
	}
	return v
}

// Index returns the i-th element of an array, from 0. It walks the array: use Elems to see all of them.
func (v Value) Index(i int) Value {
	if v.Kind() != Array || i < 0 || i >= int(v.node().count) {
		return Value{}
	}
	e := v.at + 1
	for range i {
		e = v.doc.nodes[e].next
	}
	return Value{v.doc, e}
}

// Len returns the number of members of an object, elements of an array, or bytes of a String or Bytes; else 0.
func (v Value) Len() int {
	switch v.Kind() {
	case Object, Array:
		return int(v.node().count)
	case String, Bytes:
		return int(v.node().str.len)
	}
	return 0
}

// Count returns how many values v is made of, itself and all that is in it; 0 for Missing.
func (v Value) Count() int {
	if v.doc == nil {
		return 0
	}
	return int(v.node().next - v.at)
}

// Each calls f for each member of an object in document order until f returns false. The key is valid as long as v.
func (v Value) Each(f func(key string, v Value) bool) {
	if v.Kind() != Object {
		return
	}
	end := v.node().next
	for m := v.at + 1; m < end; m = v.doc.nodes[m].next {
		if v.doc.nodes[m].flags&flagDead == 0 && !f(v.doc.key(m), Value{v.doc, m}) {
			return
		}
	}
}

// Elems calls f for each element of an array until f returns false.
func (v Value) Elems(f func(i int, v Value) bool) {
	if v.Kind() != Array {
		return
	}
	end := v.node().next
	for i, e := 0, v.at+1; e < end; i, e = i+1, v.doc.nodes[e].next {
		if !f(i, Value{v.doc, e}) {
			return
		}
	}
}

// Bool returns the value of a Bool; ok is false for other kinds.
func (v Value) Bool() (b, ok bool) {
	if v.Kind() != Bool {
		return false, false
	}
	return v.node().num != 0, true
}

// Int returns the value of an Int, exact over the whole of int64; ok is false for other kinds, a Float without fraction
// among them.
func (v Value) Int() (i int64, ok bool) {
	if v.Kind() != Int {
		return 0, false
	}
	return int64(v.node().num), true
}

// Float returns the value of an Int or Float; ok is false for other kinds. An Int beyond 2^53 is rounded.
func (v Value) Float() (f float64, ok bool) {
	switch v.Kind() {
	case Int:
		return float64(int64(v.node().num)), true
	case Float:
		return v.node().float(), true
	}
	return 0, false
}

// Str returns the content of a String; ok is false for other kinds. It shares the Doc's memory.
func (v Value) Str() (s string, ok bool) {
	if v.Kind() != String {
		return "", false
	}
	return v.doc.string(v.node().str), true
}

// Bytes returns the content of a Bytes; ok is false for other kinds. It shares the Doc's memory and must not be changed.
func (v Value) Bytes() (b []byte, ok bool) {
	if v.Kind() != Bytes {
		return nil, false
	}
	s := v.doc.string(v.node().str)
	return unsafe.Slice(unsafe.StringData(s), len(s)), true
}

// Any returns the value as nil, bool, int64, float64, string, []byte, []any or map[string]any, in memory of its own.
// Missing gives nil.
func (v Value) Any() any {
	switch v.Kind() {
	case Bool:
		return v.node().num != 0
	case Int:
		return int64(v.node().num)
	case Float:
		return v.node().float()
	case String:
		return strings.Clone(v.doc.string(v.node().str))
	case Bytes:
		return []byte(v.doc.string(v.node().str))
	case Array:
		a := make([]any, 0, v.Len())
		v.Elems(func(_ int, e Value) bool { a = append(a, e.Any()); return true })
		return a
	case Object:
		m := make(map[string]any, v.Len())
		v.Each(func(k string, e Value) bool { m[strings.Clone(k)] = e.Any(); return true })
		return m
	}
	return nil
}

// Equal reports whether two values, of whatever documents, are the same: objects regardless of the order of members,
// numbers by value (1 equals 1.0). Missing equals Missing only.
func (v Value) Equal(w Value) bool {
	k := v.Kind()
	if k == Float || k == Int {
		return equalNumbers(v, w)
	}
	if k != w.Kind() || v.Len() != w.Len() {
		return false
	}
	equal := true
	switch k {
	case Bool:
		return v.node().num == w.node().num
	case String, Bytes:
		return v.doc.string(v.node().str) == w.doc.string(w.node().str)
	case Array:
		next := w.at + 1
		v.Elems(func(_ int, e Value) bool {
			equal = e.Equal(Value{w.doc, next})
			next = w.doc.nodes[next].next
			return equal
		})
	case Object:
		v.Each(func(key string, e Value) bool { equal = e.Equal(w.Get(key)); return equal })
	}
	return equal
}

func equalNumbers(v, w Value) bool {
	a, aInt := v.Int()
	b, bInt := w.Int()
	if aInt && bInt {
		return a == b
	}
	x, _ := v.Float()
	y, ok := w.Float()
	if !ok || x != y {
		return false
	}
	// Past 2^53 an integer may round to a float that it does not equal; 2^63 itself is no int64.
	if aInt {
		return y < 1<<63 && int64(y) == a
	}
	if bInt {
		return x < 1<<63 && int64(x) == b
	}
	return v.node().flags&flagUint == 0 || w.node().flags&flagUint == 0 || v.node().num == w.node().num
}

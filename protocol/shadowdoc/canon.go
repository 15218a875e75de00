package shadowdoc

import (
	"errors"
	"slices"

	"github.com/hawser-iot/hawser/protocol/codec"
)

var errTooDeep = errors.New("shadowdoc: nested too deep")

// appendCanonical appends v as small devices can read it: compact, the keys of objects ascending by their bytes (a key
// that is a prefix of another comes first), numbers without exponents, as codec writes them. depth is how many levels v may have.
func appendCanonical(dst []byte, v codec.Value, depth int) ([]byte, error) {
	switch v.Kind() {
	case codec.Object:
		return appendObject(dst, v, depth)
	case codec.Array:
		if depth <= 0 {
			return dst, errTooDeep
		}
		dst = append(dst, '[')
		var err error
		v.Elems(func(i int, e codec.Value) bool {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst, err = appendCanonical(dst, e, depth-1)
			return err == nil
		})
		return append(dst, ']'), err
	}
	return v.AppendJSON(dst), nil
}

func appendObject(dst []byte, v codec.Value, depth int) ([]byte, error) {
	if depth <= 0 {
		return dst, errTooDeep
	}
	start, last, first, sorted := len(dst), "", true, true
	var err error
	dst = append(dst, '{')
	v.Each(func(key string, e codec.Value) bool {
		if !first {
			if sorted = last < key; !sorted {
				return false
			}
			dst = append(dst, ',')
		}
		first, last = false, key
		dst = append(codec.AppendString(dst, key), ':')
		dst, err = appendCanonical(dst, e, depth-1)
		return err == nil
	})
	if err != nil {
		return dst, err
	}
	if !sorted {
		return appendSorted(dst[:start], v, depth)
	}
	return append(dst, '}'), nil
}

// appendSorted is appendObject for the rare object whose keys do not come in order.
func appendSorted(dst []byte, v codec.Value, depth int) ([]byte, error) {
	keys := make([]string, 0, v.Len())
	v.Each(func(key string, _ codec.Value) bool {
		keys = append(keys, key)
		return true
	})
	slices.Sort(keys)
	keys = slices.Compact(keys)
	var err error
	dst = append(dst, '{')
	for i, key := range keys {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(codec.AppendString(dst, key), ':')
		if dst, err = appendCanonical(dst, v.Get(key), depth-1); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}

// canonical is appendCanonical into a string of its own.
func canonical(v codec.Value, depth int) (string, error) {
	b, err := appendCanonical(nil, v, depth)
	return string(b), err
}

// same tells whether two canonical texts are one value; 20 and 20.0 are.
func same(a, b string) bool {
	if a == b {
		return true
	}
	x, err := codec.Decode([]byte(a), codec.DefaultLimits())
	if err != nil {
		return false
	}
	defer x.Release()
	y, err := codec.Decode([]byte(b), codec.DefaultLimits())
	if err != nil {
		return false
	}
	defer y.Release()
	return x.Root().Equal(y.Root())
}

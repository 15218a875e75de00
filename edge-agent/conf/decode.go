package conf

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// Unmarshal reads a file into the struct that out points to: keys are the fields' yaml tags, a key that no field has is an error, and what the file does not
// say keeps its value. Fields are structs (inline too), pointers to them, strings, numbers, booleans, slices, maps with scalars as keys, and what implements
// encoding.TextUnmarshaler.
func Unmarshal(b []byte, out any) error {
	n, err := Parse(b)
	if err != nil {
		return err
	}
	return n.Decode(out)
}

// Decode is Unmarshal of a value that was read.
func (n *Node) Decode(out any) error { return n.into(reflect.ValueOf(out).Elem()) }

func (n *Node) fail(format string, args ...any) error {
	return &Error{n.Line, n.Column, fmt.Sprintf(format, args...)}
}

func (n *Node) into(v reflect.Value) error {
	if n.Null() {
		return nil
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		return n.into(v.Elem())
	}
	if t, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if n.Kind != Scalar {
			return n.fail("want a single value")
		}
		if err := t.UnmarshalText([]byte(n.Value)); err != nil {
			return n.fail("%v", err)
		}
		return nil
	}
	switch v.Kind() {
	case reflect.Struct:
		return n.members(v)
	case reflect.Slice:
		return n.slice(v)
	case reflect.Map:
		return n.entries(v)
	case reflect.Interface:
		x, err := n.any()
		if err == nil && x != nil {
			v.Set(reflect.ValueOf(x))
		}
		return err
	}
	return n.scalar(v)
}

// any is the value that a plain scalar looks like: nil, a bool, an int or a float64; else it is a text. Dates are texts.
func (n *Node) any() (any, error) {
	switch {
	case n.Null():
		return nil, nil
	case n.Kind == List:
		list := make([]any, len(n.Content))
		for i, e := range n.Content {
			var err error
			if list[i], err = e.any(); err != nil {
				return nil, err
			}
		}
		return list, nil
	case n.Kind == Map:
		m := make(map[string]any)
		for i := 0; i < len(n.Content); i += 2 {
			v, err := n.Content[i+1].any()
			if err != nil {
				return nil, err
			}
			m[n.Content[i].Value] = v
		}
		return m, nil
	case n.Style != Plain:
		return n.Value, nil
	case n.Value == "true" || n.Value == "True" || n.Value == "TRUE":
		return true, nil
	case n.Value == "false" || n.Value == "False" || n.Value == "FALSE":
		return false, nil
	}
	if i, err := strconv.ParseInt(strings.ReplaceAll(n.Value, "_", ""), 0, strconv.IntSize); err == nil {
		return int(i), nil
	}
	if f, err := strconv.ParseFloat(n.Value, 64); err == nil && !strings.ContainsAny(n.Value, "xXpP_nN") {
		return f, nil
	}
	return n.Value, nil
}

func (n *Node) scalar(v reflect.Value) error {
	if n.Kind != Scalar {
		return n.fail("want a single value")
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(n.Value)
	case reflect.Bool:
		b, ok := truth(n.Value)
		if !ok || n.Style != Plain {
			return n.fail("%q: want true or false", short(n.Value))
		}
		v.SetBool(b)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		i, err := strconv.ParseInt(strings.ReplaceAll(n.Value, "_", ""), 0, 64)
		if err != nil || n.Style != Plain || v.OverflowInt(i) {
			return n.fail("%q: want a number", short(n.Value))
		}
		v.SetInt(i)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		i, err := strconv.ParseUint(strings.ReplaceAll(n.Value, "_", ""), 0, 64)
		if err != nil || n.Style != Plain || v.OverflowUint(i) {
			return n.fail("%q: want a number that is not negative", short(n.Value))
		}
		v.SetUint(i)
	case reflect.Float32, reflect.Float64:
		f, err := strconv.ParseFloat(n.Value, 64)
		if err != nil || n.Style != Plain || strings.ContainsAny(n.Value, "xXpP_nN") {
			return n.fail("%q: want a number", short(n.Value))
		}
		v.SetFloat(f)
	default:
		return n.fail("a value for a %s is not known here", v.Type())
	}
	return nil
}

// truth is what YAML takes for a boolean where one is wanted.
func truth(s string) (b, ok bool) {
	switch s {
	case "true", "True", "TRUE", "y", "Y", "yes", "Yes", "YES", "on", "On", "ON":
		return true, true
	case "false", "False", "FALSE", "n", "N", "no", "No", "NO", "off", "Off", "OFF":
		return false, true
	}
	return false, false
}

func (n *Node) members(v reflect.Value) error {
	if n.Kind != Map {
		return n.fail("want keys with values")
	}
	fields := map[string]reflect.Value{}
	name(v, fields)
	for i := 0; i < len(n.Content); i += 2 {
		key := n.Content[i]
		f, ok := fields[key.Value]
		if !ok {
			return key.fail("the key %q is not known", short(key.Value))
		}
		if err := n.Content[i+1].into(f); err != nil {
			return err
		}
	}
	return nil
}

// name finds the fields of a struct, and of those that are inline in it.
func name(v reflect.Value, fields map[string]reflect.Value) {
	for i := range v.NumField() {
		switch key, option, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ","); {
		case option == "inline":
			name(v.Field(i), fields)
		case key != "" && key != "-":
			fields[key] = v.Field(i)
		}
	}
}

func (n *Node) slice(v reflect.Value) error {
	if n.Kind != List {
		return n.fail("want a list")
	}
	list := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, e := range n.Content {
		if err := e.into(list.Index(i)); err != nil {
			return err
		}
	}
	v.Set(list)
	return nil
}

// entries is a map.
func (n *Node) entries(v reflect.Value) error {
	if n.Kind != Map {
		return n.fail("want keys with values")
	}
	m := reflect.MakeMap(v.Type())
	for i := 0; i < len(n.Content); i += 2 {
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		if err := n.Content[i].scalar(key); err != nil {
			return err
		}
		if err := n.Content[i+1].into(value); err != nil {
			return err
		}
		m.SetMapIndex(key, value)
	}
	v.Set(m)
	return nil
}

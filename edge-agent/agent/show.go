package agent

import (
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/protocol/credential"
)

// Show writes the configuration as it is in force, defaults included, in YAML and without secrets.
//
// It is written here and not by the YAML package, half of which would come into the program for it.
func (c *Config) Show(w io.Writer) error {
	var b strings.Builder
	show(&b, reflect.ValueOf(*c), 0)
	_, err := w.Write(c.mask([]byte(b.String()))) // one may be in a command too
	return err
}

// discreet is a value that shows itself without the secrets that it holds.
type discreet interface {
	show() string // in a line of YAML
	hidden() []Secret
}

// show writes the fields of a struct, each a line or a block.
func show(b *strings.Builder, v reflect.Value, depth int) {
	for i := range v.NumField() {
		name, option, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		f := v.Field(i)
		if option == "inline" {
			show(b, f, depth)
			continue
		}
		if name == "" || name == "-" || f.Kind() == reflect.Pointer && f.IsNil() {
			continue
		}
		fmt.Fprintf(b, "%s%s:", strings.Repeat("  ", depth), name)
		if f.Kind() == reflect.Pointer {
			f = f.Elem()
		}
		if f.Kind() == reflect.Struct {
			b.WriteByte('\n')
			show(b, f, depth+1)
			continue
		}
		fmt.Fprintf(b, " %s\n", flow(f))
	}
}

// flow is a value in one line.
func flow(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case credential.Secret:
		if x == "" {
			return `""`
		}
		return `"` + x.String() + `"`
	case Duration:
		return time.Duration(x).String()
	case discreet:
		return x.show()
	}
	var parts []string
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return "null"
		}
		return flow(v.Elem())
	case reflect.String:
		return strconv.Quote(v.String())
	case reflect.Slice:
		for i := range v.Len() {
			parts = append(parts, flow(v.Index(i)))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			parts = append(parts, flow(it.Key())+": "+flow(it.Value()))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ","); name != "" && name != "-" {
				parts = append(parts, name+": "+flow(v.Field(i)))
			}
		}
	default:
		return fmt.Sprint(v.Interface())
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

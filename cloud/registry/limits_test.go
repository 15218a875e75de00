package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/thing"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// definition writes a thing model with n entries in one of its lists.
func definition(list, entry string, n int) string {
	var entries []string
	for i := range n {
		entries = append(entries, strings.ReplaceAll(entry, "#", fmt.Sprint(i)))
	}
	return `{"` + list + `":[` + strings.Join(entries, ",") + `]}`
}

const dateType = `"DataType":{"Type":"date","Spec":{}}`

func parameters(n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(`{"Identifier":"p%d","Name":"p",%s}`, i, dateType))
	}
	return "[" + strings.Join(list, ",") + "]"
}

func dataType(text string) string {
	return `{"Property":[{"Identifier":"x","Name":"x","AccessMode":"rw","DataType":` + text + `}]}`
}

func enum(n int) string {
	items := make(map[string]string, n)
	for i := range n {
		items[fmt.Sprint(i)] = "x"
	}
	b, _ := json.Marshal(items) // it cannot fail
	return dataType(`{"Type":"enum","Spec":` + string(b) + `}`)
}

// TestLimits: what the protocol bounds is taken up to the bound, and refused beyond with a reason that names what was wrong,
// and counted.
func TestLimits(t *testing.T) {
	ctx := t.Context()
	r := open(t, storetest.SQLite(t))
	p := product(t, r)
	setTemplate := func(text string) error {
		tmpl, err := thing.ParseTemplate([]byte(text))
		if err != nil {
			return err
		}
		_, err = r.SetTemplate(ctx, p.SN, tmpl)
		return err
	}
	model := func(write func(n int) string) func(int) error {
		return func(n int) error { return setTemplate(write(n)) }
	}
	topics := func(list ...topic.Template) error { _, err := r.SetTopics(ctx, p.SN, list); return err }
	pub := func(path string) error { return topics(topic.Template{Path: path, Perm: topic.Pub}) }
	value := func(spec string, v codec.Value) error {
		tmpl, err := thing.ParseTemplate([]byte(dataType(spec)))
		if err != nil {
			return err
		}
		m, err := thing.Compile(tmpl)
		if err != nil {
			return err
		}
		return m.CheckProperty("x", v)
	}
	n := 0
	device := func(d NewDevice) error { d.Product = p.SN; _, err := r.CreateDevice(ctx, d); return err }
	tests := []struct {
		what  string
		most  int
		do    func(n int) error
		tells string // of the reason beyond
		count string // the label that counts it; "" for what the path counts
	}{
		{"properties", 100, model(func(n int) string {
			return definition("Property", `{"Identifier":"x#","Name":"x","AccessMode":"r",`+dateType+`}`, n)
		}), "101", "template"},
		{"events", 100, model(func(n int) string {
			return definition("Event", `{"Identifier":"x#","Name":"x","Type":"notify","Output":[]}`, n)
		}), "101", "template"},
		{"commands", 100, model(func(n int) string {
			return definition("Command", `{"Identifier":"x#","Name":"x","Input":[],"Output":[]}`, n)
		}), "101", "template"},
		{"event parameters", 20, model(func(n int) string {
			return `{"Event":[{"Identifier":"x","Name":"x","Type":"notify","Output":` + parameters(n) + `}]}`
		}), "21", "template"},
		{"command input", 20, model(func(n int) string {
			return `{"Command":[{"Identifier":"x","Name":"x","Input":` + parameters(n) + `,"Output":[]}]}`
		}), "21", "template"},
		{"command output", 20, model(func(n int) string {
			return `{"Command":[{"Identifier":"x","Name":"x","Input":[],"Output":` + parameters(n) + `}]}`
		}), "21", "template"},
		{"struct members", 20, model(func(n int) string { return dataType(`{"Type":"struct","Spec":` + parameters(n) + `}`) }), "21", "template"},
		{"enum items", 25, model(enum), "26", "template"},
		{"string length", 2048, model(func(n int) string { return dataType(fmt.Sprintf(`{"Type":"string","Spec":{"Length":%d}}`, n)) }), "2048", "template"},
		{"array size", 128, model(func(n int) string {
			return dataType(fmt.Sprintf(`{"Type":"array","Spec":{"Item":{"Type":"int32","Spec":{"Min":0,"Max":9}},"Size":%d}}`, n))
		}), "128", "template"},
		{"identifier", 32, model(func(n int) string {
			return definition("Property", `{"Identifier":"`+strings.Repeat("x", n)+`","Name":"x","AccessMode":"r",`+dateType+`}`, 1)
		}), "Identifier", "template"},
		{"string value", 2048, func(n int) error {
			return value(`{"Type":"string","Spec":{"Length":2048}}`, jsonValue(t, `"`+strings.Repeat("x", n)+`"`))
		}, "2048", ""},
		{"array value", 128, func(n int) error {
			return value(`{"Type":"array","Spec":{"Item":{"Type":"int32","Spec":{"Min":0,"Max":9}},"Size":128}}`,
				jsonValue(t, "["+strings.TrimSuffix(strings.Repeat("1,", n), ",")+"]"))
		}, "128", ""},
		{"custom topics", 50, func(n int) error {
			list := make([]topic.Template, n)
			for i := range list {
				list[i] = topic.Template{Path: fmt.Sprint("t", i), Perm: topic.Pub}
			}
			return topics(list...)
		}, "50", "custom topics of a product"},
		{"levels of a topic", 5, func(n int) error { return pub(strings.TrimSuffix(strings.Repeat("a/", n), "/")) }, "levels", "topics"},
		{"length of a level", 64, func(n int) error { return pub(strings.Repeat("a", n)) }, "64", "topics"},
		{"length of a topic", 128, func(n int) error {
			const head = "/0123456789abcdef/dev1/"
			_, err := topic.Parse(head + strings.Repeat("a", 60) + "/" + strings.Repeat("b", n-len(head)-61))
			return err
		}, "128", ""},
		{"slashes of a topic", 7, func(n int) error {
			_, err := topic.Parse("/0123456789abcdef/dev1" + strings.Repeat("/a", n-2))
			return err
		}, "7", ""},
		{"product name", MaxName, func(n int) error {
			_, err := r.CreateProduct(ctx, NewProduct{Name: strings.Repeat("ü", n)})
			return err
		}, "128", "name"},
		{"product description", MaxDescription, func(n int) error {
			_, err := r.CreateProduct(ctx, NewProduct{Name: "p", Description: strings.Repeat("ü", n)})
			return err
		}, "1024", "description"},
		{"device name", MaxName, func(n int) error { return device(NewDevice{Name: strings.Repeat("ü", n)}) }, "128", "name"},
		{"deviceSN", ident.MaxDeviceLen, func(k int) error {
			n++
			return device(NewDevice{SN: fmt.Sprintf("%0*d", k, n)})
		}, "64", "deviceSN"},
		{"tags", MaxTags, func(n int) error {
			tags := Tags{}
			for i := range n {
				tags[fmt.Sprint("t", i)] = ""
			}
			return device(NewDevice{Tags: tags})
		}, "32", "tags of a device"},
		{"tag name", 64, func(n int) error { return device(NewDevice{Tags: Tags{strings.Repeat("x", n): ""}}) }, "64", "tags"},
		{"tag value", MaxTagValue, func(n int) error { return device(NewDevice{Tags: Tags{"x": strings.Repeat("ü", n)}}) }, "128", "tags"},
		{"group name", 64, func(n int) error {
			_, err := r.CreateGroup(ctx, NewGroup{Project: DefaultProject, Name: strings.Repeat("g", n)})
			return err
		}, "64", "name"},
		{"max subscriptions of a product", MaxSubscriptionsSet, func(n int) error {
			v := int64(n)
			_, err := r.UpdateProduct(ctx, p.SN, ProductUpdate{Settings: &Settings{MaxSubscriptions: &v}})
			return err
		}, "10000", "settings"},
	}
	for _, tt := range tests {
		t.Run(tt.what, func(t *testing.T) {
			if err := tt.do(tt.most); err != nil {
				t.Errorf("%d: %v", tt.most, err)
			}
			before := refusals(t, r, tt.count)
			err := tt.do(tt.most + 1)
			if err == nil || !strings.Contains(err.Error(), tt.tells) {
				t.Errorf("%d: %v, want an error that tells %q", tt.most+1, err, tt.tells)
			}
			if after := refusals(t, r, tt.count); tt.count != "" && !isDefinition(err) && after != before+1 {
				t.Errorf("counted %v times as %q, want once", after-before, tt.count)
			}
		})
	}
}

// isDefinition tells that reading a definition found the fault, before the registry saw it.
func isDefinition(err error) bool {
	_, ok := errors.AsType[*thing.DefinitionError](err)
	return ok
}

func jsonValue(t *testing.T, text string) codec.Value {
	t.Helper()
	d, err := codec.Decode([]byte(text), codec.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	return d.Root()
}

// refusals reads the counter of what.
func refusals(t *testing.T, r *Registry, what string) (n float64) {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(r)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if m.GetLabel()[0].GetValue() == what {
				n = m.GetCounter().GetValue()
			}
		}
	}
	return n
}

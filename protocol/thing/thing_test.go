package thing

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/protocol/codec"
)

func read(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func everything(t testing.TB) *Template {
	t.Helper()
	tm, err := ParseTemplate([]byte(read(t, "everything.json")))
	if err != nil {
		t.Fatal(err)
	}
	return tm
}

func model(t testing.TB) *Model {
	t.Helper()
	m, err := Compile(everything(t))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestChecks(t *testing.T) {
	m := model(t)
	for i, line := range strings.Split(read(t, "checks.txt"), "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		check, want, ok := strings.Cut(line, " → ")
		words := strings.SplitN(check, " ", 3)
		if !ok || len(words) != 3 {
			t.Fatalf("line %d: cannot read %q", i+1, line)
		}
		doc, err := codec.Decode([]byte(words[2]), codec.DefaultLimits())
		if err != nil {
			t.Fatalf("line %d: %v", i+1, err)
		}
		if got := checked(m, words[0], words[1], doc.Root()); got != want {
			t.Errorf("line %d: %s: %s, want %s", i+1, check, got, want)
		}
		doc.Release()
	}
}

// checked is the outcome of a check as checks.txt writes it.
func checked(m *Model, what, id string, v codec.Value) string {
	var err error
	sent := v.AppendJSON(nil)
	came := string(sent)
	switch what {
	case "property":
		err = m.CheckProperty(id, v)
		sent = m.AppendProperty(nil, id, v)
	case "set":
		err = m.CheckWritable(id, v)
	case "event":
		err = m.CheckEvent(id, v)
	case "input":
		err = m.CheckInput(id, v)
		sent = m.AppendInput(nil, id, v)
	case "output":
		err = m.CheckOutput(id, v)
	}
	var bad *Violation
	switch {
	case errors.As(err, &bad):
		return fmt.Sprintf("%d %s", bad.Code, bad)
	case err != nil:
		return err.Error()
	case string(sent) == came:
		return "ok"
	}
	return "ok = " + string(sent)
}

func TestFaultyDefinitions(t *testing.T) {
	definition, want := "", []string{}
	check := func() {
		if definition == "" {
			return
		}
		_, err := ParseTemplate([]byte(definition))
		if err == nil {
			t.Errorf("%s: no error, want %s", definition, want)
			return
		}
		if got := err.Error(); got != strings.Join(want, "\n") {
			t.Errorf("%s:\n%s, want\n%s", definition, got, strings.Join(want, "\n"))
		}
		var bad *DefinitionError
		if !errors.As(err, &bad) {
			t.Errorf("%s: the error is a %T", definition, err)
		}
	}
	for _, line := range strings.Split(read(t, "definitions.txt"), "\n") {
		switch {
		case line == "" || line[0] == '#':
		case line[0] == ' ':
			want = append(want, line[1:])
		default:
			check()
			definition, want = line, nil
		}
	}
	check()
}

func TestLimitsOfDefinitions(t *testing.T) {
	parameters := make([]Parameter, MaxParameters+1)
	for i := range parameters {
		parameters[i] = Parameter{Identifier: fmt.Sprintf("p%d", i), DataType: DataType{Type: Date}}
	}
	properties := make([]Property, MaxEntries+1)
	for i := range properties {
		properties[i] = Property{Identifier: fmt.Sprintf("p%d", i), AccessMode: AccessRead, DataType: DataType{Type: Date}}
	}
	if _, err := Compile(&Template{Property: properties}); err == nil || !strings.Contains(err.Error(), "has 101 entries") {
		t.Errorf("101 properties: %v", err)
	}
	if _, err := Compile(&Template{Property: properties[1:]}); err != nil {
		t.Errorf("100 properties: %v", err)
	}
	bad := &Template{Command: []Command{{Identifier: "c", Output: parameters}}}
	if _, err := Compile(bad); err == nil || !strings.Contains(err.Error(), "Command[0].Output: has 21 parameters") {
		t.Errorf("21 parameters: %v", err)
	}
	many := &Template{Property: make([]Property, MaxEntries)}
	if _, err := Compile(many); err == nil || strings.Count(err.Error(), "\n") != maxFaults-1 {
		t.Errorf("not %d faults: %v", maxFaults, err)
	}
}

func TestNativeForm(t *testing.T) {
	tm := everything(t)
	b := tm.AppendJSON(nil)
	again, err := ParseTemplate(b)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(again, tm) {
		t.Errorf("read again it is %+v, want %+v", again, tm)
	}
	wrapped, err := ParseTemplate(tm.AppendWrapped(nil))
	if err != nil || !reflect.DeepEqual(wrapped, tm) {
		t.Errorf("wrapped: %v", err)
	}
	var viaJSON Template
	if err := json.Unmarshal(b, &viaJSON); err != nil || !reflect.DeepEqual(&viaJSON, tm) {
		t.Errorf("encoding/json: %v", err)
	}
	cbor, err := codec.ToCBOR(b, codec.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	if again, err = ParseTemplate(cbor); err != nil || !reflect.DeepEqual(again, tm) {
		t.Errorf("CBOR: %v", err)
	}
	if got, want := string(new(Template).AppendJSON(nil)), `{"Property":[],"Event":[],"Command":[]}`; got != want {
		t.Errorf("empty: %s, want %s", got, want)
	}
	want := `{"Property":[{"Identifier":"count","Name":"Count","PropertyID":"p-1","AccessMode":"rw","DataType":{"Type":"int32","Spec":{"Min":1,"Max":101,"Step":5,"UnitName":"pcs"}}},`
	if !strings.HasPrefix(string(b), want) {
		t.Errorf("native form %s, want %s…", b, want)
	}
}

func TestUndefinedHasNoForm(t *testing.T) {
	m := model(t)
	if got := string(m.AppendProperty(nil, "nope", codec.Value{})); got != "null" {
		t.Errorf("property %s", got)
	}
	if got := string(m.AppendInput(nil, "nope", codec.Value{})); got != "{}" {
		t.Errorf("input %s", got)
	}
	if !m.HasProperty("count") || m.HasProperty("alarm") || !m.HasCommand("down") || m.HasCommand("count") {
		t.Error("HasProperty or HasCommand is wrong")
	}
}

// FuzzTemplate: what is read is valid, compiles, and is read the same from its own form.
func FuzzTemplate(f *testing.F) {
	f.Add([]byte(read(f, "everything.json")))
	for _, line := range strings.Split(read(f, "definitions.txt"), "\n") {
		f.Add([]byte(strings.TrimSpace(line)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		tm, err := ParseTemplate(b)
		if err != nil {
			return
		}
		if _, err := Compile(tm); err != nil {
			t.Fatal(err)
		}
		form := tm.AppendJSON(nil)
		again, err := ParseTemplate(form)
		if err != nil {
			t.Fatalf("%s: %v", form, err)
		}
		if got := again.AppendJSON(nil); string(got) != string(form) {
			t.Fatalf("%s, read again %s", form, got)
		}
	})
}

// FuzzValues: no value makes a check fail otherwise than by a Violation whose text a small reader can take, and the form
// of what is accepted is accepted too.
func FuzzValues(f *testing.F) {
	for _, line := range strings.Split(read(f, "checks.txt"), "\n") {
		if words := strings.SplitN(line, " ", 3); len(words) == 3 {
			value, _, _ := strings.Cut(words[2], " → ")
			f.Add(words[1], []byte(value))
		}
	}
	m := model(f)
	f.Fuzz(func(t *testing.T, id string, b []byte) {
		doc, err := codec.Decode(b, codec.DefaultLimits())
		if err != nil {
			return
		}
		defer doc.Release()
		v := doc.Root()
		for _, err := range []error{m.CheckProperty(id, v), m.CheckWritable(id, v), m.CheckEvent(id, v), m.CheckInput(id, v), m.CheckOutput(id, v)} {
			var bad *Violation
			if err != nil && (!errors.As(err, &bad) || bad.Code == 0 || strings.ContainsAny(err.Error(), "{}[]\"\\\n")) {
				t.Fatalf("%T %v", err, err)
			}
		}
		if m.CheckProperty(id, v) != nil {
			return
		}
		sent := m.AppendProperty(nil, id, v)
		again, err := codec.Decode(sent, codec.DefaultLimits())
		if err != nil {
			t.Fatalf("%s: %v", sent, err)
		}
		defer again.Release()
		if err := m.CheckProperty(id, again.Root()); err != nil {
			t.Fatalf("%s is accepted, its form %s is not: %v", b, sent, err)
		}
	})
}

const report = `{"count":6,"temp":21.5,"on":1,"pos":{"lon":7.5,"l":1}}`

func checkReport(m *Model, v codec.Value) bool {
	ok := true
	v.Each(func(id string, e codec.Value) bool {
		ok = m.CheckProperty(id, e) == nil
		return ok
	})
	return ok
}

func BenchmarkReport(b *testing.B) {
	m := model(b)
	doc, err := codec.Decode([]byte(report), codec.DefaultLimits())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if !checkReport(m, doc.Root()) {
			b.Fatal("refused")
		}
	}
}

func TestAcceptedAllocatesNothing(t *testing.T) {
	m := model(t)
	doc, err := codec.Decode([]byte(report), codec.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() {
		if !checkReport(m, doc.Root()) {
			t.Fatal("refused")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

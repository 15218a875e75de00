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

// numbered are n parameters p0, p1, …
func numbered(n int) []Parameter {
	list := make([]Parameter, n)
	for i := range list {
		list[i] = Parameter{Identifier: fmt.Sprintf("p%d", i), DataType: DataType{Type: Date}}
	}
	return list
}

func TestLimitsOfDefinitions(t *testing.T) {
	property := func(d DataType) *Template {
		return &Template{Property: []Property{{Identifier: "a", AccessMode: AccessRead, DataType: d}}}
	}
	properties := func(n int) *Template {
		tm := &Template{Property: make([]Property, n)}
		for i, p := range numbered(n) {
			tm.Property[i] = Property{Identifier: p.Identifier, AccessMode: AccessRead, DataType: p.DataType}
		}
		return tm
	}
	events := func(n int) *Template {
		tm := &Template{Event: make([]Event, n)}
		for i, p := range numbered(n) {
			tm.Event[i] = Event{Identifier: p.Identifier, Type: EventNotify}
		}
		return tm
	}
	commands := func(n int) *Template {
		tm := &Template{Command: make([]Command, n)}
		for i, p := range numbered(n) {
			tm.Command[i] = Command{Identifier: p.Identifier}
		}
		return tm
	}
	items := func(n int) *Template {
		d := DataType{Type: Enum}
		for i := range n {
			d.Labels = append(d.Labels, Label{Value: int64(i), Text: "x"})
		}
		return property(d)
	}
	array := func(n int) *Template { return property(DataType{Type: Array, Item: &DataType{Type: Date}, Size: n}) }
	length := func(n int) *Template { return property(DataType{Type: String, Length: n}) }
	name := func(n int) *Template { return &Template{Command: []Command{{Identifier: strings.Repeat("a", n)}}} }
	input := func(n int) *Template { return &Template{Command: []Command{{Identifier: "c", Input: numbered(n)}}} }
	output := func(n int) *Template { return &Template{Command: []Command{{Identifier: "c", Output: numbered(n)}}} }
	params := func(n int) *Template {
		return &Template{Event: []Event{{Identifier: "e", Type: EventError, Output: numbered(n)}}}
	}
	members := func(n int) *Template { return property(DataType{Type: Struct, Members: numbered(n)}) }

	tests := []struct {
		what        string
		make        func(int) *Template
		least, most int
		want        string // of the error for one more than most
	}{
		{"properties", properties, 0, 100, "Property: has 101 entries, at most 100 are allowed"},
		{"events", events, 0, 100, "Event: has 101 entries, at most 100 are allowed"},
		{"commands", commands, 0, 100, "Command: has 101 entries, at most 100 are allowed"},
		{"input", input, 0, 20, "Command[0].Input (c): has 21 parameters, at most 20 are allowed"},
		{"output", output, 0, 20, "Command[0].Output (c): has 21 parameters, at most 20 are allowed"},
		{"event output", params, 0, 20, "Event[0].Output (e): has 21 parameters, at most 20 are allowed"},
		{"members", members, 1, 20, "Property[0].DataType.Spec (a): has 21 parameters, at most 20 are allowed"},
		{"enum items", items, 1, 25, "Property[0].DataType.Spec (a): has 26 items, enum takes 1 to 25"},
		{"string length", length, 1, 2048, "Property[0].DataType.Spec.Length (a): must be 1 to 2048, not 2049"},
		{"array size", array, 1, 128, "Property[0].DataType.Spec.Size (a): must be 1 to 128, not 129"},
		{"identifier", name, 1, 32, "at most 32"},
	}
	for _, tt := range tests {
		for _, n := range []int{tt.least, tt.most} {
			if _, err := Compile(tt.make(n)); err != nil {
				t.Errorf("%s of %d: %v", tt.what, n, err)
			}
		}
		if _, err := Compile(tt.make(tt.most + 1)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s of %d: %v, want %s", tt.what, tt.most+1, err, tt.want)
		}
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

// The upstream platform numbers its entries; others name them.
func TestEntryIDs(t *testing.T) {
	for _, id := range []string{"9", "-1", `"p-1"`, `"007"`, `"9223372036854775808"`} {
		src := `{"Property":[],"Event":[{"Identifier":"low","Name":"","EventID":` + id + `,"Type":"warning","Output":[]}],"Command":[]}`
		tm, err := ParseTemplate([]byte(src))
		if err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		if got := string(tm.AppendJSON(nil)); got != src {
			t.Errorf("%s comes back as %s", id, got)
		}
	}
	for _, id := range []string{"1.5", "true", "{}"} {
		if _, err := ParseTemplate([]byte(`{"Event":[{"Identifier":"low","EventID":` + id + `,"Type":"warning"}]}`)); err == nil {
			t.Errorf("%s was taken for an id", id)
		}
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

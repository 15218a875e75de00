package tsl

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/protocol/thing"
)

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func lines(losses thing.Losses) string {
	var b strings.Builder
	for _, l := range losses {
		b.WriteString(l.Path + ": " + l.Reason + "\n")
	}
	return b.String()
}

// TestImport compares with what was written down for the document: the definition in testdata/NAME.native.json, then the losses.
func TestImport(t *testing.T) {
	tm, losses, err := Import(read(t, "testdata/thermostat.json"))
	if err != nil {
		t.Fatal(err)
	}
	var native bytes.Buffer
	if err := json.Indent(&native, tm.AppendJSON(nil), "", "  "); err != nil {
		t.Fatal(err)
	}
	got := native.String() + "\n" + lines(losses)
	const golden = "testdata/thermostat.golden"
	if os.Getenv("HAWSER_BLESS") != "" {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := string(read(t, golden)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestRoundTrip(t *testing.T) {
	tm, err := thing.ParseTemplate(read(t, "../testdata/everything.json"))
	if err != nil {
		t.Fatal(err)
	}
	b, lost := Export(tm, "70ly1tvowt696r15")
	want := "Property[0].PropertyID: \"p-1\" is dropped: TSL has no ids beside identifiers\n" +
		"Event[0].EventID: \"e-1\" is dropped: TSL has no ids beside identifiers\n" +
		"Command[0].CommandID: \"c-1\" is dropped: TSL has no ids beside identifiers\n"
	if got := lines(lost); got != want {
		t.Errorf("lost on the way out:\n%swant\n%s", got, want)
	}
	if !json.Valid(b) {
		t.Fatalf("no JSON: %s", b)
	}
	again, lost, err := Import(b)
	if err != nil {
		t.Fatal(err)
	}
	if got := lines(lost); got != "" {
		t.Errorf("lost on the way back:\n%s", got)
	}
	tm.Property[0].PropertyID, tm.Event[0].EventID, tm.Command[0].CommandID = "", "", ""
	if list := thing.Diff(tm, again); len(list) != 0 {
		t.Errorf("changed by the round trip: %+v", list)
	}
	if got, want := string(again.AppendJSON(nil)), string(tm.AppendJSON(nil)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	second, _ := Export(again, "70ly1tvowt696r15")
	if !bytes.Equal(second, b) {
		t.Error("exported again it is another document")
	}
}

func TestNoTSL(t *testing.T) {
	for _, doc := range []string{``, `[]`, `{"a":1}`, `{"properties":{}}`, `{"properties":[]`} {
		if _, _, err := Import([]byte(doc)); err == nil {
			t.Errorf("%s is taken", doc)
		}
	}
	twice := `{"properties":[{"identifier":"a","accessMode":"r","dataType":{"type":"date"}},{"identifier":"a","accessMode":"r","dataType":{"type":"date"}}]}`
	if _, _, err := Import([]byte(twice)); err == nil || !strings.Contains(err.Error(), `"a" is already the identifier of Property[0]`) {
		t.Errorf("two of a name: %v", err)
	}
}

// FuzzImport: whatever is taken is valid, and what Export writes of it is read as the same.
func FuzzImport(f *testing.F) {
	f.Add(read(f, "testdata/thermostat.json"))
	tm, err := thing.ParseTemplate(read(f, "../testdata/everything.json"))
	if err != nil {
		f.Fatal(err)
	}
	b, _ := Export(tm, "p")
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		tm, _, err := Import(b)
		if err != nil {
			return
		}
		if _, err := thing.Compile(tm); err != nil {
			t.Fatal(err)
		}
		out, lost := Export(tm, "p")
		if len(lost) > 0 {
			t.Fatalf("an imported model cannot be exported: %s", lines(lost))
		}
		again, lost, err := Import(out)
		if err != nil || len(lost) > 0 {
			t.Fatalf("%s: %v\n%s", out, err, lines(lost))
		}
		if got, want := string(again.AppendJSON(nil)), string(tm.AppendJSON(nil)); got != want {
			t.Fatalf("%s, exported and imported %s", want, got)
		}
	})
}

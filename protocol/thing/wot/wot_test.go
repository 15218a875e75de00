package wot

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
	tm, losses, err := Import(read(t, "testdata/pump.td.json"))
	if err != nil {
		t.Fatal(err)
	}
	var native bytes.Buffer
	if err := json.Indent(&native, tm.AppendJSON(nil), "", "  "); err != nil {
		t.Fatal(err)
	}
	got := native.String() + "\n" + lines(losses)
	const golden = "testdata/pump.golden"
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
	b, lost := Export(tm, "Everything")
	if got := lines(lost); got != "" {
		t.Errorf("lost on the way out:\n%s", got)
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
	if got, want := string(again.AppendJSON(nil)), string(tm.AppendJSON(nil)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	second, _ := Export(again, "Everything")
	if !bytes.Equal(second, b) {
		t.Error("exported again it is another document")
	}
}

func TestNoDescription(t *testing.T) {
	for _, doc := range []string{``, `[]`, `{"title":"x"}`, `{"@context":"https://schema.org/"}`, `{"@context":["https://www.w3.org/2022/wot/td/v1.1"]`} {
		if _, _, err := Import([]byte(doc)); err == nil {
			t.Errorf("%s is taken", doc)
		}
	}
	for _, context := range []string{`"https://www.w3.org/2019/wot/td/v1"`, `["https://www.w3.org/2022/wot/td/v1.1",{"x":"y"}]`, `"https://www.w3.org/ns/td"`} {
		if _, _, err := Import([]byte(`{"@context":` + context + `,"title":"x"}`)); err != nil {
			t.Errorf("%s: %v", context, err)
		}
	}
}

// FuzzImport: whatever is taken is valid, and what Export writes of it is read as the same.
func FuzzImport(f *testing.F) {
	f.Add(read(f, "testdata/pump.td.json"))
	tm, err := thing.ParseTemplate(read(f, "../testdata/everything.json"))
	if err != nil {
		f.Fatal(err)
	}
	b, _ := Export(tm, "Everything")
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

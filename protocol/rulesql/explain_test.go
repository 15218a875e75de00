package rulesql

import (
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/protocol/codec"
)

func TestPosition(t *testing.T) {
	const sql = "SELECT t,\n  upper(name) + 1 AS n\nFROM '/+/+/upload'\nWHERE t > 30 AND\n   substr(room, 1) = 'x'"
	q, err := Parse(sql, Full)
	if err != nil {
		t.Fatal(err)
	}
	for expr, want := range map[string][2]int{"upper(name)": {2, 3}, "upper(name) + 1": {2, 3}, "t > 30": {4, 7}, "substr(room, 1)": {5, 4}, "room": {5, 11}} {
		line, column, ok := q.Position(expr)
		if !ok || line != want[0] || column != want[1] {
			t.Errorf("%s is at %d:%d, %v, want %v", expr, line, column, ok, want)
		}
	}
	for _, expr := range []string{"30", "nothing"} {
		if line, column, ok := q.Position(expr); ok {
			t.Errorf("%s is at %d:%d", expr, line, column)
		}
	}
}

// A query whose every field takes all the work that a message may cause is explained with a bounded amount of it.
func TestExplainIsBounded(t *testing.T) {
	big := `{"s":"` + strings.Repeat("x", 200_000) + `"}`
	doc, err := codec.Decode([]byte(big), codec.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	defer doc.Release()
	fields := make([]string, MaxFields)
	for i := range fields {
		fields[i] = "sha256(upper(s) + '" + strings.Repeat("y", i) + "') AS f" + strings.Repeat("z", i+1)
	}
	sql := "SELECT " + strings.Join(fields[:60], ", ") + " FROM '/+/+/upload'"
	q, err := Parse(sql, Full)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Compile(q, Options{})
	if err != nil {
		t.Fatal(err)
	}
	x := p.Explain(&Env{Topic: "/p/d/upload", Payload: doc.Root(), Raw: []byte(big), Time: time.Unix(0, 0)})
	values, spent := 0, 0
	for _, f := range x.Fields {
		if len(f.Value) > maxExplained+len("…") {
			t.Errorf("%s is %d bytes", f.Name, len(f.Value))
		}
		if strings.HasPrefix(f.Value, "error: ") {
			spent++
		} else {
			values++
		}
	}
	if values == 0 || spent == 0 {
		t.Errorf("%d values, %d without", values, spent)
	}
}

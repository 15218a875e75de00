package rulesql

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// script is one query of a file in testdata; upstream.txt describes them.
type script struct {
	topic, given, sql         string
	want, err, fault, printed string
}

func readScripts(t testing.TB, file string) []script {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out []script
	var now script
	for _, line := range strings.Split(string(raw), "\n") {
		word, rest, _ := strings.Cut(line, " ")
		last := len(out) - 1
		switch {
		case line == "" || word[:min(1, len(word))] == "#":
		case word == "":
			out[last].sql += "\n " + rest
		case word == "topic":
			now.topic = rest
		case word == "given":
			now.given = rest
		case word == "sql":
			now.sql = rest
			out = append(out, now)
		case word == "want":
			out[last].want = rest
		case word == "error":
			out[last].err = rest
		case word == "fault":
			out[last].fault = rest
		case word == "print":
			out[last].printed = rest
		default:
			t.Fatalf("%s: cannot read the line %q", file, line)
		}
	}
	return out
}

func scripts(t *testing.T) []script {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	var out []script
	for _, f := range files {
		out = append(out, readScripts(t, f)...)
	}
	return out
}

func testEnv(topic string, raw []byte, payload codec.Value) *Env {
	return &Env{
		Device: ident.Device{Product: "70ly1tvowt696r15", SN: "00:14:32:e1:72:f1"},
		Topic:  topic, MessageID: 349022219378098176, QoS: 1, Time: time.UnixMilli(1524448722000),
		Payload: payload, Raw: raw,
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestScripts(t *testing.T) {
	for _, s := range scripts(t) {
		t.Run(s.sql, func(t *testing.T) { runScript(t, s) })
	}
}

func runScript(t *testing.T, s script) {
	q, err := Parse(s.sql)
	var p *Program
	if err == nil {
		checkPrint(t, q, s.printed)
		p, err = Compile(q)
	}
	if got := errText(err); got != s.err {
		t.Fatalf("error %q, want %q", got, s.err)
	}
	if s.want == "" && s.fault == "" {
		return
	}
	doc, err := codec.Decode([]byte(s.given), codec.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	defer doc.Release()
	e := testEnv(s.topic, []byte(s.given), doc.Root())
	got := "none"
	ok, err := p.Match(e)
	if err == nil && ok {
		var b []byte
		b, err = p.AppendResult([]byte("x"), e)
		got = string(b[1:])
	}
	if errText(err) != s.fault {
		t.Fatalf("fault %q, want %q", errText(err), s.fault)
	}
	if s.fault == "" && got != s.want {
		t.Errorf("result %s, want %s", got, s.want)
	}
}

// checkPrint checks that a query prints as wanted and that what it prints is the same query.
func checkPrint(t *testing.T, q *Query, want string) {
	t.Helper()
	text := q.String()
	if want != "" && text != want {
		t.Errorf("prints %s, want %s", text, want)
	}
	again, err := Parse(text)
	if err != nil {
		t.Fatalf("%s does not parse: %v", text, err)
	}
	if got := again.String(); got != text {
		t.Errorf("prints %s, then %s", text, got)
	}
	if len(again.Fields) != len(q.Fields) {
		t.Fatalf("%d fields, then %d", len(q.Fields), len(again.Fields))
	}
	for i := range q.Fields {
		if again.Fields[i].Name != q.Fields[i].Name {
			t.Errorf("field %d is named %q, then %q", i, q.Fields[i].Name, again.Fields[i].Name)
		}
	}
}

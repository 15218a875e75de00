package rulesql

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// script is one query of a file in testdata; README.md there describes them.
type script struct {
	file                       string
	line                       int
	topic, given, sql          string
	dialect                    Dialect
	binary                     bool
	shadow, property           string
	want, indexes              []string
	err, fault, printed, noted string
}

func readScripts(t testing.TB, file string) []script {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out []script
	now := script{file: filepath.Base(file), dialect: Full}
	for i, line := range strings.Split(string(raw), "\n") {
		word, rest, _ := strings.Cut(line, " ")
		now.line = i + 1
		var last *script
		if len(out) > 0 {
			last = &out[len(out)-1]
		}
		switch {
		case line == "" || word[:min(1, len(word))] == "#":
		case word == "":
			last.sql += "\n " + rest
		case word == "sql":
			now.sql = rest
			out = append(out, now)
		case now.set(word, rest) || last != nil && last.expect(word, rest):
		default:
			t.Fatalf("%s:%d: cannot read the line %q", file, i+1, line)
		}
	}
	return out
}

// set takes a line about the queries that follow.
func (s *script) set(word, rest string) bool {
	switch word {
	case "topic":
		s.topic = rest
	case "given":
		s.given = rest
	case "bytes":
		s.given, _ = strconv.Unquote(rest)
	case "dialect":
		n, _ := strconv.Atoi(rest)
		s.dialect = Dialect(n)
	case "type":
		s.binary = rest == "binary"
	case "shadow":
		s.shadow = rest
	case "property":
		s.property = rest
	default:
		return false
	}
	return true
}

// expect takes a line about the query before it.
func (s *script) expect(word, rest string) bool {
	switch word {
	case "want":
		s.want = append(s.want, rest)
	case "index":
		s.indexes = strings.Fields(rest)
	case "error":
		s.err = rest
	case "fault":
		s.fault = rest
	case "print":
		s.printed = rest
	case "noted":
		s.noted = rest
	default:
		return false
	}
	return true
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

var errAway = errors.New("the store is away")

// testOwner has a shadow and properties out of JSON; "away" fails.
func testOwner(shadow, properties string) Owner {
	read := func(text string) (codec.Value, error) {
		if text == "" {
			return codec.Value{}, nil
		}
		if text == "away" {
			return codec.Value{}, errAway
		}
		doc, err := codec.Decode([]byte(text), codec.DefaultLimits())
		return doc.Root(), err
	}
	return Owner{
		Shadow: func(*Env) (any, error) {
			v, err := read(shadow)
			if !v.Exists() {
				return nil, err
			}
			return v, err
		},
		Property: func(_ *Env, id string) (any, bool, error) {
			v, err := read(properties)
			v = v.Get(id)
			return v, v.Exists(), err
		},
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
		t.Run(s.sql, func(t *testing.T) {
			t.Logf("%s:%d", s.file, s.line)
			runScript(t, s)
		})
	}
}

func runScript(t *testing.T, s script) {
	q, err := Parse(s.sql, s.dialect)
	var p *Program
	if err == nil {
		checkPrint(t, q, s.printed)
		p, err = Compile(q, Options{Binary: s.binary, Owner: testOwner(s.shadow, s.property)})
	}
	if got := errText(err); got != s.err {
		t.Fatalf("error %q, want %q", got, s.err)
	}
	if len(s.want) == 0 && s.fault == "" && s.noted == "" {
		return
	}
	e := testEnv(s.topic, []byte(s.given), codec.Value{})
	if !s.binary {
		doc, err := codec.Decode([]byte(s.given), codec.DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		defer doc.Release()
		e.Payload = doc.Root()
	}
	rows, err := evaluate(p, e)
	if errText(err) != s.fault {
		t.Fatalf("fault %q, want %q", errText(err), s.fault)
	}
	if s.fault == "" && len(s.want) > 0 {
		checkRows(t, rows, s)
	}
	checkNotes(t, e, s)
	checkExplained(t, p, e, rows, err)
}

func evaluate(p *Program, e *Env) (*Rows, error) {
	var rows Rows
	ok, err := p.Match(e)
	if err == nil && ok {
		err = p.Select(e, &rows)
	}
	return &rows, err
}

func checkRows(t *testing.T, rows *Rows, s script) {
	t.Helper()
	var got, indexes []string
	for i := range rows.Len() {
		got = append(got, string(rows.Row(i)))
		indexes = append(indexes, strconv.Itoa(rows.Index(i)))
	}
	if len(got) == 0 {
		got = []string{"none"}
	}
	if !slices.Equal(got, s.want) {
		t.Errorf("result\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(s.want, "\n"))
	}
	if s.indexes != nil && !slices.Equal(indexes, s.indexes) {
		t.Errorf("indexes %s, want %s", indexes, s.indexes)
	}
}

// checkNotes compares the kinds of faults; where a script has no line for them it does not care.
func checkNotes(t *testing.T, e *Env, s script) {
	t.Helper()
	var got []string
	e.Faults(func(f Fault, text func() string) {
		got = append(got, f.String())
		if text() == "" {
			t.Errorf("%s: no text", f)
		}
	})
	if s.noted != "" && strings.Join(got, " ") != strings.TrimPrefix(s.noted, "nothing") {
		t.Errorf("noted %s, want %s", got, s.noted)
	}
}

// checkExplained checks that an explanation tells what happens.
func checkExplained(t *testing.T, p *Program, e *Env, rows *Rows, err error) {
	t.Helper()
	x := p.Explain(e)
	if errText(x.Err) != errText(err) || len(x.Results) != rows.Len() {
		t.Errorf("explained as %v with %d results", x.Err, len(x.Results))
	}
	if x.Where != nil && x.Err == nil && (x.Where.Truth == "true") != x.Matched {
		t.Errorf("matched %v, where\n%s", x.Matched, x.Where)
	}
}

// checkPrint checks that a query prints as wanted and that what it prints is the same query.
func checkPrint(t *testing.T, q *Query, want string) {
	t.Helper()
	text := q.String()
	if want != "" && text != want {
		t.Errorf("prints %s, want %s", text, want)
	}
	again, err := Parse(text, q.Dialect)
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

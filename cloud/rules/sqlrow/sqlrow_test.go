package sqlrow

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/protocol/ident"
)

var testDialect = Dialect{Quote: '`', MaxName: 64, Hash: true,
	Placeholder: func(dst []byte, _ int) []byte { return append(dst, '?') },
	Foreign: func(text string) string {
		if strings.Contains(text, "?") {
			return "?"
		}
		return ""
	}}

func TestConfig(t *testing.T) {
	for _, bad := range []string{``, `[]`, `{}`, `{"connector":"7"}`, `{"table":"t","columns":{"a":1}}`, `{"connector":"7","table":"t"}`, `{"connector":"7","columns":{"a":1}}`,
		`{"connector":"7","table":"a.b.c","columns":{"a":1}}`, `{"connector":"7","table":"a.","columns":{"a":1}}`, `{"connector":"7","table":" a","columns":{"a":1}}`,
		`{"connector":"7","table":"a\u0000","columns":{"a":1}}`, `{"connector":"7","table":"` + strings.Repeat("x", 65) + `","columns":{"a":1}}`,
		`{"connector":"7","table":"t","columns":{"":1}}`, `{"connector":"7","table":"t","columns":{"a\n":1}}`, `{"connector":"7","table":"t","columns":{"a":[1]}}`,
		`{"connector":"7","table":"t","columns":{"a":{"x":1}}}`, `{"connector":"7","table":"t","columns":{"a":"${"}}`, `{"connector":"7","table":"t","columns":{"a":1e999}}`,
		`{"connector":"7","table":"t","columns":{"a":1},"key":"b"}`, `{"connector":"7","table":"t","columns":{"a":1},"key":["a","a"]}`, `{"connector":"7","table":"t","columns":{"a":1},"key":7}`,
		`{"connector":"7","table":"t","columns":{"a":1},"onConflict":"update"}`, `{"connector":"7","table":"t","columns":{"a":1},"key":"a","onConflict":"replace"}`,
		`{"connector":"7","table":"t","columns":{"a":1},"missing":"skip"}`, `{"connector":"7","table":"t","columns":{"a":1},"batchSize":1001}`, `{"connector":"7","table":"t","columns":{"a":1},"batchSize":-1}`,
		`{"connector":"7","table":"t","columns":{"a":1},"lingerMillis":-1}`, `{"connector":"7","table":"t","columns":{"a":1},"timeoutSeconds":121}`, `{"connector":"7","table":"t","columns":{"a":1},"x":1}`,
		`{"connector":"7","table":"t","columns":{"a":1},"statement":"INSERT INTO t VALUES (${a})"}`, `{"connector":"7","key":"a","statement":"INSERT INTO t VALUES (${a})"}`} {
		if _, err := Parse(json.RawMessage(bad), testDialect); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
	p, err := Parse(json.RawMessage(`{"connector":"7","table":"t","columns":{"b":"${b}","a":null}}`), testDialect)
	if err != nil || p.Batch != 256 || p.Linger != 50*time.Millisecond || p.Timeout != 10*time.Second || p.Width() != 2 {
		t.Errorf("defaults: %+v, %v", p, err)
	}
	if one, err := Parse(json.RawMessage(`{"connector":"7","table":"t","columns":{"a":1},"batchSize":1}`), testDialect); err != nil || one.Linger != 0 {
		t.Errorf("of one: %v, %v", one, err)
	}
}

func TestStatement(t *testing.T) {
	for text, want := range map[string]string{
		"INSERT INTO t VALUES (${a}, ${b.c})":                     "INSERT INTO t VALUES (?, ?)",
		"UPDATE `t` SET a=${a} WHERE \"b\" = 'it''s'; ":           "UPDATE `t` SET a=? WHERE \"b\" = 'it''s'",
		"INSERT INTO t VALUES (${a}, '? -- # /* ; $1')":           "INSERT INTO t VALUES (?, '? -- # /* ; $1')",
		"INSERT INTO t VALUES (CONCAT(${deviceSN()},'-',${a}))":   "INSERT INTO t VALUES (CONCAT(?,'-',?))",
		"INSERT INTO t SELECT ${a} FROM d WHERE n - 1 < 2 - ${b}": "INSERT INTO t SELECT ? FROM d WHERE n - 1 < 2 - ?",
	} {
		s, err := parseStatement(text, testDialect)
		if err != nil || s.SQL != want {
			t.Errorf("%s: got %+v, %v, want %s", text, s, err, want)
		}
	}
	for _, bad := range []string{"", "  ", "SELECT 1", "INSERT INTO t VALUES (?)", "INSERT INTO t VALUES ('${a}')", "INSERT INTO t VALUES (\"x${a}\")", "INSERT INTO `${a}` VALUES (1)",
		"INSERT INTO t VALUES (${a}) -- x", "INSERT INTO t /* ${b} */ VALUES (${a})", "INSERT INTO t VALUES (${a}) # x", "INSERT INTO t VALUES (${a}); DROP TABLE t",
		"INSERT INTO t VALUES (${a}); '", "INSERT INTO t VALUES ('\\', ${a})", "INSERT INTO t VALUES (${a)", "INSERT INTO t VALUES (${})", "INSERT INTO t VALUES (${a}, 'x)",
		"INSERT INTO t VALUES (${a}\x00)", strings.Repeat("x", maxStatement) + "${a}"} {
		if s, err := parseStatement(bad, testDialect); err == nil {
			t.Errorf("%.60q was taken as %q", bad, s.SQL)
		}
	}
}

func record(result string) *rules.Record {
	return &rules.Record{Action: 5, MessageID: 100, Device: ident.Device{Product: "0123456789abcdef", SN: "dev1"}, Time: time.UnixMilli(1).UTC(), Result: []byte(result)}
}

func TestAppend(t *testing.T) {
	parse := func(config string) *Plan {
		p, err := Parse(json.RawMessage(config), testDialect)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := parse(`{"connector":"7","table":"t","columns":{"a":"${a}","b":7,"c":"x${a}","d":"${none}","e":null,"f":1.5,"g":true,"h":"${deviceSN}"}}`)
	got, err := p.Append(nil, record(`{"a":"A"}`))
	if want := []any{"A", int64(7), "xA", nil, nil, 1.5, true, "dev1"}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v, %v", got, err)
	}
	if _, err := p.Append(nil, record(`{}`)); !errors.Is(err, rules.ErrPermanent) || !strings.Contains(err.Error(), "column c") {
		t.Errorf("missing in a text: %v", err)
	}
	strict := parse(`{"connector":"7","table":"t","columns":{"a":"${a}"},"missing":"refuse"}`)
	if _, err := strict.Append(nil, record(`{}`)); !errors.Is(err, rules.ErrPermanent) {
		t.Errorf("missing, which it must not be: %v", err)
	}
	own := parse(`{"connector":"7","statement":"UPDATE t SET a = ${a} WHERE d = ${deviceSN} AND b = ${b}"}`)
	if got, err := own.Append(nil, record(`{"a":{"x":1}}`)); err != nil || !reflect.DeepEqual(got, []any{json.RawMessage(`{"x":1}`), "dev1", nil}) {
		t.Errorf("statement: %#v, %v", got, err)
	}
}

// FuzzStatement holds that nothing of a field's name is in the SQL, and that there are as many placeholders as values.
func FuzzStatement(f *testing.F) {
	f.Add("INSERT INTO t VALUES (${a}, 'x', ${b})")
	f.Add("a'b\"c`${d}--#/*")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseStatement(text, testDialect)
		if err != nil {
			return
		}
		outside, quote := 0, byte(0)
		for i := range len(s.SQL) {
			switch c := s.SQL[i]; {
			case quote != 0 && c == quote:
				quote = 0
			case quote != 0:
			case c == '\'' || c == '"' || c == '`':
				quote = c
			case c == '?':
				outside++
			case c == '#' || c == ';':
				t.Fatalf("%q has %c outside of quotes", s.SQL, c)
			}
		}
		if quote != 0 || outside != len(s.args) || strings.Contains(s.SQL, "${") {
			t.Errorf("%q became %q with %d values", text, s.SQL, len(s.args))
		}
	})
}

// FuzzName holds that a quoted name is one name.
func FuzzName(f *testing.F) {
	f.Add("a`b")
	f.Fuzz(func(t *testing.T, name string) {
		quoted := string(testDialect.AppendName(nil, name))
		if inside := quoted[1 : len(quoted)-1]; strings.Contains(strings.ReplaceAll(inside, "``", ""), "`") || strings.ReplaceAll(inside, "``", "`") != name {
			t.Errorf("%q becomes %s", name, quoted)
		}
	})
}

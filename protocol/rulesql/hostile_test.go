package rulesql

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/protocol/codec"
)

// hostilePayload is as large as a message may be: 19,000 numbers and a text of 100 KiB.
func hostilePayload(t *testing.T) *Env {
	t.Helper()
	raw := []byte(`{"big":[` + strings.Repeat("1,", 18_999) + `1],"s":"` + strings.Repeat("a", 100<<10) + `","o":{"k":1}}`)
	doc, err := codec.Decode(raw, codec.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	return testEnv("/a", raw, doc.Root())
}

// A hostile rule costs a bounded time and ends with a fault of its own; where it is within the limits it may succeed.
func TestHostileRules(t *testing.T) {
	nested := "x"
	for i := range MaxScopes {
		nested = fmt.Sprintf("(SELECT VALUE %s FROM big AS x%d)", nested, i)
	}
	for name, c := range map[string]struct {
		sql   string
		limit bool // it must reach a limit
	}{
		"nested arrays":      {"SELECT " + nested + " AS r FROM /a", true},
		"last element":       {"SELECT (SELECT VALUE big[18999] FROM big AS x) AS r FROM /a", true},
		"long concat":        {"SELECT concat(" + strings.TrimSuffix(strings.Repeat("s,", 32), ",") + ") AS r FROM /a", true},
		"long joins":         {"SELECT s" + strings.Repeat("||s", 1000) + " AS r FROM /a", true},
		"many fields":        {"SELECT " + fields(150, "s") + " FROM /a", true},
		"many functions":     {"SELECT length(" + strings.Repeat("lower(", 60) + "s" + strings.Repeat(")", 60) + ") + length(lower(s)) AS r FROM /a", true},
		"a pattern":          {"SELECT s REGEXP '((a?b?){30}){8}c' AS r FROM /a", true},
		"LIKE":               {"SELECT s LIKE '%" + strings.Repeat("a_%", 160) + "b' AS r FROM /a", false},
		"many LIKEs":         {"SELECT 1 AS r FROM /a WHERE " + strings.TrimSuffix(strings.Repeat("s LIKE '%aaaaaaaaaaaaaaaaab' OR ", 300), " OR "), true},
		"repeat":             {"SELECT repeat(s, 1000000) AS r FROM /a", true},
		"pad":                {"SELECT lpad('a', 9000000000, s) AS r FROM /a", true},
		"replace":            {"SELECT replace(s, 'a', s) AS r FROM /a", true},
		"regexp_replace":     {"SELECT regexp_replace(s, '(.*)', '" + strings.Repeat("$1", 100) + "') AS r FROM /a", true},
		"split":              {"SELECT split(s, 'a') AS r FROM /a", true},
		"range":              {"SELECT range(-9223372036854775807, 9223372036854775807) AS r FROM /a", true},
		"ranges":             {"SELECT (SELECT VALUE range(0, 20000) FROM big AS x) AS r FROM /a", true},
		"gzip":               {"SELECT (SELECT VALUE to_gzip(s) FROM big AS x) AS r FROM /a", true},
		"rows":               {"FOREACH big FROM /a", true},
		"rows of everything": {"FOREACH range(0, 900) DO * FROM /a", true},
		"flatten":            {"SELECT flatten([" + strings.TrimSuffix(strings.Repeat("big,", 200), ",") + "]) AS r FROM /a", true},
		"append":             {"SELECT " + strings.Repeat("append(", 60) + "big" + strings.Repeat(",1)", 60) + " AS r FROM /a", true},
		"shared arrays":      {"SELECT " + strings.Repeat("(SELECT VALUE [x,x] FROM [", 8) + "s" + strings.Repeat("] AS x)", 8) + " AS r FROM /a", true},
		"wide literals":      {"SELECT " + strings.Repeat("(SELECT VALUE [x,x,x,x,x,x,x,x] FROM [", 15) + "s" + strings.Repeat("] AS x)", 15) + " = 1 AS r FROM /a", true},
		"contains":           {"SELECT contains((SELECT VALUE big FROM big AS x), big) AS r FROM /a", true},
		"contains nothing":   {"SELECT contains((SELECT VALUE big FROM big AS x), append(big, 1)) AS r FROM /a", true},
		"shared CBOR":        {"SELECT to_cbor((SELECT VALUE s FROM range(0, 100) AS x)) AS r FROM /a", true},
		"shared JSON":        {"SELECT to_json((SELECT VALUE s FROM range(0, 100) AS x)) AS r FROM /a", true},
	} {
		t.Run(name, func(t *testing.T) {
			e := hostilePayload(t)
			p := compileText(t, c.sql)
			start := time.Now()
			_, err := evaluate(p, e)
			took := time.Since(start)
			fault, _ := errors.AsType[*EvalError](err)
			if c.limit && (fault == nil || fault.Kind != FaultLimit) {
				t.Errorf("ended with %v", err)
			}
			if took > time.Minute {
				t.Errorf("took %v", took)
			}
			t.Logf("%v: %v", took, err)
		})
	}
}

func fields(n int, x string) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf("%s AS f%d", x, i))
	}
	return strings.Join(list, ", ")
}

// Queries that would take the parser or the compiler apart are refused.
func TestHostileQueries(t *testing.T) {
	for name, sql := range map[string]string{
		"open":         "SELECT " + strings.Repeat("(", 10_000),
		"brackets":     "SELECT a" + strings.Repeat("[", 10_000) + " FROM /a",
		"objects":      "SELECT " + strings.Repeat("{a:", 5_000) + " FROM /a",
		"subqueries":   "SELECT " + strings.Repeat("(SELECT ", 1_000),
		"scopes":       "SELECT " + strings.Repeat("(SELECT VALUE ", 9) + "x" + strings.Repeat(" FROM a AS x)", 9) + " FROM /a",
		"cases":        "SELECT " + strings.Repeat("CASE WHEN ", 1_500),
		"calls":        "SELECT " + strings.Repeat("abs(", 4_000) + " FROM /a",
		"arguments":    "SELECT concat(a" + strings.Repeat(",a", 32) + ") FROM /a",
		"members":      "SELECT {" + strings.TrimSuffix(strings.Repeat("a:1,", 3), ",") + "} FROM /a",
		"negatives":    "SELECT " + strings.Repeat("- ", 5_000) + "a FROM /a",
		"bytes":        "SELECT '\xff' FROM /a",
		"null byte":    "SELECT \x00 FROM /a",
		"long pattern": "SELECT a REGEXP '" + strings.Repeat("a", MaxPattern+1) + "' FROM /a",
		"huge number":  "SELECT 1e999 FROM /a",
	} {
		q, err := Parse(sql, Full)
		if err == nil {
			_, err = Compile(q, Options{})
		}
		if _, ok := errors.AsType[*Error](err); !ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

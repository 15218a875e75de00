package rulesql

import (
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/protocol/codec"
)

func compileText(t testing.TB, sql string) *Program {
	t.Helper()
	q, err := Parse(sql, Full)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Compile(q, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// selected is the only result.
func selected(p *Program, e *Env) ([]byte, error) {
	var rows Rows
	if err := p.Select(e, &rows); err != nil || rows.Len() != 1 {
		return nil, err
	}
	return rows.Row(0), nil
}

func TestFilters(t *testing.T) {
	p := compileText(t, "SELECT * FROM /a/+/b, '/c/#'")
	got := p.Filters()
	got[0] = "changed by the caller"
	if got := strings.Join(p.Filters(), " "); got != "/a/+/b /c/#" {
		t.Errorf("filters %s", got)
	}
}

func TestUsesPayload(t *testing.T) {
	for sql, want := range map[string]bool{
		"SELECT * FROM /a":                            false,
		"SELECT * FROM /a WHERE deviceSN() = 'x'":     false,
		"SELECT * FROM /a WHERE a = 1":                true,
		"SELECT deviceSN(), to_base64(*) AS p FROM x": false,
		"SELECT deviceSN(), * FROM /a":                true,
		"SELECT a FROM /a":                            true,
	} {
		if got := compileText(t, sql).UsesPayload(); got != want {
			t.Errorf("%s: %v, want %v", sql, got, want)
		}
	}
}

// SELECT * alone passes what came, white space and number forms and all; CBOR becomes JSON.
func TestRawPassesThrough(t *testing.T) {
	p := compileText(t, "SELECT * FROM /a")
	raw := []byte(` { "b" : 1e2, "a":1.50 } `)
	if got, err := selected(p, testEnv("/a", raw, codec.Value{})); err != nil || string(got) != string(raw) {
		t.Errorf("%s %v, want %s", got, err, raw)
	}
	cbor, err := codec.Marshal(codec.CBOR, map[string]any{"a": 1})
	if err != nil {
		t.Fatal(err)
	}
	doc, err := codec.Decode(cbor, codec.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	defer doc.Release()
	if got, err := selected(p, testEnv("/a", cbor, doc.Root())); err != nil || string(got) != `{"a":1}` {
		t.Errorf("%s %v, want JSON of the CBOR", got, err)
	}
}

func TestFaultLeavesResultAlone(t *testing.T) {
	p := compileText(t, "SELECT 1 AS one, 'x' - 1 AS bad FROM /a")
	var rows Rows
	if err := compileText(t, "SELECT 1 AS one FROM /a").Select(testEnv("/a", nil, codec.Value{}), &rows); err != nil {
		t.Fatal(err)
	}
	err := p.Select(testEnv("/a", nil, codec.Value{}), &rows)
	if err == nil || rows.Len() != 1 || string(rows.Row(0)) != `{"one":1}` {
		t.Errorf("%d rows, %v", rows.Len(), err)
	}
	if ok, err := compileText(t, "SELECT * FROM /a WHERE 1 = 1").Match(testEnv("/a", nil, codec.Value{})); !ok || err != nil {
		t.Errorf("%v %v", ok, err)
	}
}

func TestLimits(t *testing.T) {
	many := strings.Repeat("a,", MaxFields) + "a"
	for name, sql := range map[string]string{
		"length":  "SELECT a FROM /a WHERE a = '" + strings.Repeat("x", MaxQuery) + "'",
		"fields":  "SELECT " + strings.Repeat("1 AS a, ", MaxFields) + many + " FROM /a",
		"filters": "SELECT a FROM /a" + strings.Repeat(",/a", MaxFilters),
		"nesting": "SELECT a FROM /a WHERE " + strings.Repeat("NOT ", MaxNesting) + "a",
		"filter":  "SELECT a FROM /a/#/b",
	} {
		if _, err := Parse(sql, Full); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	long := "SELECT a FROM /a WHERE a" + strings.Repeat("+a", 7000)
	if p := compileText(t, long); p == nil {
		t.Error("a long chain does not compile")
	}
}

func TestLikePatternIsBounded(t *testing.T) {
	p := compileText(t, "SELECT * FROM /a WHERE 'a' LIKE '%"+strings.Repeat("a", MaxPattern)+"'")
	if _, err := p.Match(testEnv("/a", nil, codec.Value{})); err == nil {
		t.Error("no fault")
	}
}

const benchPayload = `{"temperature":21.5,"humidity":55,"pressure":1013.25,"battery":87,"state":"running","location":` +
	`{"lat":31.2304,"lon":121.4737},"firmware":"1.4.2","uptime":123456,"rssi":-71,"alarm":false,"seq":1001}`

const benchSQL = "SELECT deviceSN() AS device, temperature, location.lat AS lat FROM /p/+/upload WHERE temperature > 20 AND state = 'running' AND battery < "

func BenchmarkRuleEval(b *testing.B) {
	p := compileText(b, benchSQL+"90")
	var rows Rows
	raw := []byte(benchPayload)
	e := testEnv("/p/d/upload", raw, codec.Value{})
	b.ReportAllocs()
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		doc, err := codec.Decode(raw, codec.DefaultLimits())
		if err != nil {
			b.Fatal(err)
		}
		e.Payload = doc.Root()
		if ok, _ := p.Match(e); !ok {
			b.Fatal("does not match")
		}
		rows.Reset()
		if err = p.Select(e, &rows); err != nil {
			b.Fatal(err)
		}
		doc.Release()
	}
}

func BenchmarkWhere(b *testing.B) {
	for name, limit := range map[string]string{"match": "90", "no-match": "50"} {
		b.Run(name, func(b *testing.B) {
			p := compileText(b, benchSQL+limit)
			doc, err := codec.Decode([]byte(benchPayload), codec.DefaultLimits())
			if err != nil {
				b.Fatal(err)
			}
			e := testEnv("/p/d/upload", nil, doc.Root())
			b.ReportAllocs()
			for b.Loop() {
				if ok, _ := p.Match(e); ok != (name == "match") {
					b.Fatal("wrong")
				}
			}
		})
	}
}

func TestNoMatchAllocatesNothing(t *testing.T) {
	doc, err := codec.Decode([]byte(benchPayload), codec.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	e := testEnv("/p/d/upload", nil, doc.Root())
	for _, where := range []string{
		"temperature > 90", "state LIKE 'x%' AND gone = 1", "battery = 'x' OR 90 < battery", "uptime IN (1, 2, '3')",
		"topic(2) = 'x' OR deviceSN() = 'y'", "state REGEXP '^stop' OR location.alt IS NOT MISSING", "uptime BETWEEN 1 AND 2 AND NOT alarm",
		"coalesce(gone, battery) > 100 OR length(state) = 1", "seq / 0 = 1 OR gone.deeper = 2", "abs(rssi) < 3 OR contains(state, 'xyz')", "seq + battery * 2 < 0", "CASE WHEN alarm THEN 1 ELSE 0 END = 1",
	} {
		p := compileText(t, "SELECT * FROM /a WHERE "+where)
		if n := testing.AllocsPerRun(100, func() {
			if ok, err := p.Match(e); ok || err != nil {
				t.Fatalf("%s: %v %v", where, ok, err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", where, n)
		}
	}
}

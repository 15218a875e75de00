package rulesql

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/hawser-iot/hawser/protocol/codec"
)

const fuzzPayload = `{"a":1,"b":2.5,"s":"x","t":true,"n":null,"l":[1,"2"],"o":{"k":-1}}`

// FuzzQuery: what parses prints to the same; what compiles can be evaluated, and its results are JSON.
func FuzzQuery(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.txt")
	for _, file := range files {
		for _, s := range readScripts(f, file) {
			f.Add(s.sql, s.given, s.dialect == Stock)
		}
	}
	f.Add("SELECT CASE a WHEN 1 THEN -a END, l[-1] FROM /a WHERE NOT s LIKE '%_\\' OR o.k BETWEEN -a AND b % 2", fuzzPayload, false)
	f.Fuzz(func(t *testing.T, sql, payload string, stock bool) {
		d := Full
		if stock {
			d = Stock
		}
		q, err := Parse(sql, d)
		if err != nil {
			return
		}
		checkPrint(t, q, "")
		p, err := Compile(q, Options{Owner: testOwner("", "")})
		if err != nil {
			return
		}
		doc, err := codec.Decode([]byte(payload), codec.DefaultLimits())
		if err != nil {
			return
		}
		defer doc.Release()
		e := testEnv("/p/d/upload", []byte(payload), doc.Root())
		p.Explain(e)
		if _, err := p.Match(e); err != nil {
			return
		}
		var rows Rows
		if err := p.Select(e, &rows); err != nil {
			return
		}
		for i := range rows.Len() {
			if out := rows.Row(i); codec.Detect(e.Raw) == codec.JSON && !json.Valid(out) {
				t.Errorf("%s makes of %s what is not JSON: %s", sql, payload, out)
			}
		}
	})
}
